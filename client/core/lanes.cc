#include "client/core/lanes.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <cstring>
#include <thread>

#include "client/core/log_line.h"
#include "generated/protocol/messages.h"
#include "protocol/append.h"
#include "protocol/check.h"
#include "protocol/control_client.h"
#include "protocol/lane_share.h"
#include "protocol/limits.h"

namespace farlane::client {
namespace {

namespace control = protocol::control;
namespace message = protocol::message;
using transport::Bytes;
using transport::Clock;
using transport::MutableBytes;
using transport::ReceiveStatus;
using transport::SendStatus;

constexpr auto kWaitSlice = std::chrono::milliseconds(250);
// When a lane ends, the command lane may be about to say why.
constexpr auto kReasonTime = std::chrono::milliseconds(250);
// Frames taken between two looks at what is to be sent.
constexpr int kFramesPerTurn = 4;

// The answer to a lane's hello.
class AnswerSink final : public transport::FrameSink {
 public:
  MutableBytes place(Bytes, uint32_t) override { return {}; }
  void deliver(Bytes head, MutableBytes) override {
    protocol::RecordCursor records(head);
    protocol::Record record;
    message::ControlReply reply;
    protocol::Fault fault;
    control::Control answer;
    if (!records.next(record) || !decode(record, reply, fault) ||
        !control::decode(reply.message, &answer, &refusal_)) {
      refusal_ = "it answered with something else than a welcome";
    } else if (const auto* goodbye = std::get_if<control::Goodbye>(&answer)) {
      refusal_ = goodbye->text;
    } else {
      welcome_ = std::holds_alternative<control::Welcome>(answer);
    }
    arrived_ = true;
  }
  bool arrived() const { return arrived_; }
  bool welcome() const { return welcome_; }
  const std::string& refusal() const { return refusal_; }

 private:
  bool arrived_ = false;
  bool welcome_ = false;
  std::string refusal_;
};

}  // namespace

class Lanes::Lane final : private transport::FrameSink {
 public:
  Lane(Lanes* lanes, size_t number, std::unique_ptr<transport::Channel> channel)
      : lanes_(lanes), number_(number), channel_(std::move(channel)) {}
  ~Lane() override {
    channel_->close();
    if (thread_.joinable()) {
      thread_.join();
    }
  }

  void start() {
    // The program's signals are the program's: none is delivered to this thread.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_ = std::thread([this] { run(); });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    const std::string name = "farlane-lane-" + std::to_string(number_);
    pthread_setname_np(thread_.native_handle(), name.c_str());
  }
  void close() { channel_->close(); }
  bool wake_if_idle() {
    if (!idle_.exchange(false, std::memory_order_seq_cst)) {
      return false;
    }
    channel_->wake();
    return true;
  }
  const LaneCounters& counters() const { return counters_; }

 private:
  MutableBytes place(Bytes head, uint32_t body_bytes) override {
    return lanes_->inbox_->place_on_lane(head, body_bytes, &scratch_);
  }
  void deliver(Bytes head, MutableBytes body) override {
    if (!lanes_->inbox_->deliver_on_lane(head, body)) {
      wrong_ = true;
      return;
    }
    counters_.chunks_received.fetch_add(1, std::memory_order_relaxed);
    counters_.bytes_received.fetch_add(body.size(), std::memory_order_relaxed);
  }

  void run() {
    while (!lanes_->ending_.load(std::memory_order_relaxed) && turn()) {
    }
    channel_->close();
    piece_.copy.reset();
    lanes_->left();
  }

  // False: the lane is over.
  bool turn() {
    bool moved = false;
    bool gone = !send_some(&moved);
    for (int i = 0; i < kFramesPerTurn && !gone; ++i) {
      const ReceiveStatus status = channel_->receive(*this);
      gone = status == ReceiveStatus::kGone || wrong_;
      if (status != ReceiveStatus::kDelivered) {
        break;
      }
      moved = true;
    }
    if (gone) {
      if (!lanes_->ending_.load(std::memory_order_relaxed)) {
        lanes_->failed(
            "lane " + std::to_string(number_ + 1) + " to the server " + channel_->peer_name() +
            " ended: " +
            (wrong_ ? "a piece of a copy that was not asked for" : channel_->close_reason()));
      }
      return false;
    }
    if (moved) {
      return true;
    }
    const bool sending = piece_.copy != nullptr;
    if (sending) {
      counters_.busy_waits.fetch_add(1, std::memory_order_relaxed);
    } else {
      idle_.store(true, std::memory_order_seq_cst);
      if (lanes_->queued_.load(std::memory_order_seq_cst) != 0) {
        idle_.store(false, std::memory_order_relaxed);
        return true;
      }
    }
    channel_->wait(true, sending, Clock::now() + kWaitSlice);
    idle_.store(false, std::memory_order_relaxed);
    return true;
  }

  bool send_some(bool* moved) {
    if (piece_.copy != nullptr) {
      if (!channel_->drained()) {
        if (channel_->flush() == SendStatus::kGone) {
          return false;
        }
        if (!channel_->drained()) {
          return true;
        }
      }
      if (handed_over_) {
        sent();
      }
      *moved = true;
    }
    if (piece_.copy == nullptr && !lanes_->take(&piece_)) {
      return true;
    }
    std::array<std::byte, 64> space;
    const message::LaneData data{.command = piece_.copy->command, .offset = piece_.offset};
    const auto head = std::span(space).first(encoded_bytes(data));
    encode(head, data, 0);
    const SendStatus status = channel_->send({head, {parts_.data(), gather()}});
    if (status == SendStatus::kGone) {
      return false;
    }
    if (status == SendStatus::kBusy) {
      return true;  // tried again with the next turn
    }
    handed_over_ = true;
    *moved = true;
    if (channel_->drained()) {
      sent();
    }
    return true;
  }

  void sent() {
    counters_.chunks_sent.fetch_add(1, std::memory_order_relaxed);
    counters_.bytes_sent.fetch_add(piece_.bytes, std::memory_order_relaxed);
    handed_over_ = false;
    lanes_->sent(piece_);
    piece_.copy.reset();
  }

  // Where the piece's bytes are, as parts_; how many parts. Many short rows are packed first.
  size_t gather() {
    const Outgoing& copy = *piece_.copy;
    if (copy.height == 1 || copy.pitch == copy.width) {
      parts_[0] = {copy.from + piece_.offset, piece_.bytes};
      return 1;
    }
    const bool pack = piece_.bytes / copy.width + 2 > parts_.size();
    if (pack) {
      packed_.resize(piece_.bytes);
    }
    size_t count = 0;
    for (size_t done = 0; done < piece_.bytes;) {
      const uint64_t at = piece_.offset + done;
      const size_t column = at % copy.width;
      const size_t part = std::min(piece_.bytes - done, copy.width - column);
      const std::byte* from = copy.from + at / copy.width * copy.pitch + column;
      if (pack) {
        std::memcpy(packed_.data() + done, from, part);
      } else {
        parts_[count++] = {from, part};
      }
      done += part;
    }
    if (pack) {
      parts_[0] = {packed_.data(), piece_.bytes};
      return 1;
    }
    return count;
  }

  Lanes* const lanes_;
  const size_t number_;
  const std::unique_ptr<transport::Channel> channel_;
  std::atomic<bool> idle_ = false;
  LaneCounters counters_;

  // The lane's thread only.
  Piece piece_;
  bool handed_over_ = false;  // the channel has the piece
  bool wrong_ = false;
  std::array<Bytes, transport::kBodyPartsMax> parts_;
  std::vector<std::byte> packed_;
  std::vector<std::byte> scratch_;

  std::thread thread_;
};

Lanes::Lanes(const ClientSettings& settings, Inbox* inbox, Loss* loss)
    : inbox_(inbox),
      loss_(loss),
      connections_(effective_connections(settings.connections)),
      patience_(settings.call_timeout_ms),
      threshold_bytes_(static_cast<uint64_t>(settings.lanes_threshold_bytes)),
      share_bytes_(static_cast<uint64_t>(settings.lane_share_bytes)),
      last_piece_bytes_(static_cast<uint64_t>(settings.last_piece_bytes)),
      server_(settings.server),
      chunk_bytes_(static_cast<uint64_t>(settings.copy_chunk_bytes)) {}

Lanes::~Lanes() {
  quit();
}

void Lanes::prepare(Connect connect, std::string token, uint32_t lanes_max,
                    uint64_t chunk_bytes_max, std::function<void()> close_session) {
  connect_ = std::move(connect);
  token_ = std::move(token);
  lanes_max_ = std::min(lanes_max, protocol::limits::lanes_max);
  chunk_bytes_ =
      std::min({chunk_bytes_, chunk_bytes_max, uint64_t{protocol::limits::body_bytes_max}});
  close_session_ = std::move(close_session);
}

std::unique_ptr<transport::Channel> Lanes::attach(uint32_t number, transport::Deadline deadline,
                                                  std::string* error) {
  std::unique_ptr<transport::Channel> channel = connect_(error);
  if (channel == nullptr) {
    return nullptr;
  }
  control::Hello hello;
  hello.session_token = token_;
  hello.lane = number;
  const std::string encoded = control::encode(hello);
  std::vector<std::byte> head;
  protocol::append_record(head, message::Control{std::as_bytes(std::span(encoded))}, 1);
  SendStatus status = channel->send({head, {}});
  while (status == SendStatus::kBusy && Clock::now() < deadline) {
    channel->wait(false, true, deadline);
    status = channel->flush();
    if (status != SendStatus::kGone) {
      status = channel->send({head, {}});
    }
  }
  AnswerSink answer;
  while (!answer.arrived()) {
    const ReceiveStatus received = channel->receive(answer);
    if (received == ReceiveStatus::kGone) {
      *error = channel->close_reason();
      return nullptr;
    }
    if (loss_->declared() || Clock::now() >= deadline) {
      *error = "no answer came (limit: timeouts.call_timeout_ms)";
      return nullptr;
    }
    if (received != ReceiveStatus::kDelivered) {
      channel->wait(true, !channel->drained(), std::min(deadline, Clock::now() + kWaitSlice));
      static_cast<void>(channel->flush());
    }
  }
  if (!answer.welcome()) {
    *error = answer.refusal();
    return nullptr;
  }
  return channel;
}

bool Lanes::open() {
  std::lock_guard lock(open_mutex_);
  if (tried_) {
    return is_open_.load(std::memory_order_relaxed);
  }
  const auto wanted = static_cast<uint32_t>(std::min<int64_t>(connections_, lanes_max_));
  if (wanted == 0 || chunk_bytes_ == 0 || connect_ == nullptr || loss_->declared()) {
    return false;
  }
  tried_ = true;
  std::string error;
  std::vector<std::unique_ptr<Lane>> lanes;
  for (uint32_t number = 1; number <= wanted; ++number) {
    auto channel = attach(number, Clock::now() + patience_, &error);
    if (channel == nullptr) {
      break;
    }
    lanes.push_back(std::make_unique<Lane>(this, number - 1, std::move(channel)));
  }
  if (lanes.size() < wanted) {
    log_line(LogLevel::kWarning,
             "only " + std::to_string(lanes.size()) + " of " + std::to_string(wanted) +
                 " further connections for large copies could be opened to the server " + server_ +
                 ": " + error + " (settings: copies.connections, the server's copies.lanes_max)");
  }
  if (lanes.empty()) {
    return false;
  }
  lanes_ = std::move(lanes);
  {
    std::lock_guard running(mutex_);
    running_ = lanes_.size();
  }
  for (const auto& lane : lanes_) {
    lane->start();
  }
  is_open_.store(true, std::memory_order_release);
  return true;
}

void Lanes::queue_as(std::shared_ptr<Outgoing> copy, uint64_t command) {
  copy->command = command;
  copy->total = uint64_t{copy->width} * copy->height;
  copy->lanes = protocol::lanes_of_copy(copy->total, lanes_.size(), share_bytes_);
  copy->chunk = protocol::limits::lane_chunk_bytes(copy->total, copy->lanes, chunk_bytes_);
  std::lock_guard lock(mutex_);
  FARLANE_CHECK(command > last_queued_, "copies are queued in the order of the log");
  last_queued_ = command;
  if (running_ == 0) {
    return;  // the session is lost
  }
  under_way_.push_back(copy);
  queue_.push_back(std::move(copy));
  queued_.store(queue_.size(), std::memory_order_seq_cst);
}

void Lanes::start(const Outgoing& copy) {
  // A busy lane looks by itself when it is done.
  size_t woken = 0;
  for (const auto& lane : lanes_) {
    if (woken == copy.lanes || queued_.load(std::memory_order_seq_cst) == 0) {
      return;
    }
    woken += lane->wake_if_idle() ? 1 : 0;
  }
}

bool Lanes::take(Piece* piece) {
  if (queued_.load(std::memory_order_relaxed) == 0) {
    return false;
  }
  std::lock_guard lock(mutex_);
  if (queue_.empty()) {
    return false;
  }
  Outgoing& copy = *queue_.front();
  piece->copy = queue_.front();
  piece->offset = copy.next;
  piece->bytes =
      protocol::lane_piece_bytes(copy.total - copy.next, copy.lanes, copy.chunk, last_piece_bytes_);
  copy.next += piece->bytes;
  if (copy.next == copy.total) {
    queue_.pop_front();
    queued_.store(queue_.size(), std::memory_order_seq_cst);
  }
  return true;
}

void Lanes::sent(const Piece& piece) {
  {
    std::lock_guard lock(mutex_);
    piece.copy->bytes_taken += piece.bytes;
    if (piece.copy->bytes_taken != piece.copy->total) {
      return;
    }
    under_way_.remove(piece.copy);
    piece.copy->taken.store(true, std::memory_order_release);
  }
  inbox_->notify();
}

bool Lanes::reads(uint64_t start, size_t bytes) {
  std::lock_guard lock(mutex_);
  return std::any_of(under_way_.begin(), under_way_.end(), [&](const auto& copy) {
    const auto from = reinterpret_cast<uint64_t>(copy->from);
    return from < start + bytes && start < from + copy->pitch * (copy->height - 1) + copy->width;
  });
}

void Lanes::failed(const std::string& what) {
  // The command lane knows best why the server ended the session.
  const auto deadline = Clock::now() + kReasonTime;
  while (!loss_->declared() && !ending_.load(std::memory_order_relaxed) &&
         Clock::now() < deadline) {
    if (!inbox_->pump_once(std::min(deadline, Clock::now() + kReasonTime / 10))) {
      std::this_thread::sleep_for(kReasonTime / 100);
    }
  }
  if (!ending_.load(std::memory_order_relaxed)) {
    loss_->declare(what +
                   "; the session is lost (the server's log says more; see `farlane doctor`)");
    close_session_();
  }
  inbox_->notify();
}

void Lanes::left() {
  std::lock_guard lock(mutex_);
  if (--running_ == 0) {
    queue_.clear();
    queued_.store(0, std::memory_order_seq_cst);
    under_way_.clear();
  }
  left_.notify_all();
}

void Lanes::quit() {
  ending_ = true;
  if (!is_open_.load(std::memory_order_acquire)) {
    return;
  }
  for (const auto& lane : lanes_) {
    lane->close();
  }
  std::unique_lock lock(mutex_);
  left_.wait(lock, [&] { return running_ == 0; });
}

const LaneCounters& Lanes::counters(size_t lane) const {
  return lanes_[lane]->counters();
}

}  // namespace farlane::client
