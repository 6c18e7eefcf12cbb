// Runs the warps of one block in turn, and its barriers.
#include <algorithm>
#include <bit>
#include <cstring>

#include "server/softcuda/exec_lanes.h"

namespace farlane::softcuda {
namespace {

constexpr uint32_t kWarpSlice = 1u << 20;  // instructions
// Rounds over all warps in which nobody did more than spin or wait, before another block may run.
constexpr uint32_t kSpinRounds = 4;
// Full slices after which another block may run although this one is busy: it may wait for
// something in a way that does not look like waiting.
constexpr uint32_t kBusySlices = 16;

void set_special(Warp& warp, Special special, uint32_t value) {
  auto* lanes = reinterpret_cast<uint32_t*>(warp.special + special_offset(special));
  std::fill_n(lanes, kLanes, value);
}
void set_special64(Warp& warp, Special special, uint64_t value) {
  auto* lanes = reinterpret_cast<uint64_t*>(warp.special + special_offset(special));
  std::fill_n(lanes, kLanes, value);
}
void set_lane(Warp& warp, Special special, uint32_t lane, uint32_t value) {
  reinterpret_cast<uint32_t*>(warp.special + special_offset(special))[lane] = value;
}

void fill_specials(Warp& warp, const Block& block, const Grid& grid, uint32_t warps) {
  const LaunchConfig& config = *grid.config;
  set_special(warp, Special::kNtidX, config.block.x);
  set_special(warp, Special::kNtidY, config.block.y);
  set_special(warp, Special::kNtidZ, config.block.z);
  set_special(warp, Special::kCtaidX, block.x);
  set_special(warp, Special::kCtaidY, block.y);
  set_special(warp, Special::kCtaidZ, block.z);
  set_special(warp, Special::kNctaidX, config.grid.x);
  set_special(warp, Special::kNctaidY, config.grid.y);
  set_special(warp, Special::kNctaidZ, config.grid.z);
  set_special(warp, Special::kWarpId, warp.index);
  set_special(warp, Special::kNwarpId, warps);
  set_special(warp, Special::kSmId, 0);
  set_special(warp, Special::kNsmId, 1);
  set_special(warp, Special::kDynamicSharedBytes, config.shared_dynamic_bytes);
  set_special(warp, Special::kTotalSharedBytes, grid.shared_total_bytes);
  uint64_t workspace = config.cooperative ? reinterpret_cast<uint64_t>(grid.workspace) : 0;
  set_special(warp, Special::kEnvReg1, static_cast<uint32_t>(workspace >> 32));
  set_special(warp, Special::kEnvReg2, static_cast<uint32_t>(workspace));
  set_special(warp, Special::kZero, 0);
  set_special(warp, Special::kOne, 1);
  set_special(warp, Special::kDynamicShared32, grid.kernel->shared_dynamic_offset);
  set_special64(warp, Special::kDynamicShared64, grid.kernel->shared_dynamic_offset);
  set_special64(warp, Special::kGridId, grid.id);
  for (uint32_t lane = 0; lane < kLanes; ++lane) {
    uint32_t thread = warp.index * kLanes + lane;
    set_lane(warp, Special::kTidX, lane, thread % config.block.x);
    set_lane(warp, Special::kTidY, lane, thread / config.block.x % config.block.y);
    set_lane(warp, Special::kTidZ, lane, thread / (config.block.x * config.block.y));
    set_lane(warp, Special::kLaneId, lane, lane);
    uint32_t eq = 1u << lane;
    set_lane(warp, Special::kLaneMaskEq, lane, eq);
    set_lane(warp, Special::kLaneMaskLt, lane, eq - 1);
    set_lane(warp, Special::kLaneMaskLe, lane, eq | (eq - 1));
    set_lane(warp, Special::kLaneMaskGe, lane, ~(eq - 1));
    set_lane(warp, Special::kLaneMaskGt, lane, ~(eq | (eq - 1)));
  }
}

uint32_t reduce_predicate(const Instr& in, uint32_t true_threads, uint32_t threads) {
  // mode: 1 popc, 2 and, 3 or (see exec_barrier.cc)
  if (in.mode == 1) return true_threads;
  if (in.mode == 2) return true_threads == threads ? 1 : 0;
  return true_threads != 0 ? 1 : 0;
}

bool try_release(Block& block, uint32_t id) {
  Barrier& barrier = block.barriers[id];
  if (barrier.waiting_groups == 0) return false;
  uint32_t threads = barrier.arrived;
  uint32_t predicate_true = 0;
  uint32_t predicate_threads = 0;
  for (const auto& warp : block.warps) {
    uint32_t here = 0;
    for (const Group& group : warp->groups) {
      if (group.state != Group::State::kBarrierWait || group.barrier != id) continue;
      here |= group.mask;
      if (group.waiting->mode != 0) {
        for (uint32_t lane = 0; lane < kLanes; ++lane) {
          if ((group.mask >> lane & 1) == 0) continue;
          ++predicate_threads;
          predicate_true += warp->deposit[0][lane] != 0 ? 1 : 0;
        }
      }
    }
    // A count is given in whole warps: lanes that never existed or have left count as arrived.
    bool whole = here != 0 && here == warp->live;
    threads += barrier.expected != 0 && whole ? kLanes : static_cast<uint32_t>(std::popcount(here));
  }
  uint32_t expected = barrier.expected != 0 ? barrier.expected : block.live_threads;
  if (threads < expected) return false;
  for (const auto& warp : block.warps) {
    for (Group& group : warp->groups) {
      if (group.state != Group::State::kBarrierWait || group.barrier != id) continue;
      const Instr& in = *group.waiting;
      if (in.mode != 0) {
        uint32_t result = reduce_predicate(in, predicate_true, predicate_threads);
        std::byte* saved = warp->base[0];
        warp->base[0] = group.frame->registers();
        if (in.mode == 1) {
          uint32_t* d = at<uint32_t>(*warp, in.d);
          for (uint32_t lane = 0; lane < kLanes; ++lane) {
            if (group.mask >> lane & 1) d[lane] = result;
          }
        } else {
          set_mask(*warp, in.d, result != 0 ? kAllLanes : 0, group.mask);
        }
        warp->base[0] = saved;
      }
      group.state = Group::State::kReady;
      ++group.pc;
    }
  }
  barrier = Barrier{};
  return true;
}

bool has_ready_group(const Warp& warp) {
  return std::any_of(warp.groups.begin(), warp.groups.end(),
                     [](const Group& group) { return group.state == Group::State::kReady; });
}

void report_deadlock(Block& block) {
  for (const auto& warp : block.warps) {
    for (const Group& group : warp->groups) {
      std::string what = group.state == Group::State::kBarrierWait
                             ? "waits at barrier " + std::to_string(group.barrier) +
                                   ", to which too few threads come"
                             : "waits for lanes of its warp that do not come";
      what += " (ptx line " + std::to_string(group.waiting->line) + ")";
      raise_fault(*warp, Fault::kDeadlock, static_cast<uint32_t>(std::countr_zero(group.mask)),
                  what);
      return;
    }
  }
}

}  // namespace

void resolve_barriers(Block& block) {
  for (uint32_t id = 0; id < kBarrierCount; ++id) try_release(block, id);
}

void start_block(Block& block, Grid& grid, uint64_t index) {
  const LaunchConfig& config = *grid.config;
  block.grid = &grid;
  block.x = static_cast<uint32_t>(index % config.grid.x);
  block.y = static_cast<uint32_t>(index / config.grid.x % config.grid.y);
  block.z = static_cast<uint32_t>(index / config.grid.x / config.grid.y);
  block.spin_rounds = 0;
  for (Barrier& barrier : block.barriers) barrier = Barrier{};
  const uint32_t threads = config.block.x * config.block.y * config.block.z;
  const uint32_t warps = (threads + kLanes - 1) / kLanes;
  block.live_threads = threads;
  block.shared_storage.assign((grid.shared_total_bytes + 15) / 8, 0);
  while (block.warps.size() < warps) block.warps.push_back(std::make_unique<Warp>());
  for (uint32_t i = 0; i < warps; ++i) {
    Warp& warp = *block.warps[i];
    warp.block = &block;
    warp.grid = &grid;
    warp.index = i;
    warp.shared = reinterpret_cast<std::byte*>(block.shared_storage.data());
    warp.shared_bytes = grid.shared_total_bytes;
    for (Warp::Range& range : warp.ranges) range = Warp::Range{};
    fill_specials(warp, block, grid, warps);
    uint32_t lanes = std::min(threads - i * kLanes, kLanes);
    start_warp(warp, *grid.function, lanes == kLanes ? kAllLanes : (1u << lanes) - 1);
  }
}

BlockEnd run_block(Block& block) {
  uint32_t busy_slices = 0;
  for (;;) {
    bool progressed = false;
    bool alive = false;
    bool runnable = false;
    for (const auto& warp : block.warps) {
      if (warp->live == 0) continue;
      if (!has_ready_group(*warp)) {
        alive = true;
        continue;
      }
      WarpEnd end = run_warp(*warp, kWarpSlice);
      if (block.grid->stop.load(std::memory_order_relaxed)) return BlockEnd::kDone;
      runnable = true;
      if (!warp->yielded) progressed = true;
      if (end == WarpEnd::kYielded && !warp->yielded) ++busy_slices;
      if (end != WarpEnd::kDone) alive = true;
    }
    if (!alive) return BlockEnd::kDone;
    if (!runnable) {
      bool any = std::any_of(block.warps.begin(), block.warps.end(),
                             [](const auto& warp) { return has_ready_group(*warp); });
      if (!any) {
        report_deadlock(block);
        return BlockEnd::kDone;
      }
    }
    block.spin_rounds = progressed ? 0 : block.spin_rounds + 1;
    if (block.spin_rounds >= kSpinRounds || busy_slices >= kBusySlices) {
      block.spin_rounds = 0;
      return BlockEnd::kYielded;
    }
  }
}

}  // namespace farlane::softcuda
