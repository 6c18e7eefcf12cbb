// The options of the loading functions that have an effect here: where to put the compiler's log.
// All others ask for what the device's own driver decides (registers, levels, targets).
#pragma once

#include <cuda.h>

#include <string_view>

namespace farlane::cuda {

class JitOptions {
 public:
  JitOptions(unsigned count, CUjit_option* options, void** values);

  bool wants_log() const { return info_.buffer != nullptr || error_.buffer != nullptr; }
  // Fills the program's buffers: the error log if the load failed, else the information log.
  void give_log(std::string_view log, bool failed);

 private:
  struct Buffer {
    char* buffer = nullptr;
    size_t bytes = 0;
    void** size_value = nullptr;  // takes the number of bytes written
  };
  static void give(const Buffer& to, std::string_view log);

  Buffer info_;
  Buffer error_;
};

}  // namespace farlane::cuda
