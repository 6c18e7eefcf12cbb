// A worker's Sharing: asks its supervisor over the link between them.
#pragma once

#include <deque>
#include <mutex>

#include "server/link.h"
#include "server/sharing.h"

namespace farlane::server {

class LinkSharing final : public Sharing {
 public:
  explicit LinkSharing(int link) : link_(link) {}
  void set_wake(std::function<void()> wake) override;
  void share(uint64_t question, const std::string& name, const std::string& data,
             const transport::Fd& fd) override;
  void open(uint64_t question, const std::string& name) override;
  void forget(const std::string& name) override;
  bool take(SharedThing* answer) override;

  // What came from the supervisor. Any thread.
  void deliver(LinkMessage message);

 private:
  const int link_;
  std::mutex mutex_;
  std::function<void()> wake_;       // guarded by mutex_
  std::deque<SharedThing> answers_;  // guarded by mutex_
};

}  // namespace farlane::server
