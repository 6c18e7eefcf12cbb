#include "server/worker_pool.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/wait.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <utility>

#include "generated/protocol/control.pb.h"
#include "server/control.h"
#include "server/handshake.h"

namespace farlane::server {

namespace {
// A worker that cannot start is not tried again at once, over and over.
constexpr auto kRetryTime = std::chrono::seconds(2);
}  // namespace

WorkerPool::WorkerPool(asio::io_context& io, const ServerSettings& settings,
                       std::vector<std::string> arguments, Events events)
    : io_(io),
      settings_(settings),
      arguments_(std::move(arguments)),
      events_(std::move(events)),
      retry_(io) {}

void WorkerPool::start(const std::string& driver) {
  driver_ = driver;
  spawn(0);
}

void WorkerPool::spawn(uint32_t device) {
  std::string error;
  LinkPair pair;
  if (!make_link(&pair, &error)) {
    spdlog::error("{}", error);
    return;
  }
  std::vector<std::string> arguments{"--worker", std::to_string(pair.worker.get()),
                                     std::to_string(device), driver_};
  arguments.insert(arguments.end(), arguments_.begin(), arguments_.end());
  auto worker = std::make_shared<WorkerProcess>(io_);
  worker->pid = spawn_worker(arguments, settings_.libraries_path, pair.worker.get(), &error);
  if (worker->pid < 0) {
    spdlog::error("{}", error);
    return;
  }
  worker->device = device;
  worker->link.assign(pair.supervisor.release());
  workers_.push_back(worker);
  listen_to(worker);
}

void WorkerPool::listen_to(const std::shared_ptr<WorkerProcess>& worker) {
  worker->link.async_wait(asio::posix::stream_descriptor::wait_read,
                          [this, worker](const std::error_code& error) {
                            if (!error) on_message(worker);
                          });
}

void WorkerPool::on_message(const std::shared_ptr<WorkerProcess>& worker) {
  LinkMessage message;
  switch (receive_link(worker->link.native_handle(), &message)) {
    case LinkStatus::kGone:
      return;  // SIGCHLD tells the rest
    case LinkStatus::kNothing:
      break;
    case LinkStatus::kDone:
      switch (message.kind) {
        case LinkKind::kReady: {
          worker->state = WorkerState::kWarm;
          const bool first = device_messages_.empty();
          control::Status status;
          if (first && status.ParseFromString(message.text)) {
            for (const control::Device& device : status.devices()) {
              device_messages_.push_back(device.SerializeAsString());
            }
          }
          spdlog::debug("worker {} is warm on device {}", worker->pid, worker->device);
          if (first) events_.ready();
          const auto waiting =
              std::find_if(waiting_.begin(), waiting_.end(),
                           [&](const Waiting& one) { return one.device == worker->device; });
          if (waiting != waiting_.end()) {
            Waiting one = std::move(*waiting);
            waiting_.erase(waiting);
            give(*worker, std::move(one));
          }
          replenish();
          break;
        }
        case LinkKind::kFailed:
        case LinkKind::kEnded:
        case LinkKind::kErrorPipe:
        case LinkKind::kErrorMemory:
          keep(*worker, std::move(message));
          break;
        case LinkKind::kShare:
        case LinkKind::kOpen:
        case LinkKind::kForget:
          ipc_names_.on_message(worker->pid, worker->link.native_handle(), std::move(message));
          break;
        case LinkKind::kTake:
        case LinkKind::kLane:
        case LinkKind::kDrain:
        case LinkKind::kShared:
          break;  // only supervisors say that
      }
      break;
  }
  listen_to(worker);
}

// What is wanted of a worker that is dead.
void WorkerPool::keep(WorkerProcess& worker, LinkMessage message) {
  if (message.kind == LinkKind::kFailed || message.kind == LinkKind::kEnded) {
    worker.ended = std::move(message.text);
  } else if (message.kind == LinkKind::kErrorPipe) {
    worker.last_words.set_pipe(std::move(message.fd));
  } else if (message.kind == LinkKind::kErrorMemory) {
    worker.last_words.set_memory(std::move(message.fd));
  }
}

size_t WorkerPool::count(uint32_t device, WorkerState state) const {
  return static_cast<size_t>(std::count_if(
      workers_.begin(), workers_.end(),
      [&](const auto& worker) { return worker->device == device && worker->state == state; }));
}

void WorkerPool::replenish() {
  if (stopping_) return;
  for (uint32_t device = 0; device < device_messages_.size(); ++device) {
    const auto waiting = static_cast<size_t>(
        std::count_if(waiting_.begin(), waiting_.end(),
                      [&](const Waiting& one) { return one.device == device; }));
    const size_t wanted = static_cast<size_t>(settings_.warm_workers) + waiting;
    const size_t present =
        count(device, WorkerState::kWarm) + count(device, WorkerState::kStarting);
    for (size_t i = present; i < wanted; ++i) spawn(device);
  }
}

std::vector<uint32_t> WorkerPool::device_sessions() const {
  std::vector<uint32_t> sessions(device_messages_.size(), 0);
  const auto add = [&](uint32_t first, uint32_t count) {
    for (uint32_t i = 0; i < count; ++i) ++sessions[(first + i) % sessions.size()];
  };
  for (const auto& worker : workers_) {
    if (worker->state == WorkerState::kServing) add(worker->device, worker->device_count);
  }
  for (const Waiting& one : waiting_) add(one.device, one.device_count);
  return sessions;
}

uint32_t WorkerPool::least_loaded(uint32_t count) const {
  const std::vector<uint32_t> sessions = device_sessions();
  uint32_t best = 0;
  std::pair<uint32_t, uint32_t> best_load{UINT32_MAX, UINT32_MAX};  // of one, of all
  for (uint32_t first = 0; first < sessions.size(); ++first) {
    std::pair<uint32_t, uint32_t> load{0, 0};
    for (uint32_t i = 0; i < count; ++i) {
      const uint32_t one = sessions[(first + i) % sessions.size()];
      load = {std::max(load.first, one), load.second + one};
    }
    if (load < best_load) {
      best = first;
      best_load = load;
    }
  }
  return best;
}

bool WorkerPool::has_room() const {
  return session_count() < static_cast<uint32_t>(settings_.max_sessions);
}

void WorkerPool::serve(transport::Fd socket, const std::string& client, uint32_t devices_wanted) {
  const auto present = static_cast<uint32_t>(device_messages_.size());
  const uint32_t count = devices_wanted == 0 ? present : std::min(devices_wanted, present);
  Waiting one{std::move(socket), client, least_loaded(count), count};
  for (const auto& worker : workers_) {
    if (worker->device == one.device && worker->state == WorkerState::kWarm) {
      give(*worker, std::move(one));
      replenish();
      return;
    }
  }
  waiting_.push_back(std::move(one));
  replenish();
}

void WorkerPool::give(WorkerProcess& worker, Waiting waiting) {
  const std::string session = fmt::format("session {}", ++sessions_started_);
  worker.token = new_session_token();
  if (!send_link(worker.link.native_handle(), LinkKind::kTake, worker.token + session,
                 waiting.socket.get())) {
    // It died this moment; the next one takes the connection.
    worker.state = WorkerState::kServing;
    worker.session = session + " (not begun)";
    waiting_.push_front(std::move(waiting));
    return;
  }
  worker.state = WorkerState::kServing;
  worker.device_count = waiting.device_count;
  worker.session = fmt::format("{} of {}", session, waiting.client);
  std::string devices = std::to_string(worker.device);
  for (uint32_t i = 1; i < worker.device_count; ++i) {
    devices += fmt::format(", {}", (worker.device + i) % device_messages_.size());
  }
  spdlog::info("{} goes to worker {} on device{} {}", worker.session, worker.pid,
               worker.device_count == 1 ? "" : "s", devices);
}

bool WorkerPool::give_lane(const transport::Fd& socket, const std::string& token) {
  const auto found = std::find_if(workers_.begin(), workers_.end(), [&](const auto& worker) {
    return worker->state == WorkerState::kServing && worker->token == token;
  });
  return found != workers_.end() &&
         send_link((*found)->link.native_handle(), LinkKind::kLane, "", socket.get());
}

void WorkerPool::reap() {
  for (size_t i = 0; i < workers_.size();) {
    int status = 0;
    const std::shared_ptr<WorkerProcess> worker = workers_[i];
    if (::waitpid(worker->pid, &status, WNOHANG) != worker->pid) {
      ++i;
      continue;
    }
    // What it said last may still be in the link.
    LinkMessage message;
    while (receive_link(worker->link.native_handle(), &message) == LinkStatus::kDone) {
      keep(*worker, std::move(message));
    }
    ipc_names_.forget_all(worker->pid);
    std::error_code ignored;
    worker->link.close(ignored);
    workers_.erase(workers_.begin() + static_cast<std::ptrdiff_t>(i));
    on_exit(*worker, status);
  }
}

void WorkerPool::tell_last_words(WorkerProcess& worker) {
  const std::string words = worker.last_words.take();
  if (words.empty()) return;
  spdlog::warn("worker {} of {} on device {} wrote before its end:{}", worker.pid,
               worker.session.empty() ? "no session" : worker.session, worker.device,
               quoted_lines(words));
}

void WorkerPool::on_exit(WorkerProcess& worker, int wait_status) {
  const std::string how = describe_exit(wait_status);
  const bool sent_away = stopping_ && worker.state != WorkerState::kServing;
  if (wait_status != 0 && !sent_away) tell_last_words(worker);
  switch (worker.state) {
    case WorkerState::kServing:
      if (worker.ended.empty()) {
        spdlog::error("worker {} of {} on device {} {}; other sessions go on", worker.pid,
                      worker.session, worker.device, how);
      } else {
        spdlog::debug("worker {} of {} {}", worker.pid, worker.session, how);
      }
      if (session_count() == 0) events_.idle();
      replenish();
      return;
    case WorkerState::kWarm:
      if (stopping_) return;
      spdlog::warn("warm worker {} on device {} {}; starting another", worker.pid, worker.device,
                   how);
      break;
    case WorkerState::kStarting:
      if (stopping_) return;
      start_failure_ =
          worker.ended.empty() ? fmt::format("worker {} {}", worker.pid, how) : worker.ended;
      if (device_messages_.empty()) {
        events_.not_ready(start_failure_);
        return;
      }
      spdlog::error("worker {} on device {} could not start: {}", worker.pid, worker.device,
                    start_failure_);
      // Whoever waits for it is told, instead of waiting for the next failure.
      for (auto waiting = waiting_.begin(); waiting != waiting_.end();) {
        if (waiting->device != worker.device) {
          ++waiting;
          continue;
        }
        send_and_close(io_, std::move(waiting->socket),
                       goodbye_message(SessionEnd::kWorkerFailed,
                                       "no worker could be started: " + start_failure_));
        waiting = waiting_.erase(waiting);
      }
      break;
  }
  retry_.expires_after(kRetryTime);
  retry_.async_wait([this](const std::error_code& error) {
    if (!error) replenish();
  });
}

void WorkerPool::stop_starting() {
  stopping_ = true;
  retry_.cancel();
  for (Waiting& waiting : waiting_) {
    send_and_close(io_, std::move(waiting.socket),
                   goodbye_message(SessionEnd::kDraining, "the server is shutting down"));
  }
  waiting_.clear();
  for (const auto& worker : workers_) {
    if (worker->state != WorkerState::kServing) ::kill(worker->pid, SIGKILL);
  }
}

void WorkerPool::end_sessions() {
  for (const auto& worker : workers_) {
    if (worker->state != WorkerState::kServing) continue;
    send_link(worker->link.native_handle(), LinkKind::kDrain, "");
  }
}

void WorkerPool::kill_all() {
  for (const auto& worker : workers_) ::kill(worker->pid, SIGKILL);
}

uint32_t WorkerPool::session_count() const {
  const auto serving = std::count_if(workers_.begin(), workers_.end(), [](const auto& worker) {
    return worker->state == WorkerState::kServing;
  });
  return static_cast<uint32_t>(serving) + static_cast<uint32_t>(waiting_.size());
}

uint32_t WorkerPool::warm_count() const {
  return static_cast<uint32_t>(
      std::count_if(workers_.begin(), workers_.end(),
                    [](const auto& worker) { return worker->state == WorkerState::kWarm; }));
}

}  // namespace farlane::server
