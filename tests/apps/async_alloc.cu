// Stream-ordered allocation: the default pool, an own pool, reuse across streams ordered by
// events, pool attributes.
#include "check.h"

__global__ void fill(int* p, int n, int value) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
    p[i] = value + i;
}
__global__ void add(const int* a, int* b, int n) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
    b[i] += a[i];
}

int main() {
  int supported = 0;
  CUDA_CHECK(cudaDeviceGetAttribute(&supported, cudaDevAttrMemoryPoolsSupported, 0));
  std::printf("memory pools: %d\n", supported);
  const int n = 50000;
  const size_t bytes = n * sizeof(int);
  cudaStream_t a, b;
  CUDA_CHECK(cudaStreamCreateWithFlags(&a, cudaStreamNonBlocking));
  CUDA_CHECK(cudaStreamCreateWithFlags(&b, cudaStreamNonBlocking));
  int* sum;
  CUDA_CHECK(cudaMallocAsync(&sum, bytes, a));
  CUDA_CHECK(cudaMemsetAsync(sum, 0, bytes, a));

  // 1. Allocate, use, free, again and again in one stream, with no wait.
  for (int i = 0; i < 20; ++i) {
    int* p;
    CUDA_CHECK(cudaMallocAsync(&p, bytes, a));
    fill<<<8, 128, 0, a>>>(p, n, i);
    add<<<8, 128, 0, a>>>(p, sum, n);
    LAUNCH_CHECK();
    CUDA_CHECK(cudaFreeAsync(p, a));
  }
  std::vector<int> got(n), want(n);
  CUDA_CHECK(cudaMemcpyAsync(got.data(), sum, bytes, cudaMemcpyDeviceToHost, a));
  CUDA_CHECK(cudaStreamSynchronize(a));
  for (int i = 0; i < n; ++i) want[i] = 190 + 20 * i;
  check::equal("one stream", got.data(), want.data(), n);

  // 2. Made in one stream, used and freed in another, joined by events.
  cudaEvent_t event;
  CUDA_CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  CUDA_CHECK(cudaMemsetAsync(sum, 0, bytes, b));
  for (int i = 0; i < 10; ++i) {
    int* p;
    CUDA_CHECK(cudaMallocAsync(&p, bytes, a));
    fill<<<8, 128, 0, a>>>(p, n, 100 * i);
    CUDA_CHECK(cudaEventRecord(event, a));
    CUDA_CHECK(cudaStreamWaitEvent(b, event));
    add<<<8, 128, 0, b>>>(p, sum, n);
    LAUNCH_CHECK();
    CUDA_CHECK(cudaFreeAsync(p, b));
    CUDA_CHECK(cudaEventRecord(event, b));
    CUDA_CHECK(cudaStreamWaitEvent(a, event));
  }
  CUDA_CHECK(cudaMemcpyAsync(got.data(), sum, bytes, cudaMemcpyDeviceToHost, b));
  CUDA_CHECK(cudaStreamSynchronize(b));
  for (int i = 0; i < n; ++i) want[i] = 4500 + 10 * i;
  check::equal("two streams", got.data(), want.data(), n);

  // 3. A pool of our own.
  cudaMemPoolProps props = {};
  props.allocType = cudaMemAllocationTypePinned;
  props.location.type = cudaMemLocationTypeDevice;
  props.location.id = 0;
  cudaMemPool_t pool;
  CUDA_CHECK(cudaMemPoolCreate(&pool, &props));
  uint64_t threshold = 1 << 26, value = 0;
  CUDA_CHECK(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &threshold));
  CUDA_CHECK(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &value));
  std::printf("release threshold kept: %s\n", value == threshold ? "yes" : "no");
  EXPECT(value == threshold);
  int reuse = 0;
  CUDA_CHECK(cudaMemPoolGetAttribute(pool, cudaMemPoolReuseFollowEventDependencies, &reuse));
  std::printf("reuse follows events: %d\n", reuse);
  int* p;
  CUDA_CHECK(cudaMallocFromPoolAsync(&p, bytes, pool, a));
  CUDA_CHECK(cudaStreamSynchronize(a));
  uint64_t used = 0, reserved = 0, high = 0;
  CUDA_CHECK(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrUsedMemCurrent, &used));
  CUDA_CHECK(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrReservedMemCurrent, &reserved));
  CUDA_CHECK(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrUsedMemHigh, &high));
  std::printf("used >= asked: %s, reserved >= used: %s, high >= used: %s\n",
              used >= bytes ? "yes" : "no", reserved >= used ? "yes" : "no",
              high >= used ? "yes" : "no");
  EXPECT(used >= bytes && reserved >= used && high >= used);
  fill<<<8, 128, 0, a>>>(p, n, 3);
  LAUNCH_CHECK();
  CUDA_CHECK(cudaMemcpyAsync(got.data(), p, bytes, cudaMemcpyDeviceToHost, a));
  CUDA_CHECK(cudaFreeAsync(p, a));
  CUDA_CHECK(cudaStreamSynchronize(a));
  for (int i = 0; i < n; ++i) want[i] = 3 + i;
  check::equal("own pool", got.data(), want.data(), n);
  CUDA_CHECK(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrUsedMemCurrent, &used));
  std::printf("used after free: %llu\n", static_cast<unsigned long long>(used));
  EXPECT(used == 0);
  CUDA_CHECK(cudaMemPoolTrimTo(pool, 0));
  CUDA_CHECK(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrReservedMemCurrent, &reserved));
  std::printf("reserved after trim: %llu\n", static_cast<unsigned long long>(reserved));
  EXPECT(reserved == 0);

  // 4. It can be the device's current pool; the default pool stays what it was.
  cudaMemPool_t standard, current;
  CUDA_CHECK(cudaDeviceGetDefaultMemPool(&standard, 0));
  CUDA_CHECK(cudaDeviceGetMemPool(&current, 0));
  EXPECT(current == standard && standard != pool);
  CUDA_CHECK(cudaDeviceSetMemPool(0, pool));
  CUDA_CHECK(cudaDeviceGetMemPool(&current, 0));
  EXPECT(current == pool);
  CUDA_CHECK(cudaMallocAsync(&p, 1000, a));
  CUDA_CHECK(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrUsedMemCurrent, &used));
  std::printf("current pool serves cudaMallocAsync: %s\n", used >= 1000 ? "yes" : "no");
  EXPECT(used >= 1000);

  // 5. Stream-ordered memory may be freed by cudaFree, and ordinary memory by cudaFreeAsync.
  CUDA_CHECK(cudaStreamSynchronize(a));
  CUDA_CHECK(cudaFree(p));
  CUDA_CHECK(cudaDeviceSetMemPool(0, standard));
  CUDA_CHECK(cudaMalloc(&p, 4096));
  CUDA_CHECK(cudaMemsetAsync(p, 0, 4096, a));
  CUDA_CHECK(cudaFreeAsync(p, a));
  CUDA_CHECK(cudaFreeAsync(sum, b));
  CUDA_CHECK(cudaDeviceSynchronize());
  CUDA_CHECK(cudaMemPoolDestroy(pool));
  CUDA_CHECK(cudaEventDestroy(event));
  CUDA_CHECK(cudaStreamDestroy(a));
  CUDA_CHECK(cudaStreamDestroy(b));
  return check::finish();
}
