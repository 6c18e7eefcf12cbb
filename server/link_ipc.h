// A worker's Ipc: asks its supervisor over the link between them.
#pragma once

#include <deque>
#include <mutex>

#include "server/ipc.h"
#include "server/link.h"

namespace farlane::server {

class LinkIpc final : public Ipc {
 public:
  explicit LinkIpc(int link) : link_(link) {}
  void set_wake(std::function<void()> wake) override;
  void share(uint64_t question, const std::string& name, const std::string& data,
             const transport::Fd& fd) override;
  void open(uint64_t question, const std::string& name) override;
  void forget(const std::string& name) override;
  bool take(IpcAnswer* answer) override;

  // What came from the supervisor. Any thread.
  void deliver(LinkMessage message);

 private:
  const int link_;
  std::mutex mutex_;
  std::function<void()> wake_;     // guarded by mutex_
  std::deque<IpcAnswer> answers_;  // guarded by mutex_
};

}  // namespace farlane::server
