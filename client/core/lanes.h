// The session's bulk lanes: further connections to the server that carry nothing but pieces of
// large copies, so that these use several connections at once and nothing small waits behind them.
//
// They are opened at the first large copy, each with a thread of its own, which sends and receives.
// Pieces to the device are taken straight from the program's memory, by whichever lane is free;
// pieces to the host land straight in it. A lane that ends, ends the session.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "client/core/inbox.h"
#include "client/core/loss.h"
#include "conf/client_settings.h"
#include "transport/channel.h"

namespace farlane::client {

// Any thread may read.
struct LaneCounters {
  std::atomic<uint64_t> chunks_sent = 0;
  std::atomic<uint64_t> bytes_sent = 0;
  std::atomic<uint64_t> chunks_received = 0;
  std::atomic<uint64_t> bytes_received = 0;
  std::atomic<uint64_t> busy_waits = 0;  // the network or the server took no more for a while
};

class Lanes {
 public:
  // A further connection to the session's server.
  using Connect = std::function<std::unique_ptr<transport::Channel>(std::string* error)>;

  // A copy to the device under way: rows of `width` bytes, `pitch` apart.
  struct Outgoing {
    const std::byte* from = nullptr;
    size_t pitch = 0;
    size_t width = 0;
    size_t height = 0;
    // All bytes have been taken: the memory is the program's again.
    std::atomic<bool> taken = false;

    // Lanes' own, under their lock.
    uint64_t command = 0;
    uint64_t total = 0;
    uint64_t chunk = 0;
    size_t lanes = 0;   // that it is meant for
    uint64_t next = 0;  // offset of the first byte that no lane has begun to send
    uint64_t bytes_taken = 0;
  };

  Lanes(const ClientSettings& settings, Inbox* inbox, Loss* loss);
  ~Lanes();
  Lanes(const Lanes&) = delete;

  // Once, with what the welcome says, before any copy. `close_session` ends the command lane.
  void prepare(Connect connect, std::string token, uint32_t lanes_max, uint64_t chunk_bytes_max,
               std::function<void()> close_session);

  // Whether a copy of so many bytes goes over lanes. Opens them when the first one does.
  bool carry(uint64_t bytes) {
    return bytes >= threshold_bytes_ && (is_open_.load(std::memory_order_acquire) || open());
  }

  // Queues a copy with its command in the log: `append` puts that there and calls its argument with
  // the command's number. One copy at a time, so that they are queued in the order of the log: what
  // holds the server's slots must not wait for an earlier copy whose pieces come behind. The
  // command's number; 0: the session is lost. Then start().
  template <class Append>
  uint64_t queue(const std::shared_ptr<Outgoing>& copy, Append append) {
    std::lock_guard order(order_mutex_);
    return append([&](uint64_t command) { queue_as(copy, command); });
  }
  void start(const Outgoing& copy);

  // Copies to the device under way that read any of these host bytes.
  bool reads(uint64_t start, size_t bytes);

  // The session is lost: returns when no lane touches the program's memory any more.
  void quit();

  size_t count() const { return is_open_.load(std::memory_order_acquire) ? lanes_.size() : 0; }
  // Of lanes 0 to count() - 1.
  const LaneCounters& counters(size_t lane) const;

 private:
  class Lane;

  bool open();
  std::unique_ptr<transport::Channel> attach(uint32_t number, transport::Deadline deadline,
                                             std::string* error);
  // The next piece to send; false: none.
  struct Piece {
    std::shared_ptr<Outgoing> copy;
    uint64_t offset = 0;
    size_t bytes = 0;
  };
  void queue_as(std::shared_ptr<Outgoing> copy, uint64_t command);
  bool take(Piece* piece);
  void sent(const Piece& piece);
  void failed(const std::string& what);
  void left();

  Inbox* const inbox_;
  Loss* const loss_;
  const int64_t connections_;
  const std::chrono::milliseconds patience_;
  const uint64_t threshold_bytes_;
  const uint64_t share_bytes_;
  const uint64_t last_piece_bytes_;
  const std::string server_;
  Connect connect_;
  std::string token_;
  uint32_t lanes_max_ = 0;
  uint64_t chunk_bytes_ = 0;
  std::function<void()> close_session_;

  std::mutex open_mutex_;  // guards the next two until is_open_
  bool tried_ = false;
  std::vector<std::unique_ptr<Lane>> lanes_;
  std::atomic<bool> is_open_ = false;
  std::atomic<bool> ending_ = false;

  std::mutex order_mutex_;  // from a copy's place in the log to that in the queue

  std::mutex mutex_;          // guards what follows
  uint64_t last_queued_ = 0;  // command
  std::deque<std::shared_ptr<Outgoing>> queue_;
  std::list<std::shared_ptr<Outgoing>> under_way_;  // until all their bytes are taken
  size_t running_ = 0;                              // lanes with a thread
  std::condition_variable left_;
  std::atomic<size_t> queued_ = 0;  // of queue_
};

}  // namespace farlane::client
