// The functions of cuSOLVER that are answered here.
#include <cusolverDn.h>
#include <cusolverSp.h>

#include "client/cudax/call.h"
#include "client/cudax/cusolver/sizes.h"
#include "generated/client/cusolver_facts.h"

using farlane::client::cudax::Call;
using farlane::client::cudax::Object;
using namespace farlane::client::cudax::cusolver;
namespace cudax = farlane::client::cudax;

namespace {

template <class Handle>
cusolverStatus_t stream_of(Handle handle, uint16_t kind, cudaStream_t* stream) {
  const Object* object = cudax::object_find(Call::bits(handle), kind);
  if (object == nullptr) return CUSOLVER_STATUS_NOT_INITIALIZED;
  if (stream == nullptr) return CUSOLVER_STATUS_INVALID_VALUE;
  *stream = object->stream;
  return CUSOLVER_STATUS_SUCCESS;
}

}  // namespace

extern "C" {

cusolverStatus_t cusolverDnGetStream(cusolverDnHandle_t handle, cudaStream_t* streamId) {
  return stream_of(handle, kDense, streamId);
}

cusolverStatus_t cusolverSpGetStream(cusolverSpHandle_t handle, cudaStream_t* streamId) {
  return stream_of(handle, kSparse, streamId);
}

// The program's buffer is only the library's to use, and as large as it was told.
cusolverStatus_t cusolverSpXcsrpermHost(cusolverSpHandle_t handle, int m, int n, int nnzA,
                                        const cusparseMatDescr_t descrA, int* csrRowPtrA,
                                        int* csrColIndA, const int* p, const int* q, int* map,
                                        void* pBuffer) {
  size_t bytes = 0;
  const cusolverStatus_t status = cusolverSpXcsrperm_bufferSizeHost(
      handle, m, n, nnzA, descrA, csrRowPtrA, csrColIndA, p, q, &bytes);
  if (status != CUSOLVER_STATUS_SUCCESS) return status;
  Call call(kLibrary, k_cusolverSpXcsrpermHost, "cusolverSpXcsrpermHost");
  call.object(handle, kSparse);
  call.value(m);
  call.value(n);
  call.value(nnzA);
  call.object(descrA, kMatrix);
  call.inout(csrRowPtrA, (elements(m) + 1) * sizeof *csrRowPtrA);
  call.inout(csrColIndA, elements(nnzA) * sizeof *csrColIndA);
  call.in(p, elements(m) * sizeof *p);
  call.in(q, elements(n) * sizeof *q);
  call.inout(map, elements(nnzA) * sizeof *map);
  call.scratch(pBuffer, bytes);
  return static_cast<cusolverStatus_t>(call.ask(false));
}

// The library's log is written where the library runs; nobody would read it there.
cusolverStatus_t cusolverDnLoggerSetCallback(cusolverDnLoggerCallback_t) {
  return CUSOLVER_STATUS_SUCCESS;
}
cusolverStatus_t cusolverDnLoggerSetFile(FILE*) {
  return CUSOLVER_STATUS_SUCCESS;
}
cusolverStatus_t cusolverDnLoggerOpenFile(const char*) {
  return CUSOLVER_STATUS_SUCCESS;
}
cusolverStatus_t cusolverDnLoggerSetLevel(int) {
  return CUSOLVER_STATUS_SUCCESS;
}
cusolverStatus_t cusolverDnLoggerSetMask(int) {
  return CUSOLVER_STATUS_SUCCESS;
}
cusolverStatus_t cusolverDnLoggerForceDisable() {
  return CUSOLVER_STATUS_SUCCESS;
}

}  // extern "C"
