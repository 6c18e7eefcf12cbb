// The steps of the calls about graphs and captures, which both APIs have: with the same handles and
// values, but with types of their own for the data of edges and for enumerations. A façade enters
// its context, calls these, and gives the result as its own error.
#pragma once

#include <cuda.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string>
#include <type_traits>
#include <vector>

#include "client/core/graph_api.h"

namespace farlane::client {

// ---- edges

template <typename To, typename From>
To edge_data_as(const From& from) {
  To to{};
  to.from_port = from.from_port;
  to.to_port = from.to_port;
  to.type = from.type;
  return to;
}

// A list of dependencies, with the data of their edges if the caller has any.
template <typename EdgeData>
CUresult dependencies_of(const CUgraphNode* nodes, const EdgeData* data, size_t count,
                         std::vector<Dependency>* out) {
  if (count != 0 && nodes == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  for (size_t i = 0; i < count; ++i) {
    out->push_back(
        {nodes[i], data == nullptr ? CUgraphEdgeData{} : edge_data_as<CUgraphEdgeData>(data[i])});
  }
  return CUDA_SUCCESS;
}

template <typename EdgeData>
CUresult change_edges(CUgraph graph, const CUgraphNode* from, const CUgraphNode* to,
                      const EdgeData* data, size_t count, bool remove) {
  if (count != 0 && (from == nullptr || to == nullptr)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  std::vector<Edge> edges;
  for (size_t i = 0; i < count; ++i) {
    edges.push_back({from[i], to[i],
                     data == nullptr ? CUgraphEdgeData{} : edge_data_as<CUgraphEdgeData>(data[i])});
  }
  return remove ? graph_remove_edges(graph, edges) : graph_add_edges(graph, edges);
}

// CUDA's way to give out lists: with `nodes` null only their length, else at most *count of them,
// and null for what is more.
inline CUresult give_nodes(const std::vector<CUgraphNode>& found, CUgraphNode* nodes,
                           size_t* count) {
  for (size_t i = 0; nodes != nullptr && i < *count; ++i) {
    nodes[i] = i < found.size() ? found[i] : nullptr;
  }
  *count = nodes == nullptr ? found.size() : std::min(*count, found.size());
  return CUDA_SUCCESS;
}

// Of each edge the end that `pick` takes.
template <typename EdgeData, typename Pick>
CUresult give_edges(const std::vector<Edge>& edges, CUgraphNode* nodes, EdgeData* data,
                    size_t* count, Pick&& pick) {
  if (nodes == nullptr) {
    *count = edges.size();
    return CUDA_SUCCESS;
  }
  bool has_data = false;
  for (size_t i = 0; i < *count; ++i) {
    nodes[i] = i < edges.size() ? pick(edges[i]) : nullptr;
    if (i < edges.size()) {
      const CUgraphEdgeData none{};
      has_data |= std::memcmp(&edges[i].data, &none, sizeof none) != 0;
      if (data != nullptr) {
        data[i] = edge_data_as<EdgeData>(edges[i].data);
      }
    }
  }
  *count = std::min(*count, edges.size());
  return has_data && data == nullptr ? CUDA_ERROR_LOSSY_QUERY : CUDA_SUCCESS;
}

template <typename EdgeData>
CUresult list_edges(CUgraph graph, CUgraphNode* from, CUgraphNode* to, EdgeData* data,
                    size_t* count) {
  if (count == nullptr || (from == nullptr) != (to == nullptr)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  std::vector<Edge> edges;
  if (const CUresult result = graph_edges(graph, &edges); result != CUDA_SUCCESS) {
    return result;
  }
  for (size_t i = 0; to != nullptr && i < *count; ++i) {
    to[i] = i < edges.size() ? edges[i].to : nullptr;
  }
  return give_edges(edges, from, data, count, [](const Edge& edge) { return edge.from; });
}

// The nodes that one depends on (`before`), or that depend on it.
template <typename EdgeData>
CUresult list_neighbours(CUgraphNode node, bool before, CUgraphNode* nodes, EdgeData* data,
                         size_t* count) {
  if (count == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  std::vector<Edge> edges;
  const CUresult result = before ? node_dependencies(node, &edges) : node_dependents(node, &edges);
  return result != CUDA_SUCCESS ? result
                                : give_edges(edges, nodes, data, count, [&](const Edge& edge) {
                                    return before ? edge.from : edge.to;
                                  });
}

// ---- graphs

inline CUresult list_nodes(CUgraph graph, CUgraphNode* nodes, size_t* count) {
  if (count == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (nodes == nullptr) {
    return graph_node_count(graph, count);
  }
  std::vector<CUgraphNode> found;
  const CUresult result = graph_nodes(graph, &found);
  return result == CUDA_SUCCESS ? give_nodes(found, nodes, count) : result;
}

inline CUresult list_root_nodes(CUgraph graph, CUgraphNode* nodes, size_t* count) {
  if (count == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  std::vector<CUgraphNode> found;
  const CUresult result = graph_root_nodes(graph, &found);
  return result == CUDA_SUCCESS ? give_nodes(found, nodes, count) : result;
}

inline CUresult write_dot(CUgraph graph, const char* path, unsigned flags) {
  std::string text;
  if (path == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (const CUresult result = graph_dot(graph, flags, &text); result != CUDA_SUCCESS) {
    return result;
  }
  FILE* file = std::fopen(path, "w");
  if (file == nullptr) {
    return CUDA_ERROR_OPERATING_SYSTEM;
  }
  const bool written = std::fwrite(text.data(), 1, text.size(), file) == text.size();
  return std::fclose(file) == 0 && written ? CUDA_SUCCESS : CUDA_ERROR_OPERATING_SYSTEM;
}

inline CUresult is_node_enabled(CUgraphExec exec, CUgraphNode node, unsigned* is_enabled) {
  bool enabled = false;
  if (is_enabled == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const CUresult result = exec_node_enabled(exec, node, &enabled);
  *is_enabled = enabled ? 1 : 0;
  return result;
}

inline CUresult create_user_object(CUuserObject* object, void* pointer, CUhostFn destroy,
                                   unsigned references, unsigned flags) {
  return object == nullptr || flags != CU_USER_OBJECT_NO_DESTRUCTOR_SYNC
             ? CUDA_ERROR_INVALID_VALUE
             : user_object_create(pointer, destroy, references, object);
}

inline CUresult retain_user_object(CUgraph graph, CUuserObject object, unsigned count,
                                   unsigned flags) {
  return (flags & ~unsigned{CU_GRAPH_USER_OBJECT_MOVE}) != 0
             ? CUDA_ERROR_INVALID_VALUE
             : graph_retain_object(graph, object, count, flags != 0);
}

template <typename Attribute>
CUresult get_graph_memory(int device, Attribute attribute, void* value) {
  return value == nullptr
             ? CUDA_ERROR_INVALID_VALUE
             : graph_memory_attribute(device, static_cast<CUgraphMem_attribute>(attribute),
                                      static_cast<uint64_t*>(value));
}

template <typename Attribute>
CUresult set_graph_memory(int device, Attribute attribute, const void* value) {
  return value == nullptr || *static_cast<const uint64_t*>(value) != 0
             ? CUDA_ERROR_INVALID_VALUE
             : graph_memory_reset(device, static_cast<CUgraphMem_attribute>(attribute));
}

// ---- capture

template <typename EdgeData, typename Mode>
CUresult begin_to_graph(CUstream stream, CUgraph graph, const CUgraphNode* dependencies,
                        const EdgeData* data, size_t count, Mode mode) {
  std::vector<Dependency> after;
  const CUresult result = dependencies_of(dependencies, data, count, &after);
  return result == CUDA_SUCCESS
             ? capture_begin_to_graph(stream, graph, after, static_cast<CUstreamCaptureMode>(mode))
             : result;
}

inline CUresult end_capture(CUstream stream, CUgraph* graph) {
  return graph == nullptr ? CUDA_ERROR_INVALID_VALUE : capture_end(stream, graph);
}

template <typename EdgeData>
CUresult update_dependencies(CUstream stream, const CUgraphNode* dependencies, const EdgeData* data,
                             size_t count, unsigned flags) {
  std::vector<Dependency> after;
  const CUresult result = dependencies_of(dependencies, data, count, &after);
  return result == CUDA_SUCCESS ? capture_update_dependencies(stream, after, flags) : result;
}

template <typename Status>
CUresult capture_status(CUstream stream, Status* status) {
  if (status == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  CaptureFacts facts;
  const CUresult result = capture_facts(stream, &facts);
  if (result == CUDA_SUCCESS) {
    *status = static_cast<Status>(facts.status);
  }
  return result;
}

// All but the status may be null.
template <typename Status, typename Id, typename EdgeData>
CUresult capture_info(CUstream stream, Status* status, Id* id, CUgraph* graph,
                      const CUgraphNode** dependencies, const EdgeData** data, size_t* count) {
  if (status == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  CaptureFacts facts;
  if (const CUresult result = capture_facts(stream, &facts); result != CUDA_SUCCESS) {
    return result;
  }
  *status = static_cast<Status>(facts.status);
  if (facts.status != CU_STREAM_CAPTURE_STATUS_ACTIVE) {
    return CUDA_SUCCESS;
  }
  if (id != nullptr) {
    *id = facts.id;
  }
  if (graph != nullptr) {
    *graph = facts.graph;
  }
  if (dependencies == nullptr && count == nullptr) {
    return CUDA_SUCCESS;
  }
  // The program may look at them until this thread's next call.
  thread_local std::vector<CUgraphNode> nodes;
  thread_local std::vector<EdgeData> edges;
  std::vector<Dependency> found;
  if (const CUresult result = capture_dependencies(stream, &found); result != CUDA_SUCCESS) {
    return result;
  }
  nodes.clear();
  edges.clear();
  for (const Dependency& one : found) {
    nodes.push_back(one.node);
    edges.push_back(edge_data_as<EdgeData>(one.data));
  }
  if (dependencies != nullptr) {
    *dependencies = nodes.data();
  }
  if (data != nullptr) {
    *data = edges.data();
  }
  if (count != nullptr) {
    *count = nodes.size();
  }
  return CUDA_SUCCESS;
}

// ---- nodes

// A new node of `graph`: put(place). What comes out is what `put` gives.
template <typename EdgeData, typename Put>
auto add_node(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies,
              const EdgeData* data, size_t count, Put&& put)
    -> std::invoke_result_t<Put, const NodePlace&> {
  std::vector<Dependency> after;
  if (node == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (const CUresult result = dependencies_of(dependencies, data, count, &after);
      result != CUDA_SUCCESS) {
    return result;
  }
  return put(NodePlace{.graph = graph, .dependencies = after, .added = node});
}

// An old node, in its graph or in an instance.
template <typename Put>
auto change_node(CUgraphNode node, CUgraphExec exec, bool in_exec, Put&& put)
    -> std::invoke_result_t<Put, const NodePlace&> {
  if (node == nullptr || (in_exec && exec == nullptr)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  return put(NodePlace{.node = node, .exec = exec});
}

// ask() about a node of this type, if there is a place for the answer.
template <typename Answer, typename Ask>
auto get_node(CUgraphNode node, CUgraphNodeType wanted, const Answer* answer, Ask&& ask)
    -> std::invoke_result_t<Ask> {
  if (answer == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  CUgraphNodeType type = CU_GRAPH_NODE_TYPE_EMPTY;
  if (const CUresult result = node_type(node, &type); result != CUDA_SUCCESS) {
    return result;
  }
  if (type != wanted) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  return ask();
}

}  // namespace farlane::client
