#include "protocol/kernel_pages.h"

#include "protocol/limits.h"

namespace farlane::protocol {

std::vector<message::KernelFacts> pack_kernels(std::span<const message::KernelFacts> all,
                                               size_t first) {
  std::vector<message::KernelFacts> page;
  size_t bytes = 0;
  for (size_t i = first; i < all.size() && page.size() < limits::module_kernels_max; ++i) {
    bytes += payload_bytes(all[i]);
    if (bytes > limits::kernels_bytes_max && !page.empty()) break;
    page.push_back(all[i]);
  }
  return page;
}

}  // namespace farlane::protocol
