#include "server/softcuda/driver_graph.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "server/softcuda/driver_stream.h"

namespace farlane::softcuda {
namespace {

OpPtr make_node_op(const ContextPtr& context, const WorkPtr& work) {
  auto op = std::make_shared<Op>();
  op->kind = work->type == CU_GRAPH_NODE_TYPE_HOST ? Op::Kind::kHost
             : work->run                           ? Op::Kind::kDevice
                                                   : Op::Kind::kMarker;
  if (work->run) {
    op->run = [context, work] {
      if (context->sticky.load() == CUDA_SUCCESS) {
        work->run();
      }
    };
  }
  return op;
}

// Submits the nodes behind `before`; what comes behind them all.
OpPtr submit_nodes(std::unique_lock<std::mutex>& lock, const ContextPtr& context,
                   const std::vector<ExecObject::Node>& nodes, const std::vector<OpPtr>& before) {
  std::vector<OpPtr> ends(nodes.size());
  std::vector<bool> followed(nodes.size(), false);
  for (size_t i = 0; i < nodes.size(); ++i) {
    const ExecObject::Node& node = nodes[i];
    std::vector<OpPtr> after;
    for (const size_t dependency : node.dependencies) {
      after.push_back(ends[dependency]);
      followed[dependency] = true;
    }
    if (node.dependencies.empty()) {
      after = before;
    }
    OpPtr op;
    if (!node.enabled) {
      op = std::make_shared<Op>();
    } else if (node.work->type == CU_GRAPH_NODE_TYPE_GRAPH) {
      ends[i] = submit_nodes(lock, context, node.inside, after);
      continue;
    } else {
      op = make_node_op(context, node.work);
    }
    if (const auto* use = std::get_if<EventUse>(&node.work->what); use != nullptr && node.enabled) {
      if (node.work->type == CU_GRAPH_NODE_TYPE_WAIT_EVENT) {
        if (use->event->record != nullptr) {
          after.push_back(use->event->record->op);
        }
      } else {
        auto record = std::make_shared<EventRecord>();
        op->run = [record] { record->time = std::chrono::steady_clock::now(); };
        record->op = op;
        use->event->record = record;
        use->event->captured_by = nullptr;
      }
    }
    ends[i] = op;
    Scheduler::instance().submit(lock, op, after);
  }
  auto end = std::make_shared<Op>();
  std::vector<OpPtr> leaves;
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (!followed[i]) {
      leaves.push_back(ends[i]);
    }
  }
  Scheduler::instance().submit(lock, end, nodes.empty() ? before : leaves);
  return end;
}

}  // namespace

GraphObject::~GraphObject() {
  for (const NodePtr& node : nodes) {
    Driver::instance().graph_nodes.take(node->handle);
    if (const auto* child = std::get_if<std::shared_ptr<GraphObject>>(&node->work->what)) {
      Driver::instance().graphs.take((*child)->handle);
    }
    // Nodes point at each other.
    node->dependencies.clear();
    node->cloned_from = nullptr;
    node->graph = nullptr;
  }
}

std::optional<CUresult> capture_work(const ContextPtr& context,
                                     const std::shared_ptr<Stream>& stream, Work work) {
  const auto lock = Scheduler::instance().lock();
  const std::shared_ptr<CaptureState> capture = stream->capture;
  if (capture == nullptr) {
    if (!stream->legacy) {
      return std::nullopt;
    }
    // Work here would have to follow what is only captured.
    for (const auto& other : context->streams) {
      if (other->capture != nullptr && other->blocking()) {
        other->capture->status = CU_STREAM_CAPTURE_STATUS_INVALIDATED;
        return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
      }
    }
    return std::nullopt;
  }
  if (capture->status != CU_STREAM_CAPTURE_STATUS_ACTIVE) {
    return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
  }
  const NodePtr node = add_node(capture->graph, std::move(work), stream->capture_tail);
  stream->capture_tail = {GraphEdge{node, {}}};
  return CUDA_SUCCESS;
}

std::optional<CUresult> refuse_captured(const ContextPtr& context, const Stream& stream) {
  const auto lock = Scheduler::instance().lock();
  if (stream.capture != nullptr) {
    stream.capture->status = CU_STREAM_CAPTURE_STATUS_INVALIDATED;
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  }
  if (stream.legacy) {
    for (const auto& other : context->streams) {
      if (other->capture != nullptr && other->blocking()) {
        other->capture->status = CU_STREAM_CAPTURE_STATUS_INVALIDATED;
        return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
      }
    }
  }
  return std::nullopt;
}

NodePtr add_node(const std::shared_ptr<GraphObject>& graph, Work work,
                 std::vector<GraphEdge> dependencies) {
  auto node = std::make_shared<GraphNode>();
  node->graph = graph.get();
  node->work = std::make_shared<const Work>(std::move(work));
  node->dependencies = std::move(dependencies);
  node->handle = Driver::instance().graph_nodes.add(node);
  graph->nodes.push_back(node);
  return node;
}

std::shared_ptr<GraphObject> clone_graph(const GraphObject& graph) {
  auto clone = std::make_shared<GraphObject>();
  clone->context = graph.context;
  std::unordered_map<const GraphNode*, NodePtr> copies;
  for (const NodePtr& node : graph.nodes) {
    Work work = *node->work;
    if (auto* child = std::get_if<std::shared_ptr<GraphObject>>(&work.what)) {
      *child = clone_graph(**child);
      (*child)->inside_node = true;
    }
    const NodePtr copy = add_node(clone, std::move(work), {});
    copy->cloned_from = node;
    copy->attributes = node->attributes;
    copies[node.get()] = copy;
  }
  for (const NodePtr& node : graph.nodes) {
    for (const GraphEdge& edge : node->dependencies) {
      copies[node.get()]->dependencies.push_back({copies[edge.from.get()], edge.data});
    }
  }
  return clone;
}

std::optional<std::vector<ExecObject::Node>> instantiate(const GraphObject& graph) {
  std::vector<ExecObject::Node> nodes;
  std::unordered_map<const GraphNode*, size_t> places;
  // Kahn's order, as the nodes come where that is possible.
  while (nodes.size() < graph.nodes.size()) {
    bool any = false;
    for (const NodePtr& node : graph.nodes) {
      if (places.contains(node.get()) ||
          !std::all_of(node->dependencies.begin(), node->dependencies.end(),
                       [&](const GraphEdge& edge) { return places.contains(edge.from.get()); })) {
        continue;
      }
      ExecObject::Node made;
      made.work = node->work;
      made.original = node;
      for (const GraphEdge& edge : node->dependencies) {
        made.dependencies.push_back(places[edge.from.get()]);
      }
      if (const auto* child = std::get_if<std::shared_ptr<GraphObject>>(&node->work->what)) {
        auto inside = instantiate(**child);
        if (!inside) {
          return std::nullopt;
        }
        made.inside = std::move(*inside);
      }
      places[node.get()] = nodes.size();
      nodes.push_back(std::move(made));
      any = true;
    }
    if (!any) {
      return std::nullopt;
    }
  }
  return nodes;
}

void launch_exec(std::unique_lock<std::mutex>& lock, ExecObject& exec, Stream& stream) {
  std::vector<OpPtr> before = predecessors_of(*exec.context, stream);
  if (exec.tail != nullptr && !exec.tail->done) {
    before.push_back(exec.tail);
  }
  exec.tail = submit_nodes(lock, exec.context, exec.nodes, before);
  stream.tail = exec.tail;
}

}  // namespace farlane::softcuda
