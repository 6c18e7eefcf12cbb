// What sessions share with each other, by name; the supervisor's.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>

#include "server/link.h"

namespace farlane::server {

class IpcNames {
 public:
  // Of all sessions together. Events have no descriptor; of those a process has not many. One
  // session gets no more than it leaves to the others.
  static constexpr size_t kNamesMax = 1 << 16;
  static constexpr size_t kDescriptorsMax = 512;
  // An event's is 65.
  static constexpr size_t kDataBytesMax = 256;

  explicit IpcNames(size_t names_max = kNamesMax) : names_max_(names_max) {}

  // A worker's message about IPC; what it asked is answered over `link`.
  void on_message(pid_t worker, int link, LinkMessage message);
  // A worker is gone, and with it what it shared. Others keep what they opened.
  void forget_all(pid_t worker);

 private:
  struct Shared {
    pid_t owner = -1;
    std::string data;
    transport::Fd fd;
  };
  struct Count {
    size_t names = 0;
    size_t descriptors = 0;
  };
  const size_t names_max_;
  std::map<std::string, Shared> names_;
  size_t descriptors_ = 0;         // of names_
  std::map<pid_t, Count> counts_;  // by owner

  void erase(std::map<std::string, Shared>::iterator name);
};

}  // namespace farlane::server
