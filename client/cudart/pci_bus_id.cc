#include "client/cudart/pci_bus_id.h"

#include <array>
#include <charconv>
#include <optional>
#include <string>

#include "client/core/api.h"

namespace farlane {
namespace {

using Address = std::array<unsigned, 4>;  // domain, bus, device, function

std::optional<Address> parse(std::string_view text) {
  std::array<unsigned, 3> numbers{};
  size_t count = 0;
  const char* at = text.data();
  const char* const end = text.data() + text.size();
  while (count < numbers.size()) {
    const auto [next, error] = std::from_chars(at, end, numbers[count], 16);
    if (error != std::errc()) {
      return std::nullopt;
    }
    count++;
    at = next;
    if (at == end || *at != ':') {
      break;
    }
    at++;
  }
  if (count < 2) {
    return std::nullopt;
  }
  unsigned function = 0;
  if (at != end) {
    if (*at != '.') {
      return std::nullopt;
    }
    const auto [next, error] = std::from_chars(at + 1, end, function, 16);
    if (error != std::errc() || next != end) {
      return std::nullopt;
    }
  }
  return count == 3 ? Address{numbers[0], numbers[1], numbers[2], function}
                    : Address{0, numbers[0], numbers[1], function};
}

}  // namespace

CUresult device_by_pci_bus_id(std::string_view text, int* device) {
  const std::optional<Address> wanted = parse(text);
  if (!wanted) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  for (int i = 0; i < client::device_count(); i++) {
    const client::DeviceFacts* facts = client::device_facts(i);
    if (facts != nullptr && parse(facts->pci_bus_id) == wanted) {
      *device = i;
      return CUDA_SUCCESS;
    }
  }
  return CUDA_ERROR_INVALID_DEVICE;
}

}  // namespace farlane
