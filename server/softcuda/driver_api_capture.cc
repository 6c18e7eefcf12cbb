// cuStream*Capture*.
//
// Which other calls a capture forbids to its thread and to others (the capture modes) is not held
// up here: nothing this driver does is unsafe during a capture.
#include <algorithm>
#include <unordered_set>

#include "server/softcuda/driver_call.h"
#include "server/softcuda/driver_graph.h"
#include "server/softcuda/driver_stream.h"

using namespace farlane::softcuda;

namespace {

template <typename Body>
CUresult on_stream(CUstream handle, Body&& body) noexcept {
  return in_context([&](const ContextPtr& context) -> CUresult {
    const auto stream = find_stream(context, handle);
    return stream == nullptr ? CUDA_ERROR_INVALID_HANDLE : body(context, stream);
  });
}

uint64_t next_capture_id() {
  static std::atomic<uint64_t> next{1};
  return next.fetch_add(1);
}

CUresult edges_of(const CUgraphNode* nodes, const CUgraphEdgeData* data, size_t count,
                  const GraphObject& graph, std::vector<GraphEdge>* edges) {
  for (size_t i = 0; i < count; ++i) {
    const NodePtr node = Driver::instance().graph_nodes.find(nodes[i]);
    if (node == nullptr || node->graph != &graph) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    edges->push_back({node, data == nullptr ? CUgraphEdgeData{} : data[i]});
  }
  return CUDA_SUCCESS;
}

CUresult begin(const ContextPtr& context, const std::shared_ptr<Stream>& stream,
               CUstreamCaptureMode mode, std::shared_ptr<GraphObject> graph,
               std::vector<GraphEdge> tail) {
  if (mode < CU_STREAM_CAPTURE_MODE_GLOBAL || mode > CU_STREAM_CAPTURE_MODE_RELAXED) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const auto lock = Scheduler::instance().lock();
  if (stream->legacy) {
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  }
  if (stream->capture != nullptr) {
    return CUDA_ERROR_ILLEGAL_STATE;
  }
  auto capture = std::make_shared<CaptureState>();
  capture->graph = std::move(graph);
  if (capture->graph == nullptr) {
    capture->graph = std::make_shared<GraphObject>();
    capture->graph->context = context;
    capture->graph->handle = Driver::instance().graphs.add(capture->graph);
  }
  capture->graph->captured = true;
  capture->origin = stream;
  capture->members = {stream};
  capture->mode = mode;
  capture->thread = std::this_thread::get_id();
  capture->id = next_capture_id();
  stream->capture = std::move(capture);
  stream->capture_tail = std::move(tail);
  return CUDA_SUCCESS;
}

// Every stream that takes part has ended in what the origin's next node would follow.
bool is_joined(const CaptureState& capture) {
  std::unordered_set<const GraphNode*> reached;
  std::vector<const GraphNode*> left;
  for (const GraphEdge& edge : capture.origin->capture_tail) {
    left.push_back(edge.from.get());
  }
  while (!left.empty()) {
    const GraphNode* node = left.back();
    left.pop_back();
    if (!reached.insert(node).second) {
      continue;
    }
    for (const GraphEdge& edge : node->dependencies) {
      left.push_back(edge.from.get());
    }
  }
  return std::all_of(capture.members.begin(), capture.members.end(), [&](const auto& member) {
    return std::all_of(member->capture_tail.begin(), member->capture_tail.end(),
                       [&](const GraphEdge& edge) { return reached.contains(edge.from.get()); });
  });
}

thread_local CUstreamCaptureMode t_mode = CU_STREAM_CAPTURE_MODE_GLOBAL;

}  // namespace

extern "C" {

CUresult cuStreamBeginCapture_v2(CUstream handle, CUstreamCaptureMode mode) {
  return on_stream(handle, [&](const ContextPtr& context, const auto& stream) {
    return begin(context, stream, mode, nullptr, {});
  });
}

CUresult cuStreamBeginCaptureToGraph(CUstream handle, CUgraph graph_handle,
                                     const CUgraphNode* dependencies, const CUgraphEdgeData* data,
                                     size_t count, CUstreamCaptureMode mode) {
  return on_stream(handle, [&](const ContextPtr& context, const auto& stream) -> CUresult {
    const auto graph = Driver::instance().graphs.find(graph_handle);
    std::vector<GraphEdge> tail;
    if (graph == nullptr || graph->captured) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const CUresult result = edges_of(dependencies, data, count, *graph, &tail);
    return result == CUDA_SUCCESS ? begin(context, stream, mode, graph, std::move(tail)) : result;
  });
}

CUresult cuStreamEndCapture(CUstream handle, CUgraph* graph) {
  return on_stream(handle, [&](const ContextPtr&, const auto& stream) -> CUresult {
    if (graph == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    *graph = nullptr;
    std::shared_ptr<CaptureState> capture;
    CUresult result = CUDA_SUCCESS;
    {
      const auto lock = Scheduler::instance().lock();
      capture = stream->capture;
      if (capture == nullptr) {
        return CUDA_ERROR_ILLEGAL_STATE;
      }
      if (capture->mode != CU_STREAM_CAPTURE_MODE_RELAXED &&
          capture->thread != std::this_thread::get_id()) {
        result = CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD;  // and it ends
      } else if (capture->origin != stream) {
        capture->status = CU_STREAM_CAPTURE_STATUS_INVALIDATED;
        return CUDA_ERROR_STREAM_CAPTURE_UNMATCHED;
      } else if (capture->status != CU_STREAM_CAPTURE_STATUS_ACTIVE) {
        result = CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
      } else if (!is_joined(*capture)) {
        result = CUDA_ERROR_STREAM_CAPTURE_UNJOINED;
      }
      for (const auto& member : capture->members) {
        member->capture = nullptr;
        member->capture_tail.clear();
      }
      capture->members.clear();
      capture->graph->captured = false;
      capture->status = CU_STREAM_CAPTURE_STATUS_NONE;
    }
    if (result == CUDA_SUCCESS) {
      *graph = capture->graph->handle;
    } else {
      Driver::instance().graphs.take(capture->graph->handle);
    }
    capture->graph = nullptr;
    return result;
  });
}

CUresult cuStreamIsCapturing(CUstream handle, CUstreamCaptureStatus* status) {
  return on_stream(handle, [&](const ContextPtr&, const auto& stream) -> CUresult {
    if (status == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const auto lock = Scheduler::instance().lock();
    *status = stream->capture == nullptr ? CU_STREAM_CAPTURE_STATUS_NONE : stream->capture->status;
    return CUDA_SUCCESS;
  });
}

CUresult cuStreamGetCaptureInfo_v3(CUstream handle, CUstreamCaptureStatus* status, cuuint64_t* id,
                                   CUgraph* graph, const CUgraphNode** dependencies,
                                   const CUgraphEdgeData** data, size_t* count) {
  return on_stream(handle, [&](const ContextPtr&, const auto& stream) -> CUresult {
    if (status == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const auto lock = Scheduler::instance().lock();
    const auto& capture = stream->capture;
    *status = capture == nullptr ? CU_STREAM_CAPTURE_STATUS_NONE : capture->status;
    if (*status != CU_STREAM_CAPTURE_STATUS_ACTIVE) {
      return CUDA_SUCCESS;
    }
    if (id != nullptr) {
      *id = capture->id;
    }
    if (graph != nullptr) {
      *graph = capture->graph->handle;
    }
    // Until this thread's next question.
    thread_local std::vector<CUgraphNode> nodes;
    thread_local std::vector<CUgraphEdgeData> edges;
    nodes.clear();
    edges.clear();
    for (const GraphEdge& edge : stream->capture_tail) {
      nodes.push_back(edge.from->handle);
      edges.push_back(edge.data);
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
  });
}

CUresult cuStreamUpdateCaptureDependencies_v2(CUstream handle, CUgraphNode* dependencies,
                                              const CUgraphEdgeData* data, size_t count,
                                              unsigned int flags) {
  return on_stream(handle, [&](const ContextPtr&, const auto& stream) -> CUresult {
    if (flags > CU_STREAM_SET_CAPTURE_DEPENDENCIES) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const auto lock = Scheduler::instance().lock();
    if (stream->capture == nullptr) {
      return CUDA_ERROR_ILLEGAL_STATE;
    }
    std::vector<GraphEdge> edges;
    const CUresult result = edges_of(dependencies, data, count, *stream->capture->graph, &edges);
    if (result != CUDA_SUCCESS) {
      return result;
    }
    if (flags == CU_STREAM_SET_CAPTURE_DEPENDENCIES) {
      stream->capture_tail.clear();
    }
    stream->capture_tail.insert(stream->capture_tail.end(), edges.begin(), edges.end());
    return CUDA_SUCCESS;
  });
}

CUresult cuThreadExchangeStreamCaptureMode(CUstreamCaptureMode* mode) {
  return initialized([&]() -> CUresult {
    if (mode == nullptr || *mode < CU_STREAM_CAPTURE_MODE_GLOBAL ||
        *mode > CU_STREAM_CAPTURE_MODE_RELAXED) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    std::swap(*mode, t_mode);
    return CUDA_SUCCESS;
  });
}

}  // extern "C"
