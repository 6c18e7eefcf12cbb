#include "client/cuda/proc_address.h"

#include <algorithm>
#include <cstring>
#include <iterator>

#include "client/cuda/driver.h"

// Declared here as mere names: the table is about addresses, and some of these have no other
// declaration under their own name.
namespace farlane::cuda::symbols {
extern "C" {
#define PROC(name, per_thread, since, symbol) extern const char symbol##_address[] __asm__(#symbol);
#include "client/cuda_proc_table.inc"
#undef PROC
}
}  // namespace farlane::cuda::symbols

namespace farlane::cuda {
namespace {

struct Row {
  const char* name;
  bool per_thread;
  int since;
  const void* address;
};

// By name, then legacy before per-thread, then by version.
const Row kRows[] = {
#define PROC(name, per_thread, since, symbol) {#name, per_thread, since, symbols::symbol##_address},
#include "client/cuda_proc_table.inc"
#undef PROC
};

bool is_before(const Row& row, const char* name) {
  return std::strcmp(row.name, name) < 0;
}

}  // namespace

void* find_entry_point(const char* name, int version, bool per_thread,
                       CUdriverProcAddressQueryResult* status) {
  const Row* const first = std::lower_bound(std::begin(kRows), std::end(kRows), name, is_before);
  const Row* last = first;
  bool has_twin = false;
  while (last != std::end(kRows) && std::strcmp(last->name, name) == 0) {
    has_twin = has_twin || last->per_thread;
    ++last;
  }
  if (first == last) {
    *status = CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
    return nullptr;
  }
  const Row* best = nullptr;
  for (const Row* row = first; row != last; ++row) {
    if (row->per_thread == (per_thread && has_twin) && row->since <= version) {
      best = row;
    }
  }
  if (best == nullptr) {
    *status = CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT;
    return nullptr;
  }
  *status = CU_GET_PROC_ADDRESS_SUCCESS;
  return const_cast<void*>(best->address);
}

}  // namespace farlane::cuda

using namespace farlane::cuda;

CUresult cuGetProcAddress_v2(const char* symbol, void** pfn, int cudaVersion, cuuint64_t flags,
                             CUdriverProcAddressQueryResult* symbolStatus) {
  return enter_any([&]() -> CUresult {
    constexpr cuuint64_t kKnown =
        CU_GET_PROC_ADDRESS_LEGACY_STREAM | CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM;
    if (symbol == nullptr || pfn == nullptr || (flags & ~kKnown) != 0 ||
        cudaVersion > core::driver_version()) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const bool per_thread = (flags & CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM) != 0;
    auto status = CU_GET_PROC_ADDRESS_SUCCESS;
    *pfn = find_entry_point(symbol, cudaVersion, per_thread, &status);
    if (symbolStatus != nullptr) {
      *symbolStatus = status;
    }
    return CUDA_SUCCESS;
  });
}

// The form before CUDA 12 had no status, and said so by its result.
CUresult cuGetProcAddress(const char* symbol, void** pfn, int cudaVersion, cuuint64_t flags) {
  auto status = CU_GET_PROC_ADDRESS_SUCCESS;
  const CUresult result = cuGetProcAddress_v2(symbol, pfn, cudaVersion, flags, &status);
  if (result == CUDA_SUCCESS && status != CU_GET_PROC_ADDRESS_SUCCESS) {
    return CUDA_ERROR_NOT_FOUND;
  }
  return result;
}
