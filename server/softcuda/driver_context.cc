#include "server/softcuda/driver_context.h"

#include <cstdio>

#include "server/softcuda/driver_graph.h"
#include "server/softcuda/driver_shared_event.h"
#include "server/softcuda/driver_stream.h"

namespace farlane::softcuda {
namespace {

constexpr size_t kOutputBytesMax = 1 << 20;  // CUDA's default CU_LIMIT_PRINTF_FIFO_SIZE

class HeldOutput final : public OutputSink {
 public:
  void write_stdout(std::string_view text) override {
    const std::lock_guard lock(mutex_);
    held_.append(text);
    if (held_.size() > kOutputBytesMax) {
      write_held();
    }
  }

  void write_stderr(std::string_view text) override {
    const std::lock_guard lock(mutex_);
    std::fwrite(text.data(), 1, text.size(), stderr);
    std::fflush(stderr);
  }

  void flush() {
    const std::lock_guard lock(mutex_);
    if (!held_.empty()) {
      write_held();
      std::fflush(stdout);
    }
  }

 private:
  void write_held() {
    std::fwrite(held_.data(), 1, held_.size(), stdout);
    held_.clear();
  }

  std::mutex mutex_;
  std::string held_;
};

HeldOutput& held_output() {
  static HeldOutput* output = new HeldOutput;
  return *output;
}

std::atomic<uint64_t> next_context_id{1};

}  // namespace

Stream::Stream() = default;
Stream::~Stream() = default;
Event::Event() = default;
Event::~Event() = default;

Driver& Driver::instance() {
  static Driver* driver = new Driver;
  return *driver;
}

OutputSink& device_output() {
  return held_output();
}
void flush_device_output() {
  held_output().flush();
}

std::vector<ContextPtr>& context_stack() {
  thread_local std::vector<ContextPtr> stack;
  return stack;
}

ContextPtr current_context() {
  const auto& stack = context_stack();
  return stack.empty() ? nullptr : stack.back();
}

ModuleObject::~ModuleObject() {
  if (engine != nullptr) {
    for (const VariableInfo& variable : engine->variables()) {
      DeviceMemory::instance().remove_variable(variable.address);
    }
  }
}

ContextPtr find_context(uint64_t id) {
  return Driver::instance().contexts.find_if([id](const Context& it) { return it.id == id; });
}

bool ContextMemory::find(uint64_t address, uint64_t* begin, uint64_t* end) const {
  const auto range = DeviceMemory::instance().lookup(address);
  if (!range) {
    return false;
  }
  bool reachable = range->device == context_.device;
  switch (range->kind) {
    case MemoryRange::Kind::kMapped:  // nobody has access but who was given it
      reachable = range->is_accessible_by(context_.device);
      break;
    case MemoryRange::Kind::kPool:
      if (!reachable) {
        const auto pool = Driver::instance().pools.find((CUmemoryPool)range->pool_handle);
        reachable = pool != nullptr && (pool->access.load() >> context_.device & 1) != 0;
      }
      break;
    case MemoryRange::Kind::kVariable:  // an H200's peers fault on them
      break;
    case MemoryRange::Kind::kAllocation:
      if (!reachable) {
        const std::lock_guard lock(context_.peers_mutex);
        reachable = context_.peers.count(range->context_id) != 0;
      }
      break;
  }
  *begin = range->begin;
  *end = range->begin + range->usable_bytes;
  return reachable;
}

ContextPtr make_context(CUdevice device, unsigned flags, bool primary) {
  auto context = std::make_shared<Context>();
  context->id = next_context_id.fetch_add(1);
  context->device = device;
  context->flags = flags;
  context->primary = primary;
  context->limits[CU_LIMIT_STACK_SIZE] = 1024;
  context->limits[CU_LIMIT_PRINTF_FIFO_SIZE] = kOutputBytesMax;
  context->limits[CU_LIMIT_MALLOC_HEAP_SIZE] = 8 << 20;
  context->limits[CU_LIMIT_DEV_RUNTIME_SYNC_DEPTH] = 2;
  context->limits[CU_LIMIT_DEV_RUNTIME_PENDING_LAUNCH_COUNT] = 2048;
  context->limits[CU_LIMIT_MAX_L2_FETCH_GRANULARITY] = 64;
  context->legacy_stream = make_stream(context, CU_STREAM_DEFAULT, 0);
  context->legacy_stream->legacy = true;
  context->handle = Driver::instance().contexts.add(context);
  return context;
}

void destroy_context(const ContextPtr& context) {
  Driver& driver = Driver::instance();
  driver.contexts.take(context->handle);
  synchronize_context(*context);
  const uint64_t id = context->id;
  const auto ours = [id](const auto& object) { return object.context_id == id; };
  driver.streams.take_if(ours);
  driver.events.take_if(ours);
  driver.functions.take_if(ours);
  driver.links.take_if(ours);
  driver.modules.take_if(ours);
  DeviceMemory::instance().release_context(id);
  HostMemory::instance().release_context(id);
  // Later calls on threads where it is still current must say so.
  context->fail(CUDA_ERROR_CONTEXT_IS_DESTROYED);
  context->sticky.store(CUDA_ERROR_CONTEXT_IS_DESTROYED);
  const auto lock = Scheduler::instance().lock();
  context->streams.clear();
  context->per_thread_streams.clear();
}

}  // namespace farlane::softcuda
