#include <cstring>
#include <functional>

#include "server/softcuda/driver_test_support.h"

namespace farlane::softcuda {
namespace {

class Copies : public DriverTest {
 protected:
  CUdeviceptr allocate(size_t bytes) {
    CUdeviceptr pointer = 0;
    EXPECT_OK(cuMemAlloc(&pointer, bytes));
    EXPECT_OK(cuMemsetD8(pointer, 0, bytes));
    return pointer;
  }

  std::vector<uint8_t> read(CUdeviceptr pointer, size_t bytes) {
    std::vector<uint8_t> out(bytes);
    EXPECT_OK(cuMemcpyDtoH(out.data(), pointer, bytes));
    return out;
  }
};

TEST_F(Copies, LinearForms) {
  CUstream stream = nullptr;
  ASSERT_OK(cuStreamCreate(&stream, 0));
  const size_t bytes = 200000;  // over the staging limit, so that both paths are taken
  const auto in = counting(bytes);
  const auto host = reinterpret_cast<CUdeviceptr>(in.data());
  const CUdeviceptr other = allocate(bytes);
  ASSERT_OK(cuMemcpyHtoD(other, in.data(), bytes));
  const std::vector<std::function<CUresult(CUdeviceptr)>> forms = {
      [&](CUdeviceptr to) { return cuMemcpyHtoD(to, in.data(), bytes); },
      [&](CUdeviceptr to) { return cuMemcpyHtoDAsync(to, in.data(), bytes, stream); },
      [&](CUdeviceptr to) { return cuMemcpyDtoD(to, other, bytes); },
      [&](CUdeviceptr to) { return cuMemcpyDtoDAsync(to, other, bytes, stream); },
      [&](CUdeviceptr to) { return cuMemcpy(to, host, bytes); },
      [&](CUdeviceptr to) { return cuMemcpyAsync(to, other, bytes, stream); },
      [&](CUdeviceptr to) { return cuMemcpyPeer(to, context_, other, context_, bytes); },
      [&](CUdeviceptr to) {
        return cuMemcpyPeerAsync(to, context_, other, context_, bytes, stream);
      },
  };
  for (size_t i = 0; i < forms.size(); ++i) {
    const CUdeviceptr to = allocate(bytes);
    EXPECT_OK(forms[i](to)) << i;
    EXPECT_OK(cuStreamSynchronize(stream));
    EXPECT_EQ(read(to, bytes), in) << i;
    EXPECT_OK(cuMemFree(to));
  }
  std::vector<uint8_t> out(bytes);
  EXPECT_OK(cuMemcpyDtoHAsync(out.data(), other, bytes, stream));
  EXPECT_OK(cuStreamSynchronize(stream));
  EXPECT_EQ(out, in);
  EXPECT_OK(cuMemcpyDtoD(other, other + 1, 1000));  // overlapping
  EXPECT_EQ(read(other, 1000), std::vector<uint8_t>(in.begin() + 1, in.begin() + 1001));
  EXPECT_OK(cuMemcpyHtoD(other, nullptr, 0));
}

TEST_F(Copies, OutsideAnAllocation) {
  const CUdeviceptr pointer = allocate(1000);
  std::vector<uint8_t> host(2000);
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuMemcpyHtoD(pointer, host.data(), 1001));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuMemcpyHtoD(pointer + 999, host.data(), 2));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuMemcpyDtoH(host.data(), pointer - 1, 2));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuMemcpyDtoH(host.data(), 0, 2));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuMemcpyDtoH(host.data(), pointer, SIZE_MAX));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuMemcpyHtoD(pointer, nullptr, 16));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuMemcpyDtoDAsync(pointer, 0x1000, 16, nullptr));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuMemsetD8(pointer, 1, 1001));
  EXPECT_CU(CUDA_ERROR_INVALID_HANDLE,
            cuMemcpyHtoDAsync(pointer, host.data(), 16, reinterpret_cast<CUstream>(0x99)));
  EXPECT_OK(cuCtxSynchronize());
}

TEST_F(Copies, PageableSourceMayBeReusedAtOnce) {
  CUstream stream = nullptr;
  ASSERT_OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
  const CUdeviceptr pointer = allocate(100);
  ASSERT_OK(cuCtxSynchronize());
  const auto in = counting(100);
  {
    Gate gate;
    gate.put_into(stream);
    auto source = in;
    EXPECT_OK(cuMemcpyHtoDAsync(pointer, source.data(), source.size(), stream));
    source.assign(100, 0xff);
  }
  EXPECT_OK(cuStreamSynchronize(stream));
  EXPECT_EQ(read(pointer, 100), in);
}

TEST_F(Copies, PinnedSourceIsReadWhenTheStreamGetsThere) {
  CUstream stream = nullptr;
  ASSERT_OK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
  const CUdeviceptr pointer = allocate(100);
  ASSERT_OK(cuCtxSynchronize());
  void* pinned = nullptr;
  ASSERT_OK(cuMemAllocHost(&pinned, 100));
  std::memset(pinned, 0, 100);
  const auto in = counting(100);
  {
    Gate gate;
    gate.put_into(stream);
    EXPECT_OK(cuMemcpyHtoDAsync(pointer, pinned, 100, stream));
    std::memcpy(pinned, in.data(), 100);  // before the gate opens
  }
  EXPECT_OK(cuStreamSynchronize(stream));
  EXPECT_EQ(read(pointer, 100), in);
  EXPECT_OK(cuMemFreeHost(pinned));
}

TEST_F(Copies, TwoDimensions) {
  constexpr size_t kWidth = 40, kHeight = 6, kHostPitch = 50, kDevicePitch = 64;
  const auto in = counting(kHostPitch * kHeight);
  const CUdeviceptr pointer = allocate(kDevicePitch * kHeight);
  CUDA_MEMCPY2D copy{};
  copy.srcMemoryType = CU_MEMORYTYPE_HOST;
  copy.srcHost = in.data();
  copy.srcPitch = kHostPitch;
  copy.srcXInBytes = 3;
  copy.srcY = 1;
  copy.dstMemoryType = CU_MEMORYTYPE_DEVICE;
  copy.dstDevice = pointer;
  copy.dstPitch = kDevicePitch;
  copy.dstXInBytes = 5;
  copy.dstY = 2;
  copy.WidthInBytes = kWidth;
  copy.Height = 3;
  std::vector<uint8_t> expected(kDevicePitch * kHeight);
  for (size_t y = 0; y < copy.Height; ++y) {
    std::memcpy(&expected[(y + 2) * kDevicePitch + 5], &in[(y + 1) * kHostPitch + 3], kWidth);
  }
  CUstream stream = nullptr;
  ASSERT_OK(cuStreamCreate(&stream, 0));
  const std::vector<std::function<CUresult()>> forms = {
      [&] { return cuMemcpy2D(&copy); }, [&] { return cuMemcpy2DUnaligned(&copy); },
      [&] { return cuMemcpy2DAsync(&copy, stream); }};
  for (const auto& form : forms) {
    EXPECT_OK(cuMemsetD8(pointer, 0, expected.size()));
    EXPECT_OK(form());
    EXPECT_OK(cuStreamSynchronize(stream));
    EXPECT_EQ(read(pointer, expected.size()), expected);
  }
  // And back, by unified addresses.
  std::vector<uint8_t> out(kWidth * 3);
  CUDA_MEMCPY2D back{};
  back.srcMemoryType = CU_MEMORYTYPE_UNIFIED;
  back.srcDevice = pointer;
  back.srcPitch = kDevicePitch;
  back.srcXInBytes = 5;
  back.srcY = 2;
  back.dstMemoryType = CU_MEMORYTYPE_UNIFIED;
  back.dstDevice = reinterpret_cast<CUdeviceptr>(out.data());
  back.dstPitch = kWidth;
  back.WidthInBytes = kWidth;
  back.Height = 3;
  EXPECT_OK(cuMemcpy2D(&back));
  for (size_t y = 0; y < 3; ++y) {
    EXPECT_EQ(std::memcmp(&out[y * kWidth], &in[(y + 1) * kHostPitch + 3], kWidth), 0);
  }
  back.Height = 5;  // past the allocation
  back.dstMemoryType = CU_MEMORYTYPE_HOST;
  out.resize(kWidth * 5);
  back.dstHost = out.data();
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuMemcpy2D(&back));
  copy.WidthInBytes = kHostPitch;  // no longer fits beside srcXInBytes
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuMemcpy2D(&copy));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuMemcpy2D(nullptr));
  copy.srcMemoryType = CU_MEMORYTYPE_ARRAY;
  copy.WidthInBytes = 4;
  EXPECT_CU(CUDA_ERROR_NOT_SUPPORTED, cuMemcpy2D(&copy));
}

TEST_F(Copies, ThreeDimensions) {
  constexpr size_t kX = 16, kY = 5, kZ = 4, kPitch = 32, kRows = 7;
  const auto in = counting(kX * kY * kZ);
  const CUdeviceptr pointer = allocate(kPitch * kRows * kZ);
  CUDA_MEMCPY3D copy{};
  copy.srcMemoryType = CU_MEMORYTYPE_HOST;
  copy.srcHost = in.data();
  copy.srcPitch = kX;
  copy.srcHeight = kY;
  copy.dstMemoryType = CU_MEMORYTYPE_DEVICE;
  copy.dstDevice = pointer;
  copy.dstPitch = kPitch;
  copy.dstHeight = kRows;
  copy.WidthInBytes = 10;
  copy.Height = 3;
  copy.Depth = 2;
  copy.srcXInBytes = 2;
  copy.srcY = 1;
  copy.srcZ = 1;
  copy.dstXInBytes = 4;
  copy.dstY = 3;
  copy.dstZ = 2;
  std::vector<uint8_t> expected(kPitch * kRows * kZ);
  for (size_t z = 0; z < 2; ++z) {
    for (size_t y = 0; y < 3; ++y) {
      std::memcpy(&expected[(z + 2) * kPitch * kRows + (y + 3) * kPitch + 4],
                  &in[(z + 1) * kX * kY + (y + 1) * kX + 2], 10);
    }
  }
  EXPECT_OK(cuMemcpy3D(&copy));
  EXPECT_EQ(read(pointer, expected.size()), expected);
  EXPECT_OK(cuMemsetD8(pointer, 0, expected.size()));
  EXPECT_OK(cuMemcpy3DAsync(&copy, nullptr));
  EXPECT_EQ(read(pointer, expected.size()), expected);
  CUDA_MEMCPY3D_PEER peer{};
  std::memcpy(&peer, &copy, sizeof copy < sizeof peer ? sizeof copy : sizeof peer);
  peer.srcContext = context_;
  peer.dstContext = context_;
  EXPECT_OK(cuMemsetD8(pointer, 0, expected.size()));
  EXPECT_OK(cuMemcpy3DPeer(&peer));
  EXPECT_EQ(read(pointer, expected.size()), expected);
  copy.Depth = 3;
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuMemcpy3D(&copy));
  copy.Depth = 2;
  copy.dstPitch = 8;
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuMemcpy3D(&copy));
}

TEST_F(Copies, Fills) {
  const CUdeviceptr pointer = allocate(64);
  EXPECT_OK(cuMemsetD8(pointer, 0xab, 3));
  EXPECT_OK(cuMemsetD16(pointer + 4, 0x1234, 2));
  EXPECT_OK(cuMemsetD32(pointer + 8, 0xdeadbeef, 2));
  auto out = read(pointer, 20);
  const uint8_t expected[20] = {0xab, 0xab, 0xab, 0,    0x34, 0x12, 0x34, 0x12, 0xef, 0xbe,
                                0xad, 0xde, 0xef, 0xbe, 0xad, 0xde, 0,    0,    0,    0};
  EXPECT_EQ(std::memcmp(out.data(), expected, 20), 0);
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuMemsetD16(pointer + 1, 1, 1));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuMemsetD32(pointer + 2, 1, 1));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuMemsetD32(pointer, 1, 17));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuMemsetD32(pointer, 1, SIZE_MAX / 2));
  EXPECT_OK(cuMemsetD8Async(pointer, 0, 64, nullptr));
  EXPECT_OK(cuMemsetD2D8Async(pointer, 16, 1, 2, 3, nullptr));
  EXPECT_OK(cuMemsetD2D16Async(pointer + 4, 16, 0x0202, 1, 3, nullptr));
  EXPECT_OK(cuMemsetD2D32(pointer + 8, 16, 0x03030303, 2, 3));
  out = read(pointer, 64);
  for (size_t i = 0; i < 64; ++i) {
    const size_t x = i % 16;
    const int value = i >= 48 ? 0 : x < 2 ? 1 : x == 4 || x == 5 ? 2 : x >= 8 ? 3 : 0;
    EXPECT_EQ(out[i], value) << i;
  }
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuMemsetD2D8(pointer, 16, 1, 17, 2));
  EXPECT_CU(CUDA_ERROR_INVALID_VALUE, cuMemsetD2D8(pointer, 32, 1, 32, 3));
}

}  // namespace
}  // namespace farlane::softcuda
