#include "server/driver_text.h"

#include "protocol/sticky_errors.h"

namespace farlane::server {

// Numbers of the API that protocol/sticky_errors.h has to name without it.
template <CUresult... kResults>
constexpr bool are_sticky = (protocol::is_sticky(kResults) && ...);
static_assert(
    are_sticky<CUDA_ERROR_ECC_UNCORRECTABLE, CUDA_ERROR_NVLINK_UNCORRECTABLE, CUDA_ERROR_CONTAINED,
               CUDA_ERROR_ILLEGAL_ADDRESS, CUDA_ERROR_LAUNCH_TIMEOUT,
               CUDA_ERROR_CONTEXT_IS_DESTROYED, CUDA_ERROR_ASSERT, CUDA_ERROR_HARDWARE_STACK_ERROR,
               CUDA_ERROR_ILLEGAL_INSTRUCTION, CUDA_ERROR_MISALIGNED_ADDRESS,
               CUDA_ERROR_INVALID_ADDRESS_SPACE, CUDA_ERROR_INVALID_PC, CUDA_ERROR_LAUNCH_FAILED,
               CUDA_ERROR_TENSOR_MEMORY_LEAK, CUDA_ERROR_EXTERNAL_DEVICE>);
static_assert(!protocol::is_sticky(CUDA_SUCCESS) &&
              !protocol::is_sticky(CUDA_ERROR_INVALID_VALUE) &&
              !protocol::is_sticky(CUDA_ERROR_OUT_OF_MEMORY));

std::string result_name(const DriverTable& driver, CUresult result) {
  const char* name = nullptr;
  if (driver.cuGetErrorName(result, &name) == CUDA_SUCCESS && name != nullptr) return name;
  return "CUresult " + std::to_string(static_cast<int>(result));
}

}  // namespace farlane::server
