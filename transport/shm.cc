#include "transport/shm.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <deque>
#include <mutex>

#include "transport/check.h"
#include "transport/end_reason.h"
#include "transport/fd_passing.h"
#include "transport/shm_segment.h"
#include "transport/socket_util.h"
#include "transport/tcp_receiver.h"

namespace farlane::transport {
namespace {

// Who only spins never hears from the kernel that its peer died; so every so many times without
// success it is asked.
constexpr uint32_t kAskEvery = 256;
// Descriptors that came and that nobody has taken.
constexpr size_t kPassedMax = 16;

class ShmChannel final : public Channel {
 public:
  // `connecting`: this side writes ring 0. `memory`: to be passed with the first frame.
  ShmChannel(Fd socket, std::shared_ptr<ShmSegment> segment, bool connecting, Fd memory,
             ShmPrelude prelude, std::string peer_name)
      : fd_(std::move(socket)),
        event_(above_standard_streams(Fd(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)))),
        segment_(std::move(segment)),
        peer_name_(std::move(peer_name)),
        own_(segment_->ring(connecting ? 0 : 1, fd_.get())),
        writer_(own_),
        reader_(segment_->ring(connecting ? 1 : 0, fd_.get())),
        memory_(std::move(memory)),
        prelude_(std::move(prelude)) {
    prelude_open_ = connecting;
    prelude_frames_ = prelude_.has_frame();
    if (!event_) {
      close_because("cannot make an eventfd: " + error_text(errno));
    }
  }
  // The one place where descriptors and memory go: until here close() on another thread is safe.
  ~ShmChannel() override { close(); }

  SendStatus send(const Frame& frame) override;
  SendStatus flush() override;
  bool drained() const override { return writer_.drained(); }
  ReceiveStatus receive(FrameSink& sink) override;
  Ready wait(bool for_read, bool for_write, Deadline deadline) override;
  void wake() override;
  bool pass_memory(const Fd& memory) override;
  Fd take_memory() override;
  // A process that has ended has closed its socket.
  bool peer_is_stopped(Clock::duration) const override { return !is_over() && !may_read(); }
  void close() override { close_because("closed on this side"); }
  std::string close_reason() const override { return reason_.get(); }
  std::string peer_name() const override { return peer_name_; }

 private:
  void close_because(std::string reason);
  bool is_over() const;
  bool cannot_send();
  bool send_first(const Frame& frame);
  SendStatus sent(SendStatus status);
  bool read_prelude();
  ReceiveStatus receive_prelude(FrameSink& sink);
  ReceiveStatus receive_ended(std::string reason, bool peer_at_fault);
  bool ask_kernel();
  void ask_kernel_beside_a_wait();
  bool may_read() const;
  bool may_write() const;
  bool sleep(bool for_read, bool for_write, const timespec* timeout);
  void ring_own();

  const Fd fd_;
  const Fd event_;
  const std::shared_ptr<ShmSegment> segment_;
  const std::string peer_name_;
  const Ring own_;
  RingWriter writer_;
  RingReader reader_;
  EndReason reason_;

  // The sender's.
  Fd memory_;  // until it has been passed
  uint32_t busy_count_ = 0;

  // Until the peer has switched, its socket carries frames, which wait() must not take for bells.
  std::mutex prelude_mutex_;
  ShmPrelude prelude_;                       // guarded by prelude_mutex_
  std::atomic<bool> prelude_open_{false};    // the peer has not switched yet
  std::atomic<bool> prelude_frames_{false};  // there are frames in prelude_

  // Came beside the bells.
  std::mutex passed_mutex_;
  std::deque<Fd> passed_;  // guarded by passed_mutex_

  // The receiver's.
  uint32_t nothing_count_ = 0;
  std::unique_ptr<std::byte[]> prelude_head_;

  std::atomic<bool> closed_{false};
  std::atomic<bool> send_ended_{false};
  std::atomic<bool> receive_ended_{false};
  std::atomic<bool> peer_hung_up_{false};  // the socket says so: nobody writes or takes any more
  std::atomic<bool> stalled_{false};       // receive() cannot go on whatever comes

  // As in TcpChannel: wake() rings only when somebody waits.
  std::atomic<bool> woken_{false};
  std::atomic<bool> waiting_{false};
};

// ------------------------------------------------------------------------------------- sending

bool ShmChannel::is_over() const {
  return closed_.load(std::memory_order_relaxed) || send_ended_.load(std::memory_order_relaxed) ||
         peer_hung_up_.load(std::memory_order_relaxed) || reader_.writer_ended();
}

// The sender's: what it still holds is forgotten.
bool ShmChannel::cannot_send() {
  if (!is_over()) {
    return false;
  }
  send_ended_ = true;
  writer_.give_up();
  reason_.set("peer closed the connection");  // unless a cause was seen before
  return true;
}

SendStatus ShmChannel::sent(SendStatus status) {
  switch (status) {
    case SendStatus::kSent:
      busy_count_ = 0;
      break;
    case SendStatus::kBusy:
      if (++busy_count_ % kAskEvery == 0) {
        ask_kernel_beside_a_wait();
      }
      break;
    case SendStatus::kGone:
      send_ended_ = true;
      close_because(writer_.fault());
      break;
  }
  return status;
}

// The first frame and the segment, in one message.
bool ShmChannel::send_first(const Frame& frame) {
  FARLANE_TRANSPORT_CHECK(
      !frame.head.empty() && frame.head.size() <= kShmFirstFrameBytesMax && frame.body.empty(),
      "a first frame is a small head");
  std::array<std::byte, kPrefixBytes> prefix;
  write_prefix(prefix.data(), {static_cast<uint32_t>(frame.head.size()), 0});
  ShmSwitch change;
  change.ring_bytes = segment_->ring_bytes();
  const std::array<Bytes, 3> parts{prefix, frame.head, std::as_bytes(std::span(&change, 1))};
  const bool done = send_with_fd(fd_.get(), parts, memory_.get());
  memory_.reset();
  if (!done) {
    send_ended_ = true;
    reason_.set(errno == EPIPE ? "peer closed the connection" : error_text(errno));
  }
  return done;
}

SendStatus ShmChannel::send(const Frame& frame) {
  if (cannot_send()) {
    return SendStatus::kGone;
  }
  if (memory_) {
    return send_first(frame) ? SendStatus::kSent : SendStatus::kGone;
  }
  if (!writer_.drained()) {
    const SendStatus earlier = sent(writer_.flush());
    if (earlier != SendStatus::kSent) {
      return earlier;
    }
  }
  return sent(writer_.send(frame));
}

SendStatus ShmChannel::flush() {
  if (cannot_send()) {
    return SendStatus::kGone;
  }
  return sent(writer_.flush());
}

// ----------------------------------------------------------------------------------- receiving

ReceiveStatus ShmChannel::receive(FrameSink& sink) {
  if (closed_.load(std::memory_order_relaxed) || receive_ended_.load(std::memory_order_relaxed)) {
    return ReceiveStatus::kGone;
  }
  stalled_.store(false, std::memory_order_relaxed);
  if (prelude_frames_ || (prelude_open_ && !read_prelude()) || prelude_frames_) {
    return receive_prelude(sink);
  }
  // Read before the ring is: what a peer wrote before it ended is found there afterwards.
  const bool ended = reader_.writer_ended() || peer_hung_up_.load();
  switch (reader_.receive(sink)) {
    case RingReader::Result::kDelivered:
      nothing_count_ = 0;
      return ReceiveStatus::kDelivered;
    case RingReader::Result::kNothing:
      break;
    case RingReader::Result::kStalled:
      stalled_.store(true, std::memory_order_relaxed);
      return ReceiveStatus::kStalled;
    case RingReader::Result::kBroken:
      return receive_ended(reader_.fault(), true);
  }
  if (closed_) {
    return ReceiveStatus::kGone;
  }
  if (ended) {
    return receive_ended(reader_.midway() ? "peer closed the connection in the middle of a frame"
                                          : "peer closed the connection",
                         false);
  }
  if (++nothing_count_ % kAskEvery == 0) {
    ask_kernel_beside_a_wait();
  }
  return ReceiveStatus::kNothing;
}

ReceiveStatus ShmChannel::receive_ended(std::string reason, bool peer_at_fault) {
  receive_ended_ = true;
  peer_hung_up_ = true;
  reason_.set(reason);
  if (peer_at_fault) {
    close_because(std::move(reason));
  }
  return ReceiveStatus::kGone;
}

// True once the peer has switched.
bool ShmChannel::read_prelude() {
  const std::scoped_lock lock(prelude_mutex_);
  if (!prelude_open_) {
    return true;
  }
  const ShmPrelude::State state = prelude_.read(fd_.get());
  prelude_frames_ = prelude_.has_frame();
  prelude_open_ = state != ShmPrelude::State::kSwitched;
  return !prelude_open_;
}

ReceiveStatus ShmChannel::receive_prelude(FrameSink& sink) {
  Bytes head;
  Bytes from;
  ShmPrelude::State state = ShmPrelude::State::kFrames;
  std::string reason;
  {
    // Only this thread drops frames; another may read more, which moves them.
    const std::scoped_lock lock(prelude_mutex_);
    if (prelude_.has_frame()) {
      head = prelude_.frame_head();
      from = prelude_.frame_body();
      prelude_head_ = std::make_unique_for_overwrite<std::byte[]>(head.size() + from.size());
      std::memcpy(prelude_head_.get(), head.data(), head.size());
      std::memcpy(prelude_head_.get() + head.size(), from.data(), from.size());
      from = Bytes(prelude_head_.get() + head.size(), from.size());
      head = Bytes(prelude_head_.get(), head.size());
    }
    state = prelude_.state();
    reason = prelude_.reason();
  }
  if (head.empty()) {
    switch (state) {
      case ShmPrelude::State::kFrames:
      case ShmPrelude::State::kSwitched:
        return ReceiveStatus::kNothing;
      case ShmPrelude::State::kEnded:
        return receive_ended(std::move(reason), false);
      case ShmPrelude::State::kRefused:
        return receive_ended(std::move(reason), true);
    }
  }
  MutableBytes body;
  if (!from.empty()) {
    body = sink.place(head, static_cast<uint32_t>(from.size()));
    if (body.data() == nullptr) {
      stalled_.store(true, std::memory_order_relaxed);
      return ReceiveStatus::kStalled;
    }
    FARLANE_TRANSPORT_CHECK(body.size() == from.size(), "the sink gives the size asked for");
    std::memcpy(body.data(), from.data(), from.size());
  }
  {
    const std::scoped_lock lock(prelude_mutex_);
    prelude_.drop_frame();
    prelude_frames_ = prelude_.has_frame();
  }
  sink.deliver(head, body);
  return ReceiveStatus::kDelivered;
}

// ------------------------------------------------------------------------------------- waiting

bool ShmChannel::may_read() const {
  return closed_ || receive_ended_ || prelude_frames_ ||
         (!stalled_ &&
          ((!prelude_open_ && reader_.has_news()) || reader_.writer_ended() || peer_hung_up_));
}

bool ShmChannel::may_write() const {
  return closed_ || send_ended_ || peer_hung_up_ || reader_.writer_ended() || writer_.has_room();
}

// Takes in what the socket says: bells, or that the peer is gone. True when there was something.
bool ShmChannel::ask_kernel() {
  if (prelude_open_) {
    static_cast<void>(read_prelude());
    const std::scoped_lock lock(prelude_mutex_);
    if (prelude_.state() == ShmPrelude::State::kEnded ||
        prelude_.state() == ShmPrelude::State::kRefused) {
      peer_hung_up_ = true;
    }
    return true;
  }
  bool any = false;
  std::array<char, 64> bells;
  for (;;) {
    Fd memory;
    const ssize_t got =
        receive_message(fd_.get(), std::as_writable_bytes(std::span(bells)), MSG_DONTWAIT, &memory);
    if (memory) {
      // A peer that passes more than anybody takes loses the rest.
      any = true;
      const std::scoped_lock lock(passed_mutex_);
      if (passed_.size() < kPassedMax) {
        passed_.push_back(std::move(memory));
      }
    } else if (got < static_cast<ssize_t>(bells.size())) {
      const bool nothing = got < 0 && errno == EAGAIN;
      peer_hung_up_ = peer_hung_up_ || got == 0 || (got < 0 && !nothing);
      return any || !nothing;
    }
    any = true;
  }
}

// On a thread that does not wait. The bell may have been for the one that does, which the kernel
// lets sleep on when it finds nothing to read any more.
void ShmChannel::ask_kernel_beside_a_wait() {
  if (ask_kernel() && waiting_) {
    ring_own();
  }
}

bool ShmChannel::pass_memory(const Fd& memory) {
  // Until the first frame has left, the peer would take it for the rings.
  if (is_over() || memory_) {
    return false;
  }
  const std::byte bell{};
  const Bytes bytes(&bell, 1);
  return send_with_fd(fd_.get(), {&bytes, 1}, memory.get());
}

Fd ShmChannel::take_memory() {
  ask_kernel_beside_a_wait();
  const std::scoped_lock lock(passed_mutex_);
  if (passed_.empty()) {
    return {};
  }
  Fd memory = std::move(passed_.front());
  passed_.pop_front();
  return memory;
}

// Waits for the kernel as long as `timeout` says (nullptr: for ever). True when it said something.
bool ShmChannel::sleep(bool for_read, bool for_write, const timespec* timeout) {
  const bool listens = for_read || for_write;
  pollfd fds[2] = {{listens ? fd_.get() : -1, POLLIN | POLLRDHUP, 0}, {event_.get(), POLLIN, 0}};
  const int count = ::ppoll(fds, 2, timeout, nullptr);
  if (count < 0) {
    FARLANE_TRANSPORT_CHECK(errno == EINTR || errno == ENOMEM, "ppoll() gets what it expects");
    return true;  // look again, and wait anew
  }
  if (fds[0].revents != 0) {
    ask_kernel();
  }
  if (fds[1].revents != 0) {
    uint64_t rings = 0;
    [[maybe_unused]] const ssize_t got = ::read(event_.get(), &rings, sizeof(rings));
  }
  return count > 0;
}

Ready ShmChannel::wait(bool for_read, bool for_write, Deadline deadline) {
  waiting_ = true;
  Ready ready;
  bool in_time = true;
  for (;;) {
    // A stalled reader waits for its sink: more bytes do not help it.
    const bool reads = for_read && !stalled_;
    ready.woken = woken_.load(std::memory_order_relaxed) && woken_.exchange(false);
    ready.readable = for_read && may_read();
    ready.writable = for_write && may_write();
    if (ready.readable || ready.writable || ready.woken || closed_) {
      break;
    }
    if (!in_time) {
      ready.timed_out = true;
      break;
    }
    timespec left{};
    in_time = time_left(deadline, &left);
    // Told first, looked second: the peer does it in the other order.
    if (reads) {
      reader_.ask_for_bell();
    }
    if (for_write) {
      writer_.ask_for_bell();
    }
    if (!(reads && may_read()) && !(for_write && may_write())) {
      sleep(reads, for_write, deadline == Deadline::max() ? nullptr : &left);
    }
    if (reads) {
      reader_.cancel_bell();
    }
    if (for_write) {
      writer_.cancel_bell();
    }
  }
  waiting_ = false;
  return ready;
}

void ShmChannel::ring_own() {
  const uint64_t one = 1;
  // It fails only when the counter is full, and then the bell has been rung.
  [[maybe_unused]] const ssize_t sent = ::write(event_.get(), &one, sizeof(one));
}

void ShmChannel::wake() {
  woken_ = true;
  if (waiting_) {
    ring_own();
  }
}

void ShmChannel::close_because(std::string reason) {
  reason_.set(std::move(reason));
  if (!closed_.exchange(true)) {
    own_.control->ended.store(1);
    ::shutdown(fd_.get(), SHUT_RDWR);
    ring_own();
  }
}

}  // namespace

std::unique_ptr<Channel> adopt_shm_client(Fd socket, std::string name, const ShmOptions& options,
                                          std::string* error) {
  Fd memory;
  auto segment = ShmSegment::make(options.ring_bytes, &memory, error);
  if (segment == nullptr) {
    return nullptr;
  }
  if (!options.first_frame_over_socket) {
    ShmSwitch change;
    change.ring_bytes = segment->ring_bytes();
    const Bytes part = std::as_bytes(std::span(&change, 1));
    if (!send_with_fd(socket.get(), {&part, 1}, memory.get())) {
      *error = "cannot pass shared memory on: " + error_text(errno);
      return nullptr;
    }
    memory.reset();
  }
  return std::make_unique<ShmChannel>(std::move(socket), std::move(segment), true,
                                      std::move(memory), ShmPrelude(), std::move(name));
}

std::unique_ptr<Channel> accept_shm(Fd socket, Deadline deadline, std::string* error) {
  ShmPrelude prelude;
  for (;;) {
    switch (prelude.read(socket.get())) {
      case ShmPrelude::State::kFrames: {
        timespec left{};
        if (!time_left(deadline, &left)) {
          *error = "the peer did not switch to shared memory in time";
          return nullptr;
        }
        pollfd fds{socket.get(), POLLIN, 0};
        static_cast<void>(::ppoll(&fds, 1, deadline == Deadline::max() ? nullptr : &left, nullptr));
        continue;
      }
      case ShmPrelude::State::kEnded:
      case ShmPrelude::State::kRefused:
        *error = prelude.reason();
        return nullptr;
      case ShmPrelude::State::kSwitched:
        break;
    }
    break;
  }
  const Fd memory = prelude.take_memory();
  auto segment = ShmSegment::map(memory, prelude.switch_message().ring_bytes, error);
  if (segment == nullptr) {
    return nullptr;
  }
  const ShmSwitch change;
  const Bytes part = std::as_bytes(std::span(&change, 1));
  if (!send_with_fd(socket.get(), {&part, 1}, -1)) {
    *error = "cannot switch to shared memory: " + error_text(errno);
    return nullptr;
  }
  ucred peer{};
  socklen_t bytes = sizeof(peer);
  std::string name = "shared memory";
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &bytes) == 0 && peer.pid > 0) {
    name += " with process " + std::to_string(peer.pid);
  }
  return std::make_unique<ShmChannel>(std::move(socket), std::move(segment), false, Fd(),
                                      std::move(prelude), std::move(name));
}

ShmPair make_shm_pair(std::string* error, const ShmOptions& options) {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) != 0) {
    *error = "cannot make a socket pair: " + error_text(errno);
    return {};
  }
  Fd a(fds[0]);
  Fd b(fds[1]);
  Fd memory;
  auto segment = ShmSegment::make(options.ring_bytes, &memory, error);
  if (segment == nullptr) {
    return {};
  }
  const ShmSwitch change;
  const Bytes part = std::as_bytes(std::span(&change, 1));
  if (!send_with_fd(b.get(), {&part, 1}, -1)) {
    *error = "cannot switch to shared memory: " + error_text(errno);
    return {};
  }
  ShmPair pair;
  pair.a = std::make_unique<ShmChannel>(std::move(a), segment, true, Fd(), ShmPrelude(),
                                        "shared memory in this process");
  pair.b = std::make_unique<ShmChannel>(std::move(b), segment, false, Fd(), ShmPrelude(),
                                        "shared memory in this process");
  return pair;
}

}  // namespace farlane::transport
