#include "client/core/session.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "client/core/handshake.h"
#include "client/core/log_line.h"
#include "client/core/simulate.h"
#include "client/core/stats.h"

namespace farlane::client {
namespace {

using transport::Clock;

enum class State : uint8_t { kNone, kStarted, kFailed, kForked };

std::atomic<State> g_state = State::kNone;
std::atomic<Session*> g_session = nullptr;
std::mutex g_start_mutex;
std::string g_start_error;  // guarded by g_start_mutex
// For tests.
struct Given {
  std::unique_ptr<transport::Channel> channel;
  ClientSettings settings;
  Lanes::Connect connect;
};
Given* g_given = nullptr;

// A child of fork() shares the parent's socket; using it would garble the parent's session.
// Everything the child asks for is an error, as in CUDA.
void in_forked_child() {
  if (g_state.load() != State::kNone) {
    g_state.store(State::kForked);
    g_session.store(nullptr);
    contexts_changed();
  }
}

InboxOptions inbox_options(const ClientSettings& settings) {
  return {effective_answer_spin_us(settings.spin_us), settings.call_timeout_ms};
}

CommandLogOptions log_options(const ClientSettings& settings) {
  return {.batch_bytes_max = static_cast<size_t>(settings.flush_bytes),
          .batching = settings.batching,
          .parallel_encoding = settings.parallel_encoding,
          .sends_before_questions = settings.send_before_questions,
          .hold_us = settings.hold_us};
}

CUresult start() {
  std::lock_guard lock(g_start_mutex);
  if (g_state.load() != State::kNone) {
    return g_state.load() == State::kStarted ? CUDA_SUCCESS : kServerLost;
  }
  ClientSettings settings;
  std::string error;
  std::unique_ptr<transport::Channel> channel;
  Lanes::Connect connect_lane;
  bool ready = true;
  if (g_given != nullptr) {
    settings = g_given->settings;
    channel = std::move(g_given->channel);
    connect_lane = g_given->connect;
  } else {
    ready = load_client_settings(&settings, &error);
    log_open(settings.log_level, settings.log_file);
  }
  static std::once_flag once;
  std::call_once(once, [] { pthread_atfork(nullptr, nullptr, in_forked_child); });
  if (ready && channel == nullptr) {
    connect_lane = [settings](std::string* why) {
      const auto until = Clock::now() + std::chrono::milliseconds(settings.connect_timeout_ms);
      return simulate_network(connect_server(settings, until, why), settings);
    };
  }
  if (ready && channel == nullptr) {
    const auto deadline = Clock::now() + std::chrono::milliseconds(settings.connect_timeout_ms);
    channel = connect_server(settings, deadline, &error);
    ready = channel != nullptr;
  }
  std::unique_ptr<Session> made;
  if (ready) {
    stats::configure(settings.stats);
    channel = simulate_network(std::move(channel), settings);
    made = Session::open(settings, std::move(channel), std::move(connect_lane), &error);
  }
  if (made == nullptr) {
    log_line(LogLevel::kError, error);
    g_start_error = error;
    g_state.store(State::kFailed);
    return kServerLost;
  }
  g_session.store(made.release(), std::memory_order_release);
  g_state.store(State::kStarted);
  return CUDA_SUCCESS;
}

}  // namespace

void use_channel_for_session(std::unique_ptr<transport::Channel> channel,
                             const ClientSettings& settings, Lanes::Connect connect) {
  std::lock_guard lock(g_start_mutex);
  // Tests run one session after the other; no call is under way in the one before.
  delete g_session.exchange(nullptr);
  contexts_changed();
  delete g_given;
  g_given =
      channel == nullptr ? nullptr : new Given{std::move(channel), settings, std::move(connect)};
  g_state.store(State::kNone);
}

Session* session_if_any() {
  return g_session.load(std::memory_order_acquire);
}

Session* session(CUresult* error) {
  Session* found = g_session.load(std::memory_order_acquire);
  if (found == nullptr) {
    if (g_state.load() == State::kForked) {
      *error = CUDA_ERROR_NOT_INITIALIZED;
      return nullptr;
    }
    *error = start();
    found = g_session.load(std::memory_order_acquire);
    if (*error != CUDA_SUCCESS || found == nullptr) {
      return nullptr;
    }
  }
  if (found->lost()) {
    *error = kServerLost;
    return nullptr;
  }
  return found;
}

CUresult session_start() {
  if (in_host_function()) {
    return CUDA_ERROR_NOT_PERMITTED;  // and so the thread never gets a context
  }
  CUresult error = CUDA_SUCCESS;
  session(&error);
  return error;
}

bool session_is_started() {
  return g_session.load(std::memory_order_acquire) != nullptr;
}

bool session_is_forked() {
  return g_state.load(std::memory_order_relaxed) == State::kForked;
}

CUresult session_error() {
  Session* s = session_if_any();
  if (s == nullptr) {
    return CUDA_SUCCESS;
  }
  return s->lost() ? kServerLost : s->errors.take();
}

const char* session_loss(const char* plain) {
  std::string text;
  if (Session* s = session_if_any(); s != nullptr && s->lost()) {
    text = s->loss_sentence();
  } else if (g_state.load() == State::kFailed) {
    const std::lock_guard lock(g_start_mutex);
    text = g_start_error;
  }
  if (text.empty()) {
    return nullptr;
  }
  return kept_text(std::string(plain) + ": " + text);
}

Session::Session(const ClientSettings& settings, std::unique_ptr<transport::Channel> channel)
    : settings_(settings),
      channel_(std::move(channel)),
      inbox_(channel_.get(), inbox_options(settings), &loss_, &errors),
      courier_(
          channel_.get(),
          {effective_spin_us(settings.sender_spin_us), settings.receive_after_us, settings.hold_us},
          &loss_),
      log_(channel_.get(), log_options(settings), &inbox_, &loss_,
           {.wake = [this] { courier_.wake(); },
            .watches = [this](bool rouse) { return courier_.watches(rouse); }}),
      lanes_(settings, &inbox_, &loss_),
      host_calls_(&log_, &inbox_, &loss_, [this] { courier_.wake(); }) {}

std::unique_ptr<Session> Session::open(const ClientSettings& settings,
                                       std::unique_ptr<transport::Channel> channel,
                                       Lanes::Connect connect, std::string* error) {
  std::unique_ptr<Session> made(new Session(settings, std::move(channel)));
  if (!made->shake_hands(std::move(connect), error) || !made->reserve_windows(error)) {
    made->channel_->close();
    return nullptr;
  }
  const char* blocking = std::getenv("CUDA_LAUNCH_BLOCKING");
  made->launch_blocking = blocking != nullptr && std::strcmp(blocking, "0") != 0;
  made->loss_.announce();
  made->inbox_.expect_goodbye();
  made->courier_.start(&made->log_, &made->inbox_, made->alive_ms_);
  return made;
}

void Session::give_up(const std::string& what) {
  loss_.declare("the server " + channel_->peer_name() + " sent " + what +
                "; the session is lost (are client and server of the same release?)");
  channel_->close();
}

bool Session::shake_hands(Lanes::Connect connect, std::string* error) {
  namespace control = protocol::control;
  const std::string hello = control::encode(make_hello(settings_));
  if (log_.append(message::Control{std::as_bytes(std::span(hello))}, [](uint64_t) {}) == 0 ||
      !log_.flush() || !inbox_.wait_until([&] { return inbox_.has_control(); }, "its welcome")) {
    *error = loss_.sentence();
    return false;
  }
  std::vector<std::byte> encoded;
  inbox_.take_control(&encoded);
  control::Control answer;
  std::string what;
  if (!control::decode(encoded, &answer, &what)) {
    *error = "the server " + settings_.server + " answered with a malformed welcome: " + what +
             " (is it a gpuserverd of the same release? see `farlane doctor`)";
    return false;
  }
  if (const auto* goodbye = std::get_if<control::Goodbye>(&answer)) {
    *error = "the server " + settings_.server + " refused the session: " + goodbye->text;
    return false;
  }
  const auto* welcome = std::get_if<control::Welcome>(&answer);
  if (welcome != nullptr && !check_welcome(*welcome, settings_.server, error)) {
    return false;
  }
  if (welcome == nullptr || welcome->devices.empty()) {
    *error = "the server " + settings_.server + " offered no device (see `farlane devices`)";
    return false;
  }
  driver_version = std::min(welcome->driver_version, CUDA_VERSION);
  uint64_t credit = welcome->credit_bytes;
  const auto credit_max = static_cast<uint64_t>(settings_.credit_bytes_max);
  if (credit_max != 0 && (credit == 0 || credit > credit_max)) {
    credit = credit_max;
  }
  log_.set_credit_bytes(credit);
  // Half of what is asked for: a sign of life may be a little late.
  alive_ms_ = welcome->heartbeat_ms / 2;
  lanes_.prepare(std::move(connect), welcome->session_token, welcome->lanes_max,
                 welcome->lane_chunk_bytes, [this] { channel_->close(); });
  make_devices(*welcome, this);
  told_devices = welcome->devices;
  return true;
}

bool Session::reserve_windows(std::string* error) {
  // Somewhere the host has nothing mapped, and keeps nothing mapped: reserved here too, so that an
  // address is either the device's or the host's. Sanitizers and odd programs occupy some
  // candidates.
  // Windows are counted as the server counts devices, also where CUDA_VISIBLE_DEVICES hides some.
  uint64_t count = 1;
  for (const auto& device : devices) {
    count = std::max<uint64_t>(count, device->server_ordinal + uint64_t{1});
  }
  for (const Window& window : window_candidates(static_cast<uint64_t>(settings_.window_base))) {
    const uint64_t bytes = window.bytes_per_device * count;
    // A hint and no MAP_FIXED_NOREPLACE: the kernel takes it when it is free, and the thread
    // sanitizer replaces one that it cannot have by 0, which must not become a fixed address.
    void* at = ::mmap(reinterpret_cast<void*>(window.base), bytes, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) {
      continue;
    }
    if (at != reinterpret_cast<void*>(window.base)) {
      ::munmap(at, bytes);
      continue;
    }
    const CUresult result = ask(
        message::WindowsReserve{.base = window.base, .bytes_per_device = window.bytes_per_device});
    if (result == CUDA_SUCCESS) {
      for (auto& device : devices) {
        AddressSpaceOptions options;
        options.base = window.base + device->server_ordinal * window.bytes_per_device;
        options.bytes = window.bytes_per_device;
        options.extent_bytes_min = static_cast<uint64_t>(settings_.extent_bytes_min);
        options.cached_bytes_max = static_cast<uint64_t>(settings_.cached_bytes_max);
        std::lock_guard lock(device->memory_mutex);
        // The far half belongs to addresses that the program reserves itself.
        const uint64_t middle = options.base + options.bytes / 2;
        virtual_memory.open(device->ordinal, middle, options.base + options.bytes);
        options.extents_end = middle;
        device->memory.open(options, device.get());
      }
      return true;
    }
    ::munmap(at, bytes);
    if (lost()) {
      *error = loss_.sentence();
      return false;
    }
  }
  *error = "no range of device addresses is free both here and on the server " + settings_.server +
           " (setting: memory.window_base)";
  return false;
}

Device* Session::device_of(uint64_t address) {
  for (auto& device : devices) {
    if (device->memory.contains(address)) {
      return device.get();
    }
  }
  return nullptr;
}

bool Session::is_device_address(uint64_t address) {
  if (device_of(address) != nullptr) {
    return true;
  }
  std::shared_lock lock(variables_mutex);
  auto after = variables.upper_bound(address);
  return after != variables.begin() &&
         address - std::prev(after)->first < std::prev(after)->second.bytes;
}

bool Session::is_device_range(uint64_t address, uint64_t bytes, Device** device) {
  if (Device* owner = device_of(address); owner != nullptr) {
    *device = owner;
    {
      std::lock_guard lock(owner->memory_mutex);
      if (owner->memory.is_inside(address, bytes)) {
        return true;
      }
    }
    return virtual_memory.is_accessible(address, bytes);
  }
  std::shared_lock lock(variables_mutex);
  auto after = variables.upper_bound(address);
  if (after == variables.begin()) {
    return false;
  }
  const auto& [start, variable] = *std::prev(after);
  *device = variable.device;
  return address - start < variable.bytes && bytes <= variable.bytes - (address - start);
}

}  // namespace farlane::client
