// What the nodes of a graph have in the client: host memory that they copy, events that they
// record, functions of the program.
//
// As in CUDA the inside of a child graph node is a graph of its own and a part of its parent's. So
// contents are a tree: whoever adds to the inside, under the name that node_child() gave it, adds
// to the parent's. Guarded by the lock of the graph whose handle is used; CUDA allows no two
// threads in one graph.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "client/core/graph_copies.h"
#include "client/core/host_functions.h"

namespace farlane::client {

// A node is known by its number in the graph that has this, in an instance by its graph's name too.
class GraphEvents {
 public:
  static constexpr uint64_t kHere = 1;
  // A captured node's.
  void add(uint64_t event) { events_.push_back({kUnknown, 0, event}); }
  // The node records this one now.
  void put(uint64_t graph, uint32_t node, uint64_t event);
  void remove(uint64_t graph, uint32_t node);
  // `graph`: the other's name; 0: its nodes are none of these.
  void add_all(const GraphEvents& other, uint64_t graph);
  const auto& all() const { return events_; }
  void clear() { events_.clear(); }

 private:
  static constexpr uint64_t kUnknown = 0;
  struct Recorded {
    uint64_t graph = kUnknown;
    uint32_t node = 0;
    uint64_t event = 0;
  };
  std::vector<Recorded> events_;
};

struct GraphContents {
  GraphCopies copies;
  GraphEvents events;                                           // that nodes record
  std::vector<HostFunctionRef> functions;                       // of captured host nodes; flat: all
  std::map<uint32_t, HostFunctionRef> node_functions;           // of others, by their numbers
  std::map<uint32_t, std::shared_ptr<GraphContents>> children;  // by the number of their node

  // Adds what a capture gathered.
  void add_all(const GraphContents& captured);
  // A tree of its own, with the same stand-ins.
  std::shared_ptr<GraphContents> clone() const;
  // The same for a child graph node: its copies are not the original's.
  std::shared_ptr<GraphContents> clone_as_child() const;
  // For an instance: all of the children's is in it, too. `graph`: the name.
  GraphContents flat(uint64_t graph) const;

  struct Move {
    CUdeviceptr from = 0, to = 0;
    uint64_t bytes = 0;
  };
  // New stand-ins in place of those that anybody but this tree and `instance` has. What was copied
  // from and to `from` is now copied from and to `to`.
  CUresult replace_shared(int device, const GraphCopies* instance, std::vector<Move>* moves);
};
using GraphContentsRef = std::shared_ptr<GraphContents>;

}  // namespace farlane::client
