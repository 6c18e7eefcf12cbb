// Memory pools and their books, with both APIs on the same pool.
#include "check.h"
#include "driver_check.h"

unsigned long long bytes_of(cudaMemPool_t pool, cudaMemPoolAttr attribute) {
  unsigned long long value = 0;
  CUDA_CHECK(cudaMemPoolGetAttribute(pool, attribute, &value));
  return value;
}

int main() {
  constexpr size_t kBytes = 3 << 20;
  cudaStream_t stream;
  CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));

  // 1. A created pool: what is taken from it is in its books, whoever takes it.
  cudaMemPoolProps props = {};
  props.allocType = cudaMemAllocationTypePinned;
  props.location.type = cudaMemLocationTypeDevice;
  props.location.id = 0;
  cudaMemPool_t pool;
  CUDA_CHECK(cudaMemPoolCreate(&pool, &props));
  std::printf("at first: %llu used\n", bytes_of(pool, cudaMemPoolAttrUsedMemCurrent));
  void* from_runtime = nullptr;
  CUdeviceptr from_driver = 0;
  CUDA_CHECK(cudaMallocFromPoolAsync(&from_runtime, kBytes, pool, stream));
  CU_CHECK(cuMemAllocFromPoolAsync(&from_driver, 2 * kBytes, pool, stream));
  CU_CHECK(cuMemsetD8Async(from_driver, 7, 2 * kBytes, stream));
  CUDA_CHECK(cudaMemsetAsync(from_runtime, 8, kBytes, stream));
  std::printf("taken by both: %llu used\n", bytes_of(pool, cudaMemPoolAttrUsedMemCurrent));
  EXPECT(bytes_of(pool, cudaMemPoolAttrUsedMemCurrent) == 3 * kBytes);
  EXPECT(bytes_of(pool, cudaMemPoolAttrReservedMemCurrent) >= 3 * kBytes);
  cuuint64_t seen = 0;
  CU_CHECK(cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT, &seen));
  EXPECT(seen == 3 * kBytes);
  CUmemoryPool of_pointer = nullptr;
  CU_CHECK(cuPointerGetAttribute(&of_pointer, CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE, from_driver));
  EXPECT(of_pointer == pool);
  unsigned char last = 0;
  CUDA_CHECK(cudaMemcpyAsync(&last, reinterpret_cast<char*>(from_driver) + 2 * kBytes - 1, 1,
                             cudaMemcpyDeviceToHost, stream));
  // Each gives back what the other took.
  CUDA_CHECK(cudaFreeAsync(reinterpret_cast<void*>(from_driver), stream));
  CU_CHECK(cuMemFreeAsync(reinterpret_cast<CUdeviceptr>(from_runtime), stream));
  CUDA_CHECK(cudaStreamSynchronize(stream));
  EXPECT(last == 7);
  std::printf("given back: %llu used, %llu at most\n",
              bytes_of(pool, cudaMemPoolAttrUsedMemCurrent),
              bytes_of(pool, cudaMemPoolAttrUsedMemHigh));
  EXPECT(bytes_of(pool, cudaMemPoolAttrReservedMemHigh) >= 3 * kBytes);

  // 2. High marks may be reset, and to nothing else.
  unsigned long long zero = 0, one = 1;
  CUDA_CHECK(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrUsedMemHigh, &zero));
  CUDA_CHECK(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReservedMemHigh, &zero));
  std::printf("after the reset: %llu at most\n", bytes_of(pool, cudaMemPoolAttrUsedMemHigh));
  EXPECT(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrUsedMemHigh, &one) == cudaErrorInvalidValue);
  EXPECT(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrUsedMemCurrent, &zero) ==
         cudaErrorInvalidValue);
  cudaGetLastError();

  // 3. What decides about reuse.
  for (cudaMemPoolAttr attribute :
       {cudaMemPoolReuseFollowEventDependencies, cudaMemPoolReuseAllowOpportunistic,
        cudaMemPoolReuseAllowInternalDependencies}) {
    int on = -1, off = 0;
    CUDA_CHECK(cudaMemPoolGetAttribute(pool, attribute, &on));
    CUDA_CHECK(cudaMemPoolSetAttribute(pool, attribute, &off));
    int now = -1;
    CUDA_CHECK(cudaMemPoolGetAttribute(pool, attribute, &now));
    std::printf("reuse: %d, then %d\n", on, now);
  }
  unsigned long long all = ~0ull;
  CUDA_CHECK(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &all));
  EXPECT(bytes_of(pool, cudaMemPoolAttrReleaseThreshold) == all);
  CUDA_CHECK(cudaMemPoolTrimTo(pool, 0));

  // 4. Access: a pool's own device has it, and cannot lose it.
  cudaMemAccessFlags flags = cudaMemAccessFlagsProtNone;
  CUDA_CHECK(cudaMemPoolGetAccess(&flags, pool, &props.location));
  EXPECT(flags == cudaMemAccessFlagsProtReadWrite);
  cudaMemAccessDesc access = {};
  access.location = props.location;
  access.flags = cudaMemAccessFlagsProtReadWrite;
  CUDA_CHECK(cudaMemPoolSetAccess(pool, &access, 1));

  // 5. The current pool of a device is the same in both APIs.
  cudaMemPool_t before;
  CUDA_CHECK(cudaDeviceGetMemPool(&before, 0));
  CUDA_CHECK(cudaDeviceSetMemPool(0, pool));
  CUmemoryPool current = nullptr;
  CU_CHECK(cuDeviceGetMemPool(&current, 0));
  EXPECT(current == pool);
  CU_CHECK(cuMemAllocAsync(&from_driver, kBytes, stream));
  EXPECT(bytes_of(pool, cudaMemPoolAttrUsedMemCurrent) == kBytes);
  CU_CHECK(cuMemFreeAsync(from_driver, stream));
  CU_CHECK(cuDeviceSetMemPool(0, before));
  CUDA_CHECK(cudaStreamSynchronize(stream));
  CUDA_CHECK(cudaMemPoolDestroy(pool));
  CUDA_CHECK(cudaMallocAsync(&from_runtime, kBytes, stream));
  CUDA_CHECK(cudaFreeAsync(from_runtime, stream));
  CUDA_CHECK(cudaStreamSynchronize(stream));
  CUDA_CHECK(cudaStreamDestroy(stream));
  return check::finish();
}
