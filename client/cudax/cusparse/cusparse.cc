// The functions of cuSPARSE that are answered here, and those whose client side is more than
// packing.
#include <cusparse.h>

#include "client/cudax/call.h"
#include "client/cudax/cusparse/scalar_bytes.h"
#include "generated/client/cusparse_facts.h"

using farlane::client::cudax::Call;
using farlane::client::cudax::Object;
using namespace farlane::client::cudax::cusparse;
namespace cudax = farlane::client::cudax;

namespace {

Object* find(cusparseHandle_t handle) {
  return cudax::object_find(Call::bits(handle), kHandle);
}

// The vector remembers how large the scalars of cusparseAxpby and cusparseRot are.
template <class Vector, class Pointer>
cusparseStatus_t create(uint32_t function, const char* name, Vector* vector, int64_t size,
                        Pointer values, cudaDataType type) {
  Call call(kLibrary, function, name);
  call.made(vector, kDenseVector);
  call.value(size);
  call.address(values);
  call.value(type);
  const auto status = static_cast<cusparseStatus_t>(call.post());
  if (status == CUSPARSE_STATUS_SUCCESS) {
    cudax::object_find(Call::bits(*vector), kDenseVector)->scalar_bytes =
        static_cast<uint32_t>(scalar_bytes(type));
  }
  return status;
}

}  // namespace

extern "C" {

cusparseStatus_t cusparseCreateDnVec(cusparseDnVecDescr_t* dnVecDescr, int64_t size, void* values,
                                     cudaDataType valueType) {
  return create(k_cusparseCreateDnVec, "cusparseCreateDnVec", dnVecDescr, size, values, valueType);
}

cusparseStatus_t cusparseCreateConstDnVec(cusparseConstDnVecDescr_t* dnVecDescr, int64_t size,
                                          const void* values, cudaDataType valueType) {
  return create(k_cusparseCreateConstDnVec, "cusparseCreateConstDnVec", dnVecDescr, size, values,
                valueType);
}

cusparseStatus_t cusparseGetStream(cusparseHandle_t handle, cudaStream_t* streamId) {
  const Object* object = find(handle);
  if (object == nullptr) return CUSPARSE_STATUS_NOT_INITIALIZED;
  if (streamId == nullptr) return CUSPARSE_STATUS_INVALID_VALUE;
  *streamId = object->stream;
  return CUSPARSE_STATUS_SUCCESS;
}

cusparseStatus_t cusparseGetPointerMode(cusparseHandle_t handle, cusparsePointerMode_t* mode) {
  const Object* object = find(handle);
  if (object == nullptr) return CUSPARSE_STATUS_NOT_INITIALIZED;
  if (mode == nullptr) return CUSPARSE_STATUS_INVALID_VALUE;
  *mode = object->scalars_on_device ? CUSPARSE_POINTER_MODE_DEVICE : CUSPARSE_POINTER_MODE_HOST;
  return CUSPARSE_STATUS_SUCCESS;
}

// The library's log is written where the library runs; nobody would read it there.
cusparseStatus_t cusparseLoggerSetCallback(cusparseLoggerCallback_t) {
  return CUSPARSE_STATUS_SUCCESS;
}
cusparseStatus_t cusparseLoggerSetFile(FILE*) {
  return CUSPARSE_STATUS_SUCCESS;
}
cusparseStatus_t cusparseLoggerOpenFile(const char*) {
  return CUSPARSE_STATUS_SUCCESS;
}
cusparseStatus_t cusparseLoggerSetLevel(int) {
  return CUSPARSE_STATUS_SUCCESS;
}
cusparseStatus_t cusparseLoggerSetMask(int) {
  return CUSPARSE_STATUS_SUCCESS;
}
cusparseStatus_t cusparseLoggerForceDisable(void) {
  return CUSPARSE_STATUS_SUCCESS;
}

const char* cusparseGetErrorName(cusparseStatus_t status) {
  switch (status) {
#define NAME(status) \
  case status:       \
    return #status
    NAME(CUSPARSE_STATUS_SUCCESS);
    NAME(CUSPARSE_STATUS_NOT_INITIALIZED);
    NAME(CUSPARSE_STATUS_ALLOC_FAILED);
    NAME(CUSPARSE_STATUS_INVALID_VALUE);
    NAME(CUSPARSE_STATUS_ARCH_MISMATCH);
    NAME(CUSPARSE_STATUS_MAPPING_ERROR);
    NAME(CUSPARSE_STATUS_EXECUTION_FAILED);
    NAME(CUSPARSE_STATUS_INTERNAL_ERROR);
    NAME(CUSPARSE_STATUS_MATRIX_TYPE_NOT_SUPPORTED);
    NAME(CUSPARSE_STATUS_ZERO_PIVOT);
    NAME(CUSPARSE_STATUS_NOT_SUPPORTED);
    NAME(CUSPARSE_STATUS_INSUFFICIENT_RESOURCES);
#undef NAME
  }
  return "CUSPARSE_STATUS_UNKNOWN";
}

const char* cusparseGetErrorString(cusparseStatus_t status) {
  switch (status) {
    case CUSPARSE_STATUS_SUCCESS:
      return "success";
    case CUSPARSE_STATUS_NOT_INITIALIZED:
      return "initialization error";
    case CUSPARSE_STATUS_ALLOC_FAILED:
      return "out of memory";
    case CUSPARSE_STATUS_INVALID_VALUE:
      return "invalid value";
    case CUSPARSE_STATUS_ARCH_MISMATCH:
      return "architecture mismatch";
    case CUSPARSE_STATUS_MAPPING_ERROR:
      return "memory mapping error";
    case CUSPARSE_STATUS_EXECUTION_FAILED:
      return "kernel launch failure";
    case CUSPARSE_STATUS_INTERNAL_ERROR:
      return "internal error";
    case CUSPARSE_STATUS_MATRIX_TYPE_NOT_SUPPORTED:
      return "matrix type not supported";
    case CUSPARSE_STATUS_ZERO_PIVOT:
      return "zero pivot";
    case CUSPARSE_STATUS_NOT_SUPPORTED:
      return "operation not supported";
    case CUSPARSE_STATUS_INSUFFICIENT_RESOURCES:
      return "insufficient resources";
  }
  return "unrecognized error code";
}

}  // extern "C"
