// A file as the image of a module: whole, with a NUL after it, so that PTX text ends.
#pragma once

#include <cuda.h>

#include <vector>

namespace farlane {

// CUDA_ERROR_FILE_NOT_FOUND, or CUDA_ERROR_INVALID_VALUE for a null name.
CUresult read_image_file(const char* path, std::vector<char>* bytes);

}  // namespace farlane
