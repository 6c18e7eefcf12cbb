// What a driver's result means for a session, and its name for logs.
#pragma once

#include <cuda.h>

#include <string>

#include "generated/server/driver_table.h"

namespace farlane::server {

// "CUDA_ERROR_INVALID_VALUE"; "CUresult 4711" for one the driver does not know.
std::string result_name(const DriverTable& driver, CUresult result);

// True for errors after which a context is good for nothing: every later call says the same.
bool is_sticky(CUresult result);

}  // namespace farlane::server
