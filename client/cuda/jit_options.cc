#include "client/cuda/jit_options.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace farlane::cuda {

JitOptions::JitOptions(unsigned count, CUjit_option* options, void** values) {
  if (options == nullptr || values == nullptr) {
    return;
  }
  for (unsigned i = 0; i < count; i++) {
    // Numbers stand in the pointer's place, 32 bits wide.
    const auto size = static_cast<uint32_t>(reinterpret_cast<uintptr_t>(values[i]));
    switch (static_cast<int>(options[i])) {
      case CU_JIT_INFO_LOG_BUFFER:
        info_.buffer = static_cast<char*>(values[i]);
        break;
      case CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES:
        info_.bytes = size;
        info_.size_value = &values[i];
        break;
      case CU_JIT_ERROR_LOG_BUFFER:
        error_.buffer = static_cast<char*>(values[i]);
        break;
      case CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES:
        error_.bytes = size;
        error_.size_value = &values[i];
        break;
      case CU_JIT_WALL_TIME:
        wall_ms_ = &values[i];
        break;
      default:
        if (options[i] == CU_JIT_THREADS_PER_BLOCK) {
          block_threads_ = &values[i];
        }
        client::add_jit_number(static_cast<uint32_t>(options[i]), values[i], &numbers_);
        break;
    }
  }
}

void JitOptions::add_numbers(const JitOptions& others) {
  numbers_.insert(numbers_.end(), others.numbers_.begin(), others.numbers_.end());
}

void JitOptions::give_outcome(const client::JitOutcome& outcome) {
  if (wall_ms_ != nullptr) {
    std::memcpy(wall_ms_, &outcome.wall_ms, sizeof outcome.wall_ms);
  }
  if (block_threads_ != nullptr && outcome.block_threads != 0) {
    std::memcpy(block_threads_, &outcome.block_threads, sizeof outcome.block_threads);
  }
}

void JitOptions::give(const Buffer& to, std::string_view log) {
  if (to.buffer == nullptr || to.bytes == 0) {
    return;
  }
  const size_t count = std::min(log.size(), to.bytes - 1);
  log.copy(to.buffer, count);
  to.buffer[count] = '\0';
  if (to.size_value != nullptr) {
    *to.size_value = reinterpret_cast<void*>(static_cast<uintptr_t>(count));
  }
}

void JitOptions::give_log(std::string_view log, bool failed) {
  give(info_, failed ? std::string_view() : log);
  give(error_, failed ? log : std::string_view());
}

}  // namespace farlane::cuda
