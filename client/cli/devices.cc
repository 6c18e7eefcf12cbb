#include <cuda.h>
#include <dlfcn.h>
#include <fmt/format.h>

#include <array>
#include <cstdio>
#include <cstdlib>

#include "client/cli/commands.h"
#include "client/cli/install_paths.h"
#include "client/cli/server_probe.h"
#include "conf/client_settings.h"

namespace farlane::cli {
namespace {

// The driver API through Farlane's own library, as a program would use it.
struct Driver {
  CUresult (*init)(unsigned) = nullptr;
  CUresult (*error_name)(CUresult, const char**) = nullptr;
  CUresult (*device_count)(int*) = nullptr;
  CUresult (*device_get)(CUdevice*, int) = nullptr;
  CUresult (*device_name)(char*, int, CUdevice) = nullptr;
  CUresult (*device_memory)(size_t*, CUdevice) = nullptr;
  CUresult (*device_attribute)(int*, CUdevice_attribute, CUdevice) = nullptr;
  CUresult (*device_uuid)(CUuuid*, CUdevice) = nullptr;
  CUresult (*device_pci)(char*, int, CUdevice) = nullptr;

  bool load(const std::string& path, std::string* error) {
    // Never closed: the library has threads of its own until the process ends.
    void* const library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      *error = ::dlerror();
      return false;
    }
    return find(library, "cuInit", &init, error) &&
           find(library, "cuGetErrorName", &error_name, error) &&
           find(library, "cuDeviceGetCount", &device_count, error) &&
           find(library, "cuDeviceGet", &device_get, error) &&
           find(library, "cuDeviceGetName", &device_name, error) &&
           find(library, "cuDeviceTotalMem_v2", &device_memory, error) &&
           find(library, "cuDeviceGetAttribute", &device_attribute, error) &&
           find(library, "cuDeviceGetUuid_v2", &device_uuid, error) &&
           find(library, "cuDeviceGetPCIBusId", &device_pci, error);
  }

  std::string name_of(CUresult code) const {
    const char* text = nullptr;
    error_name(code, &text);
    return text == nullptr ? fmt::format("CUresult {}", static_cast<int>(code)) : text;
  }

 private:
  template <class Function>
  static bool find(void* library, const char* name, Function** function, std::string* error) {
    *function = reinterpret_cast<Function*>(::dlsym(library, name));
    if (*function == nullptr) *error = fmt::format("it has no {}", name);
    return *function != nullptr;
  }
};

std::string uuid_text(const CUuuid& uuid) {
  std::string text = "GPU-";
  for (size_t i = 0; i < sizeof uuid.bytes; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += fmt::format("{:02x}", static_cast<unsigned char>(uuid.bytes[i]));
  }
  return text;
}

CUresult print_device(const Driver& driver, int ordinal) {
  CUdevice device = 0;
  std::array<char, 256> name{};
  std::array<char, 32> pci{};
  size_t memory_bytes = 0;
  int major = 0;
  int minor = 0;
  int multiprocessors = 0;
  CUuuid uuid{};
  const CUresult codes[] = {
      driver.device_get(&device, ordinal),
      driver.device_name(name.data(), static_cast<int>(name.size()), device),
      driver.device_memory(&memory_bytes, device),
      driver.device_attribute(&major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, device),
      driver.device_attribute(&minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, device),
      driver.device_attribute(&multiprocessors, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, device),
      driver.device_uuid(&uuid, device),
      driver.device_pci(pci.data(), static_cast<int>(pci.size()), device)};
  for (CUresult code : codes) {
    if (code != CUDA_SUCCESS) return code;
  }
  fmt::print("{}: {}\n", ordinal, name.data());
  fmt::print("   memory              {:.1f} GiB\n",
             static_cast<double>(memory_bytes) / (uint64_t{1} << 30));
  fmt::print("   compute capability  {}.{}\n", major, minor);
  fmt::print("   multiprocessors     {}\n", multiprocessors);
  fmt::print("   uuid                {}\n", uuid_text(uuid));
  fmt::print("   pci                 {}\n", pci.data());
  return CUDA_SUCCESS;
}

}  // namespace

int devices_command(const ServerOptions& options) {
  ClientSettings settings;
  if (!apply_options(options, &settings)) return kExitUsage;
  std::string error;
  const std::string libraries = library_folder_checked(&error);
  if (libraries.empty()) {
    fmt::print(stderr, "farlane devices: {}\n", error);
    return kExitProblem;
  }
  ::setenv("FARLANE_DEVICES", "0", 1);  // all of the server's, not what a program would see

  Driver driver;
  const std::string path = libraries + "/" + kDriverLibrary;
  if (!driver.load(path, &error)) {
    fmt::print(stderr, "farlane devices: {} cannot be used: {}\n", path, error);
    return kExitProblem;
  }
  int count = 0;
  CUresult code = driver.init(0);
  if (code == CUDA_SUCCESS) code = driver.device_count(&count);
  for (int ordinal = 0; code == CUDA_SUCCESS && ordinal < count; ++ordinal) {
    code = print_device(driver, ordinal);
  }
  if (code != CUDA_SUCCESS) {
    fmt::print(stderr,
               "farlane devices: no devices from {}: {}. `farlane doctor` says more about the "
               "server\n",
               settings.server, driver.name_of(code));
    return kExitProblem;
  }
  if (count == 0) {
    fmt::print(stderr, "farlane devices: the server {} has no device\n", settings.server);
    return kExitProblem;
  }
  const ServerProbe probe = probe_server(settings, 1);
  if (probe.error.empty()) fmt::print("Reached through {}.\n", probe.transport);
  if (settings.devices != 0 && settings.devices < count) {
    fmt::print("A program sees the first {} of them (setting: devices; 0 is all).\n",
               settings.devices);
  }
  return kExitFine;
}

}  // namespace farlane::cli
