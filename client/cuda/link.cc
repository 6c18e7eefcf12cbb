// cuLink*: gathers images here and lets the device's server link them.
#include <algorithm>
#include <cstring>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include "client/cuda/driver.h"
#include "client/cuda/jit_options.h"
#include "client/cuda/link_set.h"
#include "client/cudart/file_bytes.h"

namespace farlane::cuda {
namespace {

constexpr std::string_view kArchiveMagic = "!<arch>\n";

struct LinkState {
  LinkState(unsigned count, CUjit_option* options, void** values) : jit(count, options, values) {}
  JitOptions jit;
  std::vector<std::vector<char>> images;
  std::vector<std::byte> packed;  // cuLinkComplete's result, until cuLinkDestroy
};

// The live states, so that a stale handle is an error. Never destroyed: no order at exit to mind.
class LinkStates {
 public:
  CUlinkState add(std::unique_ptr<LinkState> state) {
    const std::lock_guard lock(mutex_);
    return reinterpret_cast<CUlinkState>(states_.emplace_back(std::move(state)).get());
  }
  bool remove(CUlinkState handle) {
    const std::lock_guard lock(mutex_);
    return std::erase_if(states_, [handle](const auto& state) {
             return reinterpret_cast<CUlinkState>(state.get()) == handle;
           }) != 0;
  }
  // Null if there is no such state. One thread works on a state at a time, as in CUDA.
  LinkState* find(CUlinkState handle) {
    const std::lock_guard lock(mutex_);
    for (const auto& state : states_) {
      if (reinterpret_cast<CUlinkState>(state.get()) == handle) {
        return state.get();
      }
    }
    return nullptr;
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<LinkState>> states_;
};

LinkStates& link_states() {
  static auto* const states = new LinkStates;
  return *states;
}

CUresult create(unsigned count, CUjit_option* options, void** values, CUlinkState* state) {
  return enter_context([&](int) -> CUresult {
    if (state == nullptr || (count > 0 && (options == nullptr || values == nullptr))) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    *state = link_states().add(std::make_unique<LinkState>(count, options, values));
    return CUDA_SUCCESS;
  });
}

CUresult add_image(CUlinkState handle, CUjitInputType type, std::vector<char> image) {
  LinkState* const state = link_states().find(handle);
  if (state == nullptr) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  switch (static_cast<int>(type)) {
    case CU_JIT_INPUT_PTX:
    case CU_JIT_INPUT_CUBIN:
    case CU_JIT_INPUT_FATBINARY:
    case CU_JIT_INPUT_OBJECT:
      break;
    case CU_JIT_INPUT_LIBRARY:
      if (!std::string_view(image.data(), image.size()).starts_with(kArchiveMagic)) {
        return CUDA_ERROR_INVALID_IMAGE;
      }
      break;
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
  // Where text and archives end. A second one, because an archive may lack the byte that would make
  // its length even.
  image.insert(image.end(), 2, '\0');
  state->images.push_back(std::move(image));
  return CUDA_SUCCESS;
}

// The server links with one set of options: those of an input join the link's.
CUresult add_data(CUlinkState handle, CUjitInputType type, const void* data, size_t bytes,
                  JitOptions options) {
  return enter_context([&](int) -> CUresult {
    if (LinkState* const state = link_states().find(handle)) {
      state->jit.add_numbers(options);
    }
    if (data == nullptr || bytes == 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const char* const first = static_cast<const char*>(data);
    return add_image(handle, type, {first, first + bytes});
  });
}

CUresult add_file(CUlinkState handle, CUjitInputType type, const char* path, JitOptions options) {
  return enter_context([&](int) -> CUresult {
    if (LinkState* const state = link_states().find(handle)) {
      state->jit.add_numbers(options);
    }
    std::vector<char> image;
    if (const CUresult result = read_image_file(path, &image); result != CUDA_SUCCESS) {
      return result;
    }
    return add_image(handle, type, std::move(image));
  });
}

// Loads the set once and lets it go, so that what does not link fails here, with its log.
CUresult try_linking(int device, LinkState* state) {
  const std::vector<const void*> images = images_of(state->packed.data());
  CUmodule module = nullptr;
  std::string log;
  const CUresult result =
      core::module_load_with(device, images, state->jit.numbers(), &module, &log);
  state->jit.give_log(log, result != CUDA_SUCCESS);
  core::JitOutcome outcome;
  if (result == CUDA_SUCCESS && state->jit.wants_outcome() &&
      core::module_jit_outcome(module, &outcome) == CUDA_SUCCESS) {
    state->jit.give_outcome(outcome);
  }
  return result == CUDA_SUCCESS ? core::module_unload(module) : result;
}

}  // namespace
}  // namespace farlane::cuda

using namespace farlane::cuda;

CUresult cuLinkCreate(unsigned int numOptions, CUjit_option* options, void** optionValues,
                      CUlinkState* stateOut) {
  return create(numOptions, options, optionValues, stateOut);
}
CUresult cuLinkCreate_v2(unsigned int numOptions, CUjit_option* options, void** optionValues,
                         CUlinkState* stateOut) {
  return create(numOptions, options, optionValues, stateOut);
}

CUresult cuLinkAddData(CUlinkState state, CUjitInputType type, void* data, size_t size, const char*,
                       unsigned int numOptions, CUjit_option* options, void** optionValues) {
  return add_data(state, type, data, size, JitOptions(numOptions, options, optionValues));
}
CUresult cuLinkAddData_v2(CUlinkState state, CUjitInputType type, void* data, size_t size,
                          const char*, unsigned int numOptions, CUjit_option* options,
                          void** optionValues) {
  return add_data(state, type, data, size, JitOptions(numOptions, options, optionValues));
}

CUresult cuLinkAddFile(CUlinkState state, CUjitInputType type, const char* path,
                       unsigned int numOptions, CUjit_option* options, void** optionValues) {
  return add_file(state, type, path, JitOptions(numOptions, options, optionValues));
}
CUresult cuLinkAddFile_v2(CUlinkState state, CUjitInputType type, const char* path,
                          unsigned int numOptions, CUjit_option* options, void** optionValues) {
  return add_file(state, type, path, JitOptions(numOptions, options, optionValues));
}

CUresult cuLinkComplete(CUlinkState state, void** cubinOut, size_t* sizeOut) {
  return enter_context([&](int device) -> CUresult {
    LinkState* const found = link_states().find(state);
    if (found == nullptr) {
      return CUDA_ERROR_INVALID_HANDLE;
    }
    if (cubinOut == nullptr || found->images.empty()) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    found->packed = pack_link_set(found->images, found->jit.numbers());
    if (const CUresult result = try_linking(device, found); result != CUDA_SUCCESS) {
      return result;
    }
    *cubinOut = found->packed.data();
    if (sizeOut != nullptr) {
      *sizeOut = found->packed.size();
    }
    return CUDA_SUCCESS;
  });
}

CUresult cuLinkDestroy(CUlinkState state) {
  return enter([&]() -> CUresult {
    return link_states().remove(state) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
  });
}
