// Stream capture.
#include "client/cudart/graph.h"

namespace farlane::cudart {

Error dependencies_of(const cudaGraphNode_t* nodes, const cudaGraphEdgeData* data, size_t count,
                      std::vector<core::Dependency>* out) {
  if (count != 0 && nodes == nullptr) {
    return cudaErrorInvalidValue;
  }
  for (size_t i = 0; i < count; ++i) {
    out->push_back({nodes[i], data == nullptr ? CUgraphEdgeData{} : edge_data_of(data[i])});
  }
  return {};
}

CUgraphEdgeData edge_data_of(const cudaGraphEdgeData& data) {
  CUgraphEdgeData out{};
  out.from_port = data.from_port;
  out.to_port = data.to_port;
  out.type = data.type;
  return out;
}

cudaGraphEdgeData edge_data_of(const CUgraphEdgeData& data) {
  cudaGraphEdgeData out{};
  out.from_port = data.from_port;
  out.to_port = data.to_port;
  out.type = data.type;
  return out;
}

namespace {

cudaError_t begin(CUstream stream, cudaStreamCaptureMode mode) {
  return enter_context([&](int) -> Error {
    return core::capture_begin(stream, static_cast<CUstreamCaptureMode>(mode));
  });
}

cudaError_t begin_to_graph(CUstream stream, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                           const cudaGraphEdgeData* data, size_t count,
                           cudaStreamCaptureMode mode) {
  return enter_context([&](int) -> Error {
    std::vector<core::Dependency> after;
    if (Error error = dependencies_of(dependencies, data, count, &after)) {
      return error;
    }
    return core::capture_begin_to_graph(stream, graph, after,
                                        static_cast<CUstreamCaptureMode>(mode));
  });
}

cudaError_t end(CUstream stream, cudaGraph_t* graph) {
  return enter_context([&](int) -> Error {
    return graph == nullptr ? CUDA_ERROR_INVALID_VALUE : core::capture_end(stream, graph);
  });
}

cudaError_t is_capturing(CUstream stream, cudaStreamCaptureStatus* status) {
  return enter_context([&](int) -> Error {
    if (status == nullptr) {
      return cudaErrorInvalidValue;
    }
    core::CaptureFacts facts;
    const CUresult result = core::capture_facts(stream, &facts);
    if (result == CUDA_SUCCESS) {
      *status = static_cast<cudaStreamCaptureStatus>(facts.status);
    }
    return result;
  });
}

cudaError_t info(CUstream stream, cudaStreamCaptureStatus* status, unsigned long long* id,
                 cudaGraph_t* graph, const cudaGraphNode_t** dependencies,
                 const cudaGraphEdgeData** data, size_t* count) {
  return enter_context([&](int) -> Error {
    if (status == nullptr) {
      return cudaErrorInvalidValue;
    }
    core::CaptureFacts facts;
    if (const CUresult result = core::capture_facts(stream, &facts); result != CUDA_SUCCESS) {
      return result;
    }
    *status = static_cast<cudaStreamCaptureStatus>(facts.status);
    if (facts.status != CU_STREAM_CAPTURE_STATUS_ACTIVE) {
      return {};
    }
    if (id != nullptr) {
      *id = facts.id;
    }
    if (graph != nullptr) {
      *graph = facts.graph;
    }
    if (dependencies == nullptr && count == nullptr) {
      return {};
    }
    // The program may look at them until this thread's next call.
    thread_local std::vector<cudaGraphNode_t> nodes;
    thread_local std::vector<cudaGraphEdgeData> edges;
    std::vector<core::Dependency> found;
    if (const CUresult result = core::capture_dependencies(stream, &found);
        result != CUDA_SUCCESS) {
      return result;
    }
    nodes.clear();
    edges.clear();
    for (const core::Dependency& one : found) {
      nodes.push_back(one.node);
      edges.push_back(edge_data_of(one.data));
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
    return {};
  });
}

cudaError_t update(CUstream stream, cudaGraphNode_t* dependencies, const cudaGraphEdgeData* data,
                   size_t count, unsigned flags) {
  return enter_context([&](int) -> Error {
    std::vector<core::Dependency> after;
    if (Error error = dependencies_of(dependencies, data, count, &after)) {
      return error;
    }
    return core::capture_update_dependencies(stream, after, flags);
  });
}

}  // namespace
}  // namespace farlane::cudart

using namespace farlane::cudart;

FARLANE_TWINS(cudaStreamBeginCapture, _ptsz, (cudaStream_t stream, cudaStreamCaptureMode mode),
              begin(stream_of(stream, twin), mode))
FARLANE_TWINS(cudaStreamBeginCaptureToGraph, _ptsz,
              (cudaStream_t stream, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
               const cudaGraphEdgeData* dependencyData, size_t numDependencies,
               cudaStreamCaptureMode mode),
              begin_to_graph(stream_of(stream, twin), graph, dependencies, dependencyData,
                             numDependencies, mode))
FARLANE_TWINS(cudaStreamEndCapture, _ptsz, (cudaStream_t stream, cudaGraph_t* pGraph),
              end(stream_of(stream, twin), pGraph))
FARLANE_TWINS(cudaStreamIsCapturing, _ptsz,
              (cudaStream_t stream, cudaStreamCaptureStatus* pCaptureStatus),
              is_capturing(stream_of(stream, twin), pCaptureStatus))
FARLANE_TWINS(cudaStreamGetCaptureInfo, _ptsz,
              (cudaStream_t stream, cudaStreamCaptureStatus* captureStatus_out,
               unsigned long long* id_out, cudaGraph_t* graph_out,
               const cudaGraphNode_t** dependencies_out, const cudaGraphEdgeData** edgeData_out,
               size_t* numDependencies_out),
              info(stream_of(stream, twin), captureStatus_out, id_out, graph_out, dependencies_out,
                   edgeData_out, numDependencies_out))
FARLANE_TWINS(cudaStreamUpdateCaptureDependencies, _ptsz,
              (cudaStream_t stream, cudaGraphNode_t* dependencies,
               const cudaGraphEdgeData* dependencyData, size_t numDependencies, unsigned int flags),
              update(stream_of(stream, twin), dependencies, dependencyData, numDependencies, flags))

cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  return enter([&]() -> Error {
    if (mode == nullptr) {
      return cudaErrorInvalidValue;
    }
    auto as_driver = static_cast<CUstreamCaptureMode>(*mode);
    const CUresult result = core::capture_mode_exchange(&as_driver);
    *mode = static_cast<cudaStreamCaptureMode>(as_driver);
    return result;
  });
}
