// Streams and events: chains across streams, ordering against the legacy default stream, elapsed
// time, queries, priorities, flags.
#include <chrono>

#include "check.h"

__global__ void spin_then_set(int* out, int n, int value, int rounds) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  unsigned x = i + 1;
  for (int r = 0; r < rounds; ++r) x = x * 1664525u + 1013904223u;
  if (i < n) out[i] = value + (x == 0x12345678u && rounds < 0 ? 1 : 0);
}
__global__ void add_from(const int* in, int* out, int n, int value) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) out[i] = in[i] + value;
}

constexpr int kN = 1000, kBlocks = 8, kThreads = 128;

int main() {
  check::DeviceArray<int> a(kN), b(kN);
  std::vector<int> want(kN);

  // 1. A chain that alternates between two non-blocking streams, joined by events only.
  cudaStream_t s[2];
  for (cudaStream_t& x : s) CUDA_CHECK(cudaStreamCreateWithFlags(&x, cudaStreamNonBlocking));
  std::vector<cudaEvent_t> done(20);
  for (cudaEvent_t& e : done) CUDA_CHECK(cudaEventCreateWithFlags(&e, cudaEventDisableTiming));
  CUDA_CHECK(cudaMemsetAsync(a.get(), 0, kN * sizeof(int), s[0]));
  int total = 0;
  for (int i = 0; i < 20; ++i) {
    cudaStream_t now = s[i & 1];
    if (i) CUDA_CHECK(cudaStreamWaitEvent(now, done[i - 1], 0));
    const int* in = i & 1 ? b.get() : a.get();
    int* out = i & 1 ? a.get() : b.get();
    add_from<<<kBlocks, kThreads, 0, now>>>(in, out, kN, i);
    LAUNCH_CHECK();
    total += i;
    CUDA_CHECK(cudaEventRecord(done[i], now));
  }
  CUDA_CHECK(cudaEventSynchronize(done[19]));
  for (const cudaEvent_t& e : done) EXPECT(cudaEventQuery(e) == cudaSuccess);
  want.assign(kN, total);
  check::equal("chain over two streams", a.fetch().data(), want.data(), kN);

  // 2. Blocking streams are ordered with the legacy default stream, both ways.
  cudaStream_t blocking[2];
  for (cudaStream_t& x : blocking) CUDA_CHECK(cudaStreamCreate(&x));
  for (int round = 0; round < 3; ++round) {
    spin_then_set<<<kBlocks, kThreads, 0, blocking[0]>>>(a.get(), kN, 10 + round, 200);
    add_from<<<kBlocks, kThreads>>>(a.get(), b.get(), kN, 100);  // legacy
    add_from<<<kBlocks, kThreads, 0, blocking[1]>>>(b.get(), a.get(), kN, 1000);
    add_from<<<1, 1>>>(a.get(), b.get(), 0, 0);  // legacy: the next round waits for this one
    LAUNCH_CHECK();
  }
  CUDA_CHECK(cudaStreamSynchronize(blocking[1]));
  want.assign(kN, 1112);
  check::equal("blocking streams and the default stream", a.fetch().data(), want.data(), kN);

  // 3. The legacy stream by its special handle.
  spin_then_set<<<kBlocks, kThreads, 0, blocking[0]>>>(a.get(), kN, 7, 100);
  add_from<<<kBlocks, kThreads, 0, cudaStreamLegacy>>>(a.get(), b.get(), kN, 1);
  CUDA_CHECK(cudaStreamSynchronize(cudaStreamLegacy));
  want.assign(kN, 8);
  check::equal("cudaStreamLegacy", b.fetch().data(), want.data(), kN);

  // 4. Elapsed time: not negative, not longer than the host saw.
  cudaEvent_t start, stop;
  CUDA_CHECK(cudaEventCreate(&start));
  CUDA_CHECK(cudaEventCreate(&stop));
  auto before = std::chrono::steady_clock::now();
  CUDA_CHECK(cudaEventRecord(start, s[0]));
  spin_then_set<<<kBlocks, kThreads, 0, s[0]>>>(a.get(), kN, 1, 300);
  CUDA_CHECK(cudaEventRecord(stop, s[0]));
  CUDA_CHECK(cudaEventSynchronize(stop));
  double wall =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - before).count();
  float ms = -1, back = 1, same = -1;
  CUDA_CHECK(cudaEventElapsedTime(&ms, start, stop));
  CUDA_CHECK(cudaEventElapsedTime(&back, stop, start));
  CUDA_CHECK(cudaEventElapsedTime(&same, start, start));
  EXPECT(ms >= 0 && ms <= wall + 1);
  EXPECT(back <= 0 && same == 0);
  std::printf("elapsed time sane: %s\n", ms >= 0 && ms <= wall + 1 && back <= 0 ? "yes" : "no");

  // 5. An event that was recorded again means the later point; one never recorded is complete.
  cudaEvent_t event;
  CUDA_CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming | cudaEventBlockingSync));
  EXPECT(cudaEventQuery(event) == cudaSuccess);
  CUDA_CHECK(cudaEventSynchronize(event));
  CUDA_CHECK(cudaStreamWaitEvent(s[1], event));
  CUDA_CHECK(cudaEventRecord(event, s[0]));
  spin_then_set<<<kBlocks, kThreads, 0, s[0]>>>(a.get(), kN, 55, 300);
  CUDA_CHECK(cudaEventRecord(event, s[0]));
  CUDA_CHECK(cudaStreamWaitEvent(s[1], event));
  add_from<<<kBlocks, kThreads, 0, s[1]>>>(a.get(), b.get(), kN, 5);
  CUDA_CHECK(cudaStreamSynchronize(s[1]));
  want.assign(kN, 60);
  check::equal("event recorded twice", b.fetch().data(), want.data(), kN);

  // 6. Everything is idle after a device-wide wait.
  CUDA_CHECK(cudaDeviceSynchronize());
  for (cudaStream_t x : {s[0], s[1], blocking[0], blocking[1], cudaStream_t(nullptr)})
    EXPECT(cudaStreamQuery(x) == cudaSuccess);
  EXPECT(cudaEventQuery(stop) == cudaSuccess);

  // 7. Priorities and flags.
  int least = 0, greatest = 0, priority = 1;
  CUDA_CHECK(cudaDeviceGetStreamPriorityRange(&least, &greatest));
  EXPECT(greatest <= least);
  cudaStream_t high, low, clamped;
  CUDA_CHECK(cudaStreamCreateWithPriority(&high, cudaStreamNonBlocking, greatest));
  CUDA_CHECK(cudaStreamCreateWithPriority(&low, cudaStreamDefault, least));
  CUDA_CHECK(cudaStreamCreateWithPriority(&clamped, cudaStreamNonBlocking, greatest - 100));
  CUDA_CHECK(cudaStreamGetPriority(high, &priority));
  std::printf("high has the greatest priority: %s\n", priority == greatest ? "yes" : "no");
  CUDA_CHECK(cudaStreamGetPriority(low, &priority));
  std::printf("low has the least priority: %s\n", priority == least ? "yes" : "no");
  CUDA_CHECK(cudaStreamGetPriority(clamped, &priority));
  std::printf("out of range is clamped: %s\n", priority == greatest ? "yes" : "no");
  unsigned flags = 99;
  CUDA_CHECK(cudaStreamGetFlags(high, &flags));
  std::printf("flags of high: %u\n", flags);
  CUDA_CHECK(cudaStreamGetFlags(low, &flags));
  std::printf("flags of low: %u\n", flags);
  unsigned long long id_high = 0, id_low = 0;
  CUDA_CHECK(cudaStreamGetId(high, &id_high));
  CUDA_CHECK(cudaStreamGetId(low, &id_low));
  EXPECT(id_high != id_low);
  spin_then_set<<<kBlocks, kThreads, 0, high>>>(a.get(), kN, 3, 10);
  LAUNCH_CHECK();

  // 8. Destroying a busy stream lets its work finish.
  CUDA_CHECK(cudaStreamDestroy(high));
  CUDA_CHECK(cudaDeviceSynchronize());
  want.assign(kN, 3);
  check::equal("work of a destroyed stream", a.fetch().data(), want.data(), kN);
  for (cudaStream_t x : {s[0], s[1], blocking[0], blocking[1], low, clamped})
    CUDA_CHECK(cudaStreamDestroy(x));
  for (cudaEvent_t e : done) CUDA_CHECK(cudaEventDestroy(e));
  for (cudaEvent_t e : {start, stop, event}) CUDA_CHECK(cudaEventDestroy(e));
  return check::finish();
}
