// The functions of cuBLASLt whose client side is more than packing: descriptors decide how large
// scalars are and where they lie, and addresses in them must not make equal products look
// different.
#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "client/core/api.h"
#include "client/cudax/call.h"
#include "client/cudax/cublas/scalar_bytes.h"
#include "client/cudax/cublas/status_text.h"
#include "generated/client/cublaslt_facts.h"

using farlane::client::cudax::Call;
using farlane::client::cudax::Object;
using farlane::client::cudax::cublas::data_bytes;
using namespace farlane::client::cudax::cublaslt;
namespace cudax = farlane::client::cudax;

namespace {

bool is_address(cublasLtMatmulDescAttributes_t attr) {
  switch (static_cast<int>(attr)) {
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER:
    case CUBLASLT_MATMUL_DESC_A_SCALE_POINTER:
    case CUBLASLT_MATMUL_DESC_B_SCALE_POINTER:
    case CUBLASLT_MATMUL_DESC_C_SCALE_POINTER:
    case CUBLASLT_MATMUL_DESC_D_SCALE_POINTER:
    case CUBLASLT_MATMUL_DESC_AMAX_D_POINTER:
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_SCALE_POINTER:
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_AMAX_POINTER:
    case CUBLASLT_MATMUL_DESC_D_OUT_SCALE_POINTER:
      return true;
    default:
      return false;
  }
}

// What an attribute says, for the recipe. Of an address only the alignment matters to heuristics.
uint64_t recipe_value(bool address, const void* buf, size_t bytes) {
  if (address && bytes == sizeof(uint64_t)) {
    uint64_t value = 0;
    std::memcpy(&value, buf, sizeof value);
    return value == 0 ? 0 : 1 + static_cast<uint64_t>(std::min(std::countr_zero(value), 12));
  }
  uint64_t hash = 0xcbf29ce484222325u;
  for (size_t i = 0; i < bytes; ++i) {
    hash = (hash ^ static_cast<const unsigned char*>(buf)[i]) * 0x100000001b3u;
  }
  return hash;
}

// The object of a descriptor, also of one in a program's own struct.
Object* find(const void* handle, uint16_t kind) {
  uint64_t bits = Call::bits(handle);
  if (bits != 0 && bits >> 56 == 0) std::memcpy(&bits, handle, sizeof bits);
  return cudax::object_find(bits, kind);
}

template <class Attribute>
cublasStatus_t set_attribute(uint32_t function, const char* name, void* desc, uint16_t kind,
                             Attribute attr, const void* buf, size_t bytes, bool address,
                             Attribute scale_type, Attribute pointer_mode) {
  Object* object = find(desc, kind);
  if (object == nullptr || buf == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  int32_t value = 0;
  std::memcpy(&value, buf, std::min(bytes, sizeof value));
  if (attr == scale_type) {
    object->scalar_bytes = static_cast<uint32_t>(data_bytes(static_cast<cudaDataType>(value)));
  }
  if (attr == pointer_mode) object->scalar_mode = static_cast<uint32_t>(value);
  cudax::object_set(object, 1 + static_cast<uint64_t>(attr), recipe_value(address, buf, bytes));
  Call call(kLibrary, function, name);
  call.object(desc, kind);
  call.value(attr);
  call.in(buf, bytes);
  call.value(bytes);
  call.idle();
  return static_cast<cublasStatus_t>(call.post());
}

// Where alpha and beta lie, by the descriptor's pointer mode.
void scalars(Call& call, const Object& desc, const void* alpha) {
  if (alpha == nullptr || desc.scalar_mode == CUBLASLT_POINTER_MODE_HOST) {
    call.in(alpha, desc.scalar_bytes);
  } else {
    call.scalar_address(alpha);
  }
}
void beta_scalar(Call& call, const Object& desc, const void* beta) {
  if (desc.scalar_mode == CUBLASLT_POINTER_MODE_ALPHA_DEVICE_VECTOR_BETA_HOST) {
    call.in(beta, desc.scalar_bytes);
  } else if (desc.scalar_mode == CUBLASLT_POINTER_MODE_ALPHA_DEVICE_VECTOR_BETA_ZERO) {
    call.in(nullptr, 0);
  } else {
    scalars(call, desc, beta);
  }
}

// A descriptor in the caller's struct: an object like others, its name in the first 8 bytes.
template <class Handle, class Create>
cublasStatus_t init(Handle desc, size_t size, Create create) {
  if (desc == nullptr || size < sizeof(Handle)) return CUBLAS_STATUS_INVALID_VALUE;
  Handle made = nullptr;
  const cublasStatus_t status = create(&made);
  if (status == CUBLAS_STATUS_SUCCESS) {
    std::memset(static_cast<void*>(desc), 0, size);
    std::memcpy(static_cast<void*>(desc), &made, sizeof made);
  }
  return status;
}

}  // namespace

extern "C" {

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* matmulDesc,
                                        cublasComputeType_t computeType, cudaDataType_t scaleType) {
  Call call(kLibrary, k_cublasLtMatmulDescCreate, "cublasLtMatmulDescCreate");
  call.made(matmulDesc, kMatmul);
  call.value(computeType);
  call.value(scaleType);
  const auto status = static_cast<cublasStatus_t>(call.post());
  if (status == CUBLAS_STATUS_SUCCESS) {
    find(*matmulDesc, kMatmul)->scalar_bytes = static_cast<uint32_t>(data_bytes(scaleType));
  }
  return status;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t matmulDesc,
                                              cublasLtMatmulDescAttributes_t attr, const void* buf,
                                              size_t sizeInBytes) {
  if (attr == CUBLASLT_MATMUL_DESC_EMULATION_DESCRIPTOR) {
    farlane::client::unsupported("CUBLASLT_MATMUL_DESC_EMULATION_DESCRIPTOR");
    return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  return set_attribute(k_cublasLtMatmulDescSetAttribute, "cublasLtMatmulDescSetAttribute",
                       matmulDesc, kMatmul, attr, buf, sizeInBytes, is_address(attr),
                       CUBLASLT_MATMUL_DESC_SCALE_TYPE, CUBLASLT_MATMUL_DESC_POINTER_MODE);
}

cublasStatus_t cublasLtMatrixTransformDescCreate(cublasLtMatrixTransformDesc_t* transformDesc,
                                                 cudaDataType scaleType) {
  Call call(kLibrary, k_cublasLtMatrixTransformDescCreate, "cublasLtMatrixTransformDescCreate");
  call.made(transformDesc, kTransform);
  call.value(scaleType);
  const auto status = static_cast<cublasStatus_t>(call.post());
  if (status == CUBLAS_STATUS_SUCCESS) {
    find(*transformDesc, kTransform)->scalar_bytes = static_cast<uint32_t>(data_bytes(scaleType));
  }
  return status;
}

cublasStatus_t cublasLtMatrixTransformDescSetAttribute(cublasLtMatrixTransformDesc_t transformDesc,
                                                       cublasLtMatrixTransformDescAttributes_t attr,
                                                       const void* buf, size_t sizeInBytes) {
  return set_attribute(k_cublasLtMatrixTransformDescSetAttribute,
                       "cublasLtMatrixTransformDescSetAttribute", transformDesc, kTransform, attr,
                       buf, sizeInBytes, false, CUBLASLT_MATRIX_TRANSFORM_DESC_SCALE_TYPE,
                       CUBLASLT_MATRIX_TRANSFORM_DESC_POINTER_MODE);
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t lightHandle, cublasLtMatmulDesc_t computeDesc,
                              const void* alpha, const void* A, cublasLtMatrixLayout_t Adesc,
                              const void* B, cublasLtMatrixLayout_t Bdesc, const void* beta,
                              const void* C, cublasLtMatrixLayout_t Cdesc, void* D,
                              cublasLtMatrixLayout_t Ddesc, const cublasLtMatmulAlgo_t* algo,
                              void* workspace, size_t workspaceSizeInBytes, cudaStream_t stream) {
  const Object* desc = find(computeDesc, kMatmul);
  if (desc == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  Call call(kLibrary, k_cublasLtMatmul, "cublasLtMatmul");
  call.object(lightHandle, kHandle);
  call.object(computeDesc, kMatmul);
  scalars(call, *desc, alpha);
  call.address(A);
  call.object(Adesc, kLayout);
  call.address(B);
  call.object(Bdesc, kLayout);
  beta_scalar(call, *desc, beta);
  call.address(C);
  call.object(Cdesc, kLayout);
  call.address(D);
  call.object(Ddesc, kLayout);
  call.in(algo, sizeof *algo);
  call.address(workspace);
  call.value(workspaceSizeInBytes);
  call.stream(stream);
  return static_cast<cublasStatus_t>(call.post());
}

cublasStatus_t cublasLtMatrixTransform(cublasLtHandle_t lightHandle,
                                       cublasLtMatrixTransformDesc_t transformDesc,
                                       const void* alpha, const void* A,
                                       cublasLtMatrixLayout_t Adesc, const void* beta,
                                       const void* B, cublasLtMatrixLayout_t Bdesc, void* C,
                                       cublasLtMatrixLayout_t Cdesc, cudaStream_t stream) {
  const Object* desc = find(transformDesc, kTransform);
  if (desc == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  Call call(kLibrary, k_cublasLtMatrixTransform, "cublasLtMatrixTransform");
  call.object(lightHandle, kHandle);
  call.object(transformDesc, kTransform);
  scalars(call, *desc, alpha);
  call.address(A);
  call.object(Adesc, kLayout);
  beta_scalar(call, *desc, beta);
  call.address(B);
  call.object(Bdesc, kLayout);
  call.address(C);
  call.object(Cdesc, kLayout);
  call.stream(stream);
  return static_cast<cublasStatus_t>(call.post());
}

cublasStatus_t cublasLtMatrixLayoutInit_internal(cublasLtMatrixLayout_t matLayout, size_t size,
                                                 cudaDataType type, uint64_t rows, uint64_t cols,
                                                 int64_t ld) {
  return init(matLayout, size, [&](cublasLtMatrixLayout_t* made) {
    return cublasLtMatrixLayoutCreate(made, type, rows, cols, ld);
  });
}

cublasStatus_t cublasLtMatmulDescInit_internal(cublasLtMatmulDesc_t matmulDesc, size_t size,
                                               cublasComputeType_t computeType,
                                               cudaDataType_t scaleType) {
  return init(matmulDesc, size, [&](cublasLtMatmulDesc_t* made) {
    return cublasLtMatmulDescCreate(made, computeType, scaleType);
  });
}

cublasStatus_t cublasLtMatrixTransformDescInit_internal(cublasLtMatrixTransformDesc_t transformDesc,
                                                        size_t size, cudaDataType scaleType) {
  return init(transformDesc, size, [&](cublasLtMatrixTransformDesc_t* made) {
    return cublasLtMatrixTransformDescCreate(made, scaleType);
  });
}

cublasStatus_t cublasLtMatmulPreferenceInit_internal(cublasLtMatmulPreference_t pref, size_t size) {
  return init(pref, size, [](cublasLtMatmulPreference_t* made) {
    return cublasLtMatmulPreferenceCreate(made);
  });
}

cublasStatus_t cublasLtEmulationDescInit_internal(cublasLtEmulationDesc_t emulationDesc,
                                                  size_t size) {
  return init(emulationDesc, size,
              [](cublasLtEmulationDesc_t* made) { return cublasLtEmulationDescCreate(made); });
}

const char* cublasLtGetStatusName(cublasStatus_t status) {
  return cudax::cublas::status_name(status);
}
const char* cublasLtGetStatusString(cublasStatus_t status) {
  return cudax::cublas::status_text(status);
}

size_t cublasLtGetCudartVersion(void) {
  return CUDART_VERSION;
}

// The library's log is written where the library runs; nobody would read it there.
cublasStatus_t cublasLtLoggerSetCallback(cublasLtLoggerCallback_t) {
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtLoggerSetFile(FILE*) {
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtLoggerOpenFile(const char*) {
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtLoggerSetLevel(int) {
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtLoggerSetMask(int) {
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtLoggerForceDisable(void) {
  return CUBLAS_STATUS_SUCCESS;
}

}  // extern "C"
