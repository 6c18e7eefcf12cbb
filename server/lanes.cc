#include "server/lanes.h"

#include <fmt/format.h>
#include <pthread.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <thread>

#include "generated/protocol/messages.h"
#include "protocol/append.h"
#include "protocol/check.h"
#include "server/control.h"

namespace farlane::server {

namespace message = protocol::message;
using transport::Bytes;
using transport::Clock;
using transport::MutableBytes;
using transport::ReceiveStatus;
using transport::SendStatus;

namespace {
// A sleeping lane looks at least this often whether it is to end.
constexpr auto kWaitSlice = std::chrono::seconds(1);
// How long the reason of a refusal may take to leave.
constexpr auto kRefusalTime = std::chrono::seconds(1);
// Frames taken between two looks at what is to be sent.
constexpr int kFramesPerTurn = 4;
// A stream may wait for the device with so many times the slots that are left to others: one alone
// has three quarters of them, the next three quarters of the rest.
constexpr size_t kPartOfFree = 3;
}  // namespace

class Lanes::Lane final : private transport::FrameSink {
 public:
  Lane(Lanes& lanes, std::unique_ptr<transport::Channel> channel)
      : lanes_(lanes), channel_(std::move(channel)), thread_([this] { run(); }) {
    pthread_setname_np(thread_.native_handle(), "farlane-lane");
  }
  ~Lane() override {
    end();
    thread_.join();
  }

  void end() {
    ending_ = true;
    channel_->close();
  }
  bool is_open() const { return opened_.load(std::memory_order_acquire); }
  // It was refused, and its thread has nothing more to do.
  bool is_refused() const { return refused_.load(std::memory_order_acquire); }

  // Its slots for what comes in; none: there is no memory for them.
  void grant(std::vector<LaneSlot*> slots) {
    {
      const std::scoped_lock lock(mutex_);
      grant_ = slots.empty() ? Grant::kRefused : Grant::kGiven;
      free_ = std::move(slots);
    }
    channel_->wake();
  }
  void release(LaneSlot* slot) {
    bool waits = false;
    {
      const std::scoped_lock lock(mutex_);
      free_.push_back(slot);
      waits = std::exchange(waits_for_slot_, false);
    }
    if (waits) channel_->wake();
  }
  // There is something to send. True when this lane was idle and now looks.
  bool wake_if_idle() {
    if (!idle_.exchange(false, std::memory_order_seq_cst)) return false;
    channel_->wake();
    return true;
  }

 private:
  enum class Grant : uint8_t { kNotYet, kGiven, kRefused };

  // --- FrameSink
  MutableBytes place(Bytes head, uint32_t body_bytes) override {
    message::LaneData data;
    if (!open_ || !decode_data(head, &data)) {
      return fail("sent a body with something else than data of a copy");
    }
    if (body_bytes > lanes_.options_.chunk_bytes) {
      return fail(
          fmt::format("sent a piece of {} bytes (limit {}, setting "
                      "copies.lane_chunk_bytes)",
                      body_bytes, lanes_.options_.chunk_bytes));
    }
    const std::scoped_lock lock(mutex_);
    if (free_.empty()) {
      waits_for_slot_ = true;
      counters().slot_waits.fetch_add(1, std::memory_order_relaxed);
      return {};
    }
    slot_ = free_.back();
    free_.pop_back();
    return {slot_->data, body_bytes};
  }
  void deliver(Bytes head, MutableBytes body) override {
    if (!open_) {
      hello(head);
      return;
    }
    message::LaneData data;
    if (body.empty() || !decode_data(head, &data)) {
      fail("sent something else than data of a copy");
      return;
    }
    counters().chunks_in.fetch_add(1, std::memory_order_relaxed);
    counters().bytes_in.fetch_add(body.size(), std::memory_order_relaxed);
    lanes_.arrived({data.command, data.offset, body.size(), std::exchange(slot_, nullptr)});
  }

  // One record, and only that.
  static bool decode_data(Bytes head, message::LaneData* data) {
    protocol::RecordCursor records(head);
    protocol::Record record;
    protocol::Fault fault;
    return records.next(record) && records.at_end() && !record.is_reply() &&
           record.header.op == static_cast<uint16_t>(protocol::Op::kLaneData) &&
           decode(record, *data, fault);
  }

  MutableBytes fail(const std::string& what) {
    failed_ = true;
    why_ = what;
    return {};
  }

  // The first frame: which lane this is to be.
  void hello(Bytes head) {
    protocol::RecordCursor records(head);
    protocol::Record record;
    message::Control control;
    protocol::Fault fault;
    HelloFacts facts;
    if (!records.next(record) || !decode(record, control, fault) ||
        read_control(control.message, &facts, &why_) != ControlKind::kHello || facts.lane == 0) {
      fail("did not say which lane it is");
    } else if (facts.session_token != lanes_.token_) {
      fail("does not belong to this session");
    } else {
      why_ = lanes_.claim(facts.lane, this);
      failed_ = !why_.empty();
      if (!failed_) number_ = facts.lane;
    }
  }

  LaneCounters& counters() { return lanes_.counters_[number_ - 1]; }

  // A lane that never was one: the client learns why, the session goes on.
  void refuse(const std::string& why) {
    spdlog::info("{}: a lane was refused: {}", channel_->peer_name(), why);
    send_control(goodbye_message(SessionEnd::kProtocol, why));
    const auto deadline = Clock::now() + kRefusalTime;
    while (!ending_ && !channel_->drained() && Clock::now() < deadline &&
           channel_->flush() == SendStatus::kBusy) {
      channel_->wait(false, true, deadline);
    }
    channel_->close();
  }
  void send_control(const std::string& text) {
    const std::vector<std::byte> record = control_reply_record(text);
    // A fresh connection has room for it; one that has none is closed with the same effect.
    while (channel_->send({record, {}}) == SendStatus::kBusy && !ending_) {
      channel_->wait(false, true, Clock::now() + kWaitSlice);
      if (channel_->flush() == SendStatus::kGone) return;
    }
  }

  // Until it is clear whether this becomes a lane.
  bool open() {
    const auto deadline =
        Clock::now() + std::chrono::milliseconds(lanes_.options_.hello_timeout_ms);
    while (number_ == 0 && !failed_) {
      const ReceiveStatus status = channel_->receive(*this);
      if (ending_ || status == ReceiveStatus::kGone) return false;
      if (status == ReceiveStatus::kDelivered || failed_) break;
      if (Clock::now() >= deadline) fail("did not say in time which lane it is");
      channel_->wait(true, false, deadline);
    }
    while (!failed_) {
      {
        const std::scoped_lock lock(mutex_);
        if (grant_ == Grant::kGiven) break;
        if (grant_ == Grant::kRefused) fail("there is no pinned memory for another lane");
      }
      if (ending_) return false;
      if (!failed_) channel_->wait(false, false, Clock::now() + kWaitSlice);
    }
    if (failed_) {
      refuse(why_);
      if (number_ != 0) lanes_.unclaim(number_);
      return false;
    }
    open_ = true;
    opened_.store(true, std::memory_order_release);
    // Counted first: with the welcome the client may use it.
    lanes_.open_.fetch_add(1, std::memory_order_release);
    send_control(lane_welcome_message());
    return true;
  }

  void run() {
    const bool was_open = open();
    while (was_open && !ending_ && turn()) {
    }
    channel_->close();
    if (leaving_.slot != nullptr) lanes_.release_out(leaving_.slot);
    refused_.store(!was_open, std::memory_order_release);
  }

  // False: the lane is over.
  bool turn() {
    bool moved = false;
    if (!send_some(&moved)) return over("");
    for (int i = 0; i < kFramesPerTurn; ++i) {
      const ReceiveStatus status = channel_->receive(*this);
      if (failed_) return over(why_);
      if (status == ReceiveStatus::kGone) return over("");
      if (status != ReceiveStatus::kDelivered) break;
      moved = true;
    }
    if (moved) return true;
    const bool sending = leaving_.slot != nullptr;
    if (!sending) {
      idle_.store(true, std::memory_order_seq_cst);
      if (lanes_.leaving_count_.load(std::memory_order_seq_cst) != 0) {
        idle_.store(false, std::memory_order_relaxed);
        return true;
      }
    }
    channel_->wait(true, sending, Clock::now() + kWaitSlice);
    idle_.store(false, std::memory_order_relaxed);
    return true;
  }

  bool send_some(bool* moved) {
    if (leaving_.slot != nullptr) {
      if (!channel_->drained()) {
        const SendStatus status = channel_->flush();
        if (status == SendStatus::kGone) return false;
        if (!channel_->drained()) return true;
      }
      if (sent_) sent();
      *moved = true;
    }
    if (leaving_.slot == nullptr && !lanes_.take_leaving(&leaving_)) return true;
    std::array<std::byte, 128> head;
    const message::CopyOutData data{leaving_.ticket, leaving_.offset, CUDA_SUCCESS, 0, {}};
    const size_t head_bytes = encoded_bytes(data);
    FARLANE_CHECK(head_bytes <= head.size(), "the head of a piece is small");
    encode(std::span(head).first(head_bytes), data, 0);
    const Bytes body(leaving_.slot->data, leaving_.bytes);
    const SendStatus status =
        channel_->send({std::span(head).first(head_bytes), std::span<const Bytes>(&body, 1)});
    if (status == SendStatus::kGone) return false;
    if (status == SendStatus::kBusy) return true;  // tried again with the next turn
    sent_ = true;
    *moved = true;
    if (channel_->drained()) sent();
    return true;
  }
  void sent() {
    lanes_.sent_.fetch_add(1, std::memory_order_relaxed);
    counters().chunks_out.fetch_add(1, std::memory_order_relaxed);
    counters().bytes_out.fetch_add(leaving_.bytes, std::memory_order_relaxed);
    lanes_.release_out(std::exchange(leaving_.slot, nullptr));
    sent_ = false;
    lanes_.wake_();  // a copy may be waiting for the slot
  }

  bool over(const std::string& fault) {
    if (!ending_) {
      lanes_.ended(fault.empty()
                       ? fmt::format("lane {} ended: {}", number_, channel_->close_reason())
                       : fmt::format("lane {} {}", number_, fault),
                   !fault.empty());
    }
    return false;
  }

  Lanes& lanes_;
  const std::unique_ptr<transport::Channel> channel_;
  std::atomic<bool> ending_ = false;
  std::atomic<bool> refused_ = false;
  std::atomic<bool> opened_ = false;
  std::atomic<bool> idle_ = false;

  std::mutex mutex_;
  std::vector<LaneSlot*> free_;  // guarded by mutex_, as are the next two
  bool waits_for_slot_ = false;
  Grant grant_ = Grant::kNotYet;

  // The lane's thread only.
  uint32_t number_ = 0;
  bool open_ = false;
  bool failed_ = false;
  std::string why_;
  LaneSlot* slot_ = nullptr;  // being received into
  LeavingChunk leaving_;
  bool sent_ = false;  // the channel has taken `leaving_`

  std::thread thread_;  // last: it uses everything above
};

Lanes::Lanes(const LaneOptions& options, std::function<void()> wake)
    : options_(options),
      wake_(std::move(wake)),
      counters_(new LaneCounters[options.lanes_max]),
      by_number_(options.lanes_max, nullptr) {}

Lanes::~Lanes() {
  close();
}

void Lanes::adopt(std::unique_ptr<transport::Channel> channel) {
  std::vector<std::unique_ptr<Lane>> over;  // joined without the lock
  const std::scoped_lock lock(mutex_);
  for (auto& lane : lanes_) {
    if (lane->is_refused()) over.push_back(std::move(lane));
  }
  std::erase(lanes_, nullptr);
  // Twice as many, so that one too many can still be told why.
  if (closed_ || lanes_.size() >= size_t{options_.lanes_max} * 2) {
    spdlog::info("{}: a lane was refused: there are {} already", channel->peer_name(),
                 lanes_.size());
    channel->close();
    return;
  }
  lanes_.push_back(std::make_unique<Lane>(*this, std::move(channel)));
}

std::string Lanes::claim(uint32_t number, Lane* lane) {
  {
    const std::scoped_lock lock(mutex_);
    if (number > options_.lanes_max) {
      return fmt::format("lane {} is one too many (limit {}, setting copies.lanes_max)", number,
                         options_.lanes_max);
    }
    if (by_number_[number - 1] != nullptr) return fmt::format("lane {} is there already", number);
    by_number_[number - 1] = lane;
    want_memory_.push_back(lane);
  }
  wake_();
  return "";
}

void Lanes::unclaim(uint32_t number) {
  const std::scoped_lock lock(mutex_);
  by_number_[number - 1] = nullptr;
}

size_t Lanes::wanted_bytes() {
  const std::scoped_lock lock(mutex_);
  return want_memory_.empty() ? 0 : 2 * options_.slots * options_.chunk_bytes;
}

void Lanes::grant(std::byte* memory) {
  const std::scoped_lock lock(mutex_);
  Lane* lane = want_memory_.front();
  want_memory_.pop_front();
  const auto number = static_cast<uint32_t>(std::find(by_number_.begin(), by_number_.end(), lane) -
                                            by_number_.begin() + 1);
  std::vector<LaneSlot*> in;
  for (size_t i = 0; memory != nullptr && i < options_.slots; ++i) {
    in.push_back(&slots_.emplace_back(LaneSlot{memory + 2 * i * options_.chunk_bytes, number}));
    free_out_.push_back(
        &slots_.emplace_back(LaneSlot{memory + (2 * i + 1) * options_.chunk_bytes, number}));
  }
  lane->grant(std::move(in));
}

void Lanes::arrived(const ArrivedChunk& chunk) {
  {
    const std::scoped_lock lock(arrived_mutex_);
    arrived_.push_back(chunk);
    has_arrived_.store(true, std::memory_order_release);
  }
  wake_();
}

bool Lanes::take_arrived(std::vector<ArrivedChunk>* chunks) {
  if (!has_arrived_.load(std::memory_order_acquire)) return false;
  const std::scoped_lock lock(arrived_mutex_);
  chunks->insert(chunks->end(), arrived_.begin(), arrived_.end());
  arrived_.clear();
  has_arrived_.store(false, std::memory_order_relaxed);
  return true;
}

void Lanes::release_in(LaneSlot* slot) {
  Lane* lane = nullptr;
  {
    const std::scoped_lock lock(mutex_);
    lane = by_number_[slot->lane - 1];
  }
  if (lane != nullptr) lane->release(slot);
}

LaneSlot* Lanes::acquire_out(size_t held) {
  const std::scoped_lock lock(mutex_);
  if (free_out_.empty() || held >= kPartOfFree * free_out_.size()) return nullptr;
  LaneSlot* slot = free_out_.back();
  free_out_.pop_back();
  return slot;
}

void Lanes::release_out(LaneSlot* slot) {
  const std::scoped_lock lock(mutex_);
  free_out_.push_back(slot);
}

void Lanes::send(const LeavingChunk& chunk) {
  size_t waiting = 0;
  handed_over_.fetch_add(1, std::memory_order_relaxed);
  {
    const std::scoped_lock lock(leaving_mutex_);
    leaving_.push_back(chunk);
    waiting = leaving_.size();
    leaving_count_.store(waiting, std::memory_order_seq_cst);
  }
  // A busy lane looks by itself when it is done. Different copies begin at different lanes; a
  // copy's own suffice unless they are behind.
  const std::scoped_lock lock(mutex_);
  const size_t first = chunk.ticket % by_number_.size();
  size_t seen = 0;
  for (size_t i = 0; i < by_number_.size(); ++i) {
    Lane* lane = by_number_[(first + i) % by_number_.size()];
    if (lane == nullptr || !lane->is_open()) continue;
    if (lane->wake_if_idle()) return;
    if (++seen >= chunk.lanes && waiting <= chunk.lanes) return;
  }
}

bool Lanes::take_leaving(LeavingChunk* chunk) {
  if (leaving_count_.load(std::memory_order_relaxed) == 0) return false;
  const std::scoped_lock lock(leaving_mutex_);
  if (leaving_.empty()) return false;
  *chunk = leaving_.front();
  leaving_.pop_front();
  leaving_count_.store(leaving_.size(), std::memory_order_seq_cst);
  return true;
}

void Lanes::ended(const std::string& why, bool fault) {
  {
    const std::scoped_lock lock(mutex_);
    if (has_ended_) return;
    has_ended_ = true;
    fault_ = fault;
    why_ = why;
    ended_flag_.store(true, std::memory_order_release);
  }
  wake_();
}

bool Lanes::has_ended(std::string* why, bool* fault) {
  if (!ended_flag_.load(std::memory_order_acquire)) return false;
  const std::scoped_lock lock(mutex_);
  *why = why_;
  *fault = fault_;
  return true;
}

void Lanes::close() {
  std::vector<std::unique_ptr<Lane>> lanes;
  {
    const std::scoped_lock lock(mutex_);
    closed_ = true;
    lanes = std::move(lanes_);
    lanes_.clear();
  }
  for (const auto& lane : lanes) lane->end();
  lanes.clear();  // joins: their threads may still claim or give back
  const std::scoped_lock lock(mutex_);
  std::fill(by_number_.begin(), by_number_.end(), nullptr);
  want_memory_.clear();
  open_ = 0;
}

}  // namespace farlane::server
