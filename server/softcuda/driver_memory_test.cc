#include <cstring>
#include <memory>

#include "server/softcuda/driver_test_support.h"

namespace farlane::softcuda {
namespace {

constexpr size_t kMib = size_t{1} << 20;

class Memory : public DriverTest {
 protected:
  size_t free_bytes() {
    size_t free = 0, total = 0;
    EXPECT_OK(cuMemGetInfo(&free, &total));
    return free;
  }

  CUmemAllocationProp prop() const {
    CUmemAllocationProp p{};
    p.type = CU_MEM_ALLOCATION_TYPE_PINNED;
    p.location = {CU_MEM_LOCATION_TYPE_DEVICE, device_};
    return p;
  }

  CUmemAccessDesc access(CUmemAccess_flags flags) const {
    return {{CU_MEM_LOCATION_TYPE_DEVICE, device_}, flags};
  }
};

TEST_F(Memory, AllocateCopyFree) {
  const size_t before = free_bytes();
  CUdeviceptr pointer = 0;
  const auto in = counting(1000);
  ASSERT_OK(cuMemAlloc(&pointer, in.size()));
  EXPECT_EQ(pointer % 512, 0u);
  EXPECT_LT(free_bytes(), before);
  EXPECT_OK(cuMemcpyHtoD(pointer, in.data(), in.size()));
  std::vector<uint8_t> out(in.size());
  EXPECT_OK(cuMemcpyDtoH(out.data(), pointer, out.size()));
  EXPECT_EQ(in, out);
  CUdeviceptr base = 0;
  size_t bytes = 0;
  EXPECT_OK(cuMemGetAddressRange(&base, &bytes, pointer + 999));
  EXPECT_EQ(base, pointer);
  EXPECT_EQ(bytes, 1000u);
  EXPECT_CU(CUDA_ERROR_NOT_FOUND, cuMemGetAddressRange(&base, &bytes, pointer + 1000));
  EXPECT_OK(cuMemFree(pointer));
  EXPECT_EQ(free_bytes(), before);
  EXPECT_OK(cuMemFree(0));
}

TEST_F(Memory, WrongFrees) {
  CUdeviceptr pointer = 0;
  ASSERT_OK(cuMemAlloc(&pointer, 4096));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuMemFree(pointer + 512));
  EXPECT_OK(cuMemFree(pointer));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuMemFree(pointer));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuMemFree(0x1234));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuMemAlloc(&pointer, 0));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuMemAlloc(nullptr, 16));
}

TEST_F(Memory, UseAfterFreeIsRefused) {
  CUdeviceptr pointer = 0;
  int value = 7;
  ASSERT_OK(cuMemAlloc(&pointer, 4096));
  ASSERT_OK(cuMemFree(pointer));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuMemcpyHtoD(pointer, &value, sizeof value));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuMemcpyDtoH(&value, pointer, sizeof value));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuMemsetD8(pointer, 0, 4));
  // Not through the unified forms either: a dead device address is not a host address.
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE,
            cuMemcpy(reinterpret_cast<CUdeviceptr>(&value), pointer, sizeof value));
  // A later allocation does not get the address back at once.
  CUdeviceptr next = 0;
  ASSERT_OK(cuMemAlloc(&next, 4096));
  EXPECT_NE(next, pointer);
  EXPECT_OK(cuCtxSynchronize());  // none of this was a sticky error
}

TEST_F(Memory, OutOfMemoryIsExactAndHarmless) {
  CUdeviceptr large = 0, second = 0;
  EXPECT_CU(CUDA_ERROR_OUT_OF_MEMORY, cuMemAlloc(&large, (kTestMemoryMib + 1) * kMib));
  EXPECT_CU(CUDA_ERROR_OUT_OF_MEMORY, cuMemAlloc(&large, SIZE_MAX));
  const size_t all = free_bytes();
  ASSERT_OK(cuMemAlloc(&large, all - kMib));
  EXPECT_CU(CUDA_ERROR_OUT_OF_MEMORY, cuMemAlloc(&second, 2 * kMib));
  EXPECT_OK(cuMemAlloc(&second, kMib));
  EXPECT_EQ(free_bytes(), 0u);
  EXPECT_CU(CUDA_ERROR_OUT_OF_MEMORY, cuMemAllocAsync(&second, 1, nullptr));
  EXPECT_OK(cuMemFree(large));
  EXPECT_OK(cuMemAlloc(&large, all - kMib));
}

TEST_F(Memory, Pitch) {
  CUdeviceptr pointer = 0;
  size_t pitch = 0;
  ASSERT_OK(cuMemAllocPitch(&pointer, &pitch, 100, 7, 4));
  EXPECT_GE(pitch, 100u);
  EXPECT_EQ(pitch % 512, 0u);
  EXPECT_OK(cuMemsetD2D8(pointer, pitch, 1, pitch, 7));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuMemAllocPitch(&pointer, &pitch, 100, 7, 3));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuMemAllocPitch(&pointer, &pitch, 0, 7, 4));
  EXPECT_CU(CUDA_ERROR_OUT_OF_MEMORY, cuMemAllocPitch(&pointer, &pitch, 1 << 20, SIZE_MAX / 2, 4));
}

TEST_F(Memory, PinnedHostMemory) {
  void* pinned = nullptr;
  ASSERT_OK(cuMemHostAlloc(&pinned, 1000, CU_MEMHOSTALLOC_PORTABLE));
  std::memset(pinned, 1, 1000);
  unsigned flags = 0;
  EXPECT_OK(cuMemHostGetFlags(&flags, pinned));
  EXPECT_EQ(flags, unsigned{CU_MEMHOSTALLOC_PORTABLE});
  unsigned type = 0;
  const auto address = reinterpret_cast<CUdeviceptr>(pinned);
  EXPECT_OK(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, address + 10));
  EXPECT_EQ(type, unsigned{CU_MEMORYTYPE_HOST});
  CUdeviceptr mapped = 0;
  EXPECT_CU(CUDA_ERROR_NOT_SUPPORTED, cuMemHostGetDevicePointer(&mapped, pinned, 0));
  EXPECT_OK(cuMemFreeHost(pinned));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuMemFreeHost(pinned));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE,
            cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, address));

  std::vector<uint8_t> own(8192);
  EXPECT_OK(cuMemHostRegister(own.data(), own.size(), 0));
  EXPECT_CU(CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED, cuMemHostRegister(own.data() + 100, 100, 0));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuMemFreeHost(own.data()));
  EXPECT_OK(cuMemHostUnregister(own.data()));
  EXPECT_CU(CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED, cuMemHostUnregister(own.data()));
}

TEST_F(Memory, PointerAttributes) {
  CUdeviceptr pointer = 0;
  ASSERT_OK(cuMemAlloc(&pointer, 5000));
  unsigned type = 0;
  CUdeviceptr start = 0;
  size_t bytes = 0;
  int ordinal = -1;
  CUcontext context = nullptr;
  CUpointer_attribute names[] = {CU_POINTER_ATTRIBUTE_MEMORY_TYPE,
                                 CU_POINTER_ATTRIBUTE_RANGE_START_ADDR,
                                 CU_POINTER_ATTRIBUTE_RANGE_SIZE,
                                 CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, CU_POINTER_ATTRIBUTE_CONTEXT};
  void* values[] = {&type, &start, &bytes, &ordinal, &context};
  EXPECT_OK(cuPointerGetAttributes(5, names, values, pointer + 100));
  EXPECT_EQ(type, unsigned{CU_MEMORYTYPE_DEVICE});
  EXPECT_EQ(start, pointer);
  EXPECT_EQ(bytes, 5000u);
  EXPECT_EQ(ordinal, 0);
  EXPECT_EQ(context, context_);
  // Ordinary memory is an answer in the plural form and an error in the singular one.
  int local = 0;
  const auto host = reinterpret_cast<CUdeviceptr>(&local);
  EXPECT_OK(cuPointerGetAttributes(5, names, values, host));
  EXPECT_EQ(type, 0u);
  EXPECT_EQ(context, nullptr);
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE,
            cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, host));
}

TEST_F(Memory, VirtualMemory) {
  const size_t before = free_bytes();
  size_t granularity = 0;
  const auto properties = prop();
  EXPECT_OK(
      cuMemGetAllocationGranularity(&granularity, &properties, CU_MEM_ALLOC_GRANULARITY_MINIMUM));
  ASSERT_EQ(granularity, 2 * kMib);
  CUdeviceptr window = 0;
  ASSERT_OK(cuMemAddressReserve(&window, 64 * kMib, 0, 0, 0));
  EXPECT_EQ(window % granularity, 0u);
  CUmemGenericAllocationHandle first = 0, second = 0;
  ASSERT_OK(cuMemCreate(&first, 2 * kMib, &properties, 0));
  ASSERT_OK(cuMemCreate(&second, 4 * kMib, &properties, 0));
  EXPECT_EQ(free_bytes(), before - 6 * kMib);
  EXPECT_OK(cuMemMap(window, 2 * kMib, 0, first, 0));
  EXPECT_OK(cuMemMap(window + 2 * kMib, 4 * kMib, 0, second, 0));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuMemMap(window, 2 * kMib, 0, first, 0));
  // Not before access is given.
  const auto in = counting(3 * kMib);
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuMemcpyHtoD(window, in.data(), 16));
  auto both = access(CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
  ASSERT_OK(cuMemSetAccess(window, 6 * kMib, &both, 1));
  unsigned long long flags = 0;
  EXPECT_OK(cuMemGetAccess(&flags, &both.location, window + kMib));
  EXPECT_EQ(flags, unsigned{CU_MEM_ACCESS_FLAGS_PROT_READWRITE});
  // Fresh memory is zero, and a copy may cross from one mapping into the next.
  std::vector<uint8_t> out(3 * kMib, 9);
  EXPECT_OK(cuMemcpyDtoH(out.data(), window + kMib, out.size()));
  EXPECT_EQ(out, std::vector<uint8_t>(3 * kMib));
  EXPECT_OK(cuMemcpyHtoD(window + kMib, in.data(), in.size()));
  EXPECT_OK(cuMemcpyDtoH(out.data(), window + kMib, out.size()));
  EXPECT_EQ(in, out);
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuMemcpyHtoD(window + 4 * kMib, in.data(), in.size()));
  // The memory stays as long as something maps it.
  EXPECT_OK(cuMemRelease(second));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuMemRelease(second));
  EXPECT_EQ(free_bytes(), before - 6 * kMib);
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuMemUnmap(window, kMib));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuMemAddressFree(window, 64 * kMib));
  EXPECT_OK(cuMemUnmap(window + 2 * kMib, 4 * kMib));
  EXPECT_EQ(free_bytes(), before - 2 * kMib);
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuMemcpyDtoH(out.data(), window + 2 * kMib, 16));
  // The same physical memory at another address has the same bytes.
  EXPECT_OK(cuMemUnmap(window, 2 * kMib));
  EXPECT_OK(cuMemMap(window + 32 * kMib, 2 * kMib, 0, first, 0));
  EXPECT_OK(cuMemSetAccess(window + 32 * kMib, 2 * kMib, &both, 1));
  EXPECT_OK(cuMemcpyDtoH(out.data(), window + 33 * kMib, kMib));
  EXPECT_EQ(std::memcmp(out.data(), in.data(), kMib), 0);
  EXPECT_OK(cuMemUnmap(window + 32 * kMib, 2 * kMib));
  EXPECT_OK(cuMemRelease(first));
  EXPECT_EQ(free_bytes(), before);
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuMemAddressFree(window, 32 * kMib));
  EXPECT_OK(cuMemAddressFree(window, 64 * kMib));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuMemMap(window, 2 * kMib, 0, first, 0));
}

TEST_F(Memory, ReservationHonoursAFreeHint) {
  // Where the process has room, found by reserving there first.
  CUdeviceptr somewhere = 0, again = 0, elsewhere = 0;
  ASSERT_OK(cuMemAddressReserve(&somewhere, 1024 * kMib, 0, 0, 0));
  ASSERT_OK(cuMemAddressFree(somewhere, 1024 * kMib));
  ASSERT_OK(cuMemAddressReserve(&again, 1024 * kMib, 0, somewhere, 0));
  EXPECT_EQ(again, somewhere);
  // A hint that is taken gives another address and no error.
  ASSERT_OK(cuMemAddressReserve(&elsewhere, 1024 * kMib, 0, somewhere, 0));
  EXPECT_NE(elsewhere, somewhere);
  EXPECT_OK(cuMemAddressFree(again, 1024 * kMib));
  EXPECT_OK(cuMemAddressFree(elsewhere, 1024 * kMib));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuMemAddressReserve(&again, 1000, 0, 0, 0));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuMemAddressReserve(&again, 2 * kMib, 3, 0, 0));
}

TEST_F(Memory, VirtualMemoryRunsOut) {
  const size_t all = free_bytes() / (2 * kMib) * (2 * kMib);
  const auto properties = prop();
  CUmemGenericAllocationHandle handle = 0, more = 0;
  EXPECT_CU(CUDA_ERROR_OUT_OF_MEMORY, cuMemCreate(&handle, all + 2 * kMib, &properties, 0));
  ASSERT_OK(cuMemCreate(&handle, all, &properties, 0));
  EXPECT_CU(CUDA_ERROR_OUT_OF_MEMORY, cuMemCreate(&more, 2 * kMib, &properties, 0));
  EXPECT_OK(cuMemRelease(handle));
  EXPECT_OK(cuMemCreate(&more, 2 * kMib, &properties, 0));
  EXPECT_OK(cuMemRelease(more));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuMemCreate(&more, 1000, &properties, 0));
  auto wrong = properties;
  wrong.location.id = 3;
  EXPECT_CU(CUDA_ERROR_INVALID_DEVICE, cuMemCreate(&more, 2 * kMib, &wrong, 0));
}

TEST_F(Memory, StreamOrderedAllocation) {
  const size_t before = free_bytes();
  CUstream stream = nullptr;
  ASSERT_OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
  CUdeviceptr pointer = 0;
  ASSERT_OK(cuMemAllocAsync(&pointer, 1000, stream));
  EXPECT_OK(cuMemsetD8Async(pointer, 5, 1000, stream));
  {
    Gate gate;
    gate.put_into(stream);
    EXPECT_OK(cuMemFreeAsync(pointer, stream));
    EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuMemFreeAsync(pointer, stream));
    EXPECT_LT(free_bytes(), before);  // the stream has not reached the free
  }
  EXPECT_OK(cuStreamSynchronize(stream));
  EXPECT_EQ(free_bytes(), before);
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuMemsetD8(pointer, 5, 1000));
  EXPECT_CU(CUDA_ERROR_INVALID_HANDLE,
            cuMemAllocAsync(&pointer, 16, reinterpret_cast<CUstream>(0x77)));
}

TEST_F(Memory, StreamOrderedAllocationWaitsForPendingFrees) {
  CUstream stream = nullptr;
  ASSERT_OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
  CUdeviceptr first = 0, second = 0;
  ASSERT_OK(cuMemAllocAsync(&first, 200 * kMib, stream));
  EXPECT_OK(cuMemFreeAsync(first, stream));
  EXPECT_OK(cuMemAllocAsync(&second, 200 * kMib, stream));
  EXPECT_OK(cuMemFreeAsync(second, stream));
}

TEST_F(Memory, Pools) {
  CUmemoryPool standard = nullptr, current = nullptr, own = nullptr;
  ASSERT_OK(cuDeviceGetDefaultMemPool(&standard, device_));
  ASSERT_OK(cuDeviceGetMemPool(&current, device_));
  EXPECT_EQ(standard, current);
  uint64_t threshold = UINT64_MAX;
  EXPECT_OK(cuMemPoolSetAttribute(standard, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &threshold));
  threshold = 0;
  EXPECT_OK(cuMemPoolGetAttribute(standard, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &threshold));
  EXPECT_EQ(threshold, UINT64_MAX);
  CUmemPoolProps props{};
  props.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
  props.location = {CU_MEM_LOCATION_TYPE_DEVICE, device_};
  ASSERT_OK(cuMemPoolCreate(&own, &props));
  CUdeviceptr pointer = 0;
  ASSERT_OK(cuMemAllocFromPoolAsync(&pointer, 1000, own, nullptr));
  uint64_t used = 0;
  EXPECT_OK(cuMemPoolGetAttribute(own, CU_MEMPOOL_ATTR_USED_MEM_CURRENT, &used));
  EXPECT_EQ(used, 1000u);
  CUmemoryPool of_pointer = nullptr;
  EXPECT_OK(cuPointerGetAttribute(&of_pointer, CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE, pointer));
  EXPECT_EQ(of_pointer, own);
  EXPECT_OK(cuMemFree(pointer));  // the plain free takes it too
  EXPECT_OK(cuMemPoolGetAttribute(own, CU_MEMPOOL_ATTR_USED_MEM_CURRENT, &used));
  EXPECT_EQ(used, 0u);
  EXPECT_OK(cuMemPoolGetAttribute(own, CU_MEMPOOL_ATTR_USED_MEM_HIGH, &used));
  EXPECT_EQ(used, 1000u);
  EXPECT_OK(cuMemPoolTrimTo(own, 0));
  EXPECT_OK(cuMemPoolDestroy(own));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuMemPoolDestroy(own));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuMemPoolDestroy(standard));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuMemAllocFromPoolAsync(&pointer, 16, own, nullptr));
}

}  // namespace
}  // namespace farlane::softcuda
