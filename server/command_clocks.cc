#include "server/command_clocks.h"

namespace farlane::server {

namespace message = protocol::message;

void CommandClocks::charge(uint16_t op, bool done) {
  const Mark end = mark();
  const uint64_t total = end.ticks - begin_.ticks;
  const uint64_t driver = end.driver - begin_.driver;
  Times& times = of(op);
  times.count += done ? 1 : 0;
  times.driver += driver;
  times.decode += total - driver - (answers_ - answers_before_);
  executed_ += total;
  begin_ = end;
  answers_before_ = answers_;
}

void CommandClocks::answered(protocol::Op op, const Mark& begin) {
  const Mark end = mark();
  const uint64_t ticks = end.ticks - begin.ticks - (end.driver - begin.driver);
  of(static_cast<uint16_t>(op)).reply += ticks;
  answers_ += ticks;
  unsent_.push_back(op);
}

void CommandClocks::sent(uint64_t ticks) {
  // Otherwise it was an acknowledgement, or what the network did not take before.
  if (unsent_.empty()) {
    unsent_.push_back(protocol::Op::kAck);
    ++of(static_cast<uint16_t>(protocol::Op::kAck)).count;
  }
  for (const protocol::Op op : unsent_) {
    of(static_cast<uint16_t>(op)).reply += ticks / unsent_.size();
  }
  unsent_.clear();
}

message::WorkerTimesReply CommandClocks::reply(std::vector<message::CommandTimes>* rows) const {
  message::WorkerTimesReply reply;
  if (!on_) return reply;
  const double ns = tick_ns();
  const auto time = [&](uint64_t ticks) {
    return static_cast<uint64_t>(static_cast<double>(ticks) * ns);
  };
  for (size_t op = 0; op < kKinds; ++op) {
    const Times& times = times_[op];
    if (times.count == 0 && times.reply == 0) continue;
    rows->push_back({.op = static_cast<uint32_t>(op),
                     .count = times.count,
                     .decode_ns = time(times.decode),
                     .driver_ns = time(times.driver),
                     .wait_ns = time(times.wait),
                     .reply_ns = time(times.reply)});
  }
  reply.on = 1;
  reply.frames = frames_;
  reply.receive_ns = time(receive_);
  reply.times = *rows;
  return reply;
}

}  // namespace farlane::server
