// The real client core and the real worker in one process, joined by the in-process transport. The
// test decides who moves when: either the worker has a thread of its own, or the test takes every
// one of its steps.
#pragma once

#include <cuda.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "client/core/api.h"
#include "client/core/session.h"
#include "conf/client_settings.h"
#include "conf/server_settings.h"
#include "generated/server/driver_table.h"
#include "server/executor.h"
#include "server/host.h"
#include "transport/channel.h"
#include "transport/fault.h"
#include "transport/loopback.h"

namespace farlane::system_test {

// The software device's driver, with two devices; a session has one unless it asks for more.
inline constexpr uint64_t kDeviceBytes = uint64_t{256} << 20;  // each
inline constexpr int kDevices = 2;
const server::DriverTable& driver();
// What is free on the device as the driver counts it; needs no session.
uint64_t device_free_bytes();

// Far enough for a slow, shared machine under a sanitizer; reached only when something is broken.
inline constexpr auto kPatience = std::chrono::seconds(120);

struct RigOptions {
  ClientSettings client;
  ServerSettings server;
  transport::LoopbackOptions loopback;
  std::optional<transport::FaultPlan> client_faults;
  std::optional<transport::FaultPlan> server_faults;
  // Of the bulk lanes.
  transport::LoopbackOptions lane_loopback;
  std::optional<transport::FaultPlan> client_lane_faults;
  std::optional<transport::FaultPlan> server_lane_faults;
  // The command lane goes through rings in shared memory instead; then faults are not drawn.
  bool shared_memory = false;
  bool by_hand = false;        // the worker moves only in step() and pumped()
  uint32_t first_device = 0;   // that the worker is warm for; there are kDevices
  server::Ipc* ipc = nullptr;  // null: the worker can share nothing

  RigOptions();
};

class Rig {
 public:
  // The session is open afterwards (see `opened`), and device 0 the calling thread's current one.
  explicit Rig(const RigOptions& options = {});
  // Ends the client, then waits for the worker, which has freed everything then.
  ~Rig();
  Rig(const Rig&) = delete;

  CUresult opened() const { return opened_; }

  // One step of the worker, by hand. True when it did something.
  bool step() { return executor_->step(); }
  // Steps until it has nothing more to do for now.
  void settle() {
    while (step()) {
    }
  }
  // Runs `call` on another thread (with device 0 current there) while the test steps the worker.
  template <class Call>
  auto pumped(Call call) {
    auto result = start(std::move(call));
    const auto end = std::chrono::steady_clock::now() + kPatience;
    while (result.wait_for(std::chrono::seconds(0)) != std::future_status::ready) {
      if (!step()) std::this_thread::yield();
      if (std::chrono::steady_clock::now() > end) {
        ADD_FAILURE() << "a call does not return";
        std::abort();  // its thread cannot be ended
      }
    }
    return result.get();
  }
  // The same without stepping: the result comes when the worker has moved.
  template <class Call>
  auto start(Call call) {
    return std::async(std::launch::async, [call = std::move(call)]() mutable {
      client::make_device_current(0);
      return call();
    });
  }

  // The connection breaks, as when either process dies.
  void cut() { server_channel_->close(); }
  // Ends the client's session; the worker sees the connection end.
  void end_client();
  // Waits until the worker has ended; why it did.
  server::SessionEnd wait_for_worker();
  const std::string& worker_text() const { return end_text_; }
  uint64_t executed() const { return executor_->executed(); }
  // While the worker, with a thread of its own, lives.
  uint64_t lane_naps() {
    const std::scoped_lock lock(lanes_mutex_);
    return lane_executor_ == nullptr ? 0 : lane_executor_->lane_naps();
  }

 private:
  void serve();
  std::unique_ptr<transport::Channel> connect_lane(std::string* why);

  const RigOptions options_;
  std::unique_ptr<transport::Channel> server_channel_;
  std::unique_ptr<server::Host> host_;
  std::unique_ptr<server::Executor> executor_;
  std::mutex lanes_mutex_;
  server::Executor* lane_executor_ = nullptr;  // guarded by lanes_mutex_; null: it has ended
  size_t lanes_ = 0;                           // guarded by lanes_mutex_; made so far
  std::thread worker_;
  server::SessionEnd end_ = server::SessionEnd::kNotYet;
  std::string end_text_;
  CUresult opened_ = CUDA_SUCCESS;
  bool client_ended_ = false;
};

// The kernels of kernels.cu, loaded into the open session. `rig` steps the worker if it is by hand.
struct Kernels {
  CUmodule module = nullptr;
  CUfunction scale_add = nullptr;
  CUfunction wait_for = nullptr;
  CUfunction store = nullptr;

  // [asks]
  CUresult load(int device = 0);
  CUresult launch_scale_add(CUstream stream, CUdeviceptr data, uint32_t count, uint32_t factor,
                            uint32_t summand) const;
  CUresult launch_wait_for(CUstream stream, CUdeviceptr gate) const;
  CUresult launch_store(CUstream stream, CUdeviceptr address, uint32_t value) const;
};

// A device word that a kernel of `wait_for` watches: closed when made, opened once. The device's
// memory lies in this process; the word must still be there when the gate opens.
class Gate {
 public:
  CUresult make();  // [asks]
  void open();
  CUdeviceptr address() const { return address_; }

 private:
  CUdeviceptr address_ = 0;
  CUstream stream_ = nullptr;
};

// Device memory and a stream to work on it, which a test can hold up.
struct HeldStream {
  Kernels kernels;
  Gate gate;
  CUdeviceptr data = 0;
  CUstream stream = nullptr;

  CUresult make(size_t data_bytes);  // [asks]
  // What is put into the stream from now on happens when the gate opens.
  CUresult hold() const { return kernels.launch_wait_for(stream, gate.address()); }
};

// 1-D copies; host memory by address.
CUresult to_device(CUdeviceptr to, const void* from, size_t bytes, CUstream stream, bool async);
CUresult to_host(void* to, CUdeviceptr from, size_t bytes, CUstream stream, bool async);
CUresult within(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream);
CUresult fill_words(CUdeviceptr to, uint32_t value, size_t count, CUstream stream);

// `count` words that differ for every `salt`.
std::vector<uint32_t> words(size_t count, uint64_t salt);

}  // namespace farlane::system_test
