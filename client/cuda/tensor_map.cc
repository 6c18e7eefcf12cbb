// Tensor maps: what the driver makes of the arguments is asked once for each set of them.
#include "client/cuda/driver.h"

using namespace farlane::cuda;

namespace {

constexpr cuuint32_t kRankMax = 5;
// What the driver asks for; the header's type has more.
constexpr uintptr_t kMapAlignment = 64;

template <typename Number>
void append(core::TensorMap* map, const Number* numbers, size_t count) {
  map->numbers.insert(map->numbers.end(), numbers, numbers + count);
}

// Checks that the arrays are there, so that they can be read; what is in them is the driver's to
// judge.
template <typename Body>
CUresult encode(CUtensorMap* out, cuuint32_t rank, std::initializer_list<const void*> arrays,
                Body&& body) {
  return enter([&]() -> CUresult {
    if (out == nullptr || reinterpret_cast<uintptr_t>(out) % kMapAlignment != 0 || rank == 0 ||
        rank > kRankMax) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    for (const void* array : arrays) {
      if (array == nullptr) {
        return CUDA_ERROR_INVALID_VALUE;
      }
    }
    core::TensorMap map;
    map.rank = rank;
    body(&map);
    return core::tensor_map_encode(map, out);
  });
}

}  // namespace

CUresult cuTensorMapEncodeTiled(CUtensorMap* tensorMap, CUtensorMapDataType tensorDataType,
                                cuuint32_t tensorRank, void* globalAddress,
                                const cuuint64_t* globalDim, const cuuint64_t* globalStrides,
                                const cuuint32_t* boxDim, const cuuint32_t* elementStrides,
                                CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle,
                                CUtensorMapL2promotion l2Promotion,
                                CUtensorMapFloatOOBfill oobFill) {
  // A tensor of one dimension has no strides.
  const void* strides = tensorRank == 1 ? static_cast<const void*>(globalDim) : globalStrides;
  return encode(tensorMap, tensorRank, {globalDim, strides, boxDim, elementStrides},
                [&](core::TensorMap* map) {
                  map->kind = core::TensorMap::Kind::kTiled;
                  map->type = tensorDataType;
                  map->address = reinterpret_cast<CUdeviceptr>(globalAddress);
                  map->interleave = interleave;
                  map->swizzle = swizzle;
                  map->promotion = l2Promotion;
                  map->fill = oobFill;
                  append(map, globalDim, tensorRank);
                  append(map, globalStrides, tensorRank - 1);
                  append(map, boxDim, tensorRank);
                  append(map, elementStrides, tensorRank);
                });
}

CUresult cuTensorMapEncodeIm2col(CUtensorMap* tensorMap, CUtensorMapDataType tensorDataType,
                                 cuuint32_t tensorRank, void* globalAddress,
                                 const cuuint64_t* globalDim, const cuuint64_t* globalStrides,
                                 const int* pixelBoxLowerCorner, const int* pixelBoxUpperCorner,
                                 cuuint32_t channelsPerPixel, cuuint32_t pixelsPerColumn,
                                 const cuuint32_t* elementStrides, CUtensorMapInterleave interleave,
                                 CUtensorMapSwizzle swizzle, CUtensorMapL2promotion l2Promotion,
                                 CUtensorMapFloatOOBfill oobFill) {
  if (tensorRank < 3) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  return encode(
      tensorMap, tensorRank,
      {globalDim, globalStrides, pixelBoxLowerCorner, pixelBoxUpperCorner, elementStrides},
      [&](core::TensorMap* map) {
        map->kind = core::TensorMap::Kind::kIm2col;
        map->type = tensorDataType;
        map->address = reinterpret_cast<CUdeviceptr>(globalAddress);
        map->interleave = interleave;
        map->swizzle = swizzle;
        map->promotion = l2Promotion;
        map->fill = oobFill;
        append(map, globalDim, tensorRank);
        append(map, globalStrides, tensorRank - 1);
        append(map, pixelBoxLowerCorner, tensorRank - 2);
        append(map, pixelBoxUpperCorner, tensorRank - 2);
        append(map, &channelsPerPixel, 1);
        append(map, &pixelsPerColumn, 1);
        append(map, elementStrides, tensorRank);
      });
}

CUresult cuTensorMapEncodeIm2colWide(
    CUtensorMap* tensorMap, CUtensorMapDataType tensorDataType, cuuint32_t tensorRank,
    void* globalAddress, const cuuint64_t* globalDim, const cuuint64_t* globalStrides,
    int pixelBoxLowerCornerWidth, int pixelBoxUpperCornerWidth, cuuint32_t channelsPerPixel,
    cuuint32_t pixelsPerColumn, const cuuint32_t* elementStrides, CUtensorMapInterleave interleave,
    CUtensorMapIm2ColWideMode mode, CUtensorMapSwizzle swizzle, CUtensorMapL2promotion l2Promotion,
    CUtensorMapFloatOOBfill oobFill) {
  if (tensorRank < 3) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  return encode(tensorMap, tensorRank, {globalDim, globalStrides, elementStrides},
                [&](core::TensorMap* map) {
                  map->kind = core::TensorMap::Kind::kIm2colWide;
                  map->type = tensorDataType;
                  map->address = reinterpret_cast<CUdeviceptr>(globalAddress);
                  map->interleave = interleave;
                  map->mode = mode;
                  map->swizzle = swizzle;
                  map->promotion = l2Promotion;
                  map->fill = oobFill;
                  append(map, globalDim, tensorRank);
                  append(map, globalStrides, tensorRank - 1);
                  append(map, &pixelBoxLowerCornerWidth, 1);
                  append(map, &pixelBoxUpperCornerWidth, 1);
                  append(map, &channelsPerPixel, 1);
                  append(map, &pixelsPerColumn, 1);
                  append(map, elementStrides, tensorRank);
                });
}

CUresult cuTensorMapReplaceAddress(CUtensorMap* tensorMap, void* globalAddress) {
  return enter([&]() -> CUresult {
    return tensorMap == nullptr
               ? CUDA_ERROR_INVALID_VALUE
               : core::tensor_map_move(reinterpret_cast<CUdeviceptr>(globalAddress), tensorMap);
  });
}
