// What sessions share with each other, by name; the supervisor's.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>

#include "server/link.h"

namespace farlane::server {

class IpcNames {
 public:
  // Events have none; of descriptors a process has not many.
  static constexpr size_t kNamesMax = 1 << 16;
  static constexpr size_t kDescriptorsMax = 512;

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
  std::map<std::string, Shared> names_;
  size_t descriptors_ = 0;  // of names_

  void erase(std::map<std::string, Shared>::iterator name);
};

}  // namespace farlane::server
