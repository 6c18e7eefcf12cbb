#include "server/graph_parts.h"

#include <algorithm>
#include <memory>
#include <unordered_map>

namespace farlane::server {

namespace {

// The parts that a node is in: the first, and the last, which differ for child graphs only.
struct Span {
  uint32_t first = 0;
  uint32_t last = 0;
  uint32_t next = 0;  // what follows the node begins here
};

// Where the nodes of one graph go. Parts count from the graph's own first one.
struct Plan {
  std::vector<CUgraphNode> nodes;  // as the driver lists them
  std::vector<CUgraphNodeType> types;
  std::vector<Span> spans;
  std::vector<std::unique_ptr<Plan>> inside;  // of child graphs
  uint32_t parts = 1;
};

CUresult list_edges(const DriverTable& driver, CUgraph graph, std::vector<CUgraphNode>* from,
                    std::vector<CUgraphNode>* to) {
  size_t count = 0;
  CUresult result = driver.cuGraphGetEdges(graph, nullptr, nullptr, nullptr, &count);
  from->resize(count);
  to->resize(count);
  std::vector<CUgraphEdgeData> data(count);
  if (result == CUDA_SUCCESS && count != 0) {
    result = driver.cuGraphGetEdges(graph, from->data(), to->data(), data.data(), &count);
  }
  return result;
}

CUresult make_plan(const DriverTable& driver, CUgraph graph, Plan* plan) {
  std::vector<CUgraphNode> from;
  std::vector<CUgraphNode> to;
  CUresult result = list_nodes(driver, graph, &plan->nodes);
  if (result == CUDA_SUCCESS) result = list_edges(driver, graph, &from, &to);
  const size_t count = plan->nodes.size();
  plan->types.resize(count);
  plan->spans.resize(count);
  plan->inside.resize(count);
  std::unordered_map<CUgraphNode, size_t> places;
  for (size_t i = 0; result == CUDA_SUCCESS && i < count; ++i) {
    places[plan->nodes[i]] = i;
    result = driver.cuGraphNodeGetType(plan->nodes[i], &plan->types[i]);
    if (result != CUDA_SUCCESS || plan->types[i] != CU_GRAPH_NODE_TYPE_GRAPH) continue;
    CUgraph child = nullptr;
    plan->inside[i] = std::make_unique<Plan>();
    result = driver.cuGraphChildGraphNodeGetGraph(plan->nodes[i], &child);
    if (result == CUDA_SUCCESS) result = make_plan(driver, child, plan->inside[i].get());
  }
  if (result != CUDA_SUCCESS) return result;

  std::vector<std::vector<size_t>> after(count);
  std::vector<size_t> waits_for(count, 0);
  for (size_t i = 0; i < from.size(); ++i) {
    after[places[from[i]]].push_back(places[to[i]]);
    ++waits_for[places[to[i]]];
  }
  std::vector<size_t> ready;
  for (size_t i = 0; i < count; ++i) {
    if (waits_for[i] == 0) ready.push_back(i);
  }
  size_t done = 0;
  for (; !ready.empty(); ++done) {
    const size_t at = ready.back();
    ready.pop_back();
    Span& span = plan->spans[at];
    span.last = span.next = span.first;
    if (plan->types[at] == CU_GRAPH_NODE_TYPE_HOST) ++span.next;
    if (plan->inside[at] != nullptr) {
      span.last += plan->inside[at]->parts - 1;
      span.next = span.last;
    }
    plan->parts = std::max(plan->parts, span.next + 1);
    for (const size_t next : after[at]) {
      plan->spans[next].first = std::max(plan->spans[next].first, span.next);
      if (--waits_for[next] == 0) ready.push_back(next);
    }
  }
  return done == count ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;  // a cycle
}

// Leaves of a clone only what is in this part. `nodes`: the clone's, in the plan's order.
CUresult prune(const DriverTable& driver, const Plan& plan, uint32_t part,
               std::vector<CUgraphNode>* nodes) {
  CUresult result = CUDA_SUCCESS;
  for (size_t i = 0; result == CUDA_SUCCESS && i < nodes->size(); ++i) {
    const Span& span = plan.spans[i];
    const bool stays =
        part >= span.first && part <= span.last && plan.types[i] != CU_GRAPH_NODE_TYPE_HOST;
    if (!stays) {
      result = driver.cuGraphDestroyNode((*nodes)[i]);
      (*nodes)[i] = nullptr;
    } else if (plan.inside[i] != nullptr && plan.inside[i]->parts > 1) {
      CUgraph child = nullptr;
      std::vector<CUgraphNode> inside;
      result = driver.cuGraphChildGraphNodeGetGraph((*nodes)[i], &child);
      // A clone lists its nodes as the original does; what it does not is not cut.
      if (result == CUDA_SUCCESS) result = list_nodes(driver, child, &inside);
      const Plan& their = *plan.inside[i];
      if (result == CUDA_SUCCESS && inside.size() != their.nodes.size()) {
        result = CUDA_ERROR_NOT_SUPPORTED;
      }
      for (size_t j = 0; result == CUDA_SUCCESS && j < inside.size(); ++j) {
        CUgraphNodeType type = CU_GRAPH_NODE_TYPE_EMPTY;
        result = driver.cuGraphNodeGetType(inside[j], &type);
        if (result == CUDA_SUCCESS && type != their.types[j]) result = CUDA_ERROR_NOT_SUPPORTED;
      }
      if (result == CUDA_SUCCESS) result = prune(driver, their, part - span.first, &inside);
    }
  }
  return result;
}

protocol::message::PartCopy part_copy(uint32_t part, uint32_t node, const CUDA_MEMCPY3D& box) {
  return {part, node, box.dstDevice + box.dstXInBytes, box.srcDevice + box.srcXInBytes,
          box.WidthInBytes * box.Height * box.Depth};
}

// The calls and copies of a graph whose first part has the number `first`.
CUresult collect(const DriverTable& driver, const Plan& plan, const Graph* whole, uint32_t first,
                 GraphParts* out) {
  CUresult result = CUDA_SUCCESS;
  for (size_t i = 0; result == CUDA_SUCCESS && i < plan.nodes.size(); ++i) {
    const uint32_t part = first + plan.spans[i].first;
    const uint32_t number = whole == nullptr ? UINT32_MAX : whole->number_of(plan.nodes[i]);
    if (plan.types[i] == CU_GRAPH_NODE_TYPE_HOST) {
      CUDA_HOST_NODE_PARAMS params{};
      result = driver.cuGraphHostNodeGetParams(plan.nodes[i], &params);
      out->calls.push_back({part, number, reinterpret_cast<uint64_t>(params.userData)});
    } else if (plan.types[i] == CU_GRAPH_NODE_TYPE_MEMCPY) {
      CUDA_MEMCPY3D box{};
      result = driver.cuGraphMemcpyNodeGetParams(plan.nodes[i], &box);
      out->copies.push_back(part_copy(part, number, box));
    } else if (plan.types[i] == CU_GRAPH_NODE_TYPE_EVENT_RECORD ||
               plan.types[i] == CU_GRAPH_NODE_TYPE_WAIT_EVENT) {
      CUevent event = nullptr;
      result = plan.types[i] == CU_GRAPH_NODE_TYPE_WAIT_EVENT
                   ? driver.cuGraphEventWaitNodeGetEvent(plan.nodes[i], &event)
                   : driver.cuGraphEventRecordNodeGetEvent(plan.nodes[i], &event);
      out->events.push_back({part, event});
    } else if (plan.inside[i] != nullptr) {
      result = collect(driver, *plan.inside[i], nullptr, part, out);
    }
  }
  return result;
}

uint32_t number_in(const GraphPart& part, CUgraphNode node) {
  const auto found = std::find(part.nodes.begin(), part.nodes.end(), node);
  return node == nullptr || found == part.nodes.end()
             ? 0
             : static_cast<uint32_t>(found - part.nodes.begin()) + 1;
}

bool are_alike(const GraphParts& one, const GraphParts& other) {
  return one.parts.size() == other.parts.size() && one.copies.size() == other.copies.size() &&
         one.calls.size() == other.calls.size() &&
         std::equal(one.calls.begin(), one.calls.end(), other.calls.begin(),
                    [](const auto& a, const auto& b) { return a.part == b.part; });
}

}  // namespace

bool GraphParts::may_have(uint32_t part, CUevent event) const {
  bool elsewhere = false;
  for (const PartEvent& one : events) {
    if (one.event != event) continue;
    if (one.part == part) return true;
    elsewhere = true;
  }
  return !elsewhere;
}

void GraphParts::event_changed(uint32_t part, CUevent event) {
  for (const PartEvent& one : events) {
    if (one.part == part && one.event == event) return;
  }
  events.push_back({part, event});
}

const GraphPart* GraphParts::of(uint32_t number) const {
  const GraphPart* found = nullptr;
  for (const GraphPart& part : parts) {
    if (number >= part.nodes.size() || part.nodes[number] == nullptr) continue;
    if (found != nullptr) return nullptr;
    found = &part;
  }
  return found;
}

void GraphParts::copy_changed(uint32_t number, const CUDA_MEMCPY3D& box) {
  for (protocol::message::PartCopy& copy : copies) {
    if (copy.node == number) copy = part_copy(copy.part, number, box);
  }
}

CUresult has_host_nodes(const DriverTable& driver, CUgraph graph, bool* has) {
  std::vector<CUgraphNode> nodes;
  CUresult result = list_nodes(driver, graph, &nodes);
  for (CUgraphNode node : nodes) {
    CUgraphNodeType type = CU_GRAPH_NODE_TYPE_EMPTY;
    if (result == CUDA_SUCCESS) result = driver.cuGraphNodeGetType(node, &type);
    if (result != CUDA_SUCCESS || *has) return result;
    *has = type == CU_GRAPH_NODE_TYPE_HOST;
    if (type != CU_GRAPH_NODE_TYPE_GRAPH) continue;
    CUgraph child = nullptr;
    result = driver.cuGraphChildGraphNodeGetGraph(node, &child);
    if (result == CUDA_SUCCESS) result = has_host_nodes(driver, child, has);
  }
  return result;
}

CUresult cut_graph(const DriverTable& driver, const Graph& graph, GraphParts* out) {
  if (driver.cuGraphHostNodeGetParams == nullptr) return CUDA_ERROR_NOT_SUPPORTED;
  Plan plan;
  CUresult result = make_plan(driver, graph.handle, &plan);
  if (result == CUDA_SUCCESS) result = collect(driver, plan, &graph, 0, out);
  std::stable_sort(out->calls.begin(), out->calls.end(),
                   [](const auto& a, const auto& b) { return a.part < b.part; });
  for (uint32_t i = 0; result == CUDA_SUCCESS && i < plan.parts; ++i) {
    GraphPart& part = out->parts.emplace_back();
    std::vector<CUgraphNode> nodes(plan.nodes.size());
    result = driver.cuGraphClone(&part.graph, graph.handle);
    for (size_t j = 0; result == CUDA_SUCCESS && j < nodes.size(); ++j) {
      result = driver.cuGraphNodeFindInClone(&nodes[j], plan.nodes[j], part.graph);
    }
    if (result == CUDA_SUCCESS) result = prune(driver, plan, i, &nodes);
    part.nodes.resize(graph.nodes.size());
    for (size_t j = 0; j < nodes.size(); ++j) {
      const uint32_t number = graph.number_of(plan.nodes[j]);
      if (number < part.nodes.size()) part.nodes[number] = nodes[j];
    }
  }
  if (result != CUDA_SUCCESS) destroy_parts(driver, out);
  return result;
}

void destroy_parts(const DriverTable& driver, GraphParts* parts) {
  for (const GraphPart& part : parts->parts) {
    if (part.exec != nullptr) driver.cuGraphExecDestroy(part.exec);
    if (part.graph != nullptr) driver.cuGraphDestroy(part.graph);
  }
  parts->parts.clear();
}

CUresult instantiate_parts(const DriverTable& driver, uint64_t flags, GraphParts* parts,
                           uint32_t* outcome, uint32_t* error_node) {
  for (GraphPart& part : parts->parts) {
    CUDA_GRAPH_INSTANTIATE_PARAMS params{};
    params.flags = flags;
    const CUresult result = driver.cuGraphInstantiateWithParams(&part.exec, part.graph, &params);
    *outcome = static_cast<uint32_t>(params.result_out);
    *error_node = number_in(part, params.hErrNode_out);
    if (result != CUDA_SUCCESS) return result;
  }
  return CUDA_SUCCESS;
}

CUresult update_parts(const DriverTable& driver, const GraphParts& update, GraphParts* parts,
                      protocol::message::ExecUpdateReply* reply) {
  if (!are_alike(*parts, update)) {
    reply->outcome = CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED;
    return CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE;
  }
  for (size_t i = 0; i < parts->parts.size(); ++i) {
    const GraphPart& other = update.parts[i];
    CUgraphExecUpdateResultInfo info{};
    const CUresult result = driver.cuGraphExecUpdate(parts->parts[i].exec, other.graph, &info);
    reply->outcome = static_cast<uint32_t>(info.result);
    reply->error_node = number_in(other, info.errorNode);
    reply->error_from = number_in(other, info.errorFromNode);
    if (result != CUDA_SUCCESS) return result;
  }
  // Nodes keep the numbers of the graph that the instance was made of.
  for (size_t i = 0; i < parts->calls.size(); ++i) {
    parts->calls[i].function = update.calls[i].function;
  }
  for (size_t i = 0; i < parts->copies.size(); ++i) {
    const uint32_t node = parts->copies[i].node;
    parts->copies[i] = update.copies[i];
    parts->copies[i].node = node;
  }
  parts->events = update.events;
  return CUDA_SUCCESS;
}

}  // namespace farlane::server
