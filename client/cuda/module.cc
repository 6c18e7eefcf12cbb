// Modules: images loaded onto the device of the current context.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "client/cuda/driver.h"
#include "client/cuda/jit_options.h"
#include "client/cuda/link_set.h"
#include "client/cudart/file_bytes.h"

using namespace farlane::cuda;

namespace {

CUresult load(int device, const void* image, JitOptions* options, CUmodule* module) {
  const std::vector<const void*> images = images_of(image);
  std::vector<core::JitOption> numbers = jit_numbers_of(image);
  if (options != nullptr) {
    numbers.insert(numbers.end(), options->numbers().begin(), options->numbers().end());
  }
  std::string log;
  const bool wants_log = options != nullptr && options->wants_log();
  const CUresult result =
      core::module_load_with(device, images, numbers, module, wants_log ? &log : nullptr);
  if (wants_log) {
    options->give_log(log, result != CUDA_SUCCESS);
  }
  core::JitOutcome outcome;
  if (result == CUDA_SUCCESS && options != nullptr && options->wants_outcome() &&
      core::module_jit_outcome(*module, &outcome) == CUDA_SUCCESS) {
    options->give_outcome(outcome);
  }
  return result;
}

CUresult load_data(CUmodule* module, const void* image, JitOptions* options) {
  return enter_context([&](int device) -> CUresult {
    if (module == nullptr || image == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    return load(device, image, options, module);
  });
}

}  // namespace

CUresult cuModuleLoad(CUmodule* module, const char* fname) {
  return enter_context([&](int device) -> CUresult {
    if (module == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    std::vector<char> image;
    if (const CUresult result = farlane::read_image_file(fname, &image); result != CUDA_SUCCESS) {
      return result;
    }
    return load(device, image.data(), nullptr, module);
  });
}

CUresult cuModuleLoadData(CUmodule* module, const void* image) {
  return load_data(module, image, nullptr);
}

CUresult cuModuleLoadDataEx(CUmodule* module, const void* image, unsigned int numOptions,
                            CUjit_option* options, void** optionValues) {
  JitOptions jit(numOptions, options, optionValues);
  return load_data(module, image, &jit);
}

CUresult cuModuleLoadFatBinary(CUmodule* module, const void* fatCubin) {
  return load_data(module, fatCubin, nullptr);
}

CUresult cuModuleUnload(CUmodule hmod) {
  return enter_release([&]() -> CUresult {
    return hmod == nullptr ? CUDA_ERROR_INVALID_VALUE : core::module_unload(hmod);
  });
}

CUresult cuModuleGetLoadingMode(CUmoduleLoadingMode* mode) {
  return enter([&]() -> CUresult {
    if (mode == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    // Libraries become modules at first use unless the program's user says otherwise.
    const char* wish = std::getenv("CUDA_MODULE_LOADING");
    *mode = wish != nullptr && std::strcmp(wish, "EAGER") == 0 ? CU_MODULE_EAGER_LOADING
                                                               : CU_MODULE_LAZY_LOADING;
    return CUDA_SUCCESS;
  });
}

CUresult cuModuleGetFunction(CUfunction* hfunc, CUmodule hmod, const char* name) {
  return enter_context([&](int) -> CUresult {
    if (hfunc == nullptr || name == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    return core::module_function(hmod, name, hfunc);
  });
}

CUresult cuModuleGetFunctionCount(unsigned int* count, CUmodule mod) {
  return enter_context([&](int) -> CUresult {
    if (count == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    std::vector<std::string> names;
    const CUresult result = core::module_function_names(mod, &names);
    if (result == CUDA_SUCCESS) {
      *count = static_cast<unsigned>(names.size());
    }
    return result;
  });
}

CUresult cuModuleEnumerateFunctions(CUfunction* functions, unsigned int numFunctions,
                                    CUmodule mod) {
  return enter_context([&](int) -> CUresult {
    if (functions == nullptr || numFunctions == 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    std::vector<std::string> names;
    if (const CUresult result = core::module_function_names(mod, &names); result != CUDA_SUCCESS) {
      return result;
    }
    const size_t count = std::min<size_t>(numFunctions, names.size());
    for (size_t i = 0; i < count; i++) {
      if (const CUresult result = core::module_function(mod, names[i].c_str(), &functions[i]);
          result != CUDA_SUCCESS) {
        return result;
      }
    }
    return CUDA_SUCCESS;
  });
}

CUresult cuModuleGetGlobal_v2(CUdeviceptr* dptr, size_t* bytes, CUmodule hmod, const char* name) {
  return enter_context([&](int) -> CUresult {
    if (name == nullptr || (dptr == nullptr && bytes == nullptr)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    CUdeviceptr address = 0;
    size_t size = 0;
    const CUresult result = core::module_variable(hmod, name, &address, &size);
    if (result != CUDA_SUCCESS) {
      return result;
    }
    if (dptr != nullptr) {
      *dptr = address;
    }
    if (bytes != nullptr) {
      *bytes = size;
    }
    return CUDA_SUCCESS;
  });
}
