// The state of running warps, blocks and grids. A block's whole state is in these objects and not
// on a native stack, so a block can be put aside at any time and taken up later by another thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "server/softcuda/engine.h"
#include "server/softcuda/exec_program.h"

namespace farlane::softcuda {

class DeviceHeap;
struct Block;
struct Grid;

// One activation of a function by the lanes that called it together. Lanes that later diverge
// inside share the frame; it lives until the last of them has returned.
struct Frame {
  const Function* function = nullptr;
  Frame* parent = nullptr;
  const CallSite* site = nullptr;  // in the parent
  uint32_t return_pc = 0;
  uint32_t live = 0;  // lanes still inside
  uint32_t depth = 0;
  uint32_t local_base = 0;  // in each lane's local memory
  std::vector<uint64_t> storage;
  std::byte* registers() { return reinterpret_cast<std::byte*>(storage.data()); }
};

// Lanes of a warp that run together: same frame, same pc.
struct Group {
  enum class State : uint8_t { kReady, kWarpWait, kBarrierWait };
  Frame* frame = nullptr;
  uint32_t pc = 0;
  uint32_t mask = 0;
  State state = State::kReady;
  const Instr* waiting = nullptr;  // the instruction at pc, when not ready
  uint32_t member = 0;             // kWarpWait: the lanes it waits for
  uint32_t barrier = 0;            // kBarrierWait: which
};

struct Warp {
  // Hot: of the running group.
  std::byte* base[4] = {nullptr, nullptr, nullptr, nullptr};
  uint32_t pc = 0;
  uint32_t mask = 0;
  uint32_t limit = 0;  // a pc at which another group waits to be joined, or all ones
  uint32_t budget = 0;
  Frame* frame = nullptr;

  // Ranges of global memory that the last accesses fell into, the latest first.
  struct Range {
    uint64_t begin = 0, bytes = 0;
  };
  Range ranges[4];

  std::byte* shared = nullptr;
  uint64_t shared_bytes = 0;
  std::byte* local = nullptr;  // of lane 0; lane i follows after i * local_stride
  uint64_t local_stride = 0;

  Block* block = nullptr;
  Grid* grid = nullptr;
  uint32_t index = 0;         // in the block
  uint32_t live = 0;          // lanes that have not exited
  uint32_t started = 0;       // lanes that exist
  bool yielded = false;       // the last run ended because it only spins
  bool rotate = false;        // let another group run, although this one comes first
  bool touched_sync = false;  // an atomic or a volatile access since the spin count was reset
  bool faulted = false;
  uint32_t carry = 0;            // condition code of the carry chains, a bit per lane
  uint32_t spin = 0;             // backward branches since the last turn of somebody else
  uint32_t rotations = 0;        // turns given to other groups
  uint32_t last_group_lane = 0;  // for the rotation
  uint32_t collected_lanes = 0;  // of a collective in progress
  uint64_t deposit[3][kLanes] = {};

  std::vector<Group> groups;
  std::vector<std::unique_ptr<Frame>> frames;       // in use
  std::vector<std::unique_ptr<Frame>> free_frames;  // kept for the next call
  std::vector<std::byte> local_storage;
  alignas(64) std::byte special[kSpecialBytes];
  // Results that a handler builds before it writes them under the mask, where the compiler must
  // believe that somebody may look (changed rounding modes).
  alignas(64) std::byte scratch[kLanes * 16];
};

struct Barrier {
  uint32_t arrived = 0;   // threads that arrived without waiting (bar.arrive)
  uint32_t expected = 0;  // 0: all threads of the block
  uint32_t waiting_groups = 0;
};

struct Block {
  Grid* grid = nullptr;
  uint32_t x = 0, y = 0, z = 0;
  uint32_t live_threads = 0;
  uint32_t spin_rounds = 0;
  std::vector<std::unique_ptr<Warp>> warps;
  std::vector<uint64_t> shared_storage;
  Barrier barriers[16];
};

constexpr uint32_t kBarrierCount = 16;

// A launched kernel.
struct Grid {
  const Program* program = nullptr;
  const Kernel* kernel = nullptr;
  const Function* function = nullptr;
  DeviceHeap* heap = nullptr;
  const LaunchConfig* config = nullptr;
  std::vector<std::byte> params;
  // Storage of the module: always accessible.
  uint64_t module_begin = 0, module_end = 0;
  uint64_t const_bytes = 0;  // constants lie first in it
  // What cooperative_groups' grid barrier works on; its address is in %envreg1 and 2.
  alignas(16) uint32_t workspace[16] = {};
  uint64_t id = 0;
  uint32_t shared_total_bytes = 0;

  uint64_t blocks_total = 0;
  std::atomic<bool> stop{false};

  std::mutex mutex;
  LaunchResult result;  // guarded by mutex
  // Guarded by mutex:
  uint64_t next_block = 0;
  uint64_t blocks_ended = 0;
  uint64_t resident = 0;
  uint64_t working = 0;  // threads inside run_some
  std::deque<std::unique_ptr<Block>> suspended;
  std::vector<std::unique_ptr<Block>> spare;
};

// Reports the first fault of a grid and stops it. `lane` is the one to name.
void raise_fault(Warp& warp, Fault fault, uint32_t lane, const std::string& what);

// ---- exec_warp.cc ------------------------------------------------------------------------------
enum class WarpEnd : uint8_t { kBlocked, kYielded, kDone };
WarpEnd run_warp(Warp& warp, uint32_t budget);
// Prepares a warp's first frame. Lanes in `mask` exist.
void start_warp(Warp& warp, const Function& function, uint32_t mask);
Frame* push_frame(Warp& warp, const Function& function, uint32_t mask);
void ensure_local(Warp& warp, uint64_t bytes);
// Takes lanes out of their frames, from `frame` up to and without `last` (nullptr: all).
void leave_frames(Warp& warp, Frame* frame, const Frame* last, uint32_t mask);
void exit_lanes(Warp& warp, uint32_t mask);
// Moves lanes of the running group into a group of their own.
Group& split_group(Warp& warp, uint32_t mask, Frame* frame, uint32_t pc);
// Lets waiting groups go on whose partners have all arrived or exited.
void resolve_warp_waits(Warp& warp);
using Finish = void (*)(Warp& warp, const Instr& in, uint32_t lanes, uint32_t participants);
// After a backward branch: false when the warp should let others run.
bool count_spin(Warp& warp);

// ---- exec_block.cc -----------------------------------------------------------------------------
enum class BlockEnd : uint8_t { kDone, kYielded };
void start_block(Block& block, Grid& grid, uint64_t index);
BlockEnd run_block(Block& block);
// Releases every barrier whose threads have all come.
void resolve_barriers(Block& block);

}  // namespace farlane::softcuda
