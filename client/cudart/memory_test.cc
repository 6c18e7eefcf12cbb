// Memory, pointers, pools, copies, fills: argument quirks as an H100 with CUDA 13 shows them.
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cstring>
#include <numeric>
#include <vector>

#include "client/cudart/testing/fake_core.h"

extern "C" {
decltype(cudaMemcpy) cudaMemcpy_ptds;
decltype(cudaMemcpyAsync) cudaMemcpyAsync_ptsz;
}

namespace farlane::client {
namespace {

class MemoryTest : public testing::Test {
 protected:
  void SetUp() override {
    reset_fake_core();
    ASSERT_EQ(cudaSetDevice(0), cudaSuccess);
    ASSERT_EQ(cudaMalloc(&device_, 4096), cudaSuccess);
    std::iota(host_, host_ + sizeof(host_), 0);
  }
  char* at(size_t offset) { return static_cast<char*>(device_) + offset; }

  void* device_ = nullptr;
  char host_[4096];
};

TEST_F(MemoryTest, NothingAskedForIsNullAndSuccess) {
  void* p = host_;
  size_t pitch = 7;
  EXPECT_EQ(cudaMalloc(&p, 0), cudaSuccess);
  EXPECT_EQ(p, nullptr);
  EXPECT_EQ(cudaMallocPitch(&p, &pitch, 0, 10), cudaSuccess);
  EXPECT_EQ(p, nullptr);
  EXPECT_EQ(pitch, 0U);
  p = host_;
  EXPECT_EQ(cudaMallocHost(&p, 0), cudaSuccess);
  EXPECT_EQ(p, nullptr);
  p = host_;
  EXPECT_EQ(cudaMallocAsync(&p, 0, nullptr), cudaSuccess);
  EXPECT_EQ(p, nullptr);
  EXPECT_EQ(cudaFree(nullptr), cudaSuccess);
  EXPECT_EQ(cudaFreeHost(nullptr), cudaSuccess);
  EXPECT_EQ(cudaFreeAsync(nullptr, nullptr), cudaSuccess);
}

TEST_F(MemoryTest, WhatCannotBeIsRefused) {
  void* p = host_;
  EXPECT_EQ(cudaMalloc(&p, size_t{1} << 50), cudaErrorMemoryAllocation);
  EXPECT_EQ(p, nullptr);
  size_t pitch = 0;
  EXPECT_EQ(cudaMallocPitch(&p, &pitch, SIZE_MAX, 2), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaMallocPitch(&p, &pitch, SIZE_MAX / 2, 4), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaFree(at(16)), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFree(host_), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFreeHost(host_), cudaErrorInvalidValue);
  EXPECT_EQ(cudaHostAlloc(&p, 16, 0x100), cudaErrorInvalidValue);
  EXPECT_EQ(cudaHostRegister(nullptr, 16, 0), cudaErrorInvalidValue);
  EXPECT_EQ(cudaHostRegister(host_, 0, 0), cudaErrorInvalidValue);
  EXPECT_EQ(cudaHostUnregister(host_), cudaErrorHostMemoryNotRegistered);
}

TEST_F(MemoryTest, PitchIsAMultipleOf512) {
  void* p = nullptr;
  size_t pitch = 0;
  EXPECT_EQ(cudaMallocPitch(&p, &pitch, 513, 3), cudaSuccess);
  EXPECT_EQ(pitch, 1024U);
  EXPECT_EQ(pointer_facts(reinterpret_cast<uint64_t>(p)).bytes, 3072U);
  cudaPitchedPtr box;
  EXPECT_EQ(cudaMalloc3D(&box, {100, 3, 2}), cudaSuccess);
  EXPECT_EQ(box.pitch, 512U);
  EXPECT_EQ(box.xsize, 100U);
  EXPECT_EQ(box.ysize, 3U);
  EXPECT_EQ(pointer_facts(reinterpret_cast<uint64_t>(box.ptr)).bytes, 512U * 6);
}

TEST_F(MemoryTest, PointersAreKnownForWhatTheyAre) {
  cudaPointerAttributes a;
  EXPECT_EQ(cudaPointerGetAttributes(&a, host_), cudaSuccess);
  EXPECT_EQ(a.type, cudaMemoryTypeUnregistered);
  EXPECT_EQ(a.device, -2);
  EXPECT_EQ(a.devicePointer, nullptr);
  EXPECT_EQ(a.hostPointer, host_);
  EXPECT_EQ(cudaPointerGetAttributes(&a, at(5)), cudaSuccess);
  EXPECT_EQ(a.type, cudaMemoryTypeDevice);
  EXPECT_EQ(a.device, 0);
  EXPECT_EQ(a.devicePointer, at(5));
  EXPECT_EQ(a.hostPointer, nullptr);
  void* pinned = nullptr;
  ASSERT_EQ(cudaHostAlloc(&pinned, 64, cudaHostAllocWriteCombined), cudaSuccess);
  EXPECT_EQ(cudaPointerGetAttributes(&a, pinned), cudaSuccess);
  EXPECT_EQ(a.type, cudaMemoryTypeHost);
  EXPECT_EQ(a.hostPointer, pinned);
  unsigned flags = 0;
  EXPECT_EQ(cudaHostGetFlags(&flags, pinned), cudaSuccess);
  EXPECT_NE(flags & cudaHostAllocWriteCombined, 0U);
  EXPECT_EQ(cudaHostGetFlags(&flags, host_), cudaErrorInvalidValue);
  EXPECT_EQ(cudaHostGetDevicePointer(&pinned, host_, 0), cudaErrorInvalidValue);
  EXPECT_EQ(cudaPointerGetAttributes(nullptr, host_), cudaErrorInvalidValue);
}

TEST_F(MemoryTest, CopyingNothingAlwaysWorks) {
  EXPECT_EQ(cudaMemcpy(nullptr, nullptr, 0, static_cast<cudaMemcpyKind>(7)), cudaSuccess);
  EXPECT_EQ(cudaMemcpy2D(device_, 0, host_, 0, 0, 2, static_cast<cudaMemcpyKind>(7)), cudaSuccess);
  EXPECT_EQ(cudaMemset(nullptr, 0, 0), cudaSuccess);
  cudaMemcpy3DParms nothing = {};
  EXPECT_EQ(cudaMemcpy3D(&nothing), cudaSuccess);
  EXPECT_EQ(fake_core().count("copy"), 0);
}

TEST_F(MemoryTest, TheKindIsHeldToTheDevicesEnd) {
  const auto copy = [](void* to, const void* from, int kind) {
    return cudaMemcpy(to, from, 16, static_cast<cudaMemcpyKind>(kind));
  };
  EXPECT_EQ(copy(device_, host_, 7), cudaErrorInvalidMemcpyDirection);
  EXPECT_EQ(copy(device_, host_, cudaMemcpyHostToDevice), cudaSuccess);
  EXPECT_EQ(copy(host_, device_, cudaMemcpyDeviceToHost), cudaSuccess);
  EXPECT_EQ(copy(device_, at(512), cudaMemcpyHostToDevice), cudaSuccess);
  EXPECT_EQ(copy(device_, at(512), cudaMemcpyDeviceToHost), cudaSuccess);
  EXPECT_EQ(copy(host_, device_, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(copy(host_, device_, cudaMemcpyDeviceToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(copy(device_, host_, cudaMemcpyDefault), cudaSuccess);
  void* pinned = nullptr;
  ASSERT_EQ(cudaMallocHost(&pinned, 64), cudaSuccess);
  EXPECT_EQ(copy(pinned, device_, cudaMemcpyDeviceToDevice), cudaSuccess);
}

TEST_F(MemoryTest, CopiesRowsAndBoxes) {
  EXPECT_EQ(cudaMemcpy2D(device_, 512, host_, 64, 16, 3, cudaMemcpyHostToDevice), cudaSuccess);
  EXPECT_EQ(std::memcmp(at(2 * 512), host_ + 128, 16), 0);
  EXPECT_EQ(cudaMemcpy2D(device_, 8, host_, 64, 16, 3, cudaMemcpyHostToDevice),
            cudaErrorInvalidPitchValue);
  EXPECT_EQ(cudaMemcpy2D(device_, 8, host_, 64, 16, 1, cudaMemcpyHostToDevice),
            cudaErrorInvalidValue);

  cudaMemcpy3DParms p = {};
  p.srcPtr = {host_, 32, 32, 4};
  p.srcPos = {3, 1, 1};
  p.dstPtr = {device_, 64, 64, 8};
  p.dstPos = {0, 2, 0};
  p.extent = {5, 2, 2};
  p.kind = cudaMemcpyHostToDevice;
  EXPECT_EQ(cudaMemcpy3D(&p), cudaSuccess);
  EXPECT_EQ(std::memcmp(at(2 * 64), host_ + 128 + 32 + 3, 5), 0);
  EXPECT_EQ(std::memcmp(at(512 + 3 * 64), host_ + 2 * 128 + 2 * 32 + 3, 5), 0);
  EXPECT_EQ(cudaMemcpy3D(nullptr), cudaErrorInvalidValue);
  p.srcPtr.ptr = nullptr;
  EXPECT_EQ(cudaMemcpy3D(&p), cudaErrorInvalidValue);
}

TEST_F(MemoryTest, FillsRowsAndBoxes) {
  EXPECT_EQ(cudaMemset(device_, 0x5a5, 100), cudaSuccess);
  EXPECT_EQ(*at(99), '\xa5');
  EXPECT_EQ(cudaMemset2D(device_, 8, 0, 16, 2), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemset2D(device_, 8, 0, 16, 1), cudaSuccess);
  std::memset(device_, 0, 4096);
  EXPECT_EQ(cudaMemset3D({device_, 64, 64, 8}, 7, {5, 3, 2}), cudaSuccess);
  EXPECT_EQ(*at(512 + 2 * 64 + 4), 7);
  EXPECT_EQ(*at(512 + 2 * 64 + 5), 0);
  EXPECT_EQ(*at(3 * 64), 0);
}

TEST_F(MemoryTest, TwinsWorkOnTheThreadsOwnStream) {
  EXPECT_EQ(cudaMemcpy(device_, host_, 8, cudaMemcpyHostToDevice), cudaSuccess);
  EXPECT_EQ(fake_core().copies.back().second, nullptr);
  EXPECT_EQ(cudaMemcpy_ptds(device_, host_, 8, cudaMemcpyHostToDevice), cudaSuccess);
  EXPECT_EQ(fake_core().copies.back().second, CU_STREAM_PER_THREAD);
  EXPECT_EQ(cudaMemcpyAsync_ptsz(device_, host_, 8, cudaMemcpyHostToDevice, nullptr), cudaSuccess);
  EXPECT_EQ(fake_core().copies.back().second, CU_STREAM_PER_THREAD);
  EXPECT_EQ(cudaMemcpyAsync_ptsz(device_, host_, 8, cudaMemcpyHostToDevice, cudaStreamLegacy),
            cudaSuccess);
  EXPECT_EQ(fake_core().copies.back().second, CU_STREAM_LEGACY);
}

TEST_F(MemoryTest, PoolsCountWhatWasTakenInTheirName) {
  cudaMemPool_t standard = nullptr;
  cudaMemPool_t current = nullptr;
  ASSERT_EQ(cudaDeviceGetDefaultMemPool(&standard, 0), cudaSuccess);
  cudaMemPoolProps props = {};
  props.allocType = cudaMemAllocationTypePinned;
  props.location = {cudaMemLocationTypeDevice, 0};
  cudaMemPool_t pool = nullptr;
  ASSERT_EQ(cudaMemPoolCreate(&pool, &props), cudaSuccess);
  EXPECT_NE(pool, standard);
  const auto bytes = [](cudaMemPool_t of, cudaMemPoolAttr attribute) {
    uint64_t value = 12345;
    EXPECT_EQ(cudaMemPoolGetAttribute(of, attribute, &value), cudaSuccess);
    return value;
  };
  void* a = nullptr;
  void* b = nullptr;
  void* c = nullptr;
  EXPECT_EQ(cudaMallocFromPoolAsync(&a, 100, pool, nullptr), cudaSuccess);
  EXPECT_EQ(cudaMallocAsync(&b, 50, nullptr), cudaSuccess);
  EXPECT_EQ(bytes(pool, cudaMemPoolAttrUsedMemCurrent), 100U);
  EXPECT_EQ(bytes(standard, cudaMemPoolAttrUsedMemCurrent), 50U);
  EXPECT_EQ(cudaDeviceSetMemPool(0, pool), cudaSuccess);
  EXPECT_EQ(cudaDeviceGetMemPool(&current, 0), cudaSuccess);
  EXPECT_EQ(current, pool);
  EXPECT_EQ(cudaMallocAsync(&c, 10, nullptr), cudaSuccess);
  EXPECT_EQ(bytes(pool, cudaMemPoolAttrUsedMemCurrent), 110U);
  EXPECT_EQ(cudaFreeAsync(a, nullptr), cudaSuccess);
  EXPECT_EQ(bytes(pool, cudaMemPoolAttrUsedMemCurrent), 10U);
  EXPECT_EQ(bytes(pool, cudaMemPoolAttrUsedMemHigh), 110U);
  EXPECT_EQ(memory_free(reinterpret_cast<CUdeviceptr>(c)), CUDA_SUCCESS);  // the other façade's way
  EXPECT_EQ(bytes(pool, cudaMemPoolAttrUsedMemCurrent), 0U);
  uint64_t zero = 0;
  EXPECT_EQ(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrUsedMemHigh, &zero), cudaSuccess);
  EXPECT_EQ(bytes(pool, cudaMemPoolAttrUsedMemHigh), 0U);
  EXPECT_EQ(cudaMemPoolDestroy(pool), cudaSuccess);
  EXPECT_EQ(cudaMemPoolDestroy(pool), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemPoolDestroy(standard), cudaErrorInvalidValue);
  EXPECT_EQ(cudaDeviceGetMemPool(&current, 0), cudaSuccess);
  EXPECT_EQ(current, standard);
  EXPECT_EQ(cudaFree(b), cudaSuccess);
  EXPECT_EQ(bytes(standard, cudaMemPoolAttrUsedMemCurrent), 0U);
}

}  // namespace
}  // namespace farlane::client
