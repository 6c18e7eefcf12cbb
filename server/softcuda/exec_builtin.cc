#include "server/softcuda/exec_builtin.h"

#include <cstdio>
#include <cstdlib>
#include <new>

#include "server/softcuda/exec_memory.h"
#include "server/softcuda/exec_printf.h"

namespace farlane::softcuda {
namespace {

constexpr uint64_t kHeapBytesMax = 256u << 20;

uint32_t special_value(Warp& warp, Special special, uint32_t lane) {
  return reinterpret_cast<const uint32_t*>(warp.special + special_offset(special))[lane];
}

std::string place(Warp& warp, uint32_t lane) {
  const Block& block = *warp.block;
  return "block: [" + std::to_string(block.x) + "," + std::to_string(block.y) + "," +
         std::to_string(block.z) + "], thread: [" +
         std::to_string(special_value(warp, Special::kTidX, lane)) + "," +
         std::to_string(special_value(warp, Special::kTidY, lane)) + "," +
         std::to_string(special_value(warp, Special::kTidZ, lane)) + "]";
}

bool assert_fail(Warp& warp, uint32_t lane, const uint64_t* args) {
  std::string text[3];
  const uint64_t pointers[3] = {args[0], args[1], args[3]};
  for (int i = 0; i < 3; ++i) {
    if (!read_string(warp, lane, pointers[i], &text[i])) text[i] = "?";
  }
  std::string line = std::to_string(static_cast<uint32_t>(args[2]));
  std::string message = text[1] + ":" + line + ": " + text[2] + ": " + place(warp, lane) +
                        " Assertion `" + text[0] + "` failed.";
  if (OutputSink* output = warp.grid->config->output) output->write_stderr(message + "\n");
  raise_fault(warp, Fault::kAssert, lane, "assertion `" + text[0] + "` failed");
  return false;
}

}  // namespace

std::string hex(uint64_t value) {
  char text[24];
  std::snprintf(text, sizeof(text), "0x%llx", static_cast<unsigned long long>(value));
  return text;
}

void raise_fault(Warp& warp, Fault fault, uint32_t lane, const std::string& what) {
  Grid& grid = *warp.grid;
  warp.faulted = true;
  {
    std::lock_guard lock(grid.mutex);
    if (grid.result.fault == Fault::kNone) {
      grid.result.fault = fault;
      grid.result.message =
          "kernel " + grid.function->name + ", " + place(warp, lane) + ": " + what;
    }
  }
  grid.stop.store(true, std::memory_order_relaxed);
}

bool call_builtin(Warp& warp, uint32_t lane, Builtin builtin, const uint64_t* args,
                  uint64_t* result) {
  switch (builtin) {
    case Builtin::kPrintf: {
      int32_t printed = device_printf(warp, lane, args[0], args[1]);
      *result = static_cast<uint32_t>(printed);
      return !warp.faulted;
    }
    case Builtin::kAssertFail:
      return assert_fail(warp, lane, args);
    case Builtin::kMalloc:
      *result = warp.grid->heap->allocate(args[0]);
      return true;
    case Builtin::kFree:
      if (args[0] != 0 && !warp.grid->heap->release(args[0])) {
        raise_fault(warp, Fault::kIllegalAddress, lane,
                    "free of " + hex(args[0]) + ", which malloc did not return");
        return false;
      }
      return true;
    case Builtin::kNone:
      break;
  }
  return false;
}

DeviceHeap::~DeviceHeap() {
  for (const auto& [begin, bytes] : blocks_) std::free(reinterpret_cast<void*>(begin));
}

uint64_t DeviceHeap::allocate(uint64_t bytes) {
  if (bytes == 0 || bytes > kHeapBytesMax) return 0;
  bytes = (bytes + 15) / 16 * 16;
  std::lock_guard lock(mutex_);
  if (bytes_ + bytes > kHeapBytesMax) return 0;
  void* memory = std::aligned_alloc(16, bytes);
  if (memory == nullptr) return 0;
  auto begin = reinterpret_cast<uint64_t>(memory);
  blocks_[begin] = bytes;
  bytes_ += bytes;
  return begin;
}

bool DeviceHeap::release(uint64_t address) {
  std::lock_guard lock(mutex_);
  auto it = blocks_.find(address);
  if (it == blocks_.end()) return false;
  bytes_ -= it->second;
  blocks_.erase(it);
  std::free(reinterpret_cast<void*>(address));
  return true;
}

bool DeviceHeap::find(uint64_t address, uint64_t* begin, uint64_t* end) {
  std::lock_guard lock(mutex_);
  auto it = blocks_.upper_bound(address);
  if (it == blocks_.begin()) return false;
  --it;
  if (address - it->first >= it->second) return false;
  *begin = it->first;
  *end = it->first + it->second;
  return true;
}

}  // namespace farlane::softcuda
