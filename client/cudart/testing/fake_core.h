// An implementation of client/core/api.h for the façades' tests: memory is this process's own,
// copies happen at once, launches and everything else are written down. Not for several threads.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "client/core/api.h"
#include "client/core/jit.h"

namespace farlane::client {

struct FakeCore {
  // What the core "has".
  CUresult session = CUDA_SUCCESS;  // what session_start answers
  const char* loss = nullptr;       // what session_loss says once the server is lost
  bool forked = false;              // what session_is_forked answers
  bool in_host_function = false;    // of every thread
  int devices = 2;
  std::map<int, int> attributes;                       // by CUdevice_attribute, of every device
  std::map<std::string, std::vector<char>> variables;  // of every library and module
  std::vector<std::string> kernels = {"kernel"};

  // What was asked of it: names of functions, in order.
  std::vector<std::string> calls;
  struct Launched {
    std::string kernel;
    Launch launch;
    std::vector<CUlaunchAttribute> attributes;
  };
  std::vector<Launched> launches;
  std::vector<std::pair<Copy, CUstream>> copies;
  std::vector<std::vector<const void*>> loaded;  // images of each library and module
  std::vector<JitOption> jit_options;            // of the last library loaded with any

  // The next call of the named function answers this instead.
  std::map<std::string, CUresult> fail_next;

  int count(const std::string& function) const;
};

// The one that the functions work on. reset_fake_core() makes it new, and empties the calling
// thread's stack of contexts.
FARLANE_CORE_API FakeCore& fake_core();
FARLANE_CORE_API void reset_fake_core();

}  // namespace farlane::client
