// Barriers of a block: bar and barrier, with .sync, .arrive and .red, and bar.warp.sync.
#include <bit>

#include "server/softcuda/exec_collective.h"
#include "server/softcuda/exec_lanes.h"
#include "server/softcuda/ptx_decode.h"

namespace farlane::softcuda {
namespace {

// Instr::mode: 0 sync, 1 red.popc, 2 red.and, 3 red.or, as exec_block.cc reads it. a: the barrier,
// b: the thread count or none, c: the predicate of a reduction, aux: it is negated.
bool checked_barrier(Warp& warp, const Instr& in, uint32_t lane, uint32_t* id, uint32_t* count) {
  *id = at<uint32_t>(warp, in.a)[lane];
  *count = in.b == kNoOperand ? 0 : at<uint32_t>(warp, in.b)[lane];
  if (*id >= kBarrierCount) {
    raise_fault(
        warp, Fault::kIllegalInstruction, lane,
        "barrier " + std::to_string(*id) + " of 16 (ptx line " + std::to_string(in.line) + ")");
    return false;
  }
  return true;
}

bool run_barrier(Warp& warp, const Instr& in, uint32_t mask) {
  uint32_t id = 0;
  uint32_t count = 0;
  // Lanes may name different barriers; each set waits at its own.
  while (mask != 0) {
    auto first = static_cast<uint32_t>(std::countr_zero(mask));
    if (!checked_barrier(warp, in, first, &id, &count)) return false;
    uint32_t same = 0;
    for (uint32_t lane = first; lane < kLanes; ++lane) {
      if ((mask >> lane & 1) != 0 && at<uint32_t>(warp, in.a)[lane] == id) same |= 1u << lane;
    }
    mask &= ~same;
    if (in.mode != 0) {
      uint32_t predicate = mask_at(warp, in.c) ^ (in.aux != 0 ? kAllLanes : 0);
      for (uint32_t lane = 0; lane < kLanes; ++lane) {
        if (same >> lane & 1) warp.deposit[0][lane] = predicate >> lane & 1;
      }
    }
    Group& group = split_group(warp, same, warp.frame, warp.pc - 1);
    group.state = Group::State::kBarrierWait;
    group.waiting = &in;
    group.barrier = id;
    Barrier& barrier = warp.block->barriers[id];
    barrier.expected = count;
    ++barrier.waiting_groups;
  }
  resolve_barriers(*warp.block);
  return false;
}

bool run_arrive(Warp& warp, const Instr& in, uint32_t mask) {
  auto lane = static_cast<uint32_t>(std::countr_zero(mask));
  uint32_t id = 0;
  uint32_t count = 0;
  if (!checked_barrier(warp, in, lane, &id, &count)) return false;
  Barrier& barrier = warp.block->barriers[id];
  barrier.arrived += mask == warp.live ? kLanes : static_cast<uint32_t>(std::popcount(mask));
  barrier.expected = count;
  resolve_barriers(*warp.block);
  return false;
}

void finish_nothing(Warp&, const Instr&, uint32_t, uint32_t) {}

}  // namespace

bool decode_barrier(Decoder& decoder) {
  std::string_view op = decoder.opcode();
  if (op != "bar" && op != "barrier") return false;
  Modifiers& modifiers = decoder.modifiers();
  Instr in;
  if (modifiers.take("warp")) {
    if (!modifiers.take("sync")) decoder.unknown();
    decoder.need_operands(1, 1);
    in.c = decoder.source(0, Type::kB32);
    in.run = run_collective;
    in.imm = reinterpret_cast<uint64_t>(static_cast<Finish>(finish_nothing));
    decoder.emit(in);
    return true;
  }
  if (modifiers.take("cluster")) {
    // A cluster has one block here.
    int kind = modifiers.take_one_of({"arrive", "wait"});
    if (kind < 0) decoder.unknown();
    modifiers.ignore({"release", "relaxed", "acquire", "aligned"});
    if (kind == 0) {
      in.run = [](Warp&, const Instr&, uint32_t) -> bool { return true; };
    } else {
      in.a = decoder.constant(15, 4);
      in.run = run_barrier;
    }
    decoder.emit(in);
    return true;
  }
  modifiers.take("cta");
  modifiers.take("aligned");
  int kind = modifiers.take_one_of({"sync", "arrive", "red"});
  if (kind < 0) decoder.unknown();
  size_t next = 0;
  if (kind == 2) {
    int reduce = modifiers.take_one_of({"popc", "and", "or"});
    if (reduce < 0) decoder.unknown();
    in.mode = static_cast<uint8_t>(1 + reduce);
    Type type = decoder.need_type();
    if (type != (reduce == 0 ? Type::kU32 : Type::kPred)) decoder.unknown();
    in.d = decoder.destination(next++, type);
  }
  in.a = decoder.source(next++, Type::kU32);
  const size_t after = kind == 2 ? 1 : 0;
  if (decoder.operand_count() == next + 1 + after) {
    in.b = decoder.source(next++, Type::kU32);
  } else if (kind == 1) {
    decoder.fail("bar.arrive needs a thread count");
  }
  if (kind == 2) {
    bool negated = false;
    in.c = decoder.predicate_source(decoder.operand(next++), &negated);
    in.aux = negated ? 1 : 0;
  }
  decoder.need_operands(next, next);
  in.run = kind == 1 ? run_arrive : run_barrier;
  decoder.emit(in);
  return true;
}

}  // namespace farlane::softcuda
