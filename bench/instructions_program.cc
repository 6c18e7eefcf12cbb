// What a program's calls cost in instructions from libcudart's and libnccl's functions down, and
// what the worker does with them: façade, client core and executor in one process, over an
// in-process channel, with a driver that does nothing, as the worker's NCCL does.
//
// One thread does it all, so that every run executes the same. The one other thread, the courier,
// is held inside a send while calls are counted: what is posted then is what a program posts that
// is quicker than the network. A frame of it is executed when nothing else happens, and a question
// by the thread that asks it.
#include <cuda_runtime_api.h>
#include <nccl.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <memory>
#include <mutex>
#include <thread>

#include "bench/instructions.h"
#include "client/core/session.h"
#include "protocol/record.h"
#include "server/executor.h"
#include "server/fake_driver.h"
#include "transport/loopback.h"

extern "C" {
void** __cudaRegisterFatBinary(void* wrapper);
void __cudaRegisterFatBinaryEnd(void** module);
void __cudaRegisterFunction(void** module, const char* host_function, char* device_function,
                            const char* name, int thread_limit, void*, void*, void*, void*, int*);

// --- what instructions.py counts

[[gnu::noinline]] int count_facade_launch(const void* function, void** arguments) {
  return cudaLaunchKernel(function, {1, 1, 1}, {32, 1, 1}, arguments, 0, nullptr);
}
[[gnu::noinline]] int count_facade_copy(void* to, const void* from) {
  return cudaMemcpy(to, from, 4, cudaMemcpyHostToDevice);
}
[[gnu::noinline]] int count_facade_question(size_t* free_bytes, size_t* total_bytes) {
  return cudaMemGetInfo(free_bytes, total_bytes);
}
[[gnu::noinline]] int count_facade_collective(void* data, ncclComm_t comm, cudaStream_t stream) {
  return ncclAllReduce(data, data, 256, ncclFloat, ncclSum, comm, stream);
}
[[gnu::noinline]] bool count_worker_collective(farlane::server::Executor& executor) {
  return executor.step();
}
[[gnu::noinline]] bool count_worker_launch(farlane::server::Executor& executor) {
  return executor.step();
}
[[gnu::noinline]] bool count_worker_copy(farlane::server::Executor& executor) {
  return executor.step();
}
[[gnu::noinline]] bool count_worker_question(farlane::server::Executor& executor) {
  return executor.step();
}
}

namespace farlane::bench {
namespace {

using transport::Channel;
using transport::SendStatus;

// Everything that the counted calls need succeeds and takes no time.
server::DriverTable driver() {
  server::DriverTable table = server::fake_driver();
  table.cuFuncGetAttribute = [](int* value, CUfunction_attribute, CUfunction) {
    *value = 1024;
    return CUDA_SUCCESS;
  };
  table.cuDeviceGetAttribute = [](int* value, CUdevice_attribute, CUdevice) {
    *value = 1024;
    return CUDA_SUCCESS;
  };
  table.cuLaunchKernel = [](CUfunction, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                            unsigned, CUstream, void**, void**) { return CUDA_SUCCESS; };
  table.cuMemcpyHtoDAsync = [](CUdeviceptr, const void*, size_t, CUstream) { return CUDA_SUCCESS; };
  return table;
}

// The client's end: another thread's sends can be held, and when this thread sends or waits, the
// worker works.
class Stage final : public Channel {
 public:
  explicit Stage(std::unique_ptr<Channel> inner) : inner_(std::move(inner)) {}

  server::Executor* worker = nullptr;
  bool counts_questions = false;

  void hold() {
    const std::scoped_lock lock(mutex_);
    held_ = true;
  }
  void wait_for_held() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return holding_; });
  }
  // Until the command with this number was sent.
  void release(uint64_t last) {
    std::unique_lock lock(mutex_);
    held_ = false;
    changed_.notify_all();
    changed_.wait(lock, [&] { return sent_ >= last; });
  }

  SendStatus send(const transport::Frame& frame) override {
    if (std::this_thread::get_id() != main_) {
      std::unique_lock lock(mutex_);
      holding_ = held_;
      changed_.notify_all();
      changed_.wait(lock, [&] { return !held_; });
      holding_ = false;
    }
    const SendStatus status = inner_->send(frame);
    if (status == SendStatus::kSent) {
      protocol::RecordCursor records(frame.head);
      protocol::Record record;
      const std::scoped_lock lock(mutex_);
      while (records.next(record)) sent_ = record.header.sequence;
      changed_.notify_all();
    }
    if (std::this_thread::get_id() == main_) work();
    return status;
  }
  SendStatus flush() override { return inner_->flush(); }
  bool drained() const override { return inner_->drained(); }
  transport::ReceiveStatus receive(transport::FrameSink& sink) override {
    return inner_->receive(sink);
  }
  transport::Ready wait(bool for_read, bool for_write, transport::Deadline deadline) override {
    if (std::this_thread::get_id() == main_) {
      work();
      deadline = std::min(deadline, transport::Clock::now() + std::chrono::milliseconds(1));
    }
    return inner_->wait(for_read, for_write, deadline);
  }
  void wake() override { inner_->wake(); }
  void close() override { inner_->close(); }
  std::string close_reason() const override { return inner_->close_reason(); }
  std::string peer_name() const override { return inner_->peer_name(); }

 private:
  void work() {
    if (counts_questions) {
      while (count_worker_question(*worker)) {
      }
    } else {
      while (worker->step()) {
      }
    }
  }

  const std::unique_ptr<Channel> inner_;
  const std::thread::id main_ = std::this_thread::get_id();
  std::mutex mutex_;
  std::condition_variable changed_;
  bool held_ = false;     // guarded by mutex_, as are the next two
  bool holding_ = false;  // a thread is in send() because of that
  uint64_t sent_ = 0;
};

void a_kernel() {}

struct Program {
  Program();
  ~Program() { client::use_channel_for_session(nullptr, {}); }

  bool failed(const char* what, int error) {
    if (error != 0) std::fprintf(stderr, "%s failed: error %d\n", what, error);
    return error != 0;
  }
  bool open();
  // Calls `call` kCountedCalls times while nothing leaves, then lets the worker execute it.
  template <class Call>
  bool posted(const char* what, Call call, bool (*execute)(server::Executor&));
  bool questions();
  bool open_nccl();

  const server::DriverTable table = driver();
  std::unique_ptr<server::Host> host;
  std::unique_ptr<Channel> far;
  std::unique_ptr<server::Executor> worker;
  Stage* stage = nullptr;
  void* device = nullptr;
  ncclComm_t comm = nullptr;
  cudaStream_t stream = nullptr;
  uint64_t arguments[3] = {};
  void* argument_list[3] = {&arguments[0], &arguments[1], &arguments[2]};
};

Program::Program() {
  spdlog::set_level(spdlog::level::off);
  server::restart_fake_driver();
  ServerSettings settings;
  settings.module_cache_bytes_max = 0;
  settings.heartbeat_ms = 60'000;
  settings.libraries_path = TEST_NCCL_FOLDER;
  std::string error;
  host = server::Host::start(table, settings, 0, &error);
  transport::LoopbackPair pair = transport::make_loopback({.queue_frames = 64});
  far = std::move(pair.b);
  worker = std::make_unique<server::Executor>(*host, *far, settings, nullptr);
  auto made = std::make_unique<Stage>(std::move(pair.a));
  stage = made.get();
  stage->worker = worker.get();
  ClientSettings client;
  client.local_answers = false;
  client.sender_spin_us = 0;
  client.flush_bytes = transport::kHeadBytesMax;
  client.extent_bytes_min = 2 * conf::kMiB;
  client::use_channel_for_session(std::move(made), client);
}

bool Program::open() {
  static char image[] = ".version 7.0\n.target sm_75\n.address_size 64\n";
  static struct {
    uint32_t magic = 0x466243b1;
    uint32_t version = 1;
    const void* data = image;
    void* list = nullptr;
  } wrapper;
  static char name[] = "fake";  // the driver's kernels are all called so
  void** module = __cudaRegisterFatBinary(&wrapper);
  __cudaRegisterFunction(module, reinterpret_cast<const char*>(&a_kernel), name, name, -1, nullptr,
                         nullptr, nullptr, nullptr, nullptr);
  __cudaRegisterFatBinaryEnd(module);
  // The first call of each kind does more than the others.
  size_t bytes = 0;
  return !failed("cudaMalloc", cudaMalloc(&device, 4096)) &&
         !failed("cudaLaunchKernel",
                 cudaLaunchKernel(reinterpret_cast<const void*>(&a_kernel), {1, 1, 1}, {32, 1, 1},
                                  argument_list, 0, nullptr)) &&
         !failed("cudaMemcpy", cudaMemcpy(device, arguments, 4, cudaMemcpyHostToDevice)) &&
         !failed("cudaMemGetInfo", cudaMemGetInfo(&bytes, &bytes));
}

template <class Call>
bool Program::posted(const char* what, Call call, bool (*execute)(server::Executor&)) {
  // One for the courier to be held with.
  stage->hold();
  if (failed(what, call())) return false;
  stage->wait_for_held();
  int error = 0;
  for (int i = 0; i < kCountedCalls; ++i) error |= call();
  if (failed(what, error)) return false;
  const uint64_t last = client::session_if_any()->log().last_sequence();
  stage->release(last);
  while (worker->executed() < last && worker->end() == server::SessionEnd::kNotYet) {
    execute(*worker);
  }
  size_t bytes = 0;
  return !failed(what, cudaMemGetInfo(&bytes, &bytes));
}

bool Program::open_nccl() {
  return !failed("cudaStreamCreate", cudaStreamCreate(&stream)) &&
         !failed("ncclCommInitRank", ncclCommInitRank(&comm, 1, ncclUniqueId{}, 0)) &&
         !failed("ncclAllReduce",
                 ncclAllReduce(device, device, 256, ncclFloat, ncclSum, comm, stream));
}

bool Program::questions() {
  int error = 0;
  size_t bytes = 0;
  stage->counts_questions = true;
  for (int i = 0; i < kCountedCalls; ++i) error |= count_facade_question(&bytes, &bytes);
  stage->counts_questions = false;
  return !failed("cudaMemGetInfo", error);
}

}  // namespace

bool count_program() {
  Program program;
  return program.open() &&
         program.posted(
             "cudaLaunchKernel",
             [&] {
               return count_facade_launch(reinterpret_cast<const void*>(&a_kernel),
                                          program.argument_list);
             },
             &count_worker_launch) &&
         program.posted(
             "cudaMemcpy", [&] { return count_facade_copy(program.device, program.arguments); },
             &count_worker_copy) &&
         program.questions() &&
         // Last: streams of sessions with communicators are counted.
         program.open_nccl() &&
         program.posted(
             "ncclAllReduce",
             [&] { return count_facade_collective(program.device, program.comm, program.stream); },
             &count_worker_collective);
}

}  // namespace farlane::bench
