// What conflicts with a capture, and what it does to it: each error by its name, the capture's
// state behind it, and how the capture ends.
#include <functional>
#include <thread>

#include "check.h"

__global__ void add(int* data, int value) {
  *data += value;
}

int* data;
cudaStream_t stream, blocking, other;

const char* status_of(cudaStream_t one) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  CUDA_CHECK(cudaStreamIsCapturing(one, &status));
  return status == cudaStreamCaptureStatusNone     ? "none"
         : status == cudaStreamCaptureStatusActive ? "active"
                                                   : "invalidated";
}

// One call in the middle of a capture of its own.
void during(const char* what, cudaStream_t one, cudaStreamCaptureMode mode,
            const std::function<cudaError_t()>& call, cudaError_t want, cudaError_t want_end) {
  CUDA_CHECK(cudaStreamBeginCapture(one, mode));
  add<<<1, 1, 0, one>>>(data, 1);
  LAUNCH_CHECK();
  check::step(what, call(), want);
  cudaGetLastError();
  std::printf("  then: %s", status_of(one));
  cudaGraph_t graph = nullptr;
  const cudaError_t end = cudaStreamEndCapture(one, &graph);
  cudaGetLastError();
  std::printf(", end: %s, graph: %d\n", cudaGetErrorName(end), graph != nullptr);
  if (end != want_end) check::fail("%s: the end is %s", what, cudaGetErrorName(end));
  if (graph != nullptr) CUDA_CHECK(cudaGraphDestroy(graph));
}

int main() {
  CUDA_CHECK(cudaMalloc(reinterpret_cast<void**>(&data), 4096));
  CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  CUDA_CHECK(cudaStreamCreate(&blocking));
  CUDA_CHECK(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking));
  cudaEvent_t outside;
  CUDA_CHECK(cudaEventCreateWithFlags(&outside, cudaEventDisableTiming));
  CUDA_CHECK(cudaEventRecord(outside, other));
  CUDA_CHECK(cudaDeviceSynchronize());
  constexpr auto global = cudaStreamCaptureModeGlobal;
  constexpr auto relaxed = cudaStreamCaptureModeRelaxed;
  const cudaError_t bad = cudaErrorStreamCaptureUnsupported;
  const cudaError_t gone = cudaErrorStreamCaptureInvalidated;

  during(
      "synchronize", stream, global, [] { return cudaStreamSynchronize(stream); }, bad, gone);
  during(
      "synchronize, relaxed", stream, relaxed, [] { return cudaStreamSynchronize(stream); }, bad,
      gone);
  during(
      "query", stream, global, [] { return cudaStreamQuery(stream); }, bad, gone);
  during(
      "allocate", stream, global,
      [] {
        void* more = nullptr;
        return cudaMalloc(&more, 1 << 20);
      },
      bad, gone);
  during(
      "allocate, relaxed", stream, relaxed,
      [] {
        void* more = nullptr;
        const cudaError_t error = cudaMalloc(&more, 1 << 20);
        return error == cudaSuccess ? cudaFree(more) : error;
      },
      cudaSuccess, cudaSuccess);
  during(
      "wait for an event from outside", stream, global,
      [&] { return cudaStreamWaitEvent(stream, outside, 0); }, cudaErrorStreamCaptureIsolation,
      gone);
  during(
      "the default stream", blocking, relaxed,
      [] {
        add<<<1, 1>>>(data, 1);
        return cudaPeekAtLastError();
      },
      cudaErrorStreamCaptureImplicit, gone);
  during(
      "begin twice", stream, global, [&] { return cudaStreamBeginCapture(stream, global); },
      cudaErrorIllegalState, cudaSuccess);
  during(
      "query an event of the capture", stream, relaxed,
      [] {
        cudaEvent_t inside;
        CUDA_CHECK(cudaEventCreateWithFlags(&inside, cudaEventDisableTiming));
        CUDA_CHECK(cudaEventRecord(inside, stream));
        return cudaEventQuery(inside);
      },
      cudaErrorCapturedEvent, gone);
  during(
      "fork and do not join", stream, global,
      [] {
        cudaEvent_t fork;
        CUDA_CHECK(cudaEventCreateWithFlags(&fork, cudaEventDisableTiming));
        CUDA_CHECK(cudaEventRecord(fork, stream));
        CUDA_CHECK(cudaStreamWaitEvent(other, fork, 0));
        add<<<1, 1, 0, other>>>(data, 1);
        return cudaPeekAtLastError();
      },
      cudaSuccess, cudaErrorStreamCaptureUnjoined);
  during(
      "end on another thread", stream, global,
      [] {
        cudaError_t error = cudaSuccess;
        std::thread([&] {
          cudaGraph_t graph = nullptr;
          error = cudaStreamEndCapture(stream, &graph);
        }).join();
        return error;
      },
      cudaErrorStreamCaptureWrongThread, cudaErrorIllegalState);

  cudaGraph_t graph = nullptr;
  check::step("end without a beginning", cudaStreamEndCapture(stream, &graph),
              cudaErrorIllegalState);
  check::step("begin on the default stream", cudaStreamBeginCapture(nullptr, global), bad);
  cudaGetLastError();

  // Merging two captures breaks both.
  cudaEvent_t event;
  CUDA_CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  CUDA_CHECK(cudaStreamBeginCapture(stream, relaxed));
  CUDA_CHECK(cudaStreamBeginCapture(other, relaxed));
  CUDA_CHECK(cudaEventRecord(event, stream));
  check::step("merge", cudaStreamWaitEvent(other, event, 0), cudaErrorStreamCaptureMerge);
  check::step("end of the one", cudaStreamEndCapture(stream, &graph), gone);
  check::step("end of the other", cudaStreamEndCapture(other, &graph), gone);
  cudaGetLastError();

  // After all that the streams work as ever.
  CUDA_CHECK(cudaMemsetAsync(data, 0, 4, stream));
  CUDA_CHECK(cudaStreamBeginCapture(stream, global));
  add<<<1, 1, 0, stream>>>(data, 21);
  CUDA_CHECK(cudaStreamEndCapture(stream, &graph));
  cudaGraphExec_t exec;
  CUDA_CHECK(cudaGraphInstantiate(&exec, graph, 0));
  CUDA_CHECK(cudaGraphLaunch(exec, stream));
  CUDA_CHECK(cudaGraphLaunch(exec, stream));
  CUDA_CHECK(cudaStreamSynchronize(stream));
  int result = 0;
  CUDA_CHECK(cudaMemcpy(&result, data, 4, cudaMemcpyDeviceToHost));
  std::printf("and then: %d\n", result);
  if (result != 42) check::fail("the value is %d", result);
  check::step("launch nothing", cudaGraphLaunch(nullptr, stream), cudaErrorInvalidValue);
  cudaGetLastError();
  CUDA_CHECK(cudaGraphExecDestroy(exec));
  CUDA_CHECK(cudaGraphDestroy(graph));
  return check::finish();
}
