// Functions of the program in a stream.
#include "client/core/graph_api.h"
#include "client/cudart/runtime.h"

using namespace farlane::cudart;

namespace {

cudaError_t launch(CUstream stream, cudaHostFn_t function, void* data) {
  return enter_context([&](int) -> Error {
    if (function == nullptr) {
      return cudaErrorInvalidValue;
    }
    return core::launch_host_function(stream, function, data);
  });
}

// Unlike a host function it is called after an error too. `given`: as the program named the stream.
cudaError_t add_callback(CUstream stream, cudaStream_t given, cudaStreamCallback_t callback,
                         void* data, unsigned flags) {
  return enter_context([&](int) -> Error {
    if (callback == nullptr || flags != 0) {
      return cudaErrorInvalidValue;
    }
    return core::host_function(stream, [given, callback, data](CUresult status) {
      callback(given, from_driver(status), data);
    });
  });
}

}  // namespace

FARLANE_TWINS(cudaLaunchHostFunc, _ptsz, (cudaStream_t stream, cudaHostFn_t fn, void* userData),
              launch(stream_of(stream, twin), fn, userData))
FARLANE_TWINS(cudaStreamAddCallback, _ptsz,
              (cudaStream_t stream, cudaStreamCallback_t callback, void* userData,
               unsigned int flags),
              add_callback(stream_of(stream, twin), stream, callback, userData, flags))
