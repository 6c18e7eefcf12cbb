#include "server/module.h"

#include <elf.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "protocol/codec/archive.h"
#include "protocol/jit_options.h"
#include "protocol/kernel_pages.h"
#include "protocol/limits.h"

namespace farlane::server {

namespace message = protocol::message;
namespace limits = protocol::limits;

namespace {

// Numbers of the API that protocol/jit_options.h has to name without it.
static_assert(protocol::is_plain_jit_option(CU_JIT_MAX_REGISTERS) &&
              protocol::is_plain_jit_option(CU_JIT_FAST_COMPILE) &&
              protocol::is_plain_jit_option(CU_JIT_LTO) &&
              protocol::is_plain_jit_option(CU_JIT_FMA) &&
              protocol::is_plain_jit_option(CU_JIT_SPLIT_COMPILE));
static_assert(!protocol::is_plain_jit_option(CU_JIT_WALL_TIME) &&
              !protocol::is_plain_jit_option(CU_JIT_INFO_LOG_BUFFER) &&
              !protocol::is_plain_jit_option(CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES) &&
              !protocol::is_plain_jit_option(CU_JIT_GLOBAL_SYMBOL_NAMES) &&
              !protocol::is_plain_jit_option(CU_JIT_REFERENCED_VARIABLE_COUNT));
static_assert(CU_JIT_NUM_OPTIONS == 35, "look at the new options");

constexpr uint32_t kFatbinMagic = 0xba55ed50;
constexpr size_t kLogBytes = 16 * 1024;
constexpr size_t kArchiveMagicBytes = 8;

uint32_t magic_of(std::span<const std::byte> image) {
  uint32_t magic = 0;
  if (image.size() >= sizeof magic) std::memcpy(&magic, image.data(), sizeof magic);
  return magic;
}

bool is_elf(std::span<const std::byte> image) {
  return image.size() >= SELFMAG && std::memcmp(image.data(), ELFMAG, SELFMAG) == 0;
}

CUjitInputType input_type(std::span<const std::byte> image) {
  if (is_elf(image)) {
    return codec::is_host_object(image) ? CU_JIT_INPUT_OBJECT : CU_JIT_INPUT_CUBIN;
  }
  if (codec::archive_bytes(image)) return CU_JIT_INPUT_LIBRARY;
  return magic_of(image) == kFatbinMagic ? CU_JIT_INPUT_FATBINARY : CU_JIT_INPUT_PTX;
}

// What is told to the JIT and what it answers, as the driver wants it passed: the client's options,
// and places for its logs. With options also for what else it may tell.
class JitCall {
 public:
  explicit JitCall(std::span<const message::JitOption> options)
      : error_(kLogBytes), info_(kLogBytes) {
    add(CU_JIT_ERROR_LOG_BUFFER, error_.data());
    add(CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES, reinterpret_cast<void*>(kLogBytes));
    add(CU_JIT_INFO_LOG_BUFFER, info_.data());
    add(CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES, reinterpret_cast<void*>(kLogBytes));
    if (options.empty()) return;
    wall_ = values_.size();
    add(CU_JIT_WALL_TIME, nullptr);
    for (const message::JitOption& option : options) {
      if (!protocol::is_plain_jit_option(option.id)) continue;
      if (option.id == CU_JIT_THREADS_PER_BLOCK) threads_ = values_.size();
      add(static_cast<CUjit_option>(option.id),
          reinterpret_cast<void*>(static_cast<uintptr_t>(option.value)));
    }
  }

  unsigned count() const { return static_cast<unsigned>(options_.size()); }
  CUjit_option* options() { return options_.data(); }
  void** values() { return values_.data(); }

  std::string text() const {
    std::string text;
    for (const auto& part : {error_, info_}) {
      text.append(part.data(), strnlen(part.data(), part.size()));
    }
    return text;
  }
  void tell(Module* module) const {
    // Values narrower than a pointer lie in its first bytes.
    if (wall_ != 0) std::memcpy(&module->jit_wall_ms, &values_[wall_], sizeof(float));
    if (threads_ != 0) {
      std::memcpy(&module->jit_block_threads, &values_[threads_], sizeof(uint32_t));
    }
  }

 private:
  void add(CUjit_option option, void* value) {
    options_.push_back(option);
    values_.push_back(value);
  }

  std::vector<char> error_;
  std::vector<char> info_;
  std::vector<CUjit_option> options_;
  std::vector<void*> values_;
  size_t wall_ = 0;  // places in values_; 0: it is not asked for
  size_t threads_ = 0;
};

CUresult link_images(const DriverTable& driver, std::span<const ImageRef> images, JitCall& jit,
                     CUmodule* module) {
  CUlinkState link = nullptr;
  CUresult result = driver.cuLinkCreate(jit.count(), jit.options(), jit.values(), &link);
  if (result != CUDA_SUCCESS) return result;
  for (size_t i = 0; i < images.size() && result == CUDA_SUCCESS; ++i) {
    const std::span<const std::byte> image = images[i]->bytes();
    const CUjitInputType type = input_type(image);
    size_t bytes = image.size();
    if (type == CU_JIT_INPUT_PTX) bytes += 1;  // a C string: its zero byte counts
    if (type == CU_JIT_INPUT_LIBRARY) bytes = *codec::archive_bytes(image);  // without
    const std::string name = fmt::format("image {}", i);
    result = driver.cuLinkAddData(link, type, const_cast<std::byte*>(image.data()), bytes,
                                  name.c_str(), 0, nullptr, nullptr);
  }
  void* cubin = nullptr;
  size_t cubin_bytes = 0;
  if (result == CUDA_SUCCESS) result = driver.cuLinkComplete(link, &cubin, &cubin_bytes);
  if (result == CUDA_SUCCESS) result = driver.cuModuleLoadData(module, cubin);
  driver.cuLinkDestroy(link);
  return result;
}

}  // namespace

std::string image_fault(std::span<const std::byte> image) {
  if (is_elf(image)) {
    Elf64_Ehdr header;
    if (image.size() < sizeof header) return "a cubin shorter than its header";
    std::memcpy(&header, image.data(), sizeof header);
    const auto table_fits = [&](uint64_t offset, uint64_t count, uint64_t bytes) {
      return count == 0 || (offset <= image.size() && count * bytes <= image.size() - offset);
    };
    if (!table_fits(header.e_shoff, header.e_shnum, header.e_shentsize) ||
        !table_fits(header.e_phoff, header.e_phnum, header.e_phentsize)) {
      return "a cubin that is cut off";
    }
  } else if (magic_of(image) == kFatbinMagic) {
    // u32 magic, u16 version, u16 header bytes, u64 bytes that follow.
    uint16_t header_bytes = 0;
    uint64_t body_bytes = 0;
    if (image.size() < 16) return "a fat binary shorter than its header";
    std::memcpy(&header_bytes, image.data() + 6, sizeof header_bytes);
    std::memcpy(&body_bytes, image.data() + 8, sizeof body_bytes);
    if (header_bytes > image.size() || body_bytes > image.size() - header_bytes) {
      return "a fat binary that is cut off";
    }
  } else if (image.size() >= kArchiveMagicBytes && codec::is_archive(image.data()) &&
             !codec::archive_bytes(image)) {
    return "an archive of device code that is cut off";
  }
  return {};
}

bool may_print(std::span<const std::byte> image) {
  // What is inside may be compressed.
  if (magic_of(image) == kFatbinMagic || codec::is_host_object(image) ||
      codec::archive_bytes(image)) {
    return true;
  }
  const std::string_view text(reinterpret_cast<const char*>(image.data()), image.size());
  return text.find("vprintf") != text.npos || text.find("__assertfail") != text.npos;
}

CUresult load_module(const DriverTable& driver, std::span<const ImageRef> images,
                     std::span<const message::JitOption> options, Module* module,
                     std::string* log) {
  for (const ImageRef& image : images) {
    if (std::string fault = image_fault(image->bytes()); !fault.empty()) {
      *log = std::move(fault);
      return CUDA_ERROR_INVALID_IMAGE;
    }
  }
  JitCall jit(options);
  CUresult result = CUDA_SUCCESS;
  if (images.size() == 1) {
    result = driver.cuModuleLoadDataEx(&module->handle, images[0]->bytes().data(), jit.count(),
                                       jit.options(), jit.values());
  } else {
    result = link_images(driver, images, jit, &module->handle);
  }
  *log = jit.text();
  jit.tell(module);
  if (result != CUDA_SUCCESS) return result;
  unsigned count = 0;
  result = driver.cuModuleGetFunctionCount(&count, module->handle);
  if (result == CUDA_SUCCESS && count != 0) {
    module->functions.resize(count);
    result = driver.cuModuleEnumerateFunctions(module->functions.data(), count, module->handle);
  }
  if (result != CUDA_SUCCESS) {
    driver.cuModuleUnload(module->handle);
    *module = {};
  }
  return result;
}

CUresult param_bytes(const DriverTable& driver, CUfunction function, uint32_t* bytes) {
  *bytes = 0;
  for (size_t index = 0; index < limits::kernel_params_max; ++index) {
    size_t offset = 0;
    size_t size = 0;
    const CUresult result = driver.cuFuncGetParamInfo(function, index, &offset, &size);
    if (result == CUDA_ERROR_INVALID_VALUE) return CUDA_SUCCESS;  // past the last one
    if (result != CUDA_SUCCESS) return result;
    *bytes = std::max(*bytes, static_cast<uint32_t>(offset + size));
  }
  return CUDA_SUCCESS;
}

CUresult add_kernel_facts(const DriverTable& driver, CUfunction function, KernelFactsPage* page) {
  // With lazy loading an enumerated function is only a promise, and has no attributes yet.
  if (driver.cuFuncLoad != nullptr) {
    const CUresult result = driver.cuFuncLoad(function);
    if (result != CUDA_SUCCESS) return result;
  }
  message::KernelFacts facts;
  const char* name = nullptr;
  if (const CUresult result = driver.cuFuncGetName(&name, function); result != CUDA_SUCCESS) {
    return result;
  }
  std::vector<message::Param> params;
  while (params.size() < limits::kernel_params_max) {
    size_t offset = 0;
    size_t bytes = 0;
    const CUresult result = driver.cuFuncGetParamInfo(function, params.size(), &offset, &bytes);
    if (result == CUDA_ERROR_INVALID_VALUE) break;
    if (result != CUDA_SUCCESS) return result;
    params.push_back({static_cast<uint32_t>(offset), static_cast<uint32_t>(bytes)});
    facts.param_bytes = std::max(facts.param_bytes, static_cast<uint32_t>(offset + bytes));
  }
  const auto attribute = [&](CUfunction_attribute id) {
    int value = 0;
    // A driver that does not know one says so; the client then sees 0, as on devices without it.
    return driver.cuFuncGetAttribute(&value, id, function) == CUDA_SUCCESS ? value : 0;
  };
  facts.max_threads_per_block = attribute(CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK);
  facts.shared_static_bytes = attribute(CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES);
  facts.const_bytes = attribute(CU_FUNC_ATTRIBUTE_CONST_SIZE_BYTES);
  facts.local_bytes = attribute(CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES);
  facts.registers = attribute(CU_FUNC_ATTRIBUTE_NUM_REGS);
  facts.ptx_version = attribute(CU_FUNC_ATTRIBUTE_PTX_VERSION);
  facts.binary_version = attribute(CU_FUNC_ATTRIBUTE_BINARY_VERSION);
  facts.cache_mode_ca = attribute(CU_FUNC_ATTRIBUTE_CACHE_MODE_CA);
  facts.shared_dynamic_bytes_max = attribute(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES);
  facts.shared_carveout = attribute(CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT);
  facts.cluster_size_must_be_set = attribute(CU_FUNC_ATTRIBUTE_CLUSTER_SIZE_MUST_BE_SET);
  facts.cluster_width = attribute(CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH);
  facts.cluster_height = attribute(CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_HEIGHT);
  facts.cluster_depth = attribute(CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_DEPTH);
  facts.non_portable_cluster_allowed =
      attribute(CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED);
  facts.cluster_scheduling_policy =
      attribute(CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE);
  page->names.emplace_back(std::string_view(name).substr(0, limits::name_bytes_max));
  page->params.push_back(std::move(params));
  facts.name = page->names.back();
  facts.params = page->params.back();
  page->kernels.push_back(facts);
  return CUDA_SUCCESS;
}

CUresult kernel_facts_page(const DriverTable& driver, const Module& module, size_t first,
                           KernelFactsPage* page) {
  size_t bytes = 0;
  for (size_t i = first; i < module.functions.size(); ++i) {
    if (bytes > limits::kernels_bytes_max || page->kernels.size() == limits::module_kernels_max) {
      break;
    }
    const CUresult result = add_kernel_facts(driver, module.functions[i], page);
    if (result != CUDA_SUCCESS) return result;
    bytes += payload_bytes(page->kernels.back());
  }
  page->kernels = protocol::pack_kernels(page->kernels, 0);
  return CUDA_SUCCESS;
}

}  // namespace farlane::server
