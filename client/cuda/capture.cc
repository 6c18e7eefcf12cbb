// Stream capture.
#include "client/cuda/graph.h"

using namespace farlane::cuda;

namespace {

CUresult begin(CUstream stream, CUstreamCaptureMode mode) {
  return enter_context([&](int) { return core::capture_begin(stream, mode); });
}

CUresult begin_to_graph(CUstream stream, CUgraph graph, const CUgraphNode* dependencies,
                        const CUgraphEdgeData* data, size_t count, CUstreamCaptureMode mode) {
  return enter_context(
      [&](int) { return core::begin_to_graph(stream, graph, dependencies, data, count, mode); });
}

CUresult end(CUstream stream, CUgraph* graph) {
  return enter_context([&](int) { return core::end_capture(stream, graph); });
}

CUresult is_capturing(CUstream stream, CUstreamCaptureStatus* status) {
  return enter_context([&](int) { return core::capture_status(stream, status); });
}

CUresult info(CUstream stream, CUstreamCaptureStatus* status, cuuint64_t* id, CUgraph* graph,
              const CUgraphNode** dependencies, const CUgraphEdgeData** data, size_t* count) {
  return enter_context([&](int) {
    return core::capture_info(stream, status, id, graph, dependencies, data, count);
  });
}

CUresult update(CUstream stream, CUgraphNode* dependencies, const CUgraphEdgeData* data,
                size_t count, unsigned flags) {
  return enter_context(
      [&](int) { return core::update_dependencies(stream, dependencies, data, count, flags); });
}

}  // namespace

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
