#include "client/core/graph_copies.h"

#include <algorithm>
#include <atomic>

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

CUresult make_stand_in(int device, size_t bytes, std::shared_ptr<StandIn>* out) {
  const RelaxedCapture ours;
  auto made = std::make_shared<StandIn>();
  made->bytes = bytes;
  const CUresult result = make_block(device, bytes, &made->address);
  if (result == CUDA_SUCCESS) {
    *out = std::move(made);
  }
  return result;
}

namespace {

constinit std::atomic<uint64_t> last_name = 0;

bool is_named(const HostCopy& copy, const GraphCopies::Names& names) {
  return copy.name == (copy.to_host ? names.to_host : names.from_host);
}

}  // namespace

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
    const CUresult result =
        make_stand_in(device, copy.width * copy.height * copy.depth, &copy.block);
    if (result != CUDA_SUCCESS) {
      return result;
    }
    copy.stand_in = copy.block->address;
  }
  *stand_in = copy.stand_in;
  // Their order is that of the nodes, see take_names().
  const auto behind = std::find_if(copies_.begin(), copies_.end(),
                                   [&](const HostCopy& other) { return other.name > copy.name; });
  copies_.insert(behind, std::move(copy));
  return CUDA_SUCCESS;
}

CUresult GraphCopies::replace_host_ends(int device, bool to_host, bool from_host, Copy* copy,
                                        Names* names) {
  remove(*names);
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
    uint64_t& name = names->of(target);
    if (name == 0) {
      name = ++last_name;
    }
    host.name = name;
    if (const CUresult result = add(device, host, end.address); result != CUDA_SUCCESS) {
      return result;
    }
    *end.place = Place::kDevice;
    *end.pitch = copy->width;
    *end.slice = copy->width * copy->height;
  }
  return CUDA_SUCCESS;
}

void GraphCopies::remove(const Names& names) {
  std::erase_if(copies_, [&](const HostCopy& copy) { return is_named(copy, names); });
}

void GraphCopies::rename() {
  sort();
  for (HostCopy& copy : copies_) {
    copy.name = ++last_name;
  }
}

void GraphCopies::sort() {
  std::stable_sort(copies_.begin(), copies_.end(),
                   [](const HostCopy& a, const HostCopy& b) { return a.name < b.name; });
}

bool GraphCopies::take_names(const GraphCopies& before) {
  const bool alike =
      std::equal(copies_.begin(), copies_.end(), before.copies_.begin(), before.copies_.end(),
                 [](const HostCopy& a, const HostCopy& b) { return a.to_host == b.to_host; });
  for (size_t i = 0; alike && i < copies_.size(); ++i) {
    copies_[i].name = before.copies_[i].name;
  }
  return alike;
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
