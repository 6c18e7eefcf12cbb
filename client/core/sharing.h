// Memory and events shared with sessions of other processes (CUDA's IPC, and what descriptors hold,
// shared_descriptor.h): what a handle's 64 bytes are, and what this session shares and has opened.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <utility>

namespace farlane::client {

// The client makes it; the server knows only the name in it.
struct SharedHandle {
  enum class Kind : uint32_t { kMemory = 1, kEvent = 2, kPhysical = 3 };
  using Name = std::array<std::byte, 16>;

  std::array<char, 4> magic{};
  Kind kind = Kind::kMemory;
  Name name{};          // random
  uint64_t maker = 0;   // the process that made it: a random number
  uint64_t offset = 0;  // kMemory: of the block in what is shared by the name
  uint64_t bytes = 0;   // kMemory: of the block; kPhysical: of all
  std::array<std::byte, 16> device{};  // kPhysical: the uuid of the one it is on
};
static_assert(sizeof(SharedHandle) == 64, "CUipcMemHandle and CUipcEventHandle");

struct SharedMemory {
  struct Opened {
    uint64_t start = 0;  // of the mapping
    uint64_t bytes = 0;
    uint64_t memory = 0;  // its name in virtual_memory.h
    SharedHandle::Name name{};
    uint64_t offset = 0;
    int device = 0;
    unsigned uses = 0;
  };
  std::mutex mutex;
  std::map<uint64_t, SharedHandle> shared;  // by the id of a block, the name of an event
  std::map<uint64_t, Opened> opened;        // by the address that the program was given
};

}  // namespace farlane::client
