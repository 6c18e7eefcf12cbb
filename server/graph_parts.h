// Instances of graphs with host nodes.
//
// A host node's function runs in the client, and the driver must never hold work that waits for the
// client. So such a graph is cut: a node belongs to the part whose number is the largest count of
// host nodes on a way to it. Parts are launched one behind the other on one stream, and between two
// of them the client runs the functions whose nodes have the number of the first. That keeps every
// edge; what it loses is that a part waits for all of the one before it.
#pragma once

#include <cuda.h>

#include <cstdint>
#include <vector>

#include "generated/protocol/messages.h"
#include "generated/server/driver_table.h"
#include "server/graph.h"

namespace farlane::server {

// One part: a clone of the graph that has only the nodes of the part, and its instance.
struct GraphPart {
  CUgraph graph = nullptr;
  CUgraphExec exec = nullptr;
  std::vector<CUgraphNode> nodes;  // by the number in the whole graph; null: not in this part
};

struct GraphParts {
  std::vector<GraphPart> parts;
  std::vector<protocol::message::PartCall> calls;   // in the order of the parts
  std::vector<protocol::message::PartCopy> copies;  // that may be to and from stand-ins

  struct PartEvent {
    uint32_t part = 0;
    CUevent event = nullptr;
  };
  std::vector<PartEvent> events;  // that nodes record or wait for

  // A node of the part has the event; or who has it is not known, because that was changed since.
  bool may_have(uint32_t part, CUevent event) const;
  // The part that has the node all by itself. Null: none has, or several have pieces of it.
  const GraphPart* of(uint32_t number) const;
  // A node of the part has this one now.
  void event_changed(uint32_t part, CUevent event);
  // A copy node of the instance copies something else now.
  void copy_changed(uint32_t number, const CUDA_MEMCPY3D& box);
};

// Host nodes, in its child graphs too.
CUresult has_host_nodes(const DriverTable& driver, CUgraph graph, bool* has);

// Cuts it. Nothing is instantiated. On failure nothing is left.
CUresult cut_graph(const DriverTable& driver, const Graph& graph, GraphParts* out);
void destroy_parts(const DriverTable& driver, GraphParts* parts);

// As the driver's functions; `error_node` and the others are numbers of the whole graph.
CUresult instantiate_parts(const DriverTable& driver, uint64_t flags, GraphParts* parts,
                           uint32_t* outcome, uint32_t* error_node);
// `update` must be cut alike. Its functions take the place of those before.
CUresult update_parts(const DriverTable& driver, const GraphParts& update, GraphParts* parts,
                      protocol::message::ExecUpdateReply* reply);

}  // namespace farlane::server
