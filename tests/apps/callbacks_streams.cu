// Many host functions on several streams: each stream's in its order, those of different streams
// independent of each other, long queues behind one that waits, and what CUDA forbids in them.
#include <atomic>
#include <thread>

#include "check.h"
#include "gate.h"

__global__ void store(int* out, int value) {
  *out = value;
}

__global__ void increment(int* out) {
  *out += 1;
}

constexpr int kStreams = 6;
constexpr int kRounds = 40;

struct Lane {
  int* device;
  int* pinned;
  int seen = 0;
  int wrong = 0;
};

void check_round(void* data) {
  Lane* lane = static_cast<Lane*>(data);
  lane->wrong += *lane->pinned != lane->seen * 3 + 1;
  ++lane->seen;
}

struct Forbidden {
  cudaError_t allocate = cudaSuccess, synchronize = cudaSuccess;
};

void call_cuda(void* data) {
  Forbidden* answers = static_cast<Forbidden*>(data);
  void* memory = nullptr;
  answers->allocate = cudaMalloc(&memory, 16);
  answers->synchronize = cudaStreamSynchronize(nullptr);
}

void count(void* data) {
  static_cast<std::atomic<int>*>(data)->fetch_add(1);
}

void CUDART_CB count_callback(cudaStream_t, cudaError_t status, void* data) {
  if (status == cudaSuccess) static_cast<std::atomic<int>*>(data)->fetch_add(1);
}

int main() {
  std::vector<cudaStream_t> streams(kStreams);
  std::vector<Lane> lanes(kStreams);
  for (int i = 0; i < kStreams; ++i) {
    CUDA_CHECK(cudaStreamCreateWithFlags(&streams[i], cudaStreamNonBlocking));
    CUDA_CHECK(cudaMalloc(&lanes[i].device, sizeof(int)));
    CUDA_CHECK(cudaMallocHost(&lanes[i].pinned, sizeof(int)));
  }

  // 1. Every stream's functions see every round's copy.
  for (int round = 0; round < kRounds; ++round) {
    for (int i = 0; i < kStreams; ++i) {
      store<<<1, 1, 0, streams[i]>>>(lanes[i].device, round * 3 + 1);
      CUDA_CHECK(cudaMemcpyAsync(lanes[i].pinned, lanes[i].device, sizeof(int),
                                 cudaMemcpyDeviceToHost, streams[i]));
      CUDA_CHECK(cudaLaunchHostFunc(streams[i], check_round, &lanes[i]));
    }
  }
  for (cudaStream_t stream : streams) CUDA_CHECK(cudaStreamSynchronize(stream));
  for (int i = 0; i < kStreams; ++i) {
    std::printf("stream %d: %d rounds, %d wrong\n", i, lanes[i].seen, lanes[i].wrong);
    EXPECT(lanes[i].seen == kRounds && lanes[i].wrong == 0);
  }

  // 2. While one waits: other streams, memory, events and copies go on.
  // (A kernel's first launch may load it, and loading may wait for the device.)
  Gate gate;
  int *ours = lanes[0].device, *theirs = lanes[1].device, got = 0;
  increment<<<1, 1>>>(ours);
  CUDA_CHECK(cudaMemset(ours, 0, sizeof(int)));
  CUDA_CHECK(cudaMemset(theirs, 0, sizeof(int)));
  CUDA_CHECK(cudaDeviceSynchronize());
  cudaEvent_t behind;
  CUDA_CHECK(cudaEventCreate(&behind));
  CUDA_CHECK(cudaLaunchHostFunc(streams[0], wait_at_gate, &gate));
  for (int i = 0; i < 500; ++i) increment<<<1, 1, 0, streams[0]>>>(ours);
  CUDA_CHECK(cudaEventRecord(behind, streams[0]));
  CUDA_CHECK(cudaStreamWaitEvent(streams[2], behind, 0));
  increment<<<1, 1, 0, streams[2]>>>(ours);
  gate.wait(&Gate::entered);
  EXPECT(cudaStreamQuery(streams[0]) == cudaErrorNotReady);
  EXPECT(cudaEventQuery(behind) == cudaErrorNotReady);
  EXPECT(cudaStreamQuery(streams[2]) == cudaErrorNotReady);
  for (int i = 0; i < 500; ++i) increment<<<1, 1, 0, streams[1]>>>(theirs);
  int* fresh = nullptr;
  CUDA_CHECK(cudaMalloc(&fresh, 1 << 20));
  std::vector<int> numbers(1 << 16, 9);
  CUDA_CHECK(cudaMemcpyAsync(fresh, numbers.data(), numbers.size() * sizeof(int),
                             cudaMemcpyHostToDevice, streams[1]));
  CUDA_CHECK(
      cudaMemcpyAsync(lanes[1].pinned, theirs, sizeof(int), cudaMemcpyDeviceToHost, streams[1]));
  CUDA_CHECK(cudaStreamSynchronize(streams[1]));
  std::printf("the other stream, meanwhile: %d\n", *lanes[1].pinned);
  EXPECT(*lanes[1].pinned == 500);
  // A thread that waits for the whole device waits for the gate too, and holds up nobody.
  std::atomic<bool> synchronized{false};
  std::thread waiter([&] {
    CUDA_CHECK(cudaDeviceSynchronize());
    synchronized = true;
  });
  increment<<<1, 1, 0, streams[1]>>>(theirs);
  CUDA_CHECK(cudaMemcpyAsync(&got, theirs, sizeof got, cudaMemcpyDeviceToHost, streams[1]));
  CUDA_CHECK(cudaStreamSynchronize(streams[1]));
  EXPECT(got == 501 && !synchronized);
  gate.set(&Gate::open);
  waiter.join();
  CUDA_CHECK(cudaMemcpy(&got, ours, sizeof got, cudaMemcpyDeviceToHost));
  std::printf("behind the gate: %d\n", got);
  EXPECT(got == 501);
  EXPECT(cudaStreamQuery(streams[0]) == cudaSuccess && cudaEventQuery(behind) == cudaSuccess);
  CUDA_CHECK(cudaFree(fresh));

  // 3. More work behind a function than a driver queues.
  CUDA_CHECK(cudaMemset(ours, 0, sizeof(int)));
  CUDA_CHECK(cudaDeviceSynchronize());
  std::atomic<int> calls{0};
  for (int i = 0; i < 20; ++i) {
    CUDA_CHECK(cudaLaunchHostFunc(streams[0], count, &calls));
    for (int k = 0; k < 200; ++k) increment<<<1, 1, 0, streams[0]>>>(ours);
    CUDA_CHECK(cudaStreamAddCallback(streams[0], count_callback, &calls, 0));
  }
  CUDA_CHECK(cudaStreamSynchronize(streams[0]));
  CUDA_CHECK(cudaMemcpy(&got, ours, sizeof got, cudaMemcpyDeviceToHost));
  std::printf("%d functions among %d kernels\n", calls.load(), got);
  EXPECT(calls == 40 && got == 4000);

  // 4. Calls into CUDA are refused, and do no harm.
  Forbidden answers;
  CUDA_CHECK(cudaLaunchHostFunc(streams[0], call_cuda, &answers));
  CUDA_CHECK(cudaStreamSynchronize(streams[0]));
  std::printf("inside: %s, %s\n", cudaGetErrorName(answers.allocate),
              cudaGetErrorName(answers.synchronize));
  EXPECT(answers.allocate == cudaErrorNotPermitted);

  // 5. A stream may be destroyed with functions in it: they still run.
  calls = 0;
  for (int i = 0; i < 10; ++i) CUDA_CHECK(cudaLaunchHostFunc(streams[5], count, &calls));
  CUDA_CHECK(cudaStreamDestroy(streams[5]));
  CUDA_CHECK(cudaDeviceSynchronize());
  std::printf("after the stream's end: %d\n", calls.load());
  EXPECT(calls == 10);

  // While such a function waits, names that were given up are given out again: nobody who uses the
  // new streams and events waits for it.
  Gate last;
  cudaEvent_t event;
  for (int round = 0; round < 2; ++round) {
    cudaStream_t fresh;
    CUDA_CHECK(cudaStreamCreateWithFlags(&fresh, cudaStreamNonBlocking));
    CUDA_CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    if (round == 0) CUDA_CHECK(cudaLaunchHostFunc(fresh, wait_at_gate, &last));
    CUDA_CHECK(cudaEventRecord(event, fresh));
    if (round == 1) CUDA_CHECK(cudaEventSynchronize(event));
    CUDA_CHECK(cudaEventDestroy(event));
    CUDA_CHECK(cudaStreamDestroy(fresh));
  }
  std::printf("nobody waits for a function in a destroyed stream\n");
  last.set(&Gate::open);
  CUDA_CHECK(cudaDeviceSynchronize());

  // 6. On the legacy default stream, which blocking streams wait for.
  cudaStream_t blocking;
  CUDA_CHECK(cudaStreamCreate(&blocking));
  CUDA_CHECK(cudaLaunchHostFunc(nullptr, count, &calls));
  CUDA_CHECK(cudaLaunchHostFunc(blocking, count, &calls));
  CUDA_CHECK(cudaStreamSynchronize(blocking));
  EXPECT(calls == 12);
  EXPECT(cudaLaunchHostFunc(blocking, nullptr, nullptr) == cudaErrorInvalidValue);
  EXPECT(cudaStreamAddCallback(blocking, count_callback, &calls, 1) == cudaErrorInvalidValue);
  cudaGetLastError();
  const int verdict = check::finish();
  // 7. The end of the process does not wait for ever.
  static std::atomic<int> at_exit{0};
  for (int i = 0; i < 100; ++i) CUDA_CHECK(cudaLaunchHostFunc(blocking, count, &at_exit));
  return verdict;
}
