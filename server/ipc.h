// How a session's memory and events become known to other sessions of the same server: by names
// that clients make, kept by the supervisor. Questions are answered later, on the executor's
// thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "transport/fd.h"

namespace farlane::server {

inline constexpr size_t kIpcNameBytes = 16;

// The answer to a question.
struct IpcAnswer {
  uint64_t question = 0;
  bool done = false;  // share: it is known now; open: there is such a name
  std::string data;   // open: as it was shared
  transport::Fd fd;   // open: as it was shared
};

class Ipc {
 public:
  virtual ~Ipc() = default;
  // Called, on any thread, when there is an answer to take.
  virtual void set_wake(std::function<void()> wake) = 0;
  // `question`: a number of the asker's, answered by an IpcAnswer.
  virtual void share(uint64_t question, const std::string& name, const std::string& data,
                     const transport::Fd& fd) = 0;
  virtual void open(uint64_t question, const std::string& name) = 0;
  virtual void forget(const std::string& name) = 0;
  // False: there is no answer yet.
  virtual bool take(IpcAnswer* answer) = 0;
};

}  // namespace farlane::server
