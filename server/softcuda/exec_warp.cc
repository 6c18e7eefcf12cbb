// Chooses which lanes of a warp run.
//
// Lanes with the same frame and pc form a group. The group in the deepest frame with the lowest pc
// runs first; it stops at the pc of another group of its frame, and the two become one there. For
// the code that compilers lay out this reconverges where the hardware does, and no analysis of the
// control flow is needed. Lowest pc first would starve a lane that holds a lock which the lanes
// behind it spin on, so a group that only spins gives way (count_spin).
#include <algorithm>
#include <bit>
#include <cstring>

#include "server/softcuda/exec_lanes.h"

namespace farlane::softcuda {
namespace {

// Backward branches before others get a turn: when the loop has touched memory that others may
// change, and for any other loop.
constexpr uint32_t kSpinSync = 64;
constexpr uint32_t kSpinPlain = 1u << 18;
// Backward branches of a fully converged warp with such accesses before other warps get a turn.
constexpr uint32_t kSpinWarp = 256;

void merge_groups(Warp& warp) {
  auto& groups = warp.groups;
  for (size_t i = 0; i < groups.size(); ++i) {
    if (groups[i].state != Group::State::kReady) continue;
    for (size_t j = i + 1; j < groups.size();) {
      if (groups[j].state == Group::State::kReady && groups[j].frame == groups[i].frame &&
          groups[j].pc == groups[i].pc) {
        groups[i].mask |= groups[j].mask;
        groups[j] = groups.back();
        groups.pop_back();
      } else {
        ++j;
      }
    }
  }
}

bool before(const Group& a, const Group& b) {
  if (a.frame->depth != b.frame->depth) return a.frame->depth > b.frame->depth;
  if (a.pc != b.pc) return a.pc < b.pc;
  return a.mask < b.mask;
}

// Moves the chosen group into the warp's registers. False when none is ready.
bool choose_group(Warp& warp) {
  if (warp.groups.size() > 1) merge_groups(warp);
  const Group* best = nullptr;
  size_t best_index = 0;
  if (warp.rotate) {
    // The ready group whose first lane follows the last runner's.
    uint32_t best_distance = kLanes + 1;
    for (size_t i = 0; i < warp.groups.size(); ++i) {
      const Group& group = warp.groups[i];
      if (group.state != Group::State::kReady) continue;
      uint32_t lane = static_cast<uint32_t>(std::countr_zero(group.mask));
      uint32_t distance = (lane + kLanes - warp.last_group_lane - 1) % kLanes;
      if (distance < best_distance) {
        best_distance = distance;
        best = &group;
        best_index = i;
      }
    }
  } else {
    for (size_t i = 0; i < warp.groups.size(); ++i) {
      const Group& group = warp.groups[i];
      if (group.state != Group::State::kReady) continue;
      if (best == nullptr || before(group, *best)) {
        best = &group;
        best_index = i;
      }
    }
  }
  if (best == nullptr) return false;
  uint32_t limit = kNoOperand;
  for (const Group& group : warp.groups) {
    if (&group == best || group.state != Group::State::kReady) continue;
    if (group.frame == best->frame && group.pc > best->pc) limit = std::min(limit, group.pc);
  }
  warp.frame = best->frame;
  warp.pc = best->pc;
  warp.mask = best->mask;
  warp.limit = limit;
  warp.last_group_lane = static_cast<uint32_t>(std::countr_zero(best->mask));
  warp.base[0] = warp.frame->registers();
  warp.base[1] = const_cast<std::byte*>(warp.frame->function->constants.data());
  warp.groups[best_index] = warp.groups.back();
  warp.groups.pop_back();
  return true;
}

// Puts the running group back among the others.
void put_back(Warp& warp) {
  if (warp.mask == 0) return;
  Group group;
  group.frame = warp.frame;
  group.pc = warp.pc;
  group.mask = warp.mask;
  warp.groups.push_back(group);
  warp.mask = 0;
}

}  // namespace

bool count_spin(Warp& warp) {
  ++warp.spin;
  if (!warp.touched_sync) {
    if (warp.groups.empty() || warp.spin < kSpinPlain) return true;
    warp.rotate = true;
  } else {
    if (warp.spin < kSpinSync) return true;
    const bool others = std::any_of(warp.groups.begin(), warp.groups.end(), [](const Group& group) {
      return group.state == Group::State::kReady;
    });
    if (!others) {
      if (warp.spin < kSpinWarp) return true;
      warp.yielded = true;
    } else {
      warp.rotate = true;
      // Everyone in the warp has had a turn, and still there is spinning.
      warp.yielded = ++warp.rotations % kLanes == 0;
    }
  }
  warp.spin = 0;
  warp.touched_sync = false;
  return false;
}

Group& split_group(Warp& warp, uint32_t mask, Frame* frame, uint32_t pc) {
  warp.mask &= ~mask;
  Group group;
  group.frame = frame;
  group.pc = pc;
  group.mask = mask;
  warp.groups.push_back(group);
  return warp.groups.back();
}

void ensure_local(Warp& warp, uint64_t bytes) {
  if (bytes <= warp.local_stride) return;
  uint64_t stride = std::max<uint64_t>((bytes + 63) / 64 * 64, warp.local_stride * 2);
  std::vector<std::byte> bigger(stride * kLanes);
  for (uint32_t lane = 0; lane < kLanes && warp.local_stride != 0; ++lane) {
    std::memcpy(bigger.data() + lane * stride, warp.local + lane * warp.local_stride,
                warp.local_stride);
  }
  warp.local_storage = std::move(bigger);
  warp.local = warp.local_storage.data();
  warp.local_stride = stride;
}

Frame* push_frame(Warp& warp, const Function& function, uint32_t mask) {
  std::unique_ptr<Frame> frame;
  if (!warp.free_frames.empty()) {
    frame = std::move(warp.free_frames.back());
    warp.free_frames.pop_back();
  } else {
    frame = std::make_unique<Frame>();
  }
  frame->function = &function;
  frame->parent = nullptr;
  frame->site = nullptr;
  frame->live = mask;
  frame->depth = 0;
  frame->local_base = 0;
  // 64-byte alignment of every register array costs one extra line.
  frame->storage.resize(std::max<size_t>(frame->storage.size(), function.register_bytes / 8 + 8));
  warp.frames.push_back(std::move(frame));
  return warp.frames.back().get();
}

void leave_frames(Warp& warp, Frame* frame, const Frame* last, uint32_t mask) {
  while (frame != last) {
    Frame* parent = frame->parent;
    frame->live &= ~mask;
    if (frame->live == 0) {
      auto it = std::find_if(warp.frames.begin(), warp.frames.end(),
                             [&](const auto& p) { return p.get() == frame; });
      warp.free_frames.push_back(std::move(*it));
      *it = std::move(warp.frames.back());
      warp.frames.pop_back();
    }
    frame = parent;
  }
}

void exit_lanes(Warp& warp, uint32_t mask) {
  warp.mask &= ~mask;
  warp.live &= ~mask;
  warp.block->live_threads -= static_cast<uint32_t>(std::popcount(mask));
  leave_frames(warp, warp.frame, nullptr, mask);
  if (!warp.groups.empty()) resolve_warp_waits(warp);
  resolve_barriers(*warp.block);
}

void start_warp(Warp& warp, const Function& function, uint32_t mask) {
  warp.live = warp.started = mask;
  warp.spin = 0;
  warp.rotate = warp.yielded = warp.touched_sync = warp.faulted = false;
  warp.groups.clear();
  for (auto& frame : warp.frames) warp.free_frames.push_back(std::move(frame));
  warp.frames.clear();
  ensure_local(warp, function.local_bytes);
  warp.base[2] = warp.special;
  Group group;
  group.frame = push_frame(warp, function, mask);
  group.mask = mask;
  warp.groups.push_back(group);
  warp.mask = 0;
}

WarpEnd run_warp(Warp& warp, uint32_t budget) {
  warp.yielded = false;
  while (choose_group(warp)) {
    const Instr* code = warp.frame->function->code.data();
    const uint32_t slice_limit = warp.rotate ? std::min(budget, 512u) : budget;
    uint32_t left = slice_limit;
    warp.rotate = false;
    for (;;) {
      const Instr& in = code[warp.pc];
      ++warp.pc;
      uint32_t mask = warp.mask;
      if (in.guard != kNoOperand) {
        mask &= *reinterpret_cast<const uint32_t*>(warp.base[0] + in.guard) ^ in.guard_xor;
      }
      if (mask != 0 && !in.run(warp, in, mask)) break;
      if (warp.pc >= warp.limit || --left == 0) break;
    }
    put_back(warp);
    if (warp.faulted || warp.grid->stop.load(std::memory_order_relaxed)) return WarpEnd::kDone;
    budget -= slice_limit - left;
    if (warp.yielded || budget == 0) return WarpEnd::kYielded;
  }
  return warp.live == 0 ? WarpEnd::kDone : WarpEnd::kBlocked;
}

}  // namespace farlane::softcuda
