// What logs call a driver's result.
#pragma once

#include <cuda.h>

#include <string>

#include "generated/server/driver_table.h"

namespace farlane::server {

// "CUDA_ERROR_INVALID_VALUE"; "CUresult 4711" for one the driver does not know.
std::string result_name(const DriverTable& driver, CUresult result);

}  // namespace farlane::server
