// Host functions in streams: their order with kernels and copies, and that a non-blocking stream
// held up by one does not hold up the legacy default stream.
#include "check.h"
#include "gate.h"

__global__ void set(int* out, int value) {
  *out = value;
}

struct Note {
  const int* source;
  std::vector<int>* log;
};

void note(void* data) {
  Note* n = static_cast<Note*>(data);
  n->log->push_back(*n->source);
}

void CUDART_CB note_status(cudaStream_t, cudaError_t status, void* data) {
  *static_cast<int*>(data) = status == cudaSuccess ? 1 : -1;
}

int main() {
  int* device;
  int* pinned;
  CUDA_CHECK(cudaMalloc(&device, sizeof(int)));
  CUDA_CHECK(cudaMallocHost(&pinned, sizeof(int)));
  cudaStream_t stream;
  CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));

  // 1. kernel, copy, host function, over and over: each sees exactly its own round.
  std::vector<int> log;
  Note round{pinned, &log};
  for (int i = 0; i < 10; ++i) {
    set<<<1, 1, 0, stream>>>(device, i * i);
    CUDA_CHECK(cudaMemcpyAsync(pinned, device, sizeof(int), cudaMemcpyDeviceToHost, stream));
    CUDA_CHECK(cudaLaunchHostFunc(stream, note, &round));
  }
  CUDA_CHECK(cudaStreamSynchronize(stream));
  std::printf("host functions saw:");
  for (int v : log) std::printf(" %d", v);
  std::printf("\n");

  // 2. A host function fills the pinned source of a later copy in the same stream.
  struct Fill {
    int* target;
  } fill{pinned};
  *pinned = 0;
  CUDA_CHECK(cudaLaunchHostFunc(
      stream, [](void* data) { *static_cast<Fill*>(data)->target = 4321; }, &fill));
  CUDA_CHECK(cudaMemcpyAsync(device, pinned, sizeof(int), cudaMemcpyHostToDevice, stream));
  CUDA_CHECK(cudaStreamSynchronize(stream));
  int got = 0;
  CUDA_CHECK(cudaMemcpy(&got, device, sizeof(int), cudaMemcpyDeviceToHost));
  std::printf("copied what the host function wrote: %d\n", got);
  EXPECT(got == 4321);

  // 3. While a host function holds the non-blocking stream, the default stream goes on.
  Gate gate;
  CUDA_CHECK(cudaLaunchHostFunc(stream, wait_at_gate, &gate));
  set<<<1, 1, 0, stream>>>(device, 2);
  gate.wait(&Gate::entered);
  set<<<1, 1>>>(device, 1);
  CUDA_CHECK(cudaStreamSynchronize(nullptr));
  CUDA_CHECK(cudaMemcpy(&got, device, sizeof(int), cudaMemcpyDeviceToHost));
  std::printf("before the gate opens: %d, stream %s\n", got,
              cudaGetErrorName(cudaStreamQuery(stream)));
  EXPECT(got == 1);
  gate.set(&Gate::open);
  CUDA_CHECK(cudaStreamSynchronize(stream));
  CUDA_CHECK(cudaMemcpy(&got, device, sizeof(int), cudaMemcpyDeviceToHost));
  std::printf("after: %d, stream %s\n", got, cudaGetErrorName(cudaStreamQuery(stream)));
  EXPECT(got == 2);

  // 4. The older callback form.
  int status = 0;
  CUDA_CHECK(cudaStreamAddCallback(stream, note_status, &status, 0));
  CUDA_CHECK(cudaStreamSynchronize(stream));
  std::printf("callback status: %d\n", status);
  EXPECT(status == 1);
  for (int i = 0; i < 10; ++i) EXPECT(log.size() == 10 && log[i] == i * i);
  CUDA_CHECK(cudaFreeHost(pinned));
  CUDA_CHECK(cudaFree(device));
  CUDA_CHECK(cudaStreamDestroy(stream));
  return check::finish();
}
