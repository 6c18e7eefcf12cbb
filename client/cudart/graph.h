// What the entry points about capture and graphs share.
#pragma once

#include "client/core/graph_facade.h"
#include "client/core/graph_params.h"
#include "client/cudart/runtime.h"

namespace farlane::cudart {

// add_node(), change_node() and get_node() of the core, in a context.
template <typename Put>
cudaError_t add(cudaGraphNode_t* node, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                const cudaGraphEdgeData* data, size_t count, Put&& put) {
  return enter_context(
      [&](int) { return core::add_node(node, graph, dependencies, data, count, put); });
}

template <typename Put>
cudaError_t change(cudaGraphNode_t node, cudaGraphExec_t exec, bool in_exec, Put&& put) {
  return enter_context([&](int) { return core::change_node(node, exec, in_exec, put); });
}

template <typename Answer, typename Ask>
cudaError_t get(cudaGraphNode_t node, CUgraphNodeType wanted, const Answer* answer, Ask&& ask) {
  return enter_context([&](int) { return core::get_node(node, wanted, answer, ask); });
}

}  // namespace farlane::cudart
