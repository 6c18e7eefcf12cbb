// The options of the loading functions. Numbers travel to the server, whose driver compiles; where
// to put the compiler's log and what else it tells is remembered here.
#pragma once

#include <cuda.h>

#include <span>
#include <string_view>
#include <vector>

#include "client/core/jit.h"

namespace farlane::cuda {

class JitOptions {
 public:
  JitOptions(unsigned count, CUjit_option* options, void** values);

  // For the server.
  const std::vector<client::JitOption>& numbers() const { return numbers_; }
  void add_numbers(const JitOptions& others);

  bool wants_log() const { return info_.buffer != nullptr || error_.buffer != nullptr; }
  // Fills the program's buffers: the error log if the load failed, else the information log.
  void give_log(std::string_view log, bool failed);

  bool wants_outcome() const { return wall_ms_ != nullptr || block_threads_ != nullptr; }
  void give_outcome(const client::JitOutcome& outcome);

 private:
  struct Buffer {
    char* buffer = nullptr;
    size_t bytes = 0;
    void** size_value = nullptr;  // takes the number of bytes written
  };
  static void give(const Buffer& to, std::string_view log);

  std::vector<client::JitOption> numbers_;
  Buffer info_;
  Buffer error_;
  void** wall_ms_ = nullptr;  // these two are written in the place of the option's value
  void** block_threads_ = nullptr;
};

}  // namespace farlane::cuda
