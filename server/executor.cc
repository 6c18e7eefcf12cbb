#include "server/executor.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/prctl.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <thread>

#include "conf/client_settings.h"  // effective_spin_us: the same rule on both sides
#include "generated/protocol/dispatch.h"
#include "protocol/limits.h"
#include "protocol/sticky_errors.h"
#include "server/control.h"
#include "server/driver_text.h"
#include "transport/spin_budget.h"

namespace farlane::server {

namespace limits = protocol::limits;
using transport::Bytes;
using transport::Clock;
using transport::MutableBytes;
using transport::ReceiveStatus;

namespace {
// Frames taken between two looks at the devices.
constexpr int kFramesPerPass = 16;
// A client may have this many questions open; more wait in the network.
constexpr size_t kWaitsMax = 4096;
// While devices are at work, sleeps grow with the time that has passed, between these: an answer is
// late by less than half a hundredth of what it took.
constexpr auto kSleepMin = std::chrono::microseconds(10);
constexpr auto kSleepMax = std::chrono::milliseconds(1);
constexpr int kSleepPart = 256;
// How often a client that seems to be stopped is looked at again.
constexpr auto kStoppedLook = std::chrono::seconds(1);
// A slower network than this is none: how long the largest frame may take, beside the time that a
// client may be silent.
constexpr auto kLargestFrameTime = std::chrono::seconds(64);  // 8 MiB at 1 Mb/s
// Naps between looks at lanes: only with so much of a copy to come that its end is not delayed, and
// as long as something does come.
constexpr uint64_t kNapBytesMin = 8 * 1024 * 1024;
constexpr auto kNapsMax = std::chrono::milliseconds(5);
// How long a goodbye may take to leave.
constexpr auto kGoodbyeTime = std::chrono::seconds(1);

bool is_about_host_call(const RecordHeader& header) {
  return header.op == static_cast<uint16_t>(protocol::Op::kHostCallDone) ||
         header.op == static_cast<uint16_t>(protocol::Op::kHostCallCopy);
}
}  // namespace

const char* session_end_name(SessionEnd end) {
  switch (end) {
    case SessionEnd::kNotYet:
      return "not yet";
    case SessionEnd::kClientDone:
      return "client done";
    case SessionEnd::kPeerGone:
      return "client gone";
    case SessionEnd::kProtocol:
      return "protocol fault";
    case SessionEnd::kVersion:
      return "another version";
    case SessionEnd::kTimeout:
      return "timeout";
    case SessionEnd::kDraining:
      return "draining";
    case SessionEnd::kWorkerFailed:
      return "worker failed";
  }
  return "unknown";
}

Executor::Executor(Host& host, transport::Channel& channel, const ServerSettings& settings,
                   OutputSource* output)
    : driver_(host.driver),
      host_(host),
      channel_(channel),
      settings_(settings),
      output_(output),
      clocks_(settings.command_times),
      outbox_(channel),
      copies_(host.driver, outbox_, static_cast<size_t>(settings.staging_slot_bytes),
              static_cast<size_t>(settings.staging_slots)),
      lanes_(
          {static_cast<uint32_t>(settings.lanes_max),
           static_cast<size_t>(settings.lane_chunk_bytes), static_cast<size_t>(settings.lane_slots),
           settings.handshake_timeout_ms, static_cast<uint64_t>(settings.lane_share_bytes)},
          [this] {
            // An exchange, and not a look: either the nap's end is seen here, or there what came.
            if (naps_.fetch_add(0) == 0) channel_.wake();
          }),
      bulk_(driver_, outbox_, lanes_, [this](Device& device) { return make_current(device); }),
      shared_(driver_, static_cast<uint64_t>(settings.shared_bytes_max)),
      images_(settings.module_cache_dir, static_cast<uint64_t>(settings.module_cache_bytes_max)),
      device_count_(static_cast<uint32_t>(host.devices.size())),
      last_received_(Clock::now()),
      last_progress_(last_received_),
      lanes_sent_at_(last_received_) {
  // The context is the thread's, and the host may have been made on another one.
  make_current(*host.devices[0]);
  lanes_.set_token(new_session_token());
  copies_.before_data = [this](const Stream& stream, const EventRef& read) {
    if (stream.device->prints) tell_output(&read);
  };
}

Executor::~Executor() {
  current_ = nullptr;  // run() may have been on another thread
  lanes_.close();
  communicators_.reset();
  outbox_.abandon();
  for (const auto& device : host_.devices) {
    if (device->is_active()) reset_device(*device);
  }
  copies_.abandon();
  bulk_.abandon();
  shared_.abandon();
  waits_.clear();
  host_calls_.clear();
  memories_.clear();
}

// ---------------------------------------------------------------------------------- the loop

SessionEnd Executor::run() {
  // A context is current on a thread, and this may not be the one that made the executor.
  current_ = nullptr;
  make_current(*host_.devices[0]);
  // Tells the client that this side lives, also while the executor is in a long driver call.
  std::mutex mutex;
  std::condition_variable changed;
  bool stop = false;
  std::thread pulse([&] {
    std::unique_lock lock(mutex);
    const auto interval = std::chrono::milliseconds(std::max<int64_t>(settings_.heartbeat_ms, 10));
    while (!changed.wait_for(lock, interval / 2, [&] { return stop; })) outbox_.pulse();
  });

  // Sleeps of some microseconds are meant; the kernel would stretch each by 50.
  ::prctl(PR_SET_TIMERSLACK, 1);
  transport::SpinBudget network(effective_spin_us(settings_.spin_us));
  transport::SpinBudget devices(effective_answer_spin_us(settings_.device_spin_us));
  transport::SpinBudget* watched = &network;
  while (end_ == SessionEnd::kNotYet) {
    const bool progressed = step();
    if (end_ != SessionEnd::kNotYet) break;
    const auto now = Clock::now();
    if (progressed || look_again()) {
      watched->waited(now - last_progress_);
      watched = &network;
      last_progress_ = now;
      continue;
    }
    if (may_nap() && nap()) continue;
    if (client_waits_for_device()) watched = &devices;
    if (watched->goes_on(now - last_progress_)) {
      __builtin_ia32_pause();
      continue;
    }
    wait_for_something();
  }
  if (communicators_ != nullptr) {
    const cudax::Communicators::Counters& groups = communicators_->counters();
    spdlog::info(
        "NCCL: {} groups of calls made at once, {} of them over earlier connections, {} by other "
        "threads",
        groups.made_now, groups.connected_now, groups.begun);
  }
  say_goodbye();
  {
    const std::scoped_lock lock(mutex);
    stop = true;
  }
  changed.notify_one();
  pulse.join();
  return end_;
}

bool Executor::step() {
  if (end_requested_.load(std::memory_order_relaxed)) check_requests();
  bool progressed = receive();
  if (end_ != SessionEnd::kNotYet) return progressed;
  check_lanes();
  if (end_ != SessionEnd::kNotYet) return progressed;
  progressed |= progress();
  progressed |= retry_backlog();
  progressed |= resume();
  acknowledge(false);
  if (!push() && end_ == SessionEnd::kNotYet) {
    // What the client said last may still be in the channel, a goodbye for instance.
    receive();
    end_session(SessionEnd::kPeerGone, channel_.close_reason());
  }
  return progressed;
}

// Somebody waits for a device. A look at it costs less than one at the network, which goes to the
// kernel: several of the one to one of the other, so that the answer leaves sooner.
bool Executor::look_again() {
  // With many waits or copies one pass is enough of a look.
  const auto each = static_cast<int64_t>(waits_.size() + copies_.looks());
  for (int64_t looks = each; looks < settings_.device_looks && each != 0; looks += each) {
    if (progress()) {
      if (outbox_.has_frames() && !outbox_.is_held() && !push()) break;  // step() finds out
      return true;
    }
  }
  return false;
}

bool Executor::may_receive() const {
  return !is_stalled() && !outbox_.is_full() &&
         waits_.size() + waiting_asks_.size() + groups_.size() < kWaitsMax;
}

bool Executor::receive() {
  bool received = false;
  for (int i = 0; i < kFramesPerPass && may_receive() && end_ == SessionEnd::kNotYet; ++i) {
    const uint64_t since = clocks_.now();
    const uint64_t executed_before = clocks_.executed_ticks();
    const ReceiveStatus status = channel_.receive(*this);
    body_has_no_place_ = status == ReceiveStatus::kStalled;
    switch (status) {
      case ReceiveStatus::kDelivered:
        received = true;
        clocks_.received(since, executed_before);
        // An answer leaves before anything else is looked at. What fails here fails in step() too.
        if (outbox_.has_frames() && !outbox_.is_held() && !push()) break;
        continue;
      case ReceiveStatus::kNothing:
      case ReceiveStatus::kStalled:
        break;
      case ReceiveStatus::kGone:
        end_session(SessionEnd::kPeerGone, channel_.close_reason());
        break;
    }
    break;
  }
  if (received) last_received_ = Clock::now();
  return received;
}

MutableBytes Executor::place(Bytes, uint32_t body_bytes) {
  if (current_ == nullptr) make_current(*host_.devices[0]);
  CUresult result = CUDA_SUCCESS;
  const MutableBytes place = copies_.place(body_bytes, &result);
  if (result != CUDA_SUCCESS) {
    end_session(SessionEnd::kWorkerFailed,
                fmt::format("no pinned memory for a piece of {} bytes: {} (settings "
                            "copies.staging_slot_bytes and copies.staging_slots)",
                            body_bytes, result_name(driver_, result)));
  }
  return place;
}

void Executor::deliver(Bytes head, MutableBytes body) {
  execute(head, body);
  clocks_.copies_under_way(copies_.has_pieces());
  if (!is_stalled()) copies_.end_frame();
}

// Executes the records of a frame; where a command finds no staging slot, the rest is kept.
void Executor::execute(std::span<const std::byte> head, std::span<std::byte> body) {
  protocol::RecordCursor records(head);
  protocol::Record record;
  size_t done = 0;
  clocks_.begin();
  while (end_ == SessionEnd::kNotYet && records.next(record)) {
    const bool last = records.at_end();
    if (last && !body.empty() &&
        (record.is_reply() || !takes_body(static_cast<protocol::Op>(record.header.op)))) {
      fault(record.header, "a body that it does not take");
      return;
    }
    const bool executed = execute_record(record, last ? body : std::span<std::byte>());
    clocks_.end(record.header.op, executed);
    if (!executed) {
      if (!stall_) return;
      stall_ = false;
      const size_t left = head.size() - done;
      if (stalled_head_ == nullptr) stalled_head_.reset(new std::byte[transport::kHeadBytesMax]);
      // A second stall in the same frame: the rest is in the buffer already.
      if (head.data() < stalled_head_.get() ||
          head.data() >= stalled_head_.get() + transport::kHeadBytesMax) {
        std::memcpy(stalled_head_.get(), head.data() + done, left);
        stalled_begin_ = 0;
      } else {
        stalled_begin_ += done;
      }
      stalled_bytes_ = left;
      stalled_body_ = body;
      return;
    }
    done += record.header.bytes;
    taken_bytes_ += record.header.bytes;
  }
  if (records.fault()) {
    end_session(SessionEnd::kProtocol, "a malformed frame: " + records.fault().text());
  }
}

// False: the frame goes no further, or the command must be tried again (stall_).
bool Executor::execute_record(const protocol::Record& record, std::span<std::byte> body) {
  const uint64_t sequence = record.header.sequence;
  if (sequence != taken_ + 1) [[unlikely]] {
    return fault(record.header, fmt::format("sequence {} instead of {}", sequence, taken_ + 1));
  }
  if (!welcomed_ && record.header.op != static_cast<uint16_t>(protocol::Op::kControl)) {
    return fault(record.header, "a command before the hello");
  }
  // An answer says "executed" including its own command.
  taken_ = sequence;
  // What the client says about its own work passes everything: everything may be waiting for it.
  const bool about_host_call = is_about_host_call(record.header);
  const Turn turn = about_host_call ? Turn::kNow : backlog_.turn_of(record);
  if (turn == Turn::kNotReady) return answer_not_ready(record.header);
  if (turn == Turn::kNow && dispatch(record, body)) return true;
  if (turn == Turn::kNow && !stall_) return false;
  // Where its data lie in the frame's body, the frame waits with it; but nothing may stand in the
  // way of the client's answer to a host call.
  const Tried tried = !stall_                                ? Tried::kNotYet
                      : std::exchange(stall_is_long_, false) ? Tried::kMayWaitLong
                                                             : Tried::kWaits;
  const bool for_host_call =
      backlog_.has_host_calls() || Backlog::may_take_long(record) || tried == Tried::kMayWaitLong;
  if (!about_host_call && (for_host_call || (settings_.overtaking && body.empty())) &&
      backlog_.keep(record, body, tried)) {
    stall_ = false;
    return true;
  }
  taken_ = sequence - 1;
  stall_ = true;
  return false;
}

bool Executor::dispatch(const protocol::Record& record, std::span<std::byte> body) {
  const protocol::DispatchResult result = protocol::dispatch_commands(record, body, *this);
  if (result.status == protocol::DispatchStatus::kMalformed) {
    return fault(record.header, result.fault.text());
  }
  return static_cast<bool>(result);
}

bool Executor::answer_not_ready(const RecordHeader& header) {
  return header.op == static_cast<uint16_t>(protocol::Op::kStreamQuery)
             ? answer(header.sequence, message::StreamQueryReply{}, CUDA_ERROR_NOT_READY)
             : answer(header.sequence, message::EventQueryReply{}, CUDA_ERROR_NOT_READY);
}

bool Executor::retry_backlog() {
  if (backlog_.is_empty() || end_ != SessionEnd::kNotYet) return false;
  copies_.recycle();
  return backlog_.retry([&](const protocol::Record& record, std::span<std::byte> body) {
    if (end_ != SessionEnd::kNotYet) return Tried::kWaits;
    clocks_.begin();
    const bool done = dispatch(record, body);
    clocks_.end(record.header.op, false);  // counted when it was kept
    stall_ = false;
    const bool is_long = std::exchange(stall_is_long_, false);
    return done ? Tried::kDone : is_long ? Tried::kMayWaitLong : Tried::kWaits;
  });
}

bool Executor::resume() {
  if (!is_stalled() || end_ != SessionEnd::kNotYet) return false;
  copies_.recycle();
  const uint64_t before = taken_;
  const size_t bytes = std::exchange(stalled_bytes_, 0);
  execute({stalled_head_.get() + stalled_begin_, bytes}, stalled_body_);
  if (is_stalled()) return taken_ != before;
  stalled_begin_ = 0;
  stalled_body_ = {};
  copies_.end_frame();
  return true;
}

// The lanes move a large copy and need this thread now and then only, but all of the processor.
bool Executor::may_nap() const {
  return settings_.lane_nap_us != 0 && bulk_.only_takes() && waits_.empty() &&
         waiting_asks_.empty() && groups_.empty() && ipc_asks_.empty() && !copies_.has_pieces() &&
         !outbox_.is_blocked() && bulk_.bytes_to_come() >= kNapBytesMin;
}

// False: it is time for what a longer wait looks after.
bool Executor::nap() {
  const auto now = Clock::now();
  if (now - last_progress_ > kNapsMax) return false;
  lane_naps_.fetch_add(1, std::memory_order_relaxed);
  naps_.exchange(1);
  channel_.wait(may_receive() && !body_has_no_place_, false,
                now + std::chrono::microseconds(settings_.lane_nap_us));
  naps_.exchange(0);
  if (copies_.recycle()) body_has_no_place_ = false;
  return true;
}

void Executor::wait_for_something() {
  acknowledge(true);
  if (!push()) return;  // step() finds out
  const auto now = Clock::now();
  const auto silent = std::chrono::milliseconds(settings_.client_timeout_ms);
  auto deadline = now + silent;
  const bool listens = may_receive() && !body_has_no_place_;
  if (listens) check_patience("the client was silent", last_received_, {}, &deadline);
  check_bulk_silence(&deadline);
  if (outbox_.is_blocked()) {
    const auto more = outbox_.is_held_by_body() ? kLargestFrameTime : std::chrono::seconds(0);
    check_patience("the client took no data", outbox_.held_since(), more, &deadline);
  }
  if (end_ != SessionEnd::kNotYet) return;
  const bool devices_work = !waits_.empty() || copies_.has_pieces() || is_stalled() ||
                            !backlog_.is_empty() || body_has_no_place_ || bulk_.is_active() ||
                            !groups_.empty();
  if (devices_work) {
    const auto sleep =
        std::clamp<Clock::duration>((now - last_progress_) / kSleepPart, kSleepMin, kSleepMax);
    deadline = std::min(deadline, now + sleep);
  }
  channel_.wait(listens, outbox_.is_blocked(), deadline);
  if (copies_.recycle()) body_has_no_place_ = false;
  // Then this process did not run, and its client perhaps did not either: their machine slept.
  if (Clock::now() - deadline > silent / 2) last_received_ = Clock::now();
}

// Ends the session when the client has done `what` since `since`, and had `more` than the time that
// its silence may take. A client that was stopped has longer.
void Executor::check_patience(std::string_view what, Clock::time_point since, Clock::duration more,
                              Clock::time_point* deadline) {
  if (end_ != SessionEnd::kNotYet) return;
  using std::chrono::milliseconds;
  const auto now = Clock::now();
  const milliseconds silent(settings_.client_timeout_ms);
  auto end = since + silent + more;
  if (now >= end) {
    const milliseconds stopped(settings_.stopped_client_timeout_ms);
    const bool is_stopped = stopped > silent && channel_.peer_is_stopped(silent / 2);
    if (!is_stopped || now >= since + stopped + more) {
      end_session(SessionEnd::kTimeout,
                  fmt::format("{} for {} ms (setting timeouts.{})", what,
                              is_stopped ? stopped.count() : silent.count(),
                              is_stopped ? "stopped_client_timeout_ms" : "client_timeout_ms"));
      return;
    }
    if (stopped_said_ != since) {
      spdlog::info("{} for {} ms, but its machine answers: a stopped program keeps its session "
                   "(setting timeouts.stopped_client_timeout_ms)",
                   what, silent.count());
      stopped_said_ = since;
    }
    end = now + kStoppedLook;
  }
  *deadline = std::min(*deadline, end);
}

void Executor::request_end(SessionEnd end, std::string text) {
  {
    const std::scoped_lock lock(request_mutex_);
    requested_end_ = end;
    requested_text_ = std::move(text);
  }
  end_requested_ = true;
  channel_.wake();
}

void Executor::check_requests() {
  const std::scoped_lock lock(request_mutex_);
  end_session(requested_end_, requested_text_);
}

void Executor::say_goodbye() {
  if (end_ == SessionEnd::kPeerGone) return;
  const std::string goodbye = goodbye_message(end_, end_text_);
  tell_latched();
  outbox_.append(message::ControlReply{std::as_bytes(std::span(goodbye))});
  const auto deadline = Clock::now() + kGoodbyeTime;
  while (outbox_.push() && outbox_.is_blocked() && Clock::now() < deadline) {
    channel_.wait(false, true, deadline);
  }
  channel_.close();
}

// ---------------------------------------------------------------------------------- errors

void Executor::end_session(SessionEnd end, std::string text) {
  if (end_ != SessionEnd::kNotYet) return;
  end_ = end;
  end_text_ = std::move(text);
}

bool Executor::fault(const RecordHeader& header, const std::string& what) {
  const char* name = protocol::op_name(header.op);
  end_session(
      SessionEnd::kProtocol,
      fmt::format("{} (command {}): {}", name == nullptr ? fmt::format("op {}", header.op) : name,
                  header.sequence, what));
  return false;
}

void Executor::latch(const RecordHeader& header, CUresult result, std::string subject) {
  if (latched_ != CUDA_SUCCESS || result == sticky_) return;
  latched_ = result;
  latched_sequence_ = header.sequence;
  const char* name = protocol::op_name(header.op);
  latched_text_ = fmt::format("{} of {} (command {}) failed: {}", name == nullptr ? "?" : name,
                              subject, header.sequence, result_name(driver_, result));
  if (latched_text_.size() > limits::log_bytes_max) latched_text_.resize(limits::log_bytes_max);
}

void Executor::tell_latched() {
  if (latched_ == CUDA_SUCCESS) [[likely]] {
    return;
  }
  const CUresult result = latched_;
  const bool sticky = protocol::is_sticky(result);
  spdlog::info("{}", latched_text_);
  note_sticky(result);
  outbox_.append(message::PostedError{latched_sequence_, result, sticky ? 1u : 0u, latched_text_});
  latched_ = CUDA_SUCCESS;
}

// The client knows this error now: told once, it is not told again as a posted one.
void Executor::note_sticky(CUresult result) {
  if (result == CUDA_SUCCESS || !protocol::is_sticky(result)) [[likely]] {
    return;
  }
  if (sticky_ == CUDA_SUCCESS) {
    // What a kernel said as it died is told before that it died; nothing is waited for any more.
    driver_.cuCtxSynchronize();
    tell_output(nullptr);
  }
  sticky_ = result;
  if (latched_ == result) latched_ = CUDA_SUCCESS;
}

void Executor::acknowledge(bool idle) {
  if (!welcomed_ || end_ != SessionEnd::kNotYet) return;
  const uint64_t owed = taken_bytes_ - acknowledged_bytes_;
  const bool due = owed * 4 >= static_cast<uint64_t>(settings_.credit_bytes) ||
                   latched_ != CUDA_SUCCESS || (idle && executed() != acknowledged_);
  if (!due) return;
  tell_latched();
  outbox_.append(message::Ack{executed(), taken_bytes_});
  acknowledged_bytes_ = taken_bytes_;
  acknowledged_ = executed();
}

bool Executor::push() {
  const CommandClocks::Sending sending(clocks_, outbox_.has_frames());
  return outbox_.push();
}

// Moves device output to the client: the driver writes what it has gathered when it is asked to
// synchronise, which costs no time for an event that has fired.
void Executor::tell_output(const EventRef* event) {
  if (output_ == nullptr) return;
  if (event != nullptr) driver_.cuEventSynchronize(event->handle());
  std::fflush(stdout);
  std::string out;
  std::string err;
  output_->take(&out, &err);
  const auto tell = [&](uint32_t fd, std::span<const char> text) {
    while (!text.empty()) {
      const auto piece = text.first(std::min<size_t>(text.size(), limits::output_bytes_max));
      outbox_.append(message::Output{fd, std::as_bytes(piece)});
      text = text.subspan(piece.size());
    }
  };
  tell(1, out);
  tell(2, err);
}

// ---------------------------------------------------------------------------------- lookups

CUresult Executor::make_current(Device& device) {
  if (current_ == &device) [[likely]] {
    return CUDA_SUCCESS;
  }
  CUresult result = device.activate();
  if (result == CUDA_SUCCESS) result = driver_.cuCtxSetCurrent(device.context());
  if (result == CUDA_SUCCESS) current_ = &device;
  return result;
}

bool Executor::is_blocking(protocol::StreamId id) {
  StreamRef* stream = nullptr;
  return streams_.find(id, &stream) != Lookup::kLive || (*stream)->blocking;
}

const StreamRef* Executor::find_stream(const RecordHeader& header, protocol::StreamId id,
                                       CUresult* result) {
  if (id.is_legacy()) {
    Device* device = find_device(header, id.index(), result);
    return device == nullptr ? nullptr : &device->legacy();
  }
  StreamRef* stream = nullptr;
  switch (streams_.find(id, &stream)) {
    case Lookup::kLive:
      *result = make_current(*(*stream)->device);
      return *result == CUDA_SUCCESS ? stream : nullptr;
    case Lookup::kFailed:
      *result = CUDA_ERROR_INVALID_HANDLE;
      return nullptr;
    case Lookup::kUnknown:
      break;
  }
  *result = CUDA_ERROR_INVALID_HANDLE;
  fault(header, describe(id) + " does not exist");
  return nullptr;
}

Executor::Event* Executor::find_event(const RecordHeader& header, protocol::EventId id,
                                      CUresult* result) {
  Event* event = nullptr;
  *result = CUDA_SUCCESS;
  const Lookup found = events_.find(id, &event);
  if (found == Lookup::kLive) return event;
  *result = CUDA_ERROR_INVALID_HANDLE;
  if (found == Lookup::kUnknown) fault(header, describe(id) + " does not exist");
  return nullptr;
}

Kernel* Executor::find_kernel(const RecordHeader& header, protocol::KernelId id, CUresult* result) {
  Kernel* kernel = nullptr;
  const Lookup found = kernels_.find(id, &kernel);
  if (found == Lookup::kLive) {
    *result = make_current(*kernel->device);
    return *result == CUDA_SUCCESS ? kernel : nullptr;
  }
  *result = CUDA_ERROR_INVALID_HANDLE;
  if (found == Lookup::kUnknown) fault(header, describe(id) + " does not exist");
  return nullptr;
}

Module* Executor::find_module(const RecordHeader& header, protocol::ModuleId id, CUresult* result) {
  std::unique_ptr<Module>* module = nullptr;
  const Lookup found = modules_.find(id, &module);
  if (found == Lookup::kLive) {
    *result = make_current(*(*module)->device);
    return *result == CUDA_SUCCESS ? module->get() : nullptr;
  }
  *result = CUDA_ERROR_INVALID_HANDLE;
  if (found == Lookup::kUnknown) fault(header, describe(id) + " does not exist");
  return nullptr;
}

Device* Executor::find_device(const RecordHeader& header, uint32_t ordinal, CUresult* result) {
  if (ordinal >= device_count_) {
    *result = CUDA_ERROR_INVALID_DEVICE;
    fault(header, fmt::format("device {} of {}", ordinal, device_count_));
    return nullptr;
  }
  Device& device = *host_.devices[ordinal];
  *result = make_current(device);
  return *result == CUDA_SUCCESS ? &device : nullptr;
}

bool Executor::may_touch(uint64_t address, uint64_t pitch, uint64_t width, uint64_t height) const {
  if (width == 0 || height == 0) return true;
  uint64_t bytes = width;
  if (height > 1) {
    // From the first row's start to the last row's end, without overflow.
    if (pitch < width || pitch > (UINT64_MAX - width) / (height - 1)) return false;
    bytes = pitch * (height - 1) + width;
  }
  if (bytes > UINT64_MAX - address) return false;
  for (uint32_t i = 0; i < device_count_; ++i) {
    if (host_.devices[i]->space.covers(address, bytes)) return true;
  }
  return false;
}

}  // namespace farlane::server
