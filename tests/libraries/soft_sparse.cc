// A libcusparse.so.12 for machines without a GPU, as soft_blas.cc: matrices whose contents a call
// finds out, and the size of a work area that depends on them.
#include <cuda.h>
#include <cusparse.h>
#include <dlfcn.h>

#include <cstddef>

struct cusparseContext {
  cudaStream_t stream = nullptr;
};
struct cusparseSpMatDescr {
  int64_t rows = 0, columns = 0, elements = 0;
};
struct cusparseDnMatDescr {
  int64_t rows = 0, columns = 0, stride = 0;
  const float* values = nullptr;
};
struct cusparseDnVecDescr {};

#define EXPORTED extern "C" __attribute__((visibility("default")))

EXPORTED cusparseStatus_t cusparseGetProperty(libraryPropertyType type, int* value) {
  *value = type == MAJOR_VERSION ? CUSPARSE_VER_MAJOR : 0;
  return CUSPARSE_STATUS_SUCCESS;
}

EXPORTED cusparseStatus_t cusparseCreate(cusparseHandle_t* handle) {
  *handle = new cusparseContext;
  return CUSPARSE_STATUS_SUCCESS;
}

EXPORTED cusparseStatus_t cusparseDestroy(cusparseHandle_t handle) {
  delete handle;
  return CUSPARSE_STATUS_SUCCESS;
}

EXPORTED cusparseStatus_t cusparseCreateCsr(cusparseSpMatDescr_t* made, int64_t rows, int64_t cols,
                                            int64_t nnz, void*, void*, void*, cusparseIndexType_t,
                                            cusparseIndexType_t, cusparseIndexBase_t,
                                            cudaDataType) {
  if (rows < 0) return CUSPARSE_STATUS_INVALID_VALUE;
  *made = new cusparseSpMatDescr{rows, cols, nnz};
  return CUSPARSE_STATUS_SUCCESS;
}

EXPORTED cusparseStatus_t cusparseCsrSetPointers(cusparseSpMatDescr_t, void*, void*, void*) {
  return CUSPARSE_STATUS_SUCCESS;
}

EXPORTED cusparseStatus_t cusparseDestroySpMat(cusparseConstSpMatDescr_t matrix) {
  delete matrix;
  return CUSPARSE_STATUS_SUCCESS;
}

EXPORTED cusparseStatus_t cusparseSpMatGetSize(cusparseConstSpMatDescr_t matrix, int64_t* rows,
                                               int64_t* cols, int64_t* nnz) {
  *rows = matrix->rows;
  *cols = matrix->columns;
  *nnz = matrix->elements;
  return CUSPARSE_STATUS_SUCCESS;
}

EXPORTED cusparseStatus_t cusparseCreateDnMat(cusparseDnMatDescr_t* made, int64_t rows,
                                              int64_t cols, int64_t ld, void* values, cudaDataType,
                                              cusparseOrder_t) {
  *made = new cusparseDnMatDescr{rows, cols, ld, static_cast<const float*>(values)};
  return CUSPARSE_STATUS_SUCCESS;
}

EXPORTED cusparseStatus_t cusparseDestroyDnMat(cusparseConstDnMatDescr_t matrix) {
  delete matrix;
  return CUSPARSE_STATUS_SUCCESS;
}

EXPORTED cusparseStatus_t cusparseCreateDnVec(cusparseDnVecDescr_t* made, int64_t, void*,
                                              cudaDataType) {
  *made = new cusparseDnVecDescr;
  return CUSPARSE_STATUS_SUCCESS;
}

EXPORTED cusparseStatus_t cusparseDestroyDnVec(cusparseConstDnVecDescr_t vector) {
  delete vector;
  return CUSPARSE_STATUS_SUCCESS;
}

// How many elements of a column-major matrix are none of them zero.
EXPORTED cusparseStatus_t cusparseDenseToSparse_analysis(cusparseHandle_t handle,
                                                         cusparseConstDnMatDescr_t dense,
                                                         cusparseSpMatDescr_t sparse,
                                                         cusparseDenseToSparseAlg_t, void*) {
  static const auto synchronize = reinterpret_cast<CUresult (*)(CUstream)>(
      ::dlsym(::dlopen(SOFTCUDA_SONAME, RTLD_NOW | RTLD_NOLOAD), "cuStreamSynchronize"));
  if (synchronize == nullptr || synchronize(handle->stream) != CUDA_SUCCESS) {
    return CUSPARSE_STATUS_EXECUTION_FAILED;
  }
  sparse->elements = 0;
  for (int64_t j = 0; j < dense->columns; ++j) {
    for (int64_t i = 0; i < dense->rows; ++i) {
      sparse->elements += dense->values[j * dense->stride + i] != 0;
    }
  }
  return CUSPARSE_STATUS_SUCCESS;
}

EXPORTED cusparseStatus_t cusparseSpMV_bufferSize(cusparseHandle_t, cusparseOperation_t,
                                                  const void*, cusparseConstSpMatDescr_t matrix,
                                                  cusparseConstDnVecDescr_t, const void*,
                                                  cusparseDnVecDescr_t, cudaDataType,
                                                  cusparseSpMVAlg_t, size_t* bytes) {
  *bytes = static_cast<size_t>(matrix->elements) * 8;
  return CUSPARSE_STATUS_SUCCESS;
}

EXPORTED cusparseStatus_t cusparseCreateMatDescr(cusparseMatDescr_t* matrix) {
  static int any = 0;
  *matrix = reinterpret_cast<cusparseMatDescr_t>(&any);
  return CUSPARSE_STATUS_SUCCESS;
}

EXPORTED cusparseStatus_t cusparseDestroyMatDescr(cusparseMatDescr_t) {
  return CUSPARSE_STATUS_SUCCESS;
}
