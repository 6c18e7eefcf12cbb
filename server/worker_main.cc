#include "server/worker_main.h"

#include <fmt/format.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdlib>
#include <thread>

#include "generated/protocol/control.pb.h"
#include "server/control.h"
#include "server/driver_clock.h"
#include "server/executor.h"
#include "server/host.h"
#include "server/link.h"
#include "server/link_ipc.h"
#include "server/log.h"
#include "server/output_capture.h"
#include "transport/endpoint.h"

namespace farlane::server {

namespace {

constexpr auto kSegmentTime = std::chrono::seconds(1);

// Without destructors and exit handlers: a driver may wait in them for work that never ends, and
// the end of the process frees everything.
[[noreturn]] void leave(int code) {
  ::_exit(code);
}

void become_dependent() {
  // A worker without its supervisor is of no use to anybody.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  // Ctrl-C and systemd signal the whole group; the supervisor decides what becomes of sessions.
  ::signal(SIGINT, SIG_IGN);
  ::signal(SIGTERM, SIG_IGN);
  ::signal(SIGPIPE, SIG_IGN);
}

[[noreturn]] void fail(int link, const std::string& why) {
  send_link(link, LinkKind::kFailed, why);
  leave(1);
}

// Its own thread: the executor is at work.
void obey(int link, Executor* executor, LinkIpc* ipc, uint32_t tcp_wake_bytes) {
  for (;;) {
    LinkMessage message;
    if (receive_link(link, &message) != LinkStatus::kDone) leave(1);
    if (message.kind == LinkKind::kDrain) {
      executor->request_end(SessionEnd::kDraining, "the server is shutting down");
    } else if (message.kind == LinkKind::kShared) {
      ipc->deliver(std::move(message));
    } else if (message.kind == LinkKind::kLane && message.fd.get() >= 0) {
      std::string error;
      std::unique_ptr<transport::Channel> channel = transport::accept_channel(
          std::move(message.fd), transport::Clock::now() + kSegmentTime, &error, tcp_wake_bytes);
      if (channel != nullptr) {
        executor->adopt_lane(std::move(channel));
      } else {
        spdlog::info("a lane could not begin: {}", error);
      }
    }
  }
}

}  // namespace

void worker_main(const WorkerArguments& arguments, const ServerSettings& settings) {
  become_dependent();
  const int link = arguments.link_fd;
  std::string error;
  const std::unique_ptr<OutputCapture> output = OutputCapture::start(&error);
  if (output == nullptr) fail(link, error);
  output->send_reports_to_log();
  if (!send_link(link, LinkKind::kErrorPipe, "", output->error_pipe()) ||
      !send_link(link, LinkKind::kErrorMemory, "", output->error_memory())) {
    leave(1);
  }
  if (!start_log(settings, output->log_fd(), fmt::format("worker {}", ::getpid()), &error)) {
    fail(link, error);
  }
  if (settings.software_threads > 0) {
    ::setenv("FARLANE_SOFTCUDA_THREADS", std::to_string(settings.software_threads).c_str(), 1);
  }
  DriverTable driver;
  if (!load_driver(arguments.driver.c_str(), &driver, &error)) fail(link, error);
  if (settings.command_times) driver = timed_driver(driver);
  const std::unique_ptr<Host> host = Host::start(driver, settings, arguments.device, &error);
  if (host == nullptr) fail(link, error);

  control::Status status;
  const auto count = static_cast<uint32_t>(host->devices.size());
  for (uint32_t i = 0; i < count; ++i) {
    status.add_devices()->ParseFromString(device_message(*host, i, count));
  }
  if (!send_link(link, LinkKind::kReady, status.SerializeAsString())) leave(1);
  LinkMessage message;
  if (receive_link(link, &message) != LinkStatus::kDone || message.kind != LinkKind::kTake ||
      message.fd.get() < 0 || message.text.size() < kSessionTokenBytes) {
    leave(0);  // not needed any more
  }

  // A unix socket's segment comes with the hello, which is there already.
  const auto wake_bytes = static_cast<uint32_t>(settings.wake_bytes);
  const std::unique_ptr<transport::Channel> channel = transport::accept_channel(
      std::move(message.fd), transport::Clock::now() + kSegmentTime, &error, wake_bytes);
  if (channel == nullptr) {
    spdlog::warn("{} could not begin: {}", message.text.substr(kSessionTokenBytes), error);
    send_link(link, LinkKind::kEnded, error);
    leave(0);
  }
  // Text the driver wrote while it started is nobody's output.
  std::string out;
  std::string err;
  output->take(&out, &err);
  if (!err.empty()) spdlog::debug("driver: {}", err);

  LinkIpc ipc(link);
  Executor executor(*host, *channel, settings, output.get());
  executor.set_ipc(&ipc);
  executor.set_session_token(message.text.substr(0, kSessionTokenBytes));
  const std::string session = message.text.substr(kSessionTokenBytes);
  std::thread([&] { obey(link, &executor, &ipc, wake_bytes); }).detach();
  const SessionEnd end = executor.run();
  const std::string why = executor.end_text().empty()
                              ? session_end_name(end)
                              : fmt::format("{}: {}", session_end_name(end), executor.end_text());
  spdlog::log(
      end == SessionEnd::kClientDone || end == SessionEnd::kPeerGone || end == SessionEnd::kDraining
          ? spdlog::level::info
          : spdlog::level::warn,
      "{} of {} ended after {} commands: {}", session, channel->peer_name(), executor.executed(),
      why);
  send_link(link, LinkKind::kEnded, why);
  leave(0);
}

}  // namespace farlane::server
