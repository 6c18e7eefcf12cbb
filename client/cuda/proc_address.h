// The driver's entry points by name and version.
#pragma once

#include <cuda.h>

namespace farlane::cuda {

// What cuGetProcAddress does after its arguments are checked: the newest ABI of `name` that existed
// in `version`, for the per-thread default stream where asked and where there is a difference.
// Null, with the reason, where there is none.
void* find_entry_point(const char* name, int version, bool per_thread,
                       CUdriverProcAddressQueryResult* status);

}  // namespace farlane::cuda
