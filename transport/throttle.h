// A decorator that makes a channel as slow as a network further away: a round-trip time and a
// bandwidth. One end is decorated, the program's; the peer's stays as it is.
//
// The time of both ways is added to what is received. Nobody on this side can tell that from half
// before and half after, because the peer's clock shows nowhere: an answer comes the whole round
// trip after the question left. Bandwidth is counted each way by a line: what is sent is held back
// until its last byte would have left, what is received until its last byte would have come.
//
// A frame counts as arrived when somebody here receives or waits; one that comes while nobody does
// is late by so much more. What has arrived is kept in memory of the decorator until it is due, and
// copied once on the way.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>

#include "transport/channel.h"

namespace farlane::transport {

struct ThrottleOptions {
  int64_t rtt_us = 0;  // added to the channel's own
  double gbps = 0;     // 1e9 bits/s, each way; 0: as fast as the channel
};

// One direction of a simulated network. Thread-safe; several channels may share one.
class ThrottleLine {
 public:
  explicit ThrottleLine(double gbps) : ns_per_byte_(gbps > 0 ? 8 / gbps : 0) {}
  // When `bytes` have passed that stood at the line's beginning at `offered`, behind everything
  // that was there before.
  Clock::time_point pass(Clock::time_point offered, size_t bytes);

 private:
  const double ns_per_byte_;
  std::atomic<int64_t> free_ns_{0};
};

struct ThrottleLines {
  explicit ThrottleLines(double gbps) : out(gbps), in(gbps) {}
  ThrottleLine out;
  ThrottleLine in;
};

using NowFunction = std::function<Clock::time_point()>;

// `lines`: shared by the channels of one session; null makes a pair of their own. `now` is for
// tests; wait() sleeps in real time for the time that is left by it.
std::unique_ptr<Channel> make_throttled(std::unique_ptr<Channel> inner,
                                        const ThrottleOptions& options,
                                        std::shared_ptr<ThrottleLines> lines = nullptr,
                                        NowFunction now = {});

}  // namespace farlane::transport
