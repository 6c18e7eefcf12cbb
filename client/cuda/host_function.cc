// Functions of the program in a stream.
#include "client/core/graph_api.h"
#include "client/cuda/driver.h"

using namespace farlane::cuda;

namespace {

CUresult launch(CUstream stream, CUhostFn function, void* data) {
  return enter_context([&](int) -> CUresult {
    if (function == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    return core::launch_host_function(stream, function, data);
  });
}

// Unlike a host function it is called after an error too. `given`: as the program named the stream.
CUresult add_callback(CUstream stream, CUstream given, CUstreamCallback callback, void* data,
                      unsigned flags) {
  return enter_context([&](int) -> CUresult {
    if (callback == nullptr || flags != 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    return core::host_function(
        stream, [given, callback, data](CUresult status) { callback(given, status, data); });
  });
}

}  // namespace

FARLANE_TWINS(cuLaunchHostFunc, _ptsz, (CUstream hStream, CUhostFn fn, void* userData),
              launch(stream_of(hStream, twin), fn, userData))
FARLANE_TWINS(cuStreamAddCallback, _ptsz,
              (CUstream hStream, CUstreamCallback callback, void* userData, unsigned int flags),
              add_callback(stream_of(hStream, twin), hStream, callback, userData, flags))
