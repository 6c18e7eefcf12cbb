// The client's side of graphs, their nodes and instances.
#pragma once

#include <cuda.h>

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

#include "client/core/graph_contents.h"
#include "client/core/graph_copies.h"
#include "client/core/graph_memory.h"
#include "client/core/host_functions.h"
#include "protocol/handles.h"

namespace farlane::client {

struct Device;

// A program's object, kept by graphs and instances.
struct UserObject {
  void* object = nullptr;
  CUhostFn destroy = nullptr;
  uint64_t references = 0;  // all of them; under the lock of user_objects.cc
  void reset() {
    object = nullptr;
    destroy = nullptr;
    references = 0;
  }
};
using ObjectCounts = std::map<uint64_t, uint64_t>;  // references by handle

struct Graph {
  protocol::GraphId id;
  Device* device = nullptr;
  std::mutex mutex;                       // guards the rest
  uint32_t nodes = 0;                     // numbers given so far
  uint32_t destroyed = 0;                 // of these
  uint64_t capture = 0;                   // the capture that adds to it
  std::map<uint32_t, CUgraphNode> names;  // handles that the program got
  GraphContentsRef contents;              // never null while the graph exists
  GraphMemoryUse memory;
  uint32_t instances = 0;                // that exist, where it has memory nodes
  std::map<uint32_t, CUgraph> children;  // the insides of child graph nodes that were asked for
  bool is_inside = false;                // it is such an inside
  ObjectCounts objects;
  uint64_t original = 0;  // the graph it is a clone of
  void reset() {
    device = nullptr;
    nodes = destroyed = 0;
    capture = original = 0;
    names.clear();
    contents = std::make_shared<GraphContents>();
    memory = {};
    instances = 0;
    children.clear();
    is_inside = false;
    objects.clear();
  }
};

struct GraphNode {
  uint64_t graph = 0;
  uint32_t number = 0;
  // What node_kernel() gave out.
  std::vector<std::byte> params;
  std::vector<void*> param_pointers;
  void reset() {
    graph = 0;
    params.clear();
    param_pointers.clear();
  }
};

struct GraphExec {
  protocol::ExecId id;
  Device* device = nullptr;
  uint64_t flags = 0;
  std::mutex mutex;  // guards the rest
  GraphCopies copies;
  // Those of nodes that were changed in it, by graph and number.
  std::map<std::pair<uint64_t, uint32_t>, GraphCopies::Names> changed_copies;
  bool knows_names = true;  // of all of its copies
  GraphEvents events;
  std::set<std::pair<uint64_t, uint32_t>> disabled;  // nodes: graph and number
  uint32_t parts = 1;                                // launched one behind the other,
  std::vector<PartCall> calls;                       // with these in between
  GraphMemoryUse memory;
  uint64_t graph = 0;  // that it was made of, where that has memory nodes
  ObjectCounts objects;
  uint64_t last_stream = 0;  // of its last launch, StreamId bits
  CUevent order = nullptr;   // behind the last launch, where something must come after that
  void reset() {
    device = nullptr;
    copies.clear();
    changed_copies.clear();
    knows_names = true;
    events.clear();
    disabled.clear();
    parts = 1;
    calls.clear();
    memory = {};
    graph = 0;
    objects.clear();
    last_stream = 0;
    order = nullptr;
  }
};

class Session;
// Gives references up; runs the destructors of objects that have none left.
void release_objects(Session* s, ObjectCounts* objects);
void retain_objects(Session* s, const ObjectCounts& objects);

}  // namespace farlane::client
