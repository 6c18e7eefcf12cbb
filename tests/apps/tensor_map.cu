// Tensor maps: made by the driver's encoder, passed to a kernel by value, and used by the tensor
// memory accelerator where the device has one.
#include <cuda.h>

#include "check.h"
#include "driver_check.h"

constexpr int kRows = 64, kColumns = 128, kTileRows = 8, kTileColumns = 32;

// Copies one tile from the tensor to `out`.
__global__ void fetch_tile(const __grid_constant__ CUtensorMap map, int column, int row,
                           float* out) {
#if __CUDA_ARCH__ >= 900
  __shared__ alignas(128) float tile[kTileRows * kTileColumns];
  __shared__ alignas(8) unsigned long long barrier;
  const unsigned tile_at = static_cast<unsigned>(__cvta_generic_to_shared(tile));
  const unsigned barrier_at = static_cast<unsigned>(__cvta_generic_to_shared(&barrier));
  if (threadIdx.x == 0) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(barrier_at));
    asm volatile("fence.proxy.async.shared::cta;");
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier_at),
                 "r"(static_cast<unsigned>(sizeof tile)));
    asm volatile(
        "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
        "[%0], [%1, {%2, %3}], [%4];" ::"r"(tile_at),
        "l"(&map), "r"(column), "r"(row), "r"(barrier_at)
        : "memory");
  }
  __syncthreads();
  unsigned done = 0;
  while (done == 0) {
    asm volatile(
        "{ .reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], 0; selp.u32 %0, 1, 0, "
        "p; }"
        : "=r"(done)
        : "r"(barrier_at)
        : "memory");
  }
  for (int i = threadIdx.x; i < kTileRows * kTileColumns; i += blockDim.x) out[i] = tile[i];
#else
  out[threadIdx.x] = static_cast<float>(column + row);
  (void)map;
#endif
}

CUresult encode(CUtensorMap* map, void* address, cuuint64_t row_bytes) {
  const cuuint64_t dims[] = {kColumns, kRows};
  const cuuint64_t strides[] = {row_bytes};
  const cuuint32_t box[] = {kTileColumns, kTileRows};
  const cuuint32_t element_strides[] = {1, 1};
  return cuTensorMapEncodeTiled(map, CU_TENSOR_MAP_DATA_TYPE_FLOAT32, 2, address, dims, strides,
                                box, element_strides, CU_TENSOR_MAP_INTERLEAVE_NONE,
                                CU_TENSOR_MAP_SWIZZLE_NONE, CU_TENSOR_MAP_L2_PROMOTION_L2_128B,
                                CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
}

int main() {
  CUDA_CHECK(cudaFree(nullptr));
  int supported = 0;
  CU_CHECK(cuDeviceGetAttribute(&supported, CU_DEVICE_ATTRIBUTE_TENSOR_MAP_ACCESS_SUPPORTED, 0));
  if (supported == 0) return check::finish();
  check::DeviceArray<float> tensor(2 * kRows * kColumns), out(kTileRows * kTileColumns);
  std::vector<float> values(2 * kRows * kColumns);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  tensor.put(values);
  alignas(64) CUtensorMap map;
  const cuuint64_t row_bytes = kColumns * sizeof(float);
  CU_CHECK(encode(&map, tensor.get(), row_bytes));

  const auto tile_is_right = [&](int column, int row, float offset) {
    out.zero();
    fetch_tile<<<1, 64>>>(map, column, row, out.get());
    CUDA_CHECK(cudaDeviceSynchronize());
    const std::vector<float> got = out.fetch();
    for (int i = 0; i < kTileRows * kTileColumns; ++i) {
      const int y = row + i / kTileColumns, x = column + i % kTileColumns;
      const float want =
          y < kRows && x < kColumns ? offset + static_cast<float>(y * kColumns + x) : 0.0f;
      if (got[i] != want) {
        check::fail("tile at %d, %d: element %d is %g, not %g", column, row, i, got[i], want);
        return;
      }
    }
  };
  tile_is_right(0, 0, 0);
  tile_is_right(64, 24, 0);
  tile_is_right(112, 60, 0);  // over the edge: zeros

  // The same question has the same answer; another address is another map.
  alignas(64) CUtensorMap again, elsewhere;
  CU_CHECK(encode(&again, tensor.get(), row_bytes));
  EXPECT(std::memcmp(&again, &map, sizeof map) == 0);
  CU_CHECK(encode(&elsewhere, tensor.get() + kRows * kColumns, row_bytes));
  EXPECT(std::memcmp(&elsewhere, &map, sizeof map) != 0);
  CU_CHECK(cuTensorMapReplaceAddress(&map, tensor.get() + kRows * kColumns));
  EXPECT(std::memcmp(&elsewhere, &map, sizeof map) == 0);
  tile_is_right(32, 8, kRows * kColumns);

  // What the encoder refuses: a crooked address, a crooked stride, no array, too many dimensions.
  alignas(64) CUtensorMap none;
  EXPECT(encode(&none, tensor.get() + 1, row_bytes) == CUDA_ERROR_INVALID_VALUE);
  EXPECT(encode(&none, tensor.get(), row_bytes + 4) == CUDA_ERROR_INVALID_VALUE);
  EXPECT(encode(nullptr, tensor.get(), row_bytes) == CUDA_ERROR_INVALID_VALUE);
  const cuuint64_t dims[] = {64, 16, 16, 8};
  const cuuint64_t strides[] = {256, 4096, 65536};
  const int lower[] = {-1, -1}, upper[] = {-1, -1};
  const cuuint32_t steps[] = {1, 1, 1, 1};
  CU_CHECK(cuTensorMapEncodeIm2col(
      &none, CU_TENSOR_MAP_DATA_TYPE_FLOAT32, 4, tensor.get(), dims, strides, lower, upper, 32, 64,
      steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
      CU_TENSOR_MAP_L2_PROMOTION_NONE, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE));
  return check::finish();
}
