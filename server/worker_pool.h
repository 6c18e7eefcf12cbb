// The supervisor's workers: started ahead, given sessions, replaced when they die.
#pragma once

#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "conf/server_settings.h"
#include "server/ipc_names.h"
#include "server/worker_process.h"
#include "transport/fd.h"

namespace farlane::server {

class WorkerPool {
 public:
  struct Events {
    std::function<void()> ready;  // the first worker says which devices there are
    std::function<void(const std::string&)> not_ready;  // it cannot start, and none ever has
    std::function<void()> idle;                         // the last session is over
  };

  // `arguments`: this process's own.
  WorkerPool(asio::io_context& io, const ServerSettings& settings,
             std::vector<std::string> arguments, Events events);

  // Starts the first worker, on the driver at `driver`.
  void start(const std::string& driver);
  // False: there are max_sessions already.
  bool has_room() const;
  // Gives a connection to a worker of the devices with the fewest sessions, now or when one is
  // warm. It will have `devices_wanted` of them; 0: all.
  void serve(transport::Fd socket, const std::string& client, uint32_t devices_wanted);
  // Gives a connection to the worker whose session has this token. False: there is none.
  bool give_lane(const transport::Fd& socket, const std::string& token);
  // Workers that wait go, and nothing is started any more.
  void stop_starting();
  // Tells all sessions to end.
  void end_sessions();
  void kill_all();
  // SIGCHLD.
  void reap();

  uint32_t session_count() const;
  // Those that have it, or wait for it, for each device. One may have several.
  std::vector<uint32_t> device_sessions() const;
  uint32_t warm_count() const;
  const std::vector<std::string>& device_messages() const { return device_messages_; }

 private:
  struct Waiting {
    transport::Fd socket;
    std::string client;
    uint32_t device = 0;  // the first
    uint32_t device_count = 1;
  };

  void spawn(uint32_t device);
  // As many workers warm or starting as the settings and the waiting connections ask for.
  void replenish();
  void listen_to(const std::shared_ptr<WorkerProcess>& worker);
  void on_message(const std::shared_ptr<WorkerProcess>& worker);
  void give(WorkerProcess& worker, Waiting waiting);
  // The first of the `count` devices in a row, the last one's next being the first, with the fewest
  // sessions: as few as possible on the one that has most, then on all of them.
  uint32_t least_loaded(uint32_t count) const;
  size_t count(uint32_t device, WorkerState state) const;
  void keep(WorkerProcess& worker, LinkMessage message);
  void on_exit(WorkerProcess& worker, int wait_status);
  void tell_last_words(WorkerProcess& worker);

  asio::io_context& io_;
  const ServerSettings& settings_;
  const std::vector<std::string> arguments_;
  const Events events_;
  asio::steady_timer retry_;
  std::string driver_;
  bool stopping_ = false;
  std::string start_failure_;  // what the last worker that could not start said
  uint64_t sessions_started_ = 0;
  std::vector<std::string> device_messages_;  // farlane.control.Device, in the driver's order
  std::vector<std::shared_ptr<WorkerProcess>> workers_;
  std::deque<Waiting> waiting_;
  IpcNames ipc_names_;
};

}  // namespace farlane::server
