// Everything that comes from the server, and the threads that wait for it.
//
// There is no receiving thread. A thread that waits takes the receiver's role if it is free, and
// reads frames, for itself and for everybody else, until what it waits for is there; the other
// waiting threads sleep meanwhile and take over when it leaves. So an answer reaches a lone caller
// without a hand-over.
#pragma once

#include <cuda.h>

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "client/core/adaptive_mutex.h"
#include "client/core/loss.h"
#include "generated/protocol/messages.h"
#include "protocol/record.h"
#include "transport/channel.h"
#include "transport/spin_budget.h"

namespace farlane::client {

// Errors of posted commands, on their way to the next call that reports errors.
class PostedErrors {
 public:
  void note(CUresult result, bool sticky);
  // A sticky one every time, another one once. CUDA_SUCCESS: none.
  CUresult take();
  CUresult sticky() const { return static_cast<CUresult>(sticky_.load(std::memory_order_acquire)); }
  void clear();

  // Statuses of posted calls of CUDA-X libraries, each kept for its own library.
  static constexpr uint32_t kLibrariesMax = 32;
  // False: an earlier one is still to be told.
  bool note_library(uint32_t library, int status);
  int take_library(uint32_t library);

 private:
  std::array<std::atomic<int>, kLibrariesMax> libraries_{};
  std::atomic<int> sticky_ = CUDA_SUCCESS;
  std::atomic<int> pending_ = CUDA_SUCCESS;
};

struct InboxOptions {
  int64_t spin_us = 0;          // how long a receiver looks before it sleeps
  int64_t silence_ms = 10'000;  // a server that says nothing for so long is lost
};

struct InboxCounters {
  std::atomic<uint64_t> frames = 0;
  std::atomic<uint64_t> bytes = 0;    // heads and bodies
  std::atomic<uint64_t> waits = 0;    // a thread had to wait for an answer
  std::atomic<uint64_t> sleeps = 0;   // and the spinning was not enough
  std::atomic<uint64_t> follows = 0;  // and another thread was receiving, which had to wake it
};

class Inbox final : public transport::FrameSink {
 public:
  // An ask under way. `record` is the whole reply, header included.
  struct Waiter {
    uint64_t sequence = 0;
    static constexpr size_t kFewWords = 16;
    std::array<uint64_t, kFewWords> few;  // the reply's payload, aligned; most are as short
    std::vector<uint64_t> many;           // a longer one's
    protocol::Record record;
    std::atomic<bool> done = false;
  };

  // A copy to the host under way.
  struct Ticket {
    uint64_t id = 0;
    uint64_t stream = 0;    // StreamId bits
    uint64_t sequence = 0;  // of the copy_out
    std::byte* to = nullptr;
    size_t pitch = 0;
    size_t width = 0;
    size_t height = 0;
    bool detached = false;  // nobody waits for this one: the inbox frees it when it is done
    CUresult result = CUDA_SUCCESS;
    std::atomic<bool> done = false;

    // Of a copy over lanes, under the inbox's lock.
    bool by_lanes = false;
    bool announced = false;  // the server has sent it all: `expected` bytes
    uint64_t expected = 0;
    uint64_t landing = 0;  // bytes being received
    uint64_t arrived = 0;
  };

  Inbox(transport::Channel* channel, const InboxOptions& options, Loss* loss, PostedErrors* errors);
  ~Inbox() override;

  // Must be called before the command can reach the server.
  void expect(Waiter* waiter, uint64_t sequence);
  void forget(Waiter* waiter);
  void expect(Ticket* ticket);
  // Its caller gave up, because the session is lost. The ticket is on the heap.
  void abandon(Ticket* ticket);

  // Waits until done() is true; false when the session is lost first. done() may be called by any
  // thread that waits and must be cheap. `reason` names the wait in the log.
  template <class Done>
  bool wait_until(Done done, const char* reason) {
    if (done()) {
      return true;
    }
    counters_.waits.fetch_add(1, std::memory_order_relaxed);
    return wait_slow(std::ref(done), reason);
  }

  // Takes the receiver's role if it is free, waits until there is something to read and takes what
  // is there. False: the role was taken.
  bool pump_once(transport::Deadline deadline);
  // For a sender that the network takes no more from: returns when it may again, or at the
  // deadline. Receives meanwhile, or leaves that to the thread that has the role, which then looks
  // for writability too.
  void wait_writable(transport::Deadline deadline);
  // Takes what is there without blocking, if the role is free.
  void drain();

  // Copies to the host under way that were posted up to `sequence` on a stream that `concerns`
  // accepts.
  bool tickets_pending(uint64_t sequence, const std::function<bool(uint64_t stream)>& concerns);
  // Copies to the host under way that write to any of these host bytes.
  bool tickets_into(uint64_t start, size_t bytes);
  bool has_tickets() const { return tickets_open_.load(std::memory_order_acquire) != 0; }

  // Host calls (host_calls.h): who is told that one is due, and how many are to come.
  void on_host_call_due(std::function<void(uint64_t ticket, CUresult result)> due) {
    host_call_due_ = std::move(due);
  }
  void expect_host_call() { host_calls_open_.fetch_add(1, std::memory_order_release); }
  void host_call_over() { host_calls_open_.fetch_sub(1, std::memory_order_release); }
  bool has_host_calls() const { return host_calls_open_.load(std::memory_order_acquire) != 0; }
  // Copies to the host under way that no thread may be waiting for. Whoever makes one that is not
  // detached waits for it and receives for itself.
  bool has_detached() const { return detached_open_.load(std::memory_order_acquire) != 0; }

  // Log bytes that the server has consumed.
  uint64_t taken_bytes() const { return taken_bytes_.load(std::memory_order_acquire); }
  // The latest control message (a welcome) that arrived; consumed by this call.
  bool take_control(std::vector<std::byte>* message);
  bool has_control() const { return control_arrived_.load(std::memory_order_acquire); }

  // The session is open: a control message from now on is the server's goodbye.
  void expect_goodbye() { is_open_ = true; }

  // Nothing came for so long since `waiting_since` that the server counts as lost: declares it.
  bool check_silence(transport::Clock::time_point waiting_since, const char* reason);
  const InboxCounters& counters() const { return counters_; }

  // Bulk lanes (inbox_lanes.cc). Any thread; a lane's frame is placed and delivered by its own.
  // `scratch` takes what cannot land where it belongs.
  transport::MutableBytes place_on_lane(transport::Bytes head, uint32_t body_bytes,
                                        std::vector<std::byte>* scratch);
  // False: nobody asked for that.
  bool deliver_on_lane(transport::Bytes head, transport::MutableBytes body);
  // Something that a thread in wait_until() may be waiting for has happened elsewhere.
  void notify();

  // FrameSink
  transport::MutableBytes place(transport::Bytes head, uint32_t body_bytes) override;
  void deliver(transport::Bytes head, transport::MutableBytes body) override;

  // Called by the protocol's dispatch.
  void on_reply(const protocol::Record& record);
  bool on(const protocol::RecordHeader&, const protocol::message::ControlReply& reply);
  void on(const protocol::RecordHeader&, const protocol::message::ServerAlive&) {}
  void on(const protocol::RecordHeader&, const protocol::message::Ack& ack);
  void on(const protocol::RecordHeader&, const protocol::message::PostedError& error);
  void on(const protocol::RecordHeader&, const protocol::message::CudaxError& error);
  void on(const protocol::RecordHeader&, const protocol::message::CudaxState& state);
  void on(const protocol::RecordHeader&, const protocol::message::Output& output);
  bool on(const protocol::RecordHeader&, const protocol::message::CopyOutData& data,
          std::span<std::byte> body);
  void on(const protocol::RecordHeader&, const protocol::message::HostCallDue& due);

 private:
  bool wait_slow(const std::function<bool()>& done, const char* reason);
  // These with the receiver's role.
  void wait_for_traffic(transport::Deadline deadline);
  // One frame; false when none was there.
  bool receive_one();
  bool receive_available();
  void receive_until(const std::function<bool()>& done, const char* reason,
                     transport::Clock::time_point since);
  bool take_role() { return !role_taken_.exchange(true, std::memory_order_acquire); }
  void leave_role();
  void wake_followers();
  Ticket* find_ticket(uint64_t id);
  bool all_sent(Ticket* ticket, const protocol::message::CopyOutData& last);
  bool finish_if_all_here(Ticket* ticket);
  void close_ticket(Ticket* ticket);
  void fail(const std::string& what);

  transport::Channel* const channel_;
  const InboxOptions options_;
  transport::SpinBudget spin_;  // with the receiver's role
  Loss* const loss_;
  PostedErrors* const errors_;

  std::atomic<bool> role_taken_ = false;
  std::atomic<int> followers_ = 0;
  std::atomic<int> blocked_senders_ = 0;
  std::mutex follow_mutex_;
  std::condition_variable follow_;

  AdaptiveMutex mutex_;  // guards waiters_ and tickets_
  std::vector<Waiter*> waiters_;
  std::unordered_map<uint64_t, Ticket*> tickets_;
  std::atomic<uint32_t> tickets_open_ = 0;
  std::atomic<uint32_t> detached_open_ = 0;
  std::atomic<uint32_t> host_calls_open_ = 0;
  std::function<void(uint64_t, CUresult)> host_call_due_;

  std::atomic<uint64_t> taken_bytes_ = 0;
  std::atomic<int64_t> last_received_ns_ = 0;
  // Of the server's silence: when it was last looked at, and since when it lasts.
  std::atomic<int64_t> looked_ns_ = 0;
  std::atomic<int64_t> silent_since_ns_ = 0;
  std::atomic<bool> is_open_ = false;
  std::atomic<bool> control_arrived_ = false;
  std::vector<std::byte> control_;
  std::vector<std::byte> scratch_;  // bodies without a straight destination
  InboxCounters counters_;
};

}  // namespace farlane::client
