#include "client/cudart/file_bytes.h"

#include <fstream>
#include <iterator>

namespace farlane {

CUresult read_image_file(const char* path, std::vector<char>* bytes) {
  if (path == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    return CUDA_ERROR_FILE_NOT_FOUND;
  }
  bytes->assign(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  if (in.bad()) {
    return CUDA_ERROR_FILE_NOT_FOUND;
  }
  bytes->push_back('\0');
  return CUDA_SUCCESS;
}

}  // namespace farlane
