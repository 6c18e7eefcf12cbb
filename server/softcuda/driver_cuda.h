// The vendor's declarations. Only this library's definitions of them leave it (see driver.map).
#pragma once

#include <cuda.h>
#include <cudaProfiler.h>
