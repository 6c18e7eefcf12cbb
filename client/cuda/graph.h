// What the entry points about capture and graphs share.
#pragma once

#include <vector>

#include "client/core/graph_api.h"
#include "client/core/graph_params.h"
#include "client/cuda/driver.h"

namespace farlane::cuda {

// A list of dependencies, with the data of their edges if the caller has any.
CUresult dependencies_of(const CUgraphNode* nodes, const CUgraphEdgeData* data, size_t count,
                         std::vector<core::Dependency>* out);

// A new node of `graph`: put(place).
template <typename Put>
CUresult add(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies,
             const CUgraphEdgeData* data, size_t count, Put&& put) {
  return enter_context([&](int) -> CUresult {
    std::vector<core::Dependency> after;
    if (node == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const CUresult result = dependencies_of(dependencies, data, count, &after);
    return result == CUDA_SUCCESS
               ? put(core::NodePlace{.graph = graph, .dependencies = after, .added = node})
               : result;
  });
}

// An old node, in its graph or in an instance.
template <typename Put>
CUresult change(CUgraphNode node, CUgraphExec exec, bool in_exec, Put&& put) {
  return enter_context([&](int) -> CUresult {
    return node == nullptr || (in_exec && exec == nullptr)
               ? CUDA_ERROR_INVALID_VALUE
               : put(core::NodePlace{.node = node, .exec = exec});
  });
}

inline CUresult check_type(CUgraphNode node, CUgraphNodeType wanted) {
  CUgraphNodeType type = CU_GRAPH_NODE_TYPE_EMPTY;
  const CUresult result = core::node_type(node, &type);
  return result != CUDA_SUCCESS || type == wanted ? result : CUDA_ERROR_INVALID_VALUE;
}

// ask() about a node of this type.
template <typename Answer, typename Ask>
CUresult get(CUgraphNode node, CUgraphNodeType wanted, const Answer* answer, Ask&& ask) {
  return enter_context([&](int) -> CUresult {
    if (answer == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const CUresult result = check_type(node, wanted);
    return result == CUDA_SUCCESS ? ask() : result;
  });
}

}  // namespace farlane::cuda
