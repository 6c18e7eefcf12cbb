// What the entry points about capture and graphs share.
#pragma once

#include "client/core/graph_facade.h"
#include "client/core/graph_params.h"
#include "client/cuda/driver.h"

namespace farlane::cuda {

// add_node(), change_node() and get_node() of the core, in a context.
template <typename Put>
CUresult add(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies,
             const CUgraphEdgeData* data, size_t count, Put&& put) {
  return enter_context(
      [&](int) { return core::add_node(node, graph, dependencies, data, count, put); });
}

template <typename Put>
CUresult change(CUgraphNode node, CUgraphExec exec, bool in_exec, Put&& put) {
  return enter_context([&](int) { return core::change_node(node, exec, in_exec, put); });
}

template <typename Answer, typename Ask>
CUresult get(CUgraphNode node, CUgraphNodeType wanted, const Answer* answer, Ask&& ask) {
  return enter_context([&](int) { return core::get_node(node, wanted, answer, ask); });
}

}  // namespace farlane::cuda
