// What a worker has to say: records gather in a frame until push(); bulk data leaves straight from
// its staging slot. Everything leaves in the order it was put in.
//
// Threads: the executor's, and the pulse, which may call pulse() at any time.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "generated/protocol/messages.h"
#include "server/staging.h"
#include "transport/channel.h"

namespace farlane::server {

class Outbox {
 public:
  explicit Outbox(transport::Channel& channel) : channel_(channel) {}
  Outbox(const Outbox&) = delete;

  // Tells have sequence 0.
  template <class M>
  void append(const M& message, uint64_t sequence = 0) {
    const size_t bytes = encoded_bytes(message);
    encode(room(bytes), message, sequence);
  }
  // `slot` goes back to `pool` when its first `bytes` have left.
  void append_with_body(const protocol::message::CopyOutData& message, StagingPool& pool,
                        StagingSlot* slot, size_t bytes);

  // Sends what the channel takes now. False: the peer is gone.
  [[nodiscard]] bool push();
  bool has_frames() const { return !frames_.empty(); }
  // The network took only a part of the last frame.
  bool is_held() const { return !drained_; }
  // Something waits for the network.
  bool is_blocked() const { return !frames_.empty() || !drained_; }
  // The network may still be moving a large body: nothing is known of how far it is.
  bool is_held_by_body() const { return !sent_bodies_.empty(); }
  // So much waits that nothing more should be asked for.
  bool is_full() const { return frames_.size() >= kFramesMax; }

  // Since when the network has taken nothing of what waits; Clock's maximum: nothing waits.
  transport::Clock::time_point held_since() const { return held_since_; }

  // Tells the peer that this side lives if nothing was sent since the last call.
  void pulse();
  // Everything waiting is dropped and its slots are free: the peer is gone.
  void abandon();

 private:
  static constexpr size_t kFramesMax = 32;
  struct Body {
    StagingPool* pool = nullptr;
    StagingSlot* slot = nullptr;
    size_t bytes = 0;
  };
  struct OutFrame {
    std::unique_ptr<std::byte[]> head;
    size_t head_bytes = 0;
    Body body;
  };

  // Space for one more record, in the last frame or a new one.
  std::span<std::byte> room(size_t bytes);
  void free_sent_bodies();
  [[nodiscard]] bool push_frames(bool* moved);

  std::deque<OutFrame> frames_;
  std::vector<std::unique_ptr<std::byte[]>> spare_heads_;
  std::vector<Body> sent_bodies_;  // taken by the channel, perhaps not yet by the network
  bool drained_ = true;
  transport::Clock::time_point held_since_ = transport::Clock::time_point::max();

  // Guards the sending side of the channel.
  std::mutex sending_;
  transport::Channel& channel_;
  std::atomic<bool> sent_since_pulse_{false};
};

}  // namespace farlane::server
