// A loaded module of one device: its functions, and what the client is told about them.
#pragma once

#include <cuda.h>

#include <cstdint>
#include <deque>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "generated/protocol/messages.h"
#include "generated/server/driver_table.h"
#include "protocol/handles.h"
#include "server/device.h"
#include "server/image_cache.h"

namespace farlane::server {

// The facts of some kernels, and the memory they point into.
struct KernelFactsPage {
  std::deque<std::string> names;
  std::deque<std::vector<protocol::message::Param>> params;
  std::vector<protocol::message::KernelFacts> kernels;
};

struct Module {
  CUmodule handle = nullptr;
  Device* device = nullptr;
  std::vector<CUfunction> functions;
  std::vector<protocol::KernelId> kernels;  // bound to it
  std::set<uint64_t> variables;             // found in it
  float jit_wall_ms = 0;                    // these two as the driver told them
  uint32_t jit_block_threads = 0;
};

struct Kernel {
  CUfunction function = nullptr;
  Device* device = nullptr;
  uint32_t param_bytes = 0;
};

// What is wrong with an image before any driver sees it; empty: nothing. Sizes only: what is inside
// is for the driver to judge, and a worker serves one session.
std::string image_fault(std::span<const std::byte> image);
// Whether device code in it may write to the output: prints or asserts.
bool may_print(std::span<const std::byte> image);

// Loads one image, or links several. `log` gets the driver's words. The context must be current.
CUresult load_module(const DriverTable& driver, std::span<const ImageRef> images,
                     std::span<const protocol::message::JitOption> options, Module* module,
                     std::string* log);

// Adds the facts of one function to the page.
CUresult add_kernel_facts(const DriverTable& driver, CUfunction function, KernelFactsPage* page);
// The functions from number `first` on that fit one reply.
CUresult kernel_facts_page(const DriverTable& driver, const Module& module, size_t first,
                           KernelFactsPage* page);
// The size of all parameters of a function, packed.
CUresult param_bytes(const DriverTable& driver, CUfunction function, uint32_t* bytes);

}  // namespace farlane::server
