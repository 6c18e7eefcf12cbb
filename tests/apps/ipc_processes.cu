// Two processes, one memory: a block of the one is opened by the other, written there and seen
// here; events tell when. The processes know each other by a pair of pipes alone.
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

constexpr int kN = 100000;

__global__ void fill(unsigned* to, int n, unsigned key) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) to[i] = key * (i + 1);
}
// Long enough that what does not wait comes too early.
__global__ void fill_slowly(unsigned* to, int n, unsigned key, int rounds) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  volatile unsigned* value = to + i;
  for (int r = 0; r < rounds; ++r) *value = *value * 1664525u + 1013904223u;
  *value = key * (i + 1);
}

struct Pipe {
  int ends[2];
  Pipe() {
    if (pipe(ends) != 0) std::exit(1);
  }
  template <typename T>
  void put(const T& value) {
    if (write(ends[1], &value, sizeof value) != sizeof value) check::fail("a pipe is broken");
  }
  template <typename T>
  T get() {
    T value{};
    if (read(ends[0], &value, sizeof value) != sizeof value) check::fail("a pipe is broken");
    return value;
  }
};

bool is_multiple(const unsigned* device_memory, unsigned key, cudaStream_t stream) {
  std::vector<unsigned> got(kN);
  CUDA_CHECK(cudaMemcpyAsync(got.data(), device_memory, kN * sizeof(unsigned),
                             cudaMemcpyDeviceToHost, stream));
  CUDA_CHECK(cudaStreamSynchronize(stream));
  for (int i = 0; i < kN; ++i) {
    if (got[i] != key * (i + 1u)) return false;
  }
  return true;
}

int consumer(Pipe& in, Pipe& out) {
  const auto memory = in.get<cudaIpcMemHandle_t>();
  const auto second = in.get<cudaIpcMemHandle_t>();
  const auto event_handle = in.get<cudaIpcEventHandle_t>();
  cudaStream_t stream;
  CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  void *opened = nullptr, *again = nullptr, *other = nullptr;
  CUDA_CHECK(cudaIpcOpenMemHandle(&opened, memory, cudaIpcMemLazyEnablePeerAccess));
  CUDA_CHECK(cudaIpcOpenMemHandle(&again, memory, cudaIpcMemLazyEnablePeerAccess));
  EXPECT(opened == again);
  CUDA_CHECK(cudaIpcCloseMemHandle(again));
  CUDA_CHECK(cudaIpcOpenMemHandle(&other, second, cudaIpcMemLazyEnablePeerAccess));
  EXPECT(other != opened);
  cudaEvent_t event;
  CUDA_CHECK(cudaIpcOpenEventHandle(&event, event_handle));
  auto* values = static_cast<unsigned*>(opened);
  EXPECT(is_multiple(values, 3, stream));
  EXPECT(is_multiple(static_cast<unsigned*>(other), 5, stream));
  cudaPointerAttributes a;
  CUDA_CHECK(cudaPointerGetAttributes(&a, values + 5));
  EXPECT(a.type == cudaMemoryTypeDevice);
  out.put('r');

  // The other process's work, waited for by this one's stream.
  in.get<char>();
  CUDA_CHECK(cudaStreamWaitEvent(stream, event, 0));
  EXPECT(is_multiple(values, 7, stream));
  fill<<<(kN + 255) / 256, 256, 0, stream>>>(values, kN, 11);
  LAUNCH_CHECK();
  CUDA_CHECK(cudaStreamSynchronize(stream));
  out.put('w');

  in.get<char>();
  CUDA_CHECK(cudaIpcCloseMemHandle(opened));
  CUDA_CHECK(cudaIpcCloseMemHandle(other));
  check::step("close what is closed", cudaIpcCloseMemHandle(opened), cudaErrorInvalidValue);
  cudaGetLastError();
  CUDA_CHECK(cudaEventDestroy(event));
  out.put('c');
  return check::finish();
}

int producer(Pipe& in, Pipe& out, pid_t child) {
  unsigned *values = nullptr, *second = nullptr;
  cudaStream_t stream;
  CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  CUDA_CHECK(cudaMalloc(&values, kN * sizeof(unsigned)));
  CUDA_CHECK(cudaMalloc(&second, kN * sizeof(unsigned)));
  fill<<<(kN + 255) / 256, 256>>>(values, kN, 3);
  LAUNCH_CHECK();
  std::vector<unsigned> fives(kN);
  for (int i = 0; i < kN; ++i) fives[i] = 5u * (i + 1);
  cudaIpcMemHandle_t memory, same;
  CUDA_CHECK(cudaIpcGetMemHandle(&memory, values));
  CUDA_CHECK(cudaIpcGetMemHandle(&same, values));
  EXPECT(std::memcmp(&memory, &same, sizeof memory) == 0);
  cudaIpcMemHandle_t second_handle;
  CUDA_CHECK(cudaIpcGetMemHandle(&second_handle, second));
  // A synchronous copy after the sharing is there for the others when it returns.
  CUDA_CHECK(cudaMemcpy(second, fives.data(), kN * sizeof(unsigned), cudaMemcpyHostToDevice));

  cudaEvent_t event, plain;
  check::step("an interprocess event with times",
              cudaEventCreateWithFlags(&event, cudaEventInterprocess), cudaErrorInvalidValue);
  cudaGetLastError();
  CUDA_CHECK(cudaEventCreateWithFlags(&event, cudaEventInterprocess | cudaEventDisableTiming));
  CUDA_CHECK(cudaEventCreate(&plain));
  cudaIpcEventHandle_t event_handle;
  check::step("share a plain event", cudaIpcGetEventHandle(&event_handle, plain),
              cudaErrorInvalidResourceHandle);
  cudaGetLastError();
  CUDA_CHECK(cudaIpcGetEventHandle(&event_handle, event));
  check::step("share no memory", cudaIpcGetMemHandle(&same, nullptr), cudaErrorInvalidValue);
  cudaGetLastError();
  void* mine = nullptr;
  check::step("open one's own", cudaIpcOpenMemHandle(&mine, memory, cudaIpcMemLazyEnablePeerAccess),
              cudaErrorDeviceUninitialized);
  cudaGetLastError();
  CUDA_CHECK(cudaDeviceSynchronize());
  out.put(memory);
  out.put(second_handle);
  out.put(event_handle);
  in.get<char>();

  fill_slowly<<<(kN + 255) / 256, 256, 0, stream>>>(values, kN, 7, 40);
  LAUNCH_CHECK();
  CUDA_CHECK(cudaEventRecord(event, stream));
  out.put('e');
  in.get<char>();
  EXPECT(is_multiple(values, 11, stream));
  std::printf("seen: what the other process wrote\n");
  out.put('d');
  in.get<char>();
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  // Nobody has it open any more: it is this process's alone, and can be freed.
  EXPECT(is_multiple(values, 11, stream));
  CUDA_CHECK(cudaFree(values));
  CUDA_CHECK(cudaFree(second));
  CUDA_CHECK(cudaEventDestroy(event));
  return check::finish();
}

int main() {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);  // the order of two processes' lines
  Pipe to_child, to_parent;
  // Before the first CUDA call: a child of a process that uses CUDA cannot use it.
  const pid_t child = fork();
  if (child == 0) {
    alarm(100);
    return consumer(to_child, to_parent);
  }
  alarm(100);
  return producer(to_parent, to_child, child);
}
