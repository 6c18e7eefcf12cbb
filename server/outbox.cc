#include "server/outbox.h"

#include "protocol/check.h"

namespace farlane::server {

using transport::Bytes;
using transport::SendStatus;

std::span<std::byte> Outbox::room(size_t bytes) {
  FARLANE_CHECK(bytes <= transport::kHeadBytesMax, "a record fits a frame");
  const bool fits = !frames_.empty() && frames_.back().body.slot == nullptr &&
                    frames_.back().head_bytes + bytes <= transport::kHeadBytesMax;
  if (!fits) {
    OutFrame frame;
    if (spare_heads_.empty()) {
      frame.head.reset(new std::byte[transport::kHeadBytesMax]);  // not zeroed
    } else {
      frame.head = std::move(spare_heads_.back());
      spare_heads_.pop_back();
    }
    frames_.push_back(std::move(frame));
  }
  OutFrame& frame = frames_.back();
  const std::span<std::byte> space(frame.head.get() + frame.head_bytes, bytes);
  frame.head_bytes += bytes;
  return space;
}

void Outbox::append_with_body(const protocol::message::CopyOutData& message, StagingPool& pool,
                              StagingSlot* slot, size_t bytes) {
  append(message);
  frames_.back().body = {&pool, slot, bytes};
}

void Outbox::free_sent_bodies() {
  for (const Body& body : sent_bodies_) body.pool->release(body.slot);
  sent_bodies_.clear();
}

bool Outbox::push() {
  if (!is_blocked()) return true;
  bool moved = false;
  const bool open = push_frames(&moved);
  if (!is_blocked()) {
    held_since_ = transport::Clock::time_point::max();
  } else if (moved || held_since_ == transport::Clock::time_point::max()) {
    held_since_ = transport::Clock::now();
  }
  return open;
}

bool Outbox::push_frames(bool* moved) {
  const std::scoped_lock lock(sending_);
  if (!drained_) {
    if (channel_.flush() == SendStatus::kGone) return false;
    drained_ = channel_.drained();
    *moved = drained_;
    if (drained_) free_sent_bodies();
  }
  while (!frames_.empty()) {
    OutFrame& frame = frames_.front();
    const Bytes body(frame.body.slot == nullptr ? nullptr : frame.body.slot->data,
                     frame.body.bytes);
    transport::Frame out{Bytes(frame.head.get(), frame.head_bytes), {}};
    if (!body.empty()) out.body = std::span<const Bytes>(&body, 1);
    const SendStatus status = channel_.send(out);
    if (status == SendStatus::kGone) return false;
    if (status == SendStatus::kBusy) {
      drained_ = false;
      break;
    }
    *moved = true;
    sent_since_pulse_.store(true, std::memory_order_relaxed);
    if (frame.body.slot != nullptr) sent_bodies_.push_back(frame.body);
    if (spare_heads_.size() < 2) spare_heads_.push_back(std::move(frame.head));
    frames_.pop_front();
    drained_ = channel_.drained();
    if (drained_) free_sent_bodies();
  }
  return true;
}

void Outbox::pulse() {
  if (sent_since_pulse_.exchange(false, std::memory_order_relaxed)) return;
  const std::scoped_lock lock(sending_);
  // Busy or gone: then something else is on its way, or nobody listens.
  std::array<std::byte, sizeof(protocol::RecordHeader)> record;
  protocol::message::encode(record, protocol::message::ServerAlive{}, 0);
  static_cast<void>(channel_.send({record, {}}));
}

void Outbox::abandon() {
  for (const OutFrame& frame : frames_) {
    if (frame.body.slot != nullptr) frame.body.pool->release(frame.body.slot);
  }
  frames_.clear();
  free_sent_bodies();
}

}  // namespace farlane::server
