// What the files about graphs share.
#pragma once

#include <vector>

#include "client/core/call.h"
#include "client/core/graph_api.h"

namespace farlane::client {

// The handle of a node; made at the first request. With the graph's lock.
CUgraphNode node_handle(Session* s, uint64_t graph_bits, Graph* graph, uint32_t number);
// Numbers given meanwhile to captured nodes. With the graph's lock.
CUresult refresh_nodes(Session* s, Graph* graph);

// A graph goes, and the insides of its child graph nodes. Without locks.
void destroy_graph(Session* s, uint64_t bits, Graph* graph);

CUgraphEdgeData edge_data_of(uint32_t bits);
uint32_t edge_bits_of(const CUgraphEdgeData& data);

// The numbers of these nodes, which must belong to the graph.
CUresult read_dependencies(Session* s, uint64_t graph_bits, std::span<const Dependency> from,
                           std::vector<message::GraphDependency>* to);

inline constexpr uint32_t kNodeDestroyed = UINT32_MAX;
struct Shape {
  std::vector<uint32_t> types;  // by number
  std::vector<message::GraphEdge> edges;
};
CUresult fetch_shape(Session* s, const Graph& graph, Shape* shape);

// Asks which parts the instance has, what is called between them, and where copies are made.
// With the instance's lock.
CUresult fetch_parts(Session* s, GraphExec* exec);
// Stream-ordered memory in a capture.
CUresult capture_allocation(Session* s, const Stream& stream, Capture& capture, int device,
                            size_t bytes, CUdeviceptr* address);
CUresult capture_free(Session* s, const Stream& stream, Capture& capture, CUdeviceptr address);
// The place of a node's function in a stream. The number of the command; 0: the session is lost.
uint64_t call_in_stream(Session* s, Stream* stream, const HostFunctionRef& function);

// From launch.cc: the configuration is possible, and the packed parameters.
CUresult check_launch(const Function& function, const Launch& launch);
CUresult pack_params(const Function& function, const Launch& launch, std::span<std::byte> storage,
                     std::span<const std::byte>* params);

}  // namespace farlane::client
