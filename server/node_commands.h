// What the files with commands that add or change nodes share.
#pragma once

#include <fmt/format.h>

#include <utility>
#include <vector>

#include "server/executor.h"
#include "server/graph_parts.h"

namespace farlane::server {

// A node in an instance, or in the one of its parts that has it.
struct ExecPlace {
  CUgraphExec handle = nullptr;
  Device* device = nullptr;
  GraphParts* parts = nullptr;  // of which it is one
  uint32_t number = 0;          // among them

  // *node: the graph's own before, the one to name to the driver after.
  CUresult find(const GraphExec& exec, uint32_t node_number, CUgraphNode* node) {
    device = exec.device;
    handle = exec.handle;
    if (exec.parts == nullptr) return CUDA_SUCCESS;
    parts = exec.parts.get();
    const GraphPart* part = parts->of(node_number);
    if (part == nullptr) return CUDA_ERROR_NOT_SUPPORTED;
    handle = part->exec;
    number = static_cast<uint32_t>(part - parts->parts.data());
    *node = part->nodes[node_number];
    return CUDA_SUCCESS;
  }
};

// The parts that put_node() looks at, of a command that lacks some.
struct NewNode {
  protocol::GraphId graph;
  protocol::ExecId exec;
  uint32_t node;
  uint32_t how;
  std::span<const message::GraphDependency> dependencies;
};

// Common to the commands that add a node or change one. `add(graph, dependencies, count, &node)`,
// `change(graph, node)` and `change_exec(place, node)` call the driver.
template <class M, class Add, class Change, class ChangeExec>
bool Executor::put_node(const RecordHeader& header, const M& command, CUresult wrong, Add&& add,
                        Change&& change, ChangeExec&& change_exec, GraphEvent event) {
  CUresult result = wrong;
  const auto how = static_cast<NodeChange>(command.how);
  if (how == NodeChange::kAdd) {
    CUresult found = CUDA_SUCCESS;
    Graph* graph = find_graph(header, command.graph, &found);
    if (end_ != SessionEnd::kNotYet) return false;
    if (graph == nullptr) {
      result = found;
    } else if (command.node != graph->nodes.size()) {
      return fault(header, fmt::format("node {} of {} would be number {}", command.node,
                                       describe(command.graph), graph->nodes.size()));
    } else {
      CUgraphNode node = nullptr;
      if (result == CUDA_SUCCESS) {
        result = add_node(*graph, command.dependencies, &node,
                          [&](const CUgraphNode* on, size_t count, CUgraphNode* out) {
                            return add(*graph, on, count, out);
                          });
      }
      graph->add(node);  // the number is used up also when there is no node
      if (event.driver) add_event(graph, event);
    }
  } else {
    CUgraphNode node = nullptr;
    CUresult found = CUDA_SUCCESS;
    Graph* graph = find_node(header, command.graph, command.node, &node, &found);
    GraphExec* exec = nullptr;
    if (graph != nullptr && how == NodeChange::kInExec) {
      exec = find_exec(header, command.exec, &found);
    }
    if (end_ != SessionEnd::kNotYet) return false;
    if (found != CUDA_SUCCESS) {
      result = found;
    } else if (result == CUDA_SUCCESS) {
      ExecPlace place;
      if (exec != nullptr) result = place.find(*exec, command.node, &node);
      if (result == CUDA_SUCCESS) {
        result = exec != nullptr ? change_exec(place, node) : change(*graph, node);
      }
      if (event.driver) {
        if (exec != nullptr) {
          put_event(&exec->events, std::move(event));
        } else {
          add_event(graph, event);
        }
      }
    }
  }
  return posted(header, result, [&] {
    return fmt::format("node {} of {}", command.node, describe(command.graph));
  });
}

template <class Add>
CUresult Executor::add_node(const Graph& graph,
                            std::span<const message::GraphDependency> dependencies,
                            CUgraphNode* node, Add&& add) {
  Dependencies on;
  if (!on.read(graph, dependencies)) return CUDA_ERROR_INVALID_VALUE;
  if (!on.has_data) return add(on.nodes.data(), on.nodes.size(), node);
  // Edges with data are drawn afterwards: the functions that add nodes know none.
  CUresult result = add(nullptr, 0, node);
  if (result != CUDA_SUCCESS) return result;
  const std::vector<CUgraphNode> to(on.nodes.size(), *node);
  result = driver_.cuGraphAddDependencies(graph.handle, on.nodes.data(), to.data(), on.data.data(),
                                          on.nodes.size());
  if (result != CUDA_SUCCESS) {
    driver_.cuGraphDestroyNode(*node);
    *node = nullptr;
  }
  return result;
}

}  // namespace farlane::server
