// Copies between host memory and the device inside graphs.
//
// A copy node reads and writes host memory when its graph runs, and the server cannot reach the
// client's. So such a node copies from or to a stand-in: a block of device memory that the client
// allocates, fills from the host right before each launch and fetches to the host right after it,
// in the order of the launch's stream. Nodes that write host memory and nodes that read the same
// bytes share one stand-in, so that a value can go through host memory within one launch.
//
// Launches of one instance follow one another, those of two may run at once: no two instances have
// a stand-in in common. An instance takes the stand-ins of its graph along. What a graph has in
// common with somebody is replaced, on the server too, before another instance gets it.
#pragma once

#include <cuda.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "client/core/api.h"

namespace farlane::client {

struct StandIn {
  CUdeviceptr address = 0;
  size_t bytes = 0;
  ~StandIn();
};

CUresult make_stand_in(int device, size_t bytes, std::shared_ptr<StandIn>* out);

struct HostCopy {
  std::shared_ptr<StandIn> block;
  CUdeviceptr stand_in = 0;  // inside of the block; rows lie packed there
  bool to_host = false;
  uint64_t host = 0;  // the box in host memory
  size_t width = 0, height = 1, depth = 1;
  size_t pitch = 0, slice = 0;
  uint32_t part = 0;  // of the instance that it is made in
  // Of the node that copies: the same in its graph, in clones of that and in instances.
  uint64_t name = 0;

  uint64_t span_bytes() const { return slice * (depth - 1) + pitch * (height - 1) + width; }
  bool is_packed() const {
    return (height == 1 || pitch == width) && (depth == 1 || slice == width * height);
  }
};

// One end of a copy.
struct CopyEnd {
  uint64_t* address;
  Place* place;
  size_t* pitch;
  size_t* slice;
};
inline CopyEnd end_of(Copy* copy, bool target) {
  return target ? CopyEnd{&copy->to, &copy->to_place, &copy->to_pitch, &copy->to_slice}
                : CopyEnd{&copy->from, &copy->from_place, &copy->from_pitch, &copy->from_slice};
}

class GraphCopies {
 public:
  // The copies of one node, by direction: to the host, or from it. 0 where it has none yet.
  struct Names {
    uint64_t to_host = 0, from_host = 0;
    uint64_t& of(bool is_to_host) { return is_to_host ? to_host : from_host; }
  };
  // Replaces the host ends of a copy by stand-ins on the device. CUDA_ERROR_NOT_SUPPORTED where
  // host memory is read and written by nodes in ways that stand-ins cannot follow. What `names`
  // names is replaced by the new ones, which get those names, or new ones.
  CUresult replace_host_ends(int device, bool to_host, bool from_host, Copy* copy, Names* names);
  CUresult replace_host_ends(int device, bool to_host, bool from_host, Copy* copy) {
    Names fresh;
    return replace_host_ends(device, to_host, from_host, copy, &fresh);
  }
  // The node copies from or to the host no more.
  void remove(const Names& names);
  // Null: the address is no stand-in.
  const HostCopy* find(CUdeviceptr stand_in, bool to_host) const;
  void add_all(const GraphCopies& other) {
    copies_.insert(copies_.end(), other.copies_.begin(), other.copies_.end());
  }
  // Those of a graph that an instance was updated from go by the names of the instance's. False:
  // which are which is not known.
  bool take_names(const GraphCopies& before);
  // They are other nodes' now.
  void rename();
  void sort();  // as their nodes were made
  // Where the nodes are that copy from and to the stand-ins.
  struct Part {
    uint32_t part = 0;
    uint64_t to = 0, from = 0;
    uint64_t bytes = 0;
  };
  void assign_parts(std::span<const Part> parts);
  void clear() { copies_.clear(); }
  bool empty() const { return copies_.empty(); }
  const std::vector<HostCopy>& all() const { return copies_; }
  std::vector<HostCopy>& all() { return copies_; }

 private:
  CUresult add(int device, HostCopy copy, uint64_t* stand_in);
  std::vector<HostCopy> copies_;
};

// Fills the stand-ins before a launch of the part on the stream, or fetches them (`to_host`) behind
// it. As natively, pageable memory is read at the launch call, and pinned memory when the stream
// gets there.
CUresult copy_stand_ins(const GraphCopies& copies, uint32_t part, bool to_host, CUstream stream);

}  // namespace farlane::client
