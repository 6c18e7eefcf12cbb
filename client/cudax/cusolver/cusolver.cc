// The functions of cuSOLVER that are answered here, and one whose arrays may be too large for a
// call.
#include <cusolverDn.h>
#include <cusolverRf.h>
#include <cusolverSp.h>

#include <algorithm>

#include "client/core/api.h"
#include "client/cudax/call.h"
#include "client/cudax/cusolver/sizes.h"
#include "generated/client/cusolver_facts.h"
#include "protocol/limits.h"

using farlane::client::cudax::Call;
using farlane::client::cudax::Object;
using namespace farlane::client::cudax::cusolver;
namespace client = farlane::client;
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

// A block of device memory that a program's arrays are copied to, one behind the other.
class OnDevice {
 public:
  explicit OnDevice(size_t bytes) {
    const int device = std::max(client::current_device(), 0);
    if (client::memory_allocate(device, bytes, &base_) != CUDA_SUCCESS) base_ = 0;
  }
  OnDevice(const OnDevice&) = delete;
  ~OnDevice() {
    // Nobody gets it again before what was posted is done with it.
    if (base_ != 0) client::memory_free(base_);
  }
  template <class T>
  T* put(const T* from, size_t count) {
    client::Copy copy;
    copy.from = reinterpret_cast<uint64_t>(from);
    copy.to = base_ + used_;
    copy.from_place = client::Place::kHost;
    copy.to_place = client::Place::kDevice;
    copy.width = count * sizeof(T);
    is_well_ = is_well_ && base_ != 0 && from != nullptr &&
               (count == 0 || client::copy(copy, nullptr, false) == CUDA_SUCCESS);
    used_ += rounded(count * sizeof(T));
    return reinterpret_cast<T*>(copy.to);
  }
  bool is_well() const { return is_well_; }
  static size_t rounded(size_t bytes) { return (bytes + 255) & ~size_t{255}; }

 private:
  CUdeviceptr base_ = 0;
  size_t used_ = 0;
  bool is_well_ = true;
};

// A sparse matrix in a program's host memory, of which only its non-zero elements are there.
struct Csr {
  size_t rows = 0, elements = 0;
  int *offsets = nullptr, *columns = nullptr;
  double* values = nullptr;

  size_t bytes() const { return (rows + 1 + elements) * sizeof(int) + elements * sizeof(double); }
  void append(Call* call) const {
    call->in(offsets, (rows + 1) * sizeof *offsets);
    call->in(columns, elements * sizeof *columns);
    call->in(values, elements * sizeof *values);
  }
  Csr put(OnDevice* to) const {
    return {rows, elements, to->put(offsets, rows + 1), to->put(columns, elements),
            to->put(values, elements)};
  }
};

}  // namespace

extern "C" {

// What does not fit a call goes to the device first, from where the library takes it just as well.
cusolverStatus_t cusolverRfSetupHost(int n, int nnzA, int* h_csrRowPtrA, int* h_csrColIndA,
                                     double* h_csrValA, int nnzL, int* h_csrRowPtrL,
                                     int* h_csrColIndL, double* h_csrValL, int nnzU,
                                     int* h_csrRowPtrU, int* h_csrColIndU, double* h_csrValU,
                                     int* h_P, int* h_Q, cusolverRfHandle_t handle) {
  const size_t rows = elements(n);
  const Csr a = {rows, elements(nnzA), h_csrRowPtrA, h_csrColIndA, h_csrValA};
  const Csr l = {rows, elements(nnzL), h_csrRowPtrL, h_csrColIndL, h_csrValL};
  const Csr u = {rows, elements(nnzU), h_csrRowPtrU, h_csrColIndU, h_csrValU};
  const size_t bytes = a.bytes() + l.bytes() + u.bytes() + 2 * rows * sizeof(int);
  constexpr size_t kArrays = 11, kNumbers = 32 * sizeof(uint64_t);  // lengths and padding, too
  if (bytes + kNumbers > farlane::protocol::limits::cudax_bytes_max) {
    OnDevice to(bytes + kArrays * OnDevice::rounded(1));
    const Csr da = a.put(&to), dl = l.put(&to), du = u.put(&to);
    int* const p = to.put(h_P, rows);
    int* const q = to.put(h_Q, rows);
    if (!to.is_well()) return CUSOLVER_STATUS_ALLOC_FAILED;
    return cusolverRfSetupDevice(n, nnzA, da.offsets, da.columns, da.values, nnzL, dl.offsets,
                                 dl.columns, dl.values, nnzU, du.offsets, du.columns, du.values, p,
                                 q, handle);
  }
  Call call(kLibrary, k_cusolverRfSetupHost, "cusolverRfSetupHost");
  call.value(n);
  call.value(nnzA);
  a.append(&call);
  call.value(nnzL);
  l.append(&call);
  call.value(nnzU);
  u.append(&call);
  call.in(h_P, rows * sizeof *h_P);
  call.in(h_Q, rows * sizeof *h_Q);
  call.object(handle, kRf);
  return static_cast<cusolverStatus_t>(call.post());
}

cusolverStatus_t cusolverDnGetStream(cusolverDnHandle_t handle, cudaStream_t* streamId) {
  return stream_of(handle, kDense, streamId);
}

cusolverStatus_t cusolverSpGetStream(cusolverSpHandle_t handle, cudaStream_t* streamId) {
  return stream_of(handle, kSparse, streamId);
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
