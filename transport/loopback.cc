#include "transport/loopback.h"

#include <algorithm>
#include <array>
#include <condition_variable>
#include <mutex>
#include <vector>

#include "transport/check.h"

namespace farlane::transport {
namespace {

// A slot that carried a larger body gives the memory back, so that a full queue of large frames
// does not stay allocated for ever.
constexpr size_t kBodyBytesKept = size_t{1024} * 1024;

struct Slot {
  std::vector<std::byte> head;
  std::vector<std::byte> body;
};

// Frames on their way to one side. The ring is as large as it will ever be, so a slot stays where
// it is while the receiver looks at it without the lock.
struct Lane {
  explicit Lane(size_t frames) : ring(frames) {}
  bool full() const { return used == ring.size(); }

  std::vector<Slot> ring;
  size_t first = 0;
  size_t used = 0;
};

struct Side {
  std::condition_variable changed;
  bool closed = false;
  bool woken = false;
  std::string reason;
};

struct Link {
  explicit Link(size_t frames) : lanes{Lane(frames), Lane(frames)} {}

  std::mutex mutex;
  // Guarded by mutex, but for the contents of slots: a free slot is its sender's, a used one its
  // receiver's.
  std::array<Lane, 2> lanes;  // lanes[i] leads to side i
  std::array<Side, 2> sides;
};

class LoopbackChannel final : public Channel {
 public:
  LoopbackChannel(std::shared_ptr<Link> link, int self)
      : link_(std::move(link)),
        in_(link_->lanes[self]),
        out_(link_->lanes[1 - self]),
        me_(link_->sides[self]),
        peer_(link_->sides[1 - self]) {}
  ~LoopbackChannel() override { close(); }

  SendStatus send(const Frame& frame) override;
  SendStatus flush() override;
  bool drained() const override {
    const std::scoped_lock lock(link_->mutex);
    return !pending_;
  }
  ReceiveStatus receive(FrameSink& sink) override;
  Ready wait(bool for_read, bool for_write, Deadline deadline) override;
  void wake() override;
  void close() override;
  std::string close_reason() const override;
  std::string peer_name() const override { return "loopback"; }

 private:
  bool send_ended() const { return me_.closed || peer_.closed; }
  bool can_write() const { return send_ended() || !out_.full(); }
  bool can_read() const { return me_.closed || (!stalled_ && (in_.used > 0 || peer_.closed)); }
  Slot* free_slot() { return &out_.ring[(out_.first + out_.used) % out_.ring.size()]; }
  bool enqueue(std::unique_lock<std::mutex>& lock, Bytes head, std::span<const Bytes> body);
  void give_up_pending(const std::unique_lock<std::mutex>& lock);

  const std::shared_ptr<Link> link_;
  Lane& in_;
  Lane& out_;
  Side& me_;
  Side& peer_;

  bool pending_ = false;  // guarded by the link's mutex; the next three are the sender's
  std::vector<std::byte> pending_head_;
  std::array<Bytes, kBodyPartsMax> pending_body_;
  size_t pending_parts_ = 0;

  bool stalled_ = false;  // guarded by the link's mutex
};

size_t total_bytes(std::span<const Bytes> parts) {
  size_t bytes = 0;
  for (const Bytes part : parts) {
    bytes += part.size();
  }
  return bytes;
}

// Called with a free slot there; fills it without the lock. False: the channel was closed
// meanwhile, and the receiver may have been told that nothing more comes.
bool LoopbackChannel::enqueue(std::unique_lock<std::mutex>& lock, Bytes head,
                              std::span<const Bytes> body) {
  Slot* slot = free_slot();
  lock.unlock();
  slot->head.assign(head.begin(), head.end());
  slot->body.clear();
  slot->body.reserve(total_bytes(body));
  for (const Bytes part : body) {
    slot->body.insert(slot->body.end(), part.begin(), part.end());
  }
  lock.lock();
  if (send_ended()) {
    return false;
  }
  ++out_.used;
  peer_.changed.notify_all();
  return true;
}

void LoopbackChannel::give_up_pending(const std::unique_lock<std::mutex>&) {
  pending_ = false;
  pending_parts_ = 0;
}

SendStatus LoopbackChannel::send(const Frame& frame) {
  FARLANE_TRANSPORT_CHECK(!frame.head.empty() && frame.head.size() <= kHeadBytesMax,
                          "a frame's head has 1 to kHeadBytesMax bytes");
  FARLANE_TRANSPORT_CHECK(frame.body.size() <= kBodyPartsMax, "a body has few parts");
  FARLANE_TRANSPORT_CHECK(total_bytes(frame.body) <= kBodyBytesMax, "a body is within its limit");
  const SendStatus earlier = flush();
  if (earlier != SendStatus::kSent) {
    return earlier;
  }
  std::unique_lock lock(link_->mutex);
  if (send_ended()) {
    return SendStatus::kGone;
  }
  if (!out_.full()) {
    return enqueue(lock, frame.head, frame.body) ? SendStatus::kSent : SendStatus::kGone;
  }
  pending_head_.assign(frame.head.begin(), frame.head.end());
  std::copy(frame.body.begin(), frame.body.end(), pending_body_.begin());
  pending_parts_ = frame.body.size();
  pending_ = true;
  return SendStatus::kSent;
}

SendStatus LoopbackChannel::flush() {
  std::unique_lock lock(link_->mutex);
  if (send_ended()) {
    give_up_pending(lock);
    return SendStatus::kGone;
  }
  if (!pending_) {
    return SendStatus::kSent;
  }
  if (out_.full()) {
    return SendStatus::kBusy;
  }
  const bool sent = enqueue(lock, pending_head_, {pending_body_.data(), pending_parts_});
  give_up_pending(lock);
  return sent ? SendStatus::kSent : SendStatus::kGone;
}

ReceiveStatus LoopbackChannel::receive(FrameSink& sink) {
  std::unique_lock lock(link_->mutex);
  stalled_ = false;
  if (me_.closed) {
    return ReceiveStatus::kGone;
  }
  if (in_.used == 0) {
    return peer_.closed ? ReceiveStatus::kGone : ReceiveStatus::kNothing;
  }
  Slot& slot = in_.ring[in_.first];
  lock.unlock();

  // Without the lock: the sink may send on this channel or close it.
  MutableBytes body;
  if (!slot.body.empty()) {
    body = sink.place(slot.head, static_cast<uint32_t>(slot.body.size()));
    if (body.data() == nullptr) {
      lock.lock();
      stalled_ = true;
      return ReceiveStatus::kStalled;
    }
    FARLANE_TRANSPORT_CHECK(body.size() == slot.body.size(), "the sink gives the size asked for");
    std::copy(slot.body.begin(), slot.body.end(), body.begin());
  }
  lock.lock();
  if (me_.closed) {
    return ReceiveStatus::kGone;
  }
  lock.unlock();
  sink.deliver(slot.head, body);
  if (slot.body.capacity() > kBodyBytesKept) {
    std::vector<std::byte>().swap(slot.body);
  }
  lock.lock();
  in_.first = (in_.first + 1) % in_.ring.size();
  --in_.used;
  peer_.changed.notify_all();
  return ReceiveStatus::kDelivered;
}

Ready LoopbackChannel::wait(bool for_read, bool for_write, Deadline deadline) {
  std::unique_lock lock(link_->mutex);
  Ready ready;
  const auto something = [&] {
    ready.readable = for_read && can_read();
    ready.writable = for_write && can_write();
    ready.woken = me_.woken;
    return ready.readable || ready.writable || ready.woken || me_.closed;
  };
  if (deadline == Deadline::max()) {
    me_.changed.wait(lock, something);
  } else {
    ready.timed_out = !me_.changed.wait_until(lock, std::max(deadline, Deadline{}), something);
  }
  me_.woken = false;
  return ready;
}

void LoopbackChannel::wake() {
  const std::scoped_lock lock(link_->mutex);
  me_.woken = true;
  me_.changed.notify_all();
}

void LoopbackChannel::close() {
  const std::scoped_lock lock(link_->mutex);
  me_.closed = true;
  if (me_.reason.empty()) {
    me_.reason = "closed on this side";
  }
  if (peer_.reason.empty()) {
    peer_.reason = "peer closed the connection";
  }
  me_.changed.notify_all();
  peer_.changed.notify_all();
}

std::string LoopbackChannel::close_reason() const {
  const std::scoped_lock lock(link_->mutex);
  return me_.reason;
}

}  // namespace

LoopbackPair make_loopback(const LoopbackOptions& options) {
  FARLANE_TRANSPORT_CHECK(options.queue_frames > 0, "a queue holds at least one frame");
  auto link = std::make_shared<Link>(options.queue_frames);
  return {std::make_unique<LoopbackChannel>(link, 0), std::make_unique<LoopbackChannel>(link, 1)};
}

}  // namespace farlane::transport
