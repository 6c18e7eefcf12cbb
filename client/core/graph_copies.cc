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
  for (const bool target : {false, true}) {
    if (!(target ? to_host : from_host)) {
      continue;
    }
    const CopyEnd end = end_of(copy, target);
    HostCopy host;
    host.to_host = target;
    host.host = *end.address;
    host.width = copy->width;
    host.height = copy->height;
    host.depth = copy->depth;
    host.pitch = flat ? copy->width : *end.pitch;
    host.slice = copy->depth == 1 ? host.pitch * copy->height : *end.slice;
    if (const CUresult result = add(device, host, end.address); result != CUDA_SUCCESS) {
      return result;
    }
    *end.place = Place::kDevice;
    *end.pitch = copy->width;
    *end.slice = copy->width * copy->height;
  }
  return CUDA_SUCCESS;
}

void GraphCopies::remove(CUdeviceptr stand_in, bool to_host) {
  if (const HostCopy* found = find(stand_in, to_host)) {
    copies_.erase(copies_.begin() + (found - copies_.data()));
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

CUresult copy_stand_ins(const GraphCopies& copies, uint32_t part, bool to_host, CUstream stream) {
  for (const HostCopy& one : copies.all()) {
    if (one.to_host != to_host || one.part != part) {
      continue;
    }
    Copy box{.width = one.width, .height = one.height, .depth = one.depth};
    const CopyEnd host = end_of(&box, to_host);
    const CopyEnd stand_in = end_of(&box, !to_host);
    *host.address = one.host;
    *host.place = Place::kHost;
    *host.pitch = one.pitch;
    *host.slice = one.slice;
    *stand_in.address = one.stand_in;
    *stand_in.place = Place::kDevice;
    *stand_in.pitch = one.width;
    *stand_in.slice = one.width * one.height;
    const CUresult result = to_host ? copy_to_host_later(box, stream) : copy(box, stream, true);
    if (result != CUDA_SUCCESS) {
      return result;
    }
  }
  return CUDA_SUCCESS;
}

}  // namespace farlane::client
