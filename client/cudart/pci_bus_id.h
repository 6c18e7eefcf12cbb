// Finding a device by what a person or a tool calls it: "0000:1B:00.0", "1b:00.0" or "1b:00".
#pragma once

#include <cuda.h>

#include <string_view>

namespace farlane {

// CUDA_ERROR_INVALID_VALUE for text of another shape, CUDA_ERROR_INVALID_DEVICE if no visible
// device has that address.
CUresult device_by_pci_bus_id(std::string_view text, int* device);

}  // namespace farlane
