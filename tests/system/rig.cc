#include "tests/system/rig.h"

#include <spdlog/spdlog.h>
#include <sys/mman.h>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "transport/shm.h"

namespace farlane::system_test {
namespace {

decltype(server::DriverTable::cuMemAddressReserve) g_reserve = nullptr;
std::atomic<bool> g_client_gives_way = false;

// Client and worker reserve a session's window each in its own process. Here both are one: the
// client's reservation, made just before it asks for the server's, gives way to it.
CUresult CUDAAPI reserve(CUdeviceptr* address, size_t bytes, size_t alignment, CUdeviceptr hint,
                         unsigned long long flags) {
  if (g_client_gives_way) ::munmap(reinterpret_cast<void*>(hint), bytes);
  return g_reserve(address, bytes, alignment, hint, flags);
}

server::DriverTable load() {
  ::setenv("FARLANE_SOFTCUDA_MEMORY_MIB", std::to_string(kDeviceBytes >> 20).c_str(), 1);
  ::setenv("FARLANE_SOFTCUDA_DEVICES", std::to_string(kDevices).c_str(), 1);
  ::setenv("FARLANE_SOFTCUDA_THREADS", "2", 1);
  spdlog::set_level(spdlog::level::warn);
  server::DriverTable table;
  std::string error;
  if (!server::load_driver(FARLANE_TEST_DRIVER, &table, &error)) {
    ADD_FAILURE() << error;
    std::abort();
  }
  g_reserve = std::exchange(table.cuMemAddressReserve, &reserve);
  return table;
}

std::vector<std::byte> file_bytes(const char* path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

CUresult launch_packed(CUfunction function, CUstream stream, unsigned threads, void** params) {
  client::Launch launch;
  launch.block[0] = std::min(threads, 128u);
  launch.grid[0] = (threads + launch.block[0] - 1) / launch.block[0];
  launch.stream = stream;
  launch.params = params;
  return client::launch(function, launch);
}

}  // namespace

const server::DriverTable& driver() {
  static const server::DriverTable table = load();
  return table;
}

uint64_t device_free_bytes() {
  size_t free_bytes = 0;
  size_t total_bytes = 0;
  // On a thread of its own: which context is current is this thread's business.
  std::thread([&] {
    CUcontext context = nullptr;
    EXPECT_EQ(driver().cuInit(0), CUDA_SUCCESS);
    EXPECT_EQ(driver().cuDevicePrimaryCtxRetain(&context, 0), CUDA_SUCCESS);
    EXPECT_EQ(driver().cuCtxSetCurrent(context), CUDA_SUCCESS);
    EXPECT_EQ(driver().cuMemGetInfo(&free_bytes, &total_bytes), CUDA_SUCCESS);
    EXPECT_EQ(driver().cuDevicePrimaryCtxRelease(0), CUDA_SUCCESS);
  }).join();
  EXPECT_EQ(total_bytes, kDeviceBytes);
  return free_bytes;
}

RigOptions::RigOptions() {
  client.log_level = "off";
  client.server = "in this process";
  // Nobody is slow on purpose here, so silence is a fault and a test that hangs should say so.
  client.call_timeout_ms = 60'000;
  client.extent_bytes_min = 2 * conf::kMiB;
  server.module_cache_bytes_max = 0;
  server.heartbeat_ms = 100;
#ifdef __SANITIZE_THREAD__
  // The window that the worker reserves at its start, of a size that the sanitizer can shadow.
  server.window_base = 0x5580'0000'0000;
  server.window_bytes = int64_t{64} << 30;
#endif
}

Rig::Rig(const RigOptions& options) : options_(options) {
  driver();
  transport::LoopbackPair pair;
  if (options.shared_memory) {
    std::string why;
    transport::ShmPair made = transport::make_shm_pair(&why, {.first_frame_over_socket = false});
    if (made.a == nullptr) {
      ADD_FAILURE() << why;
      std::abort();
    }
    pair = {std::move(made.a), std::move(made.b)};
  } else {
    pair = transport::make_loopback(options.loopback);
  }
  if (options.client_faults) {
    pair.a = transport::make_faulty(std::move(pair.a), *options.client_faults);
  }
  if (options.server_faults) {
    pair.b = transport::make_faulty(std::move(pair.b), *options.server_faults);
  }
  server_channel_ = std::move(pair.b);
  g_client_gives_way = false;
  std::string error;
  host_ = server::Host::start(driver(), options_.server, options.first_device, &error);
  g_client_gives_way = true;
  if (host_ == nullptr) {
    ADD_FAILURE() << error;
    std::abort();
  }
  client::use_channel_for_session(std::move(pair.a), options.client,
                                  [this](std::string* why) { return connect_lane(why); });
  if (options.by_hand) {
    executor_ =
        std::make_unique<server::Executor>(*host_, *server_channel_, options_.server, nullptr);
    if (options.ipc != nullptr) executor_->set_ipc(options.ipc);
    lane_executor_ = executor_.get();
    opened_ = pumped([] { return client::session_start(); });
  } else {
    worker_ = std::thread([this] { serve(); });
    opened_ = client::session_start();
  }
  client::make_device_current(0);
}

Rig::~Rig() {
  end_client();
  wait_for_worker();
  {
    const std::scoped_lock lock(lanes_mutex_);
    lane_executor_ = nullptr;
  }
  executor_.reset();
}

std::unique_ptr<transport::Channel> Rig::connect_lane(std::string* why) {
  const std::scoped_lock lock(lanes_mutex_);
  if (lane_executor_ == nullptr) {
    *why = "the worker has ended";
    return nullptr;
  }
  transport::LoopbackPair pair = transport::make_loopback(options_.lane_loopback);
  const size_t lane = lanes_++;
  // Every lane has its own bad luck.
  const auto with = [&](std::unique_ptr<transport::Channel> channel,
                        std::optional<transport::FaultPlan> plan) {
    if (!plan) return channel;
    plan->seed += lane;
    return transport::make_faulty(std::move(channel), *plan);
  };
  pair.a = with(std::move(pair.a), options_.client_lane_faults);
  lane_executor_->adopt_lane(with(std::move(pair.b), options_.server_lane_faults));
  return std::move(pair.a);
}

void Rig::serve() {
  server::Executor executor(*host_, *server_channel_, options_.server, nullptr);
  if (options_.ipc != nullptr) executor.set_ipc(options_.ipc);
  {
    const std::scoped_lock lock(lanes_mutex_);
    lane_executor_ = &executor;
  }
  end_ = executor.run();
  {
    const std::scoped_lock lock(lanes_mutex_);
    lane_executor_ = nullptr;
  }
  end_text_ = executor.end_text();
}

void Rig::end_client() {
  if (std::exchange(client_ended_, true)) return;
  client::use_channel_for_session(nullptr, options_.client);
}

server::SessionEnd Rig::wait_for_worker() {
  if (worker_.joinable()) worker_.join();
  if (executor_ != nullptr) {
    settle();
    end_ = executor_->end();
    end_text_ = executor_->end_text();
  }
  return end_;
}

CUresult Kernels::load(int device) {
  static const std::vector<std::byte> ptx = [] {
    std::vector<std::byte> bytes = file_bytes(FARLANE_TEST_PTX);
    bytes.push_back(std::byte{0});
    return bytes;
  }();
  const void* image = ptx.data();
  CUresult result = client::module_load(device, {&image, 1}, &module, nullptr);
  if (result != CUDA_SUCCESS) return result;
  result = client::module_function(module, "scale_add", &scale_add);
  if (result != CUDA_SUCCESS) return result;
  result = client::module_function(module, "wait_for", &wait_for);
  if (result != CUDA_SUCCESS) return result;
  return client::module_function(module, "store", &store);
}

CUresult Kernels::launch_scale_add(CUstream stream, CUdeviceptr data, uint32_t count,
                                   uint32_t factor, uint32_t summand) const {
  void* params[] = {&data, &count, &factor, &summand};
  return launch_packed(scale_add, stream, count, params);
}

CUresult Kernels::launch_wait_for(CUstream stream, CUdeviceptr gate) const {
  void* params[] = {&gate};
  return launch_packed(wait_for, stream, 1, params);
}

CUresult Kernels::launch_store(CUstream stream, CUdeviceptr address, uint32_t value) const {
  void* params[] = {&address, &value};
  return launch_packed(store, stream, 1, params);
}

CUresult Gate::make() {
  CUresult result = client::memory_allocate(0, sizeof(uint32_t), &address_);
  if (result == CUDA_SUCCESS) {
    result = client::stream_create(0, CU_STREAM_NON_BLOCKING, 0, &stream_);
  }
  if (result == CUDA_SUCCESS) result = fill_words(address_, 0, 1, stream_);
  return result == CUDA_SUCCESS ? client::stream_synchronize(stream_) : result;
}

void Gate::open() {
  // From outside: no stream, lock or fence of the session stands in its way.
  __atomic_store_n(reinterpret_cast<uint32_t*>(address_), 1, __ATOMIC_RELEASE);
}

CUresult HeldStream::make(size_t data_bytes) {
  CUresult result = kernels.load();
  if (result == CUDA_SUCCESS) result = gate.make();
  if (result == CUDA_SUCCESS) result = client::memory_allocate(0, data_bytes, &data);
  return result == CUDA_SUCCESS ? client::stream_create(0, CU_STREAM_NON_BLOCKING, 0, &stream)
                                : result;
}

CUresult to_device(CUdeviceptr to, const void* from, size_t bytes, CUstream stream, bool async) {
  client::Copy copy;
  copy.to = to;
  copy.from = reinterpret_cast<uint64_t>(from);
  copy.from_place = client::Place::kHost;
  copy.to_place = client::Place::kDevice;
  copy.width = bytes;
  return client::copy(copy, stream, async);
}

CUresult to_host(void* to, CUdeviceptr from, size_t bytes, CUstream stream, bool async) {
  client::Copy copy;
  copy.to = reinterpret_cast<uint64_t>(to);
  copy.from = from;
  copy.to_place = client::Place::kHost;
  copy.from_place = client::Place::kDevice;
  copy.width = bytes;
  return client::copy(copy, stream, async);
}

CUresult within(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
  client::Copy copy;
  copy.to = to;
  copy.from = from;
  copy.width = bytes;
  return client::copy(copy, stream, true);
}

CUresult fill_words(CUdeviceptr to, uint32_t value, size_t count, CUstream stream) {
  return client::fill(to, 0, value, 4, count, 1, stream, true);
}

std::vector<uint32_t> words(size_t count, uint64_t salt) {
  std::vector<uint32_t> out(count);
  uint64_t state = salt * 0x9e3779b97f4a7c15 + 1;
  for (uint32_t& word : out) {
    state = state * 6364136223846793005 + 1442695040888963407;
    word = static_cast<uint32_t>(state >> 32);
  }
  return out;
}

}  // namespace farlane::system_test
