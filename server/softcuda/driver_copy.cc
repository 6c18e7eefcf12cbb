#include "server/softcuda/driver_copy.h"

#include <cstring>
#include <optional>
#include <vector>

#include "server/softcuda/driver_device.h"
#include "server/softcuda/driver_graph.h"
#include "server/softcuda/driver_stream.h"

namespace farlane::softcuda {
namespace {

// CUDA takes pageable sources up to this size along with the command.
constexpr uint64_t kStagedBytesMax = 64 << 10;

// Bytes from the first to the last one touched; nothing when that does not fit into 64 bits.
std::optional<uint64_t> extent_bytes(uint64_t width, uint64_t height, uint64_t depth,
                                     uint64_t pitch, uint64_t slice) {
  using Wide = unsigned __int128;
  // Each product is below 2^128 and their sum is checked against 2^63.
  const Wide limit = Wide{1} << 63;
  const Wide rows = Wide{height - 1} * pitch;
  const Wide slices = Wide{depth - 1} * slice;
  if (rows >= limit || slices >= limit || rows + slices + width >= limit) {
    return std::nullopt;
  }
  return static_cast<uint64_t>(rows + slices + width);
}

bool valid_side(Side side, uint64_t address, uint64_t bytes, CUdevice device) {
  return side == Side::kDevice ? DeviceMemory::instance().covers(address, bytes, device)
                               : address != 0 && address + bytes >= address;
}

void run_copy(const Copy& copy) {
  for (uint64_t z = 0; z < copy.depth; ++z) {
    for (uint64_t y = 0; y < copy.height; ++y) {
      std::memmove(reinterpret_cast<void*>(copy.destination + z * copy.destination_slice +
                                           y * copy.destination_pitch),
                   reinterpret_cast<const void*>(copy.source + z * copy.source_slice +
                                                 y * copy.source_pitch),
                   copy.width);
    }
  }
}

void run_fill(const Fill& fill) {
  for (uint64_t y = 0; y < fill.height; ++y) {
    auto* row = reinterpret_cast<unsigned char*>(fill.destination + y * fill.pitch);
    if (fill.element_bytes == 1) {
      std::memset(row, static_cast<int>(fill.value & 0xff), fill.width);
    } else if (fill.element_bytes == 2) {
      const auto value = static_cast<uint16_t>(fill.value);
      for (uint64_t x = 0; x < fill.width; ++x) {
        std::memcpy(row + x * 2, &value, 2);
      }
    } else {
      for (uint64_t x = 0; x < fill.width; ++x) {
        std::memcpy(row + x * 4, &fill.value, 4);
      }
    }
  }
}

}  // namespace

Side side_of(uint64_t address) {
  return DeviceMemory::instance().is_device_address(address) ? Side::kDevice : Side::kHost;
}

// The checks, and what does it. Without a side effect.
CUresult check_copy(const ContextPtr& context, Copy* request, std::function<void()>* run) {
  Copy& copy = *request;
  const auto destination_bytes = extent_bytes(copy.width, copy.height, copy.depth,
                                              copy.destination_pitch, copy.destination_slice);
  const auto source_bytes =
      extent_bytes(copy.width, copy.height, copy.depth, copy.source_pitch, copy.source_slice);
  if (!destination_bytes || !source_bytes) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  // A "host" pointer into the device's address space is checked like the device pointer it is.
  if (side_of(copy.destination) == Side::kDevice) {
    copy.destination_side = Side::kDevice;
  }
  if (side_of(copy.source) == Side::kDevice) {
    copy.source_side = Side::kDevice;
  }
  if (!valid_side(copy.destination_side, copy.destination, *destination_bytes, context->device) ||
      !valid_side(copy.source_side, copy.source, *source_bytes, context->device)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  // Runs later: by then the memory may be gone, which a real device reports as an illegal address.
  *run = [owner = context, copy, to = *destination_bytes, from = *source_bytes] {
    if ((copy.destination_side == Side::kDevice &&
         !DeviceMemory::instance().covers(copy.destination, to, owner->device)) ||
        (copy.source_side == Side::kDevice &&
         !DeviceMemory::instance().covers(copy.source, from, owner->device))) {
      owner->fail(CUDA_ERROR_ILLEGAL_ADDRESS);
      return;
    }
    run_copy(copy);
  };
  return CUDA_SUCCESS;
}

CUresult issue_copy(ContextPtr context, CUstream handle, Copy copy, bool wait) {
  const auto stream = find_any_stream(&context, handle);
  if (stream == nullptr) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  if (copy.width == 0 || copy.height == 0 || copy.depth == 0) {
    return CUDA_SUCCESS;
  }
  std::function<void()> run;
  if (const CUresult result = check_copy(context, &copy, &run); result != CUDA_SUCCESS) {
    return result;
  }
  // A captured copy reads and writes host memory when its graph runs, pinned or not.
  if (const auto captured =
          capture_work(context, stream, Work{CU_GRAPH_NODE_TYPE_MEMCPY, run, copy})) {
    return *captured;
  }
  const uint64_t source_bytes =
      *extent_bytes(copy.width, copy.height, copy.depth, copy.source_pitch, copy.source_slice);
  const uint64_t destination_bytes = *extent_bytes(copy.width, copy.height, copy.depth,
                                                   copy.destination_pitch, copy.destination_slice);
  const HostMemory& host = HostMemory::instance();
  const bool source_pageable =
      copy.source_side == Side::kHost && !host.covers(copy.source, source_bytes);
  const bool destination_pageable =
      copy.destination_side == Side::kHost && !host.covers(copy.destination, destination_bytes);

  bool staged = false;
  if (!wait && source_pageable && !destination_pageable && source_bytes <= kStagedBytesMax) {
    const auto* bytes = reinterpret_cast<const unsigned char*>(copy.source);
    const auto kept = std::make_shared<std::vector<unsigned char>>(bytes, bytes + source_bytes);
    copy.source = reinterpret_cast<uint64_t>(kept->data());
    if (const CUresult result = check_copy(context, &copy, &run); result != CUDA_SUCCESS) {
      return result;
    }
    run = [kept, copy_staged = std::move(run)] { copy_staged(); };
    staged = true;
  }
  if (wait || (source_pageable && !staged) || destination_pageable) {
    return enqueue_and_wait(context, stream, Op::Kind::kDevice, std::move(run));
  }
  enqueue(context, stream, Op::Kind::kDevice, std::move(run));
  return CUDA_SUCCESS;
}

CUresult check_fill(const ContextPtr& context, const Fill& fill, std::function<void()>* run) {
  if (fill.destination % fill.element_bytes != 0 ||
      (fill.height > 1 && fill.pitch % fill.element_bytes != 0)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (fill.width > UINT64_MAX / fill.element_bytes) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const uint64_t row_bytes = fill.width * fill.element_bytes;
  const auto bytes = extent_bytes(row_bytes, fill.height, 1, fill.pitch, 0);
  if (!bytes || (fill.height > 1 && fill.pitch < row_bytes) ||
      !DeviceMemory::instance().covers(fill.destination, *bytes, context->device)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  *run = [owner = context, fill, to = *bytes] {
    if (!DeviceMemory::instance().covers(fill.destination, to, owner->device)) {
      owner->fail(CUDA_ERROR_ILLEGAL_ADDRESS);
      return;
    }
    run_fill(fill);
  };
  return CUDA_SUCCESS;
}

CUresult issue_fill(ContextPtr context, CUstream handle, const Fill& fill, bool wait) {
  const auto stream = find_any_stream(&context, handle);
  if (stream == nullptr) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  if (fill.width == 0 || fill.height == 0) {
    return CUDA_SUCCESS;
  }
  std::function<void()> run;
  if (const CUresult result = check_fill(context, fill, &run); result != CUDA_SUCCESS) {
    return result;
  }
  if (const auto captured =
          capture_work(context, stream, Work{CU_GRAPH_NODE_TYPE_MEMSET, run, fill})) {
    return *captured;
  }
  if (wait) {
    return enqueue_and_wait(context, stream, Op::Kind::kDevice, std::move(run));
  }
  enqueue(context, stream, Op::Kind::kDevice, std::move(run));
  return CUDA_SUCCESS;
}

}  // namespace farlane::softcuda
