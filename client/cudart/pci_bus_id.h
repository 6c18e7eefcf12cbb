// Finding a device by what a person or a tool calls it: "0000:1B:00.0", "1b:00.0" or "1b:00".
#pragma once

#include <optional>
#include <string_view>

namespace farlane {

// Number of the visible device, or nothing.
std::optional<int> device_by_pci_bus_id(std::string_view text);

}  // namespace farlane
