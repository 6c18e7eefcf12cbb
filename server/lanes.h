// A session's bulk lanes: further connections of its client that carry nothing but pieces of large
// copies, each with a thread of its own. A lane's thread moves bytes between the network and pinned
// slots, in both directions at once; what happens to a slot otherwise is the executor's business.
//
// Every lane has slots of its own for what comes in. A lane without a free one stops reading, so a
// client that sends more than the device takes is held up by its own network, and one lane's slots
// can never be full of what has to wait for another lane's.
//
// Threads: the executor's, where nothing else is said.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "transport/channel.h"

namespace farlane::server {

struct LaneSlot {
  std::byte* data = nullptr;  // pinned
  uint32_t lane = 0;          // whose it is, if it is for what comes in
};

// A piece of a copy to the device, as it came.
struct ArrivedChunk {
  uint64_t command = 0;
  uint64_t offset = 0;
  size_t bytes = 0;
  LaneSlot* slot = nullptr;
};

// A piece of a copy to the client, ready to be sent.
struct LeavingChunk {
  uint64_t ticket = 0;
  uint64_t offset = 0;
  size_t bytes = 0;
  LaneSlot* slot = nullptr;
  size_t lanes = 0;  // how many its copy is meant for
};

struct LaneOptions {
  uint32_t lanes_max = 0;
  size_t chunk_bytes = 0;  // of a slot; no frame's body is larger
  size_t slots = 0;        // per lane and direction
  int64_t hello_timeout_ms = 0;
  uint64_t share_bytes = 0;  // of a copy, for each of the lanes that it uses
};

// Any thread may read.
struct LaneCounters {
  std::atomic<uint64_t> chunks_in = 0;
  std::atomic<uint64_t> bytes_in = 0;
  std::atomic<uint64_t> chunks_out = 0;
  std::atomic<uint64_t> bytes_out = 0;
  std::atomic<uint64_t> slot_waits = 0;  // a piece came and no slot was free
};

class Lanes {
 public:
  // `wake` makes the executor look again; any thread calls it.
  Lanes(const LaneOptions& options, std::function<void()> wake);
  ~Lanes();
  Lanes(const Lanes&) = delete;

  // What a client must know to attach a lane. Before adopt().
  void set_token(std::string token) { token_ = std::move(token); }
  const std::string& token() const { return token_; }

  // Any thread: a connection whose first frame asks to become a lane. Refused ones are told why;
  // the session goes on without them.
  void adopt(std::unique_ptr<transport::Channel> channel);

  // The memory that a lane needs before it opens, for `slots` in each direction; 0: none waits.
  size_t wanted_bytes();
  // That much pinned memory for one waiting lane; null: there is none, the lane is refused. It must
  // stay until after close().
  void grant(std::byte* memory);

  // Moves what has arrived to the end of `chunks`. True when there was something.
  bool take_arrived(std::vector<ArrivedChunk>* chunks);
  // The device has read the slot, or never will.
  void release_in(LaneSlot* slot);

  size_t open_lanes() const { return open_.load(std::memory_order_acquire); }
  size_t chunk_bytes() const { return options_.chunk_bytes; }
  uint64_t share_bytes() const { return options_.share_bytes; }
  // For a stream that already has `held` of them waiting for the device. Null while all are in use,
  // or too few would be left to other streams: one that is held up keeps what it has.
  LaneSlot* acquire_out(size_t held);
  void release_out(LaneSlot* slot);
  void send(const LeavingChunk& chunk);
  // Pieces that were to be sent, and those that the network has taken.
  uint64_t handed_over() const { return handed_over_.load(std::memory_order_relaxed); }
  uint64_t sent() const { return sent_.load(std::memory_order_relaxed); }

  // Why a lane ended, or what its client did wrong on it: the session ends. `fault`: the latter.
  bool has_ended(std::string* why, bool* fault);

  // Ends all lanes and their threads. Slots that arrived or were to leave are the executor's again.
  void close();

  // Of lanes 1 to lanes_max.
  const LaneCounters& counters(uint32_t lane) const { return counters_[lane - 1]; }

 private:
  class Lane;

  void ended(const std::string& why, bool fault);
  bool take_leaving(LeavingChunk* chunk);
  void arrived(const ArrivedChunk& chunk);
  // "" or why this lane cannot be.
  std::string claim(uint32_t number, Lane* lane);
  void unclaim(uint32_t number);

  const LaneOptions options_;
  const std::function<void()> wake_;
  std::string token_;
  const std::unique_ptr<LaneCounters[]> counters_;

  std::mutex mutex_;  // guards what follows
  std::vector<std::unique_ptr<Lane>> lanes_;
  std::vector<Lane*> by_number_;   // attached ones
  std::deque<Lane*> want_memory_;  // attached, not open yet
  std::deque<LaneSlot> slots_;     // of all lanes; they never move
  std::vector<LaneSlot*> free_out_;
  bool closed_ = false;
  bool has_ended_ = false;
  bool fault_ = false;
  std::string why_;

  std::atomic<size_t> open_ = 0;
  std::atomic<bool> ended_flag_ = false;

  std::mutex arrived_mutex_;
  std::vector<ArrivedChunk> arrived_;  // guarded by arrived_mutex_
  std::atomic<bool> has_arrived_ = false;

  std::mutex leaving_mutex_;
  std::deque<LeavingChunk> leaving_;  // guarded by leaving_mutex_
  std::atomic<size_t> leaving_count_ = 0;
  std::atomic<uint64_t> handed_over_ = 0;
  std::atomic<uint64_t> sent_ = 0;
};

}  // namespace farlane::server
