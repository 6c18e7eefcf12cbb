#include "client/core/graph_copies.h"

#include <algorithm>

#include "client/core/capture.h"
#include "client/core/session.h"

namespace farlane::client {

StandIn::~StandIn() {
  // Work that uses it may be under way: freed memory is not handed out before that is over.
  const RelaxedCapture ours;
  if (session_if_any() != nullptr) {
    memory_free(address);
  }
}

CUresult GraphCopies::add(int device, HostCopy copy, uint64_t* stand_in) {
  const uint64_t start = copy.host;
  const uint64_t end = start + copy.span_bytes();
  for (const HostCopy& other : copies_) {
    const uint64_t other_end = other.host + other.span_bytes();
    if (end <= other.host || start >= other_end || (!copy.to_host && !other.to_host)) {
      continue;  // apart, or both only read
    }
    const bool same = other.host == start && other.width == copy.width &&
                      other.height == copy.height && other.depth == copy.depth &&
                      other.pitch == copy.pitch && other.slice == copy.slice;
    const bool inside =
        other.is_packed() && copy.is_packed() && start >= other.host && end <= other_end;
    if (!same && !inside) {
      unsupported("a graph whose nodes read and write overlapping parts of host memory");
      return CUDA_ERROR_NOT_SUPPORTED;
    }
    copy.block = other.block;
    copy.stand_in = other.stand_in + (start - other.host);
    break;
  }
  if (copy.block == nullptr) {
    const RelaxedCapture ours;
    auto block = std::make_shared<StandIn>();
    block->bytes = copy.width * copy.height * copy.depth;
    const CUresult result = memory_allocate(device, block->bytes, &block->address);
    if (result != CUDA_SUCCESS) {
      return result;
    }
    copy.stand_in = block->address;
    copy.block = std::move(block);
  }
  *stand_in = copy.stand_in;
  copies_.push_back(std::move(copy));
  return CUDA_SUCCESS;
}

CUresult GraphCopies::replace_host_ends(int device, bool to_host, bool from_host, Copy* copy) {
  const bool flat = copy->height == 1 && copy->depth == 1;
  HostCopy host;
  host.width = copy->width;
  host.height = copy->height;
  host.depth = copy->depth;
  const size_t packed_slice = copy->width * copy->height;
  if (from_host) {
    host.to_host = false;
    host.host = copy->from;
    host.pitch = flat ? copy->width : copy->from_pitch;
    host.slice = copy->depth == 1 ? host.pitch * copy->height : copy->from_slice;
    if (const CUresult result = add(device, host, &copy->from); result != CUDA_SUCCESS) {
      return result;
    }
    copy->from_pitch = copy->width;
    copy->from_slice = packed_slice;
    copy->from_place = Place::kDevice;
  }
  if (to_host) {
    host.to_host = true;
    host.host = copy->to;
    host.pitch = flat ? copy->width : copy->to_pitch;
    host.slice = copy->depth == 1 ? host.pitch * copy->height : copy->to_slice;
    if (const CUresult result = add(device, host, &copy->to); result != CUDA_SUCCESS) {
      return result;
    }
    copy->to_pitch = copy->width;
    copy->to_slice = packed_slice;
    copy->to_place = Place::kDevice;
  }
  return CUDA_SUCCESS;
}

void GraphCopies::remove(CUdeviceptr stand_in, bool to_host) {
  const auto found = std::find_if(copies_.begin(), copies_.end(), [&](const HostCopy& copy) {
    return copy.stand_in == stand_in && copy.to_host == to_host;
  });
  if (found != copies_.end()) {
    copies_.erase(found);
  }
}

const HostCopy* GraphCopies::find(CUdeviceptr stand_in, bool to_host) const {
  const auto found = std::find_if(copies_.begin(), copies_.end(), [&](const HostCopy& copy) {
    return copy.stand_in == stand_in && copy.to_host == to_host;
  });
  return found == copies_.end() ? nullptr : &*found;
}

void GraphCopies::assign_parts(std::span<const Part> parts) {
  // Two nodes may do the very same copy in different parts: each counts once.
  std::vector<bool> used(parts.size(), false);
  for (HostCopy& copy : copies_) {
    const uint64_t bytes = copy.width * copy.height * copy.depth;
    const auto address = [&](const Part& part) { return copy.to_host ? part.to : part.from; };
    bool found = false;
    for (size_t i = 0; !found && i < parts.size(); ++i) {
      if (!used[i] && address(parts[i]) == copy.stand_in && parts[i].bytes == bytes) {
        found = used[i] = true;
        copy.part = parts[i].part;
      }
    }
    // A captured box is a node for each of its slices, all in one part.
    for (size_t i = 0; !found && i < parts.size(); ++i) {
      const uint64_t at = address(parts[i]);
      if (at >= copy.stand_in && at < copy.stand_in + bytes) {
        found = true;
        copy.part = parts[i].part;
      }
    }
  }
}

CUresult fill_stand_ins(const GraphCopies& copies, uint32_t part, CUstream stream) {
  for (const HostCopy& one : copies.all()) {
    if (one.to_host || one.part != part) {
      continue;
    }
    const Copy box{.to = one.stand_in,
                   .from = one.host,
                   .to_place = Place::kDevice,
                   .from_place = Place::kHost,
                   .width = one.width,
                   .height = one.height,
                   .depth = one.depth,
                   .to_pitch = one.width,
                   .from_pitch = one.pitch,
                   .to_slice = one.width * one.height,
                   .from_slice = one.slice};
    if (const CUresult result = copy(box, stream, true); result != CUDA_SUCCESS) {
      return result;
    }
  }
  return CUDA_SUCCESS;
}

CUresult fetch_stand_ins(const GraphCopies& copies, uint32_t part, CUstream stream) {
  for (const HostCopy& one : copies.all()) {
    if (!one.to_host || one.part != part) {
      continue;
    }
    const Copy box{.to = one.host,
                   .from = one.stand_in,
                   .to_place = Place::kHost,
                   .from_place = Place::kDevice,
                   .width = one.width,
                   .height = one.height,
                   .depth = one.depth,
                   .to_pitch = one.pitch,
                   .from_pitch = one.width,
                   .to_slice = one.slice,
                   .from_slice = one.width * one.height};
    if (const CUresult result = copy_to_host_later(box, stream); result != CUDA_SUCCESS) {
      return result;
    }
  }
  return CUDA_SUCCESS;
}

}  // namespace farlane::client
