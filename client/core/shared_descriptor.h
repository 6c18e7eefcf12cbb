// What cuMemExportToShareableHandle gives a program: a real descriptor of this machine, which the
// program may pass on in every way that descriptors are passed on. It is a sealed memory file with
// the name under which the server shares the memory.
#pragma once

#include <memory>

#include "client/core/sharing.h"
#include "transport/fd.h"

namespace farlane::client {

// The file of one memory. Any number of descriptors are made of it.
class SharedDescriptor {
 public:
  // Null, with errno set: the system has no more files.
  static std::shared_ptr<SharedDescriptor> make(const SharedHandle& handle);

  // A new one, the caller's to close. -1 with errno set.
  int open() const;
  // Whether some process still has one of them, or a duplicate: each is a locked description of its
  // own, and its lock goes with the last duplicate.
  bool is_open() const;

  explicit SharedDescriptor(transport::Fd file) : file_(std::move(file)) {}

 private:
  transport::Fd file_;
};

// What a descriptor that anybody may have passed holds. False: it is none of ours. Never blocks,
// and leaves the descriptor as it is.
bool read_shared_descriptor(int fd, SharedHandle* handle);

}  // namespace farlane::client
