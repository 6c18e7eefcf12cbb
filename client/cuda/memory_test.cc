// Memory, pointers, copies and fills of the driver façade.
#include <cuda.h>
#include <gtest/gtest.h>

#include <cstring>
#include <numeric>

#include "client/cudart/testing/fake_core.h"

extern "C" CUresult cuMemcpyHtoDAsync_v2_ptsz(CUdeviceptr, const void*, size_t, CUstream);

namespace farlane::client {
namespace {

class DriverMemoryTest : public testing::Test {
 protected:
  void SetUp() override {
    reset_fake_core();
    ASSERT_EQ(cuInit(0), CUDA_SUCCESS);
    CUcontext context = nullptr;
    ASSERT_EQ(cuCtxCreate(&context, nullptr, 0, 0), CUDA_SUCCESS);
    ASSERT_EQ(cuMemAlloc(&device_, 4096), CUDA_SUCCESS);
    std::iota(host_, host_ + sizeof(host_), 0);
  }
  char* at(size_t offset) { return reinterpret_cast<char*>(device_) + offset; }

  CUdeviceptr device_ = 0;
  char host_[4096];
};

TEST_F(DriverMemoryTest, Allocates) {
  CUdeviceptr address = 0;
  size_t pitch = 0;
  EXPECT_EQ(cuMemAlloc(&address, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemAlloc(nullptr, 16), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemAlloc(&address, size_t{1} << 50), CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(cuMemAllocPitch(&address, &pitch, 600, 3, 3), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemAllocPitch(&address, &pitch, 600, 3, 4), CUDA_SUCCESS);
  EXPECT_EQ(pitch, 1024U);
  CUdeviceptr base = 0;
  size_t bytes = 0;
  EXPECT_EQ(cuMemGetAddressRange(&base, &bytes, address + 100), CUDA_SUCCESS);
  EXPECT_EQ(base, address);
  EXPECT_EQ(bytes, 3072U);
  EXPECT_EQ(cuMemFree(address + 4), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemFree(address), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFree(address), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemGetAddressRange(&base, &bytes, reinterpret_cast<CUdeviceptr>(host_)),
            CUDA_ERROR_NOT_FOUND);
}

TEST_F(DriverMemoryTest, NothingOfTheHostsIsNullAndSuccess) {
  void* p = host_;
  EXPECT_EQ(cuMemAllocHost(&p, 0), CUDA_SUCCESS);
  EXPECT_EQ(p, nullptr);
  EXPECT_EQ(cuMemFreeHost(nullptr), CUDA_SUCCESS);
  ASSERT_EQ(cuMemAllocHost(&p, 64), CUDA_SUCCESS);
  unsigned flags = 0;
  EXPECT_EQ(cuMemHostGetFlags(&flags, p), CUDA_SUCCESS);
  EXPECT_EQ(flags, static_cast<unsigned>(CU_MEMHOSTALLOC_DEVICEMAP));
  EXPECT_EQ(cuMemFreeHost(p), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFreeHost(p), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(DriverMemoryTest, PointersAreKnownForWhatTheyAre) {
  unsigned type = 0;
  int ordinal = -1;
  CUdeviceptr start = 0;
  EXPECT_EQ(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, device_ + 8),
            CUDA_SUCCESS);
  EXPECT_EQ(type, static_cast<unsigned>(CU_MEMORYTYPE_DEVICE));
  EXPECT_EQ(cuPointerGetAttribute(&ordinal, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, device_),
            CUDA_SUCCESS);
  EXPECT_EQ(ordinal, 0);
  EXPECT_EQ(cuPointerGetAttribute(&start, CU_POINTER_ATTRIBUTE_RANGE_START_ADDR, device_ + 8),
            CUDA_SUCCESS);
  EXPECT_EQ(start, device_);
  EXPECT_EQ(cuPointerGetAttribute(&start, CU_POINTER_ATTRIBUTE_HOST_POINTER, device_),
            CUDA_ERROR_INVALID_VALUE);
  int managed = 7;  // a truth value is an int in memory
  EXPECT_EQ(cuPointerGetAttribute(&managed, CU_POINTER_ATTRIBUTE_IS_MANAGED, device_),
            CUDA_SUCCESS);
  EXPECT_EQ(managed, 0);
  const auto ordinary = reinterpret_cast<CUdeviceptr>(host_);
  EXPECT_EQ(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, ordinary),
            CUDA_ERROR_INVALID_VALUE);

  // The plural form answers for ordinary memory too, and leaves ranges as they are.
  CUpointer_attribute attributes[] = {
      CU_POINTER_ATTRIBUTE_MEMORY_TYPE, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL,
      CU_POINTER_ATTRIBUTE_HOST_POINTER, CU_POINTER_ATTRIBUTE_RANGE_SIZE};
  size_t range = 0x77;
  void* host_pointer = nullptr;
  type = 9;
  void* data[] = {&type, &ordinal, &host_pointer, &range};
  EXPECT_EQ(cuPointerGetAttributes(4, attributes, data, ordinary), CUDA_SUCCESS);
  EXPECT_EQ(type, 0U);
  EXPECT_EQ(ordinal, -2);
  EXPECT_EQ(host_pointer, host_);
  EXPECT_EQ(range, 0x77U);
}

TEST_F(DriverMemoryTest, CopiesAllWays) {
  char back[64] = {};
  EXPECT_EQ(cuMemcpyHtoD(device_, host_, 64), CUDA_SUCCESS);
  EXPECT_EQ(cuMemcpyDtoD(device_ + 512, device_, 64), CUDA_SUCCESS);
  EXPECT_EQ(cuMemcpyDtoH(back, device_ + 512, 64), CUDA_SUCCESS);
  EXPECT_EQ(std::memcmp(back, host_, 64), 0);
  EXPECT_EQ(cuMemcpy(reinterpret_cast<CUdeviceptr>(back), device_ + 8, 16), CUDA_SUCCESS);
  EXPECT_EQ(back[0], host_[8]);
  EXPECT_EQ(cuMemcpyHtoD(0, nullptr, 0), CUDA_SUCCESS);
  EXPECT_EQ(cuMemcpyDtoD(reinterpret_cast<CUdeviceptr>(host_), device_, 16),
            CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemcpyHtoDAsync_v2_ptsz(device_, host_, 8, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(fake_core().copies.back().second, CU_STREAM_PER_THREAD);
}

TEST_F(DriverMemoryTest, CopiesRowsAndBoxes) {
  CUDA_MEMCPY2D p = {};
  p.srcMemoryType = CU_MEMORYTYPE_HOST;
  p.srcHost = host_;
  p.srcPitch = 32;
  p.srcXInBytes = 3;
  p.srcY = 2;
  p.dstMemoryType = CU_MEMORYTYPE_DEVICE;
  p.dstDevice = device_;
  p.dstPitch = 64;
  p.dstY = 1;
  p.WidthInBytes = 5;
  p.Height = 3;
  EXPECT_EQ(cuMemcpy2D(&p), CUDA_SUCCESS);
  EXPECT_EQ(std::memcmp(at(3 * 64), host_ + 4 * 32 + 3, 5), 0);
  p.srcPitch = 7;
  EXPECT_EQ(cuMemcpy2D(&p), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemcpy2D(nullptr), CUDA_ERROR_INVALID_VALUE);
  p.srcMemoryType = CU_MEMORYTYPE_ARRAY;
  EXPECT_EQ(cuMemcpy2D(&p), CUDA_ERROR_NOT_SUPPORTED);

  CUDA_MEMCPY3D q = {};
  q.srcMemoryType = CU_MEMORYTYPE_HOST;
  q.srcHost = host_;
  q.srcPitch = 16;
  q.srcHeight = 4;
  q.srcZ = 1;
  q.dstMemoryType = CU_MEMORYTYPE_UNIFIED;
  q.dstDevice = device_;
  q.dstPitch = 32;
  q.dstHeight = 8;
  q.WidthInBytes = 16;
  q.Height = 4;
  q.Depth = 2;
  EXPECT_EQ(cuMemcpy3D(&q), CUDA_SUCCESS);
  EXPECT_EQ(std::memcmp(at(256 + 3 * 32), host_ + 2 * 64 + 3 * 16, 16), 0);
  q.srcHeight = 3;
  EXPECT_EQ(cuMemcpy3D(&q), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(DriverMemoryTest, FillsElementsOfThreeSizes) {
  EXPECT_EQ(cuMemsetD32(device_, 0x01020304, 4), CUDA_SUCCESS);
  EXPECT_EQ(*at(4), 4);
  EXPECT_EQ(cuMemsetD16(device_, 0x0506, 2), CUDA_SUCCESS);
  EXPECT_EQ(*at(2), 6);
  EXPECT_EQ(*at(4), 4);
  EXPECT_EQ(cuMemsetD2D8(device_, 64, 9, 3, 2), CUDA_SUCCESS);
  EXPECT_EQ(*at(66), 9);
  EXPECT_EQ(cuMemsetD32(device_ + 2, 0, 4), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemsetD8(0, 0, 0), CUDA_SUCCESS);
  EXPECT_EQ(cuMemsetD32(device_ + 2, 0, 0), CUDA_SUCCESS);
}

}  // namespace
}  // namespace farlane::client
