// Start and end, and what is not of one device.
#include <unistd.h>

#include <cstdio>
#include <string_view>

#include "client/nvml/forward.h"

using namespace farlane::nvml;

namespace {

const char* error_text(nvmlReturn_t result) {
  switch (result) {
    case NVML_SUCCESS:
      return "Success";
    case NVML_ERROR_UNINITIALIZED:
      return "Uninitialized";
    case NVML_ERROR_INVALID_ARGUMENT:
      return "Invalid Argument";
    case NVML_ERROR_NOT_SUPPORTED:
      return "Not Supported";
    case NVML_ERROR_NO_PERMISSION:
      return "Insufficient Permissions";
    case NVML_ERROR_ALREADY_INITIALIZED:
      return "Already Initialized";
    case NVML_ERROR_NOT_FOUND:
      return "Not Found";
    case NVML_ERROR_INSUFFICIENT_SIZE:
      return "Insufficient Size";
    case NVML_ERROR_INSUFFICIENT_POWER:
      return "Insufficient External Power";
    case NVML_ERROR_DRIVER_NOT_LOADED:
      return "Driver Not Loaded";
    case NVML_ERROR_TIMEOUT:
      return "Timeout";
    case NVML_ERROR_IRQ_ISSUE:
      return "Interrupt Request Issue";
    case NVML_ERROR_LIBRARY_NOT_FOUND:
      return "NVML Shared Library Not Found";
    case NVML_ERROR_FUNCTION_NOT_FOUND:
      return "Function Not Found";
    case NVML_ERROR_CORRUPTED_INFOROM:
      return "Corrupted infoROM";
    case NVML_ERROR_GPU_IS_LOST:
      return "GPU is lost";
    case NVML_ERROR_RESET_REQUIRED:
      return "GPU requires reset";
    case NVML_ERROR_OPERATING_SYSTEM:
      return "The operating system has blocked the request";
    case NVML_ERROR_LIB_RM_VERSION_MISMATCH:
      return "RM has detected an NVML/RM version mismatch";
    case NVML_ERROR_IN_USE:
      return "GPU is currently in use";
    case NVML_ERROR_MEMORY:
      return "Insufficient Memory";
    case NVML_ERROR_NO_DATA:
      return "No data";
    case NVML_ERROR_INSUFFICIENT_RESOURCES:
      return "Insufficient Resources";
    case NVML_ERROR_FREQ_NOT_SUPPORTED:
      return "Requested Frequency Not Supported";
    case NVML_ERROR_ARGUMENT_VERSION_MISMATCH:
      return "Argument Version Mismatch";
    default:
      return "Unknown Error";
  }
}

nvmlReturn_t cuda_version(int* version) {
  if (version == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
  *version = core::driver_version();
  return NVML_SUCCESS;
}

// Changing a device is not for programs from afar; an unprivileged user may not either.
bool is_setter(std::string_view name) {
  for (const char* verb : {"Set", "Reset", "Clear", "Create", "Destroy", "Remove", "Modify"}) {
    const size_t at = name.find(verb);
    if (at != std::string_view::npos && name.find("Get") == std::string_view::npos &&
        name.find("EventSet") == std::string_view::npos) {
      return true;
    }
  }
  return false;
}

}  // namespace

extern "C" {

nvmlReturn_t nvmlInit(void) {
  return enter_any([] { return initialize(); });
}
nvmlReturn_t nvmlInit_v2(void) {
  return enter_any([] { return initialize(); });
}
// The flags choose between failing and succeeding without a GPU; without a server it always fails.
nvmlReturn_t nvmlInitWithFlags(unsigned int) {
  return enter_any([] { return initialize(); });
}
nvmlReturn_t nvmlShutdown(void) {
  return enter_any([] { return shut_down(); });
}

const char* nvmlErrorString(nvmlReturn_t result) {
  return error_text(result);
}

nvmlReturn_t nvmlSystemGetDriverVersion(char* version, unsigned int length) {
  const nvmlReturn_t result = forward("nvmlSystemGetDriverVersion", many(version, length), length);
  if (result != NVML_ERROR_NOT_SUPPORTED) return result;
  return enter([&] { return give_text("farlane " FARLANE_VERSION, version, length); });
}

nvmlReturn_t nvmlSystemGetNVMLVersion(char* version, unsigned int length) {
  return enter(
      [&] { return give_text(NVML_API_VERSION_STR "." FARLANE_VERSION, version, length); });
}

nvmlReturn_t nvmlSystemGetCudaDriverVersion(int* cudaDriverVersion) {
  return enter([&] { return cuda_version(cudaDriverVersion); });
}
nvmlReturn_t nvmlSystemGetCudaDriverVersion_v2(int* cudaDriverVersion) {
  return enter([&] { return cuda_version(cudaDriverVersion); });
}

// Processes are this machine's: NVML's own numbers would be those of the server's workers.
nvmlReturn_t nvmlSystemGetProcessName(unsigned int pid, char* name, unsigned int length) {
  return enter([&]() -> nvmlReturn_t {
    const std::string file = "/proc/" + std::to_string(pid) + "/cmdline";
    std::FILE* const from = std::fopen(file.c_str(), "re");
    if (from == nullptr) return NVML_ERROR_NOT_FOUND;
    char text[4096];
    const size_t count = std::fread(text, 1, sizeof text - 1, from);
    std::fclose(from);
    text[count] = '\0';  // the first argument ends by itself
    return give_text(text, name, length);
  });
}

nvmlReturn_t nvmlUnitGetCount(unsigned int* unitCount) {
  return enter([&]() -> nvmlReturn_t {
    if (unitCount == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    *unitCount = 0;
    return NVML_SUCCESS;
  });
}

// What the generated stubs of unwritten functions do. Tools try what there is: nothing is logged.
int farlane_nvml_unsupported(const char* name) {
  return enter([&]() -> nvmlReturn_t {
    return is_setter(name) ? NVML_ERROR_NO_PERMISSION : NVML_ERROR_NOT_SUPPORTED;
  });
}

}  // extern "C"
