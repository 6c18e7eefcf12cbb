// A decorator that makes a channel as bad as the contract allows, and no worse: whatever it does,
// a correct user of the contract still works, or sees the end of the channel in time.
//
// Everything follows from the seed and from the calls made on this channel, never from time. The
// two directions draw from generators of their own, so that threads do not disturb each other.
#pragma once

#include <cstdint>
#include <memory>

#include "transport/channel.h"

namespace farlane::transport {

struct FaultPlan {
  uint64_t seed = 1;

  // Chances, in a thousand.
  uint32_t busy_per_mille = 0;   // send() says kBusy and takes nothing
  uint32_t hold_per_mille = 0;   // a frame taken stays undrained for a number of send() and flush()
  uint32_t late_per_mille = 0;   // receive() says kNothing for a number of calls
  uint32_t short_per_mille = 0;  // receive() says kNothing between a head and its body
  uint32_t delay_calls_max = 8;  // the longest hold or lateness

  // The connection is closed instead of passing what would go beyond. Bytes of heads and bodies.
  static constexpr uint64_t kNever = ~uint64_t{0};
  uint64_t cut_after_sent_frames = kNever;
  uint64_t cut_after_sent_bytes = kNever;
  uint64_t cut_after_received_frames = kNever;
  uint64_t cut_after_received_bytes = kNever;

  // A peer that hangs: from then on nothing arrives, or nothing leaves, and wait() waits. Only a
  // deadline or a wake() helps.
  uint64_t freeze_after_received_frames = kNever;
  uint64_t freeze_after_sent_frames = kNever;
};

std::unique_ptr<Channel> make_faulty(std::unique_ptr<Channel> inner, const FaultPlan& plan);

}  // namespace farlane::transport
