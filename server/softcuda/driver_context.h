// The objects behind the driver's handles: contexts, streams, events, modules, kernels.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "server/softcuda/driver_cuda.h"
#include "server/softcuda/driver_device.h"
#include "server/softcuda/driver_handles.h"
#include "server/softcuda/driver_memory.h"
#include "server/softcuda/driver_scheduler.h"
#include "server/softcuda/engine.h"

namespace farlane::softcuda {

struct Context;
struct CaptureState;
struct ExecObject;
struct GraphEdge;
struct GraphNode;
struct GraphObject;
class SharedEvent;

struct Stream {
  CUstream handle = nullptr;
  std::weak_ptr<Context> context;
  uint64_t context_id = 0;
  uint64_t id = 0;
  unsigned flags = 0;
  int priority = 0;
  bool legacy = false;
  // Under the scheduler's lock.
  OpPtr tail;
  bool destroyed = false;
  std::shared_ptr<CaptureState> capture;  // null: it is not captured
  std::vector<GraphEdge> capture_tail;    // what the next captured node depends on

  Stream();
  ~Stream();

  bool blocking() const { return (flags & CU_STREAM_NON_BLOCKING) == 0; }
};

// One cuEventRecord. Under the scheduler's lock.
struct EventRecord {
  OpPtr op;
  std::chrono::steady_clock::time_point time;
};

struct Event {
  std::weak_ptr<Context> context;
  uint64_t context_id = 0;
  unsigned flags = 0;
  std::shared_ptr<SharedEvent> shared;  // CU_EVENT_INTERPROCESS
  // Under the scheduler's lock.
  std::shared_ptr<EventRecord> record;        // null before the first
  std::shared_ptr<CaptureState> captured_by;  // its last record was captured
  std::vector<GraphEdge> captured;            // what that record stands behind

  Event();
  ~Event();
};

// The memory that kernels of a context may touch: its device's, and what it has access to
// elsewhere.
class ContextMemory final : public AddressMap {
 public:
  explicit ContextMemory(const Context& context) : context_(context) {}
  bool find(uint64_t address, uint64_t* begin, uint64_t* end) const override;

 private:
  const Context& context_;
};

struct Context : std::enable_shared_from_this<Context> {
  CUcontext handle = nullptr;
  uint64_t id = 0;
  CUdevice device = 0;
  unsigned flags = 0;
  bool primary = false;

  // The first fault of a kernel; every later call returns it.
  std::atomic<CUresult> sticky{CUDA_SUCCESS};

  std::shared_ptr<Stream> legacy_stream;

  // Under the scheduler's lock. Destroyed streams stay until their work has ended.
  std::vector<std::shared_ptr<Stream>> streams;
  std::map<uint64_t, std::shared_ptr<Stream>> per_thread_streams;

  const ContextMemory memory{*this};

  mutable std::mutex peers_mutex;
  std::set<uint64_t> peers;  // ids of the contexts whose memory it may touch

  std::mutex settings_mutex;
  size_t limits[CU_LIMIT_MAX] = {};
  CUfunc_cache cache_config = CU_FUNC_CACHE_PREFER_NONE;

  void fail(CUresult error) {
    CUresult none = CUDA_SUCCESS;
    sticky.compare_exchange_strong(none, error);
  }
};
using ContextPtr = std::shared_ptr<Context>;

struct ModuleObject;
struct LibraryObject;

// Launch-time settings of a kernel, changed by cuFuncSetAttribute and cuKernelSetAttribute.
struct KernelSettings {
  std::atomic<int> shared_dynamic_bytes_max{0};
  std::atomic<int> shared_carveout{-1};
};

struct FunctionObject {
  CUfunction handle = nullptr;
  std::weak_ptr<ModuleObject> module;
  uint64_t context_id = 0;
  size_t index = 0;  // in the engine's kernels()
  const KernelInfo* info = nullptr;
  KernelSettings settings;
};

struct ModuleObject {
  CUmodule handle = nullptr;
  uint64_t context_id = 0;
  std::unique_ptr<Module> engine;
  std::vector<CUfunction> functions;  // by the engine's index
  ~ModuleObject();
};

struct KernelObject {
  CUkernel handle = nullptr;
  CUlibrary library = nullptr;
  size_t index = 0;
  const KernelInfo* info = nullptr;  // lives as long as the library
  KernelSettings settings;
};

struct LibraryObject {
  CUlibrary handle = nullptr;
  std::vector<std::string> texts;
  std::vector<KernelInfo> kernel_infos;
  std::vector<CUkernel> kernels;
  std::mutex mutex;
  std::map<uint64_t, CUmodule> modules;  // by context id; loaded on first use there
  std::unique_ptr<Module> first;         // loaded to check the image; the first context's module
};

struct LinkObject {
  uint64_t context_id = 0;
  std::vector<std::string> texts;
  std::vector<std::string> archived;  // taken if it does not link without
  std::vector<char> result;
  char* error_log = nullptr;
  size_t error_log_bytes = 0;
  void** wall_ms = nullptr;  // takes a float: how long linking took
};

struct PoolObject {
  CUmemoryPool handle = nullptr;
  CUdevice device = 0;
  std::atomic<uint32_t> access{0};  // a bit for each other device that may touch its memory
  uint64_t release_threshold_bytes = 0;
  int reuse[3] = {1, 1, 1};
  std::atomic<uint64_t> used_bytes{0};
  std::atomic<uint64_t> used_bytes_high{0};
};

struct PrimaryContext {
  ContextPtr context;
  unsigned references = 0;
  unsigned flags = 0;
};

struct DevicePools {
  std::shared_ptr<PoolObject> standard;
  std::shared_ptr<PoolObject> current;
};

// Everything of the process. Never destroyed.
struct Driver {
  static Driver& instance();

  std::atomic<bool> initialized{false};
  std::atomic<bool> forked{false};  // this process is the child of one that used the driver

  std::mutex primary_mutex;
  std::array<PrimaryContext, kDevicesMax> primaries;

  HandleTable<CUcontext, Context> contexts;
  HandleTable<CUstream, Stream> streams;
  HandleTable<CUevent, Event> events;
  HandleTable<CUmodule, ModuleObject> modules;
  HandleTable<CUfunction, FunctionObject> functions;
  HandleTable<CUlibrary, LibraryObject> libraries;
  HandleTable<CUkernel, KernelObject> kernels;
  HandleTable<CUlinkState, LinkObject> links;
  HandleTable<CUmemoryPool, PoolObject> pools;
  HandleTable<CUmemGenericAllocationHandle, PhysicalMemory> physical;
  HandleTable<CUgraph, GraphObject> graphs;
  HandleTable<CUgraphNode, GraphNode> graph_nodes;
  HandleTable<CUgraphExec, ExecObject> graph_execs;

  std::mutex pool_mutex;
  std::array<DevicePools, kDevicesMax> device_pools;
};

ContextPtr make_context(CUdevice device, unsigned flags, bool primary);
// Waits for the context's work (unless it failed), then frees all that belongs to it.
void destroy_context(const ContextPtr& context);

// The calling thread's stack of contexts.
std::vector<ContextPtr>& context_stack();
ContextPtr current_context();
ContextPtr find_context(uint64_t id);

// Device printf goes through here: kept until a synchronising call, as CUDA does.
OutputSink& device_output();
void flush_device_output();

}  // namespace farlane::softcuda
