// What the copying entry points share.
#pragma once

#include "client/cuda/driver.h"

namespace farlane::cuda {

// A described copy as the core takes it. An empty box is an empty copy.
CUresult copy_3d_of(const CUDA_MEMCPY3D* parameters, core::Copy* copy);

}  // namespace farlane::cuda
