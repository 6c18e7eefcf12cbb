#include "server/supervisor.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/wait.h>
#include <unistd.h>

#include <asio/io_context.hpp>
#include <asio/signal_set.hpp>
#include <asio/steady_timer.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "conf/host_port.h"
#include "server/control.h"
#include "server/handshake.h"
#include "server/worker_pool.h"
#include "server/worker_process.h"
#include "transport/endpoint.h"
#include "transport/tcp.h"

namespace farlane::server {

namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::seconds;

// Connections that have not said yet what they want; more are turned away.
constexpr size_t kHandshakesMax = 64;
// How long sessions that were told to end may take for it.
constexpr auto kEndTime = seconds(3);
constexpr const char* kCudaDriver = "libcuda.so.1";
constexpr const char* kNvml = "libnvidia-ml.so.1";
constexpr size_t kMonitorsMax = 32;

// The software device: where the setting says, or beside this program as installed or built.
std::string software_driver(const ServerSettings& settings, std::string* error) {
  if (!settings.software_library.empty()) return settings.software_library;
  std::error_code failed;
  const fs::path self = fs::read_symlink("/proc/self/exe", failed);
  for (const char* place : {"../lib/farlane/libsoftcuda.so", "libsoftcuda.so"}) {
    const fs::path candidate = (self.parent_path() / place).lexically_normal();
    if (fs::exists(candidate, failed)) return candidate.string();
  }
  *error = fmt::format(
      "the software device was not found at {} (setting software_library, option "
      "--software-library)",
      (self.parent_path() / "../lib/farlane/libsoftcuda.so").lexically_normal().string());
  return "";
}

// What is asked about the devices; empty: nothing.
std::string nvml_of(const ServerSettings& settings, bool software) {
  if (settings.nvml_library != "auto") return settings.nvml_library;
  return software ? "" : kNvml;
}

class Supervisor {
 public:
  Supervisor(const ServerSettings& settings, std::vector<std::string> arguments)
      : settings_(settings),
        arguments_(std::move(arguments)),
        pool_(io_, settings_, arguments_,
              {[this] { on_ready(); }, [this](const std::string& why) { on_not_ready(why); },
               [this] { on_idle(); }}),
        signals_(io_, SIGTERM, SIGINT),
        children_(io_, SIGCHLD),
        drain_timer_(io_),
        listen_socket_(io_),
        local_socket_(io_) {}

  int run() {
    if (!listen()) return 1;
    if (settings_.device != "software") {
      pool_.start(kCudaDriver);
    } else if (!start_software()) {
      return 1;
    }
    await_signal();
    await_child();
    io_.run();
    if (!settings_.port_file.empty()) ::unlink(settings_.port_file.c_str());
    return exit_code_;
  }

 private:
  bool start_software() {
    std::string error;
    const std::string driver = software_driver(settings_, &error);
    if (driver.empty()) {
      spdlog::critical("{}", error);
      return false;
    }
    software_ = true;
    pool_.start(driver);
    return true;
  }

  // Bound first, so that a port in use is told before a driver is loaded; connections are taken
  // when the first worker is ready.
  bool listen() {
    conf::HostPort where;
    std::string error;
    if (!conf::parse_host_port(settings_.listen, &where, &error)) {
      spdlog::critical("listen: {}", error);
      return false;
    }
    listener_ = transport::TcpListener::listen(where.host, where.port, &error);
    if (listener_ == nullptr) {
      spdlog::critical("{} (setting listen)", error);
      return false;
    }
    return true;
  }

  void on_ready() {
    if (ending_) return;
    nvml_ = nvml_of(settings_, software_);
    listen_socket_.assign(::fcntl(listener_->fd(), F_DUPFD_CLOEXEC, 0));
    await_connection();
    listen_beside();
    spdlog::info("listening on {} with {} ({} device{})", listener_->address(),
                 software_ ? "the software device" : "CUDA", pool_.device_messages().size(),
                 pool_.device_messages().size() == 1 ? "" : "s");
    if (!settings_.port_file.empty() && !write_port_file()) end(1);
  }

  // The socket for shared memory, named after the port. Without it clients use TCP.
  void listen_beside() {
    if (settings_.socket_access == "off") return;
    conf::HostPort where;
    std::string error;
    const bool known = conf::parse_host_port(settings_.listen, &where, &error);
    // Who asks for the port on the loopback address must not get a server of another address.
    if (!known || (settings_.socket_dir.empty() && !transport::is_loopback(where.host) &&
                   where.host != "0.0.0.0" && where.host != "::")) {
      return;
    }
    const uint32_t mode = settings_.socket_access == "owner"   ? 0600
                          : settings_.socket_access == "group" ? 0660
                                                               : 0666;
    local_listener_ = transport::listen_beside(transport::socket_folders(settings_.socket_dir),
                                               listener_->port(), mode, &error);
    if (local_listener_ == nullptr) {
      spdlog::log(settings_.socket_dir.empty() ? spdlog::level::info : spdlog::level::warn,
                  "no shared memory is offered: {} (setting connection.socket_dir)", error);
      return;
    }
    local_socket_.assign(::fcntl(local_listener_->fd(), F_DUPFD_CLOEXEC, 0));
    await_local_connection();
    spdlog::info("shared memory is offered at {}", local_listener_->path());
  }

  bool write_port_file() {
    // Written aside and renamed: whoever sees the file sees all of it.
    const std::string temporary = fmt::format("{}.{}", settings_.port_file, ::getpid());
    std::FILE* file = std::fopen(temporary.c_str(), "w");
    const std::string line = listener_->address() + "\n";
    const bool written = file != nullptr && std::fputs(line.c_str(), file) >= 0;
    const bool closed = file == nullptr || std::fclose(file) == 0;
    if (written && closed && std::rename(temporary.c_str(), settings_.port_file.c_str()) == 0) {
      return true;
    }
    spdlog::critical("cannot write {}: {} (setting port_file)", settings_.port_file,
                     std::strerror(errno));
    return false;
  }

  void on_not_ready(const std::string& why) {
    if (settings_.device == "auto" && !software_) {
      spdlog::info("no CUDA device is usable ({}); using the software device", why);
      if (!start_software()) end(1);
      return;
    }
    spdlog::critical("{}", why);
    end(1);
  }

  void await_connection() {
    listen_socket_.async_wait(asio::posix::stream_descriptor::wait_read,
                              [this](const std::error_code& error) {
                                if (error || stopping_) return;
                                accept();
                                await_connection();
                              });
  }

  void await_local_connection() {
    local_socket_.async_wait(asio::posix::stream_descriptor::wait_read,
                             [this](const std::error_code& error) {
                               if (error || stopping_) return;
                               std::string why;
                               transport::Fd socket = local_listener_->accept(&why);
                               take(std::move(socket), why);
                               await_local_connection();
                             });
  }

  void accept() {
    std::string error;
    transport::Fd socket = listener_->accept(transport::Clock::now(), &error);
    take(std::move(socket), error);
  }

  void take(transport::Fd socket, const std::string& error) {
    if (!socket) {
      if (!error.empty()) {
        spdlog::error("accepting a connection failed: {}", error);
      }
      return;
    }
    if (handshakes_ >= kHandshakesMax) {
      spdlog::warn("a connection was refused: {} others have not said yet what they want",
                   handshakes_);
      send_and_close(io_, std::move(socket),
                     busy_message("too many connections are starting; try again"));
      return;
    }
    ++handshakes_;
    std::make_shared<Handshake>(io_, std::move(socket),
                                milliseconds(settings_.handshake_timeout_ms), handshake_events_)
        ->start();
  }

  void place(transport::Fd socket, const HelloFacts& hello, const std::string& peer) {
    if (stopping_) {
      send_and_close(io_, std::move(socket),
                     goodbye_message(SessionEnd::kDraining, "the server is shutting down"));
    } else if (!pool_.has_room()) {
      const std::string text =
          fmt::format("the server has its {} sessions already (setting sessions.max_sessions)",
                      settings_.max_sessions);
      spdlog::info("{}: refused: {}", peer, text);
      send_and_close(io_, std::move(socket), busy_message(text));
    } else {
      pool_.serve(std::move(socket), fmt::format("{} ({})", peer, hello.client),
                  hello.devices_wanted);
    }
  }

  void place_lane(transport::Fd socket, const HelloFacts& hello, const std::string& peer) {
    if (pool_.give_lane(socket, hello.session_token)) return;
    spdlog::info("{}: refused: a lane for a session that is not here", peer);
    send_and_close(
        io_, std::move(socket),
        goodbye_message(SessionEnd::kProtocol, "this server has no session with the lane's token"));
  }

  // A process of its own for each connection that asks about the devices.
  bool monitor(const transport::Fd& socket) {
    if (nvml_.empty() || stopping_) return false;
    if (monitors_.size() >= kMonitorsMax) {
      spdlog::warn("a monitoring connection was refused: there are {} already", monitors_.size());
      return false;
    }
    std::vector<std::string> arguments{"--monitor", std::to_string(socket.get()), nvml_};
    arguments.insert(arguments.end(), arguments_.begin(), arguments_.end());
    std::string error;
    const pid_t pid = spawn_worker(arguments, {}, socket.get(), &error);
    if (pid < 0) {
      spdlog::error("{}", error);
      return false;
    }
    monitors_.push_back(pid);
    return true;
  }

  void reap_monitors() {
    std::erase_if(monitors_, [](pid_t pid) {
      int status = 0;
      if (::waitpid(pid, &status, WNOHANG) != pid) return false;
      if (!WIFEXITED(status)) spdlog::warn("monitor {} {}", pid, describe_exit(status));
      return true;
    });
  }

  std::string status() const {
    const auto uptime = std::chrono::steady_clock::now() - started_;
    return status_message(
        {pool_.session_count(), pool_.warm_count(),
         static_cast<uint64_t>(std::chrono::duration_cast<milliseconds>(uptime).count()),
         pool_.device_sessions()},
        pool_.device_messages());
  }

  void await_child() {
    children_.async_wait([this](const std::error_code& error, int) {
      if (error) return;
      pool_.reap();
      reap_monitors();
      await_child();
    });
  }

  void await_signal() {
    signals_.async_wait([this](const std::error_code& error, int signal) {
      if (error) return;
      await_signal();
      if (stopping_) {
        spdlog::info("second signal: ending at once");
        end_sessions();
      } else {
        drain(signal);
      }
    });
  }

  void drain(int signal) {
    stopping_ = true;
    std::error_code ignored;
    listen_socket_.close(ignored);
    listener_.reset();
    local_socket_.close(ignored);
    local_listener_.reset();
    pool_.stop_starting();
    const uint32_t sessions = pool_.session_count();
    if (sessions == 0) {
      spdlog::info("{}: stopping", ::strsignal(signal));
      return end(0);
    }
    spdlog::info("{}: stopping; {} session{} may go on for {} s (setting sessions.drain_s)",
                 ::strsignal(signal), sessions, sessions == 1 ? "" : "s", settings_.drain_s);
    drain_timer_.expires_after(seconds(settings_.drain_s));
    drain_timer_.async_wait([this](const std::error_code& error) {
      if (!error) end_sessions();
    });
  }

  void end_sessions() {
    pool_.end_sessions();
    drain_timer_.expires_after(kEndTime);
    drain_timer_.async_wait([this](const std::error_code& error) {
      if (!error) end(0);
    });
  }

  void on_idle() {
    if (stopping_) end(0);
  }

  void end(int exit_code) {
    if (ending_) return;
    ending_ = true;
    stopping_ = true;
    exit_code_ = exit_code;
    pool_.kill_all();
    for (const pid_t monitor : monitors_) ::kill(monitor, SIGKILL);
    io_.stop();
  }

  const ServerSettings& settings_;
  const std::vector<std::string> arguments_;
  std::vector<pid_t> monitors_;
  std::string nvml_;  // empty: nobody is asked
  const std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  asio::io_context io_{1};
  WorkerPool pool_;
  asio::signal_set signals_;
  asio::signal_set children_;
  asio::steady_timer drain_timer_;
  std::unique_ptr<transport::TcpListener> listener_;
  asio::posix::stream_descriptor listen_socket_;
  std::unique_ptr<transport::UnixListener> local_listener_;
  asio::posix::stream_descriptor local_socket_;
  size_t handshakes_ = 0;
  bool software_ = false;
  bool stopping_ = false;
  bool ending_ = false;
  int exit_code_ = 0;
  const std::shared_ptr<const Handshake::Events> handshake_events_ =
      std::make_shared<const Handshake::Events>(Handshake::Events{
          [this](transport::Fd socket, const HelloFacts& hello, const std::string& peer) {
            place(std::move(socket), hello, peer);
          },
          [this](transport::Fd socket, const HelloFacts& hello, const std::string& peer) {
            place_lane(std::move(socket), hello, peer);
          },
          [this](const transport::Fd& socket) { return monitor(socket); },
          [this] { return status(); }, [this] { --handshakes_; }});
};

}  // namespace

int supervise(const ServerSettings& settings, std::vector<std::string> arguments) {
  ::signal(SIGPIPE, SIG_IGN);
  Supervisor supervisor(settings, std::move(arguments));
  return supervisor.run();
}

}  // namespace farlane::server
