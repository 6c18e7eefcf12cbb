// Stream capture.
#include "client/cuda/graph.h"

namespace farlane::cuda {

CUresult dependencies_of(const CUgraphNode* nodes, const CUgraphEdgeData* data, size_t count,
                         std::vector<core::Dependency>* out) {
  if (count != 0 && nodes == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  for (size_t i = 0; i < count; ++i) {
    out->push_back({nodes[i], data == nullptr ? CUgraphEdgeData{} : data[i]});
  }
  return CUDA_SUCCESS;
}

namespace {

CUresult begin(CUstream stream, CUstreamCaptureMode mode) {
  return enter_context([&](int) { return core::capture_begin(stream, mode); });
}

CUresult begin_to_graph(CUstream stream, CUgraph graph, const CUgraphNode* dependencies,
                        const CUgraphEdgeData* data, size_t count, CUstreamCaptureMode mode) {
  return enter_context([&](int) -> CUresult {
    std::vector<core::Dependency> after;
    const CUresult result = dependencies_of(dependencies, data, count, &after);
    return result == CUDA_SUCCESS ? core::capture_begin_to_graph(stream, graph, after, mode)
                                  : result;
  });
}

CUresult end(CUstream stream, CUgraph* graph) {
  return enter_context([&](int) -> CUresult {
    return graph == nullptr ? CUDA_ERROR_INVALID_VALUE : core::capture_end(stream, graph);
  });
}

CUresult is_capturing(CUstream stream, CUstreamCaptureStatus* status) {
  return enter_context([&](int) -> CUresult {
    if (status == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    core::CaptureFacts facts;
    const CUresult result = core::capture_facts(stream, &facts);
    if (result == CUDA_SUCCESS) {
      *status = facts.status;
    }
    return result;
  });
}

CUresult info(CUstream stream, CUstreamCaptureStatus* status, cuuint64_t* id, CUgraph* graph,
              const CUgraphNode** dependencies, const CUgraphEdgeData** data, size_t* count) {
  return enter_context([&](int) -> CUresult {
    if (status == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    core::CaptureFacts facts;
    if (const CUresult result = core::capture_facts(stream, &facts); result != CUDA_SUCCESS) {
      return result;
    }
    *status = facts.status;
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
    thread_local std::vector<CUgraphEdgeData> edges;
    std::vector<core::Dependency> found;
    if (const CUresult result = core::capture_dependencies(stream, &found);
        result != CUDA_SUCCESS) {
      return result;
    }
    nodes.clear();
    edges.clear();
    for (const core::Dependency& one : found) {
      nodes.push_back(one.node);
      edges.push_back(one.data);
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

CUresult update(CUstream stream, CUgraphNode* dependencies, const CUgraphEdgeData* data,
                size_t count, unsigned flags) {
  return enter_context([&](int) -> CUresult {
    std::vector<core::Dependency> after;
    const CUresult result = dependencies_of(dependencies, data, count, &after);
    return result == CUDA_SUCCESS ? core::capture_update_dependencies(stream, after, flags)
                                  : result;
  });
}

}  // namespace
}  // namespace farlane::cuda

using namespace farlane::cuda;

FARLANE_TWINS(cuStreamBeginCapture, _ptsz, (CUstream hStream),
              begin(stream_of(hStream, twin), CU_STREAM_CAPTURE_MODE_GLOBAL))
FARLANE_TWINS(cuStreamBeginCapture_v2, _ptsz, (CUstream hStream, CUstreamCaptureMode mode),
              begin(stream_of(hStream, twin), mode))
FARLANE_TWINS(cuStreamBeginCaptureToGraph, _ptsz,
              (CUstream hStream, CUgraph hGraph, const CUgraphNode* dependencies,
               const CUgraphEdgeData* dependencyData, size_t numDependencies,
               CUstreamCaptureMode mode),
              begin_to_graph(stream_of(hStream, twin), hGraph, dependencies, dependencyData,
                             numDependencies, mode))
FARLANE_TWINS(cuStreamEndCapture, _ptsz, (CUstream hStream, CUgraph* phGraph),
              end(stream_of(hStream, twin), phGraph))
FARLANE_TWINS(cuStreamIsCapturing, _ptsz, (CUstream hStream, CUstreamCaptureStatus* captureStatus),
              is_capturing(stream_of(hStream, twin), captureStatus))
FARLANE_TWINS(cuStreamGetCaptureInfo, _ptsz,
              (CUstream hStream, CUstreamCaptureStatus* captureStatus_out, cuuint64_t* id_out),
              info(stream_of(hStream, twin), captureStatus_out, id_out, nullptr, nullptr, nullptr,
                   nullptr))
FARLANE_TWINS(cuStreamGetCaptureInfo_v2, _ptsz,
              (CUstream hStream, CUstreamCaptureStatus* captureStatus_out, cuuint64_t* id_out,
               CUgraph* graph_out, const CUgraphNode** dependencies_out,
               size_t* numDependencies_out),
              info(stream_of(hStream, twin), captureStatus_out, id_out, graph_out, dependencies_out,
                   nullptr, numDependencies_out))
FARLANE_TWINS(cuStreamGetCaptureInfo_v3, _ptsz,
              (CUstream hStream, CUstreamCaptureStatus* captureStatus_out, cuuint64_t* id_out,
               CUgraph* graph_out, const CUgraphNode** dependencies_out,
               const CUgraphEdgeData** edgeData_out, size_t* numDependencies_out),
              info(stream_of(hStream, twin), captureStatus_out, id_out, graph_out, dependencies_out,
                   edgeData_out, numDependencies_out))
FARLANE_TWINS(cuStreamUpdateCaptureDependencies, _ptsz,
              (CUstream hStream, CUgraphNode* dependencies, size_t numDependencies,
               unsigned int flags),
              update(stream_of(hStream, twin), dependencies, nullptr, numDependencies, flags))
FARLANE_TWINS(cuStreamUpdateCaptureDependencies_v2, _ptsz,
              (CUstream hStream, CUgraphNode* dependencies, const CUgraphEdgeData* dependencyData,
               size_t numDependencies, unsigned int flags),
              update(stream_of(hStream, twin), dependencies, dependencyData, numDependencies,
                     flags))

CUresult cuThreadExchangeStreamCaptureMode(CUstreamCaptureMode* mode) {
  return enter([&]() { return core::capture_mode_exchange(mode); });
}
