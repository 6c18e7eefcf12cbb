// What the entry points about capture and graphs share.
#pragma once

#include <span>
#include <vector>

#include "client/core/graph_api.h"
#include "client/core/graph_params.h"
#include "client/cudart/runtime.h"

namespace farlane::cudart {

// A list of dependencies, with the data of their edges if the caller has any.
Error dependencies_of(const cudaGraphNode_t* nodes, const cudaGraphEdgeData* data, size_t count,
                      std::vector<core::Dependency>* out);

// A new node of `graph`: put(place).
template <typename Put>
cudaError_t add(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                const cudaGraphEdgeData* data, size_t count, Put&& put) {
  return enter_context([&](int) -> Error {
    std::vector<core::Dependency> after;
    if (node == nullptr) {
      return cudaErrorInvalidValue;
    }
    if (Error error = dependencies_of(dependencies, data, count, &after)) {
      return error;
    }
    return put(core::NodePlace{.graph = graph, .dependencies = after, .added = node});
  });
}

// An old node, in its graph or in an instance.
template <typename Put>
cudaError_t change(cudaGraphNode_t node, cudaGraphExec_t exec, bool in_exec, Put&& put) {
  return enter_context([&](int) -> Error {
    if (node == nullptr || (in_exec && exec == nullptr)) {
      return cudaErrorInvalidValue;
    }
    return put(core::NodePlace{.node = node, .exec = exec});
  });
}

// Whether the node is of the type that a call is about; without asking twice.
inline Error check_type(cudaGraphNode_t node, CUgraphNodeType wanted) {
  CUgraphNodeType type = CU_GRAPH_NODE_TYPE_EMPTY;
  if (const CUresult result = core::node_type(node, &type); result != CUDA_SUCCESS) {
    return result;
  }
  return type == wanted ? Error() : Error(cudaErrorInvalidValue);
}

// ask() about a node of this type.
template <typename Answer, typename Ask>
cudaError_t get(cudaGraphNode_t node, CUgraphNodeType wanted, const Answer* answer, Ask&& ask) {
  return enter_context([&](int) -> Error {
    if (answer == nullptr) {
      return cudaErrorInvalidValue;
    }
    if (Error error = check_type(node, wanted)) {
      return error;
    }
    return ask();
  });
}

CUgraphEdgeData edge_data_of(const cudaGraphEdgeData& data);
cudaGraphEdgeData edge_data_of(const CUgraphEdgeData& data);

// CUDA's way to give out lists: with `out` null only their length, else at most *count of them, and
// null for what is more.
template <typename Item, typename Get>
void give_out(const std::vector<Item>& items, size_t room, Get&& get) {
  for (size_t i = 0; i < room; ++i) {
    get(i, i < items.size() ? &items[i] : nullptr);
  }
}

}  // namespace farlane::cudart
