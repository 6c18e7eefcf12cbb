// Stream capture.
#include "client/cudart/graph.h"

using namespace farlane::cudart;

namespace {

cudaError_t begin(CUstream stream, cudaStreamCaptureMode mode) {
  return enter_context(
      [&](int) { return core::capture_begin(stream, static_cast<CUstreamCaptureMode>(mode)); });
}

cudaError_t begin_to_graph(CUstream stream, cudaGraph_t graph, const cudaGraphNode_t* dependencies,
                           const cudaGraphEdgeData* data, size_t count,
                           cudaStreamCaptureMode mode) {
  return enter_context(
      [&](int) { return core::begin_to_graph(stream, graph, dependencies, data, count, mode); });
}

cudaError_t end(CUstream stream, cudaGraph_t* graph) {
  return enter_context([&](int) { return core::end_capture(stream, graph); });
}

cudaError_t is_capturing(CUstream stream, cudaStreamCaptureStatus* status) {
  return enter_context([&](int) { return core::capture_status(stream, status); });
}

cudaError_t info(CUstream stream, cudaStreamCaptureStatus* status, unsigned long long* id,
                 cudaGraph_t* graph, const cudaGraphNode_t** dependencies,
                 const cudaGraphEdgeData** data, size_t* count) {
  return enter_context([&](int) {
    return core::capture_info(stream, status, id, graph, dependencies, data, count);
  });
}

cudaError_t update(CUstream stream, cudaGraphNode_t* dependencies, const cudaGraphEdgeData* data,
                   size_t count, unsigned flags) {
  return enter_context(
      [&](int) { return core::update_dependencies(stream, dependencies, data, count, flags); });
}

}  // namespace

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
