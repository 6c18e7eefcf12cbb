// shfl, vote, match, redux, elect, activemask: what the lanes of a warp do together.
#include "server/softcuda/exec_collective.h"

#include <bit>

#include "server/softcuda/exec_lanes.h"
#include "server/softcuda/ptx_decode.h"

namespace farlane::softcuda {
namespace {

Finish finish_of(const Instr& in) {
  return reinterpret_cast<Finish>(in.imm);
}

// What a lane brings: the value (deposit 0) and two more operands.
void deposit(Warp& warp, const Instr& in, uint32_t mask) {
  const uint32_t codes[3] = {in.a, in.b, in.e};
  for (int k = 0; k < 3; ++k) {
    if (codes[k] == kNoOperand) continue;
    if (k == 0 && in.width == 1) {  // a predicate
      uint32_t bits = mask_at(warp, codes[k]) ^ (in.aux != 0 ? kAllLanes : 0);
      for (uint32_t i = 0; i < kLanes; ++i) {
        if (mask >> i & 1) warp.deposit[k][i] = bits >> i & 1;
      }
    } else if (k == 0 && in.width == 8) {
      const uint64_t* from = at<uint64_t>(warp, codes[k]);
      for (uint32_t i = 0; i < kLanes; ++i) {
        if (mask >> i & 1) warp.deposit[k][i] = from[i];
      }
    } else {
      const uint32_t* from = at<uint32_t>(warp, codes[k]);
      for (uint32_t i = 0; i < kLanes; ++i) {
        if (mask >> i & 1) warp.deposit[k][i] = from[i];
      }
    }
  }
}

template <class F>
void for_lanes(uint32_t mask, F f) {
  for (uint32_t rest = mask; rest != 0; rest &= rest - 1) {
    f(static_cast<uint32_t>(std::countr_zero(rest)));
  }
}

// ---- shfl
// ----------------------------------------------------------------------------------------

enum class Shuffle : uint8_t { kUp, kDown, kButterfly, kIndex };

void finish_shuffle(Warp& warp, const Instr& in, uint32_t lanes, uint32_t) {
  uint32_t inside = 0;
  for_lanes(lanes, [&](uint32_t lane) {
    const auto b = static_cast<int32_t>(warp.deposit[1][lane] & 0x1f);
    const auto c = static_cast<uint32_t>(warp.deposit[2][lane]);
    const uint32_t segment = c >> 8 & 0x1f;
    const uint32_t clamp = c & 0x1f;
    const auto max_lane = static_cast<int32_t>((lane & segment) | (clamp & ~segment));
    const auto min_lane = static_cast<int32_t>(lane & segment);
    int32_t from = 0;
    bool in_range = false;
    switch (static_cast<Shuffle>(in.mode)) {
      case Shuffle::kUp:
        from = static_cast<int32_t>(lane) - b;
        in_range = from >= max_lane;
        break;
      case Shuffle::kDown:
        from = static_cast<int32_t>(lane) + b;
        in_range = from <= max_lane;
        break;
      case Shuffle::kButterfly:
        from = static_cast<int32_t>(lane) ^ b;
        in_range = from <= max_lane;
        break;
      case Shuffle::kIndex:
        from = min_lane | (b & ~static_cast<int32_t>(segment));
        in_range = from <= max_lane;
        break;
    }
    if (!in_range) from = static_cast<int32_t>(lane);
    inside |= static_cast<uint32_t>(in_range) << lane;
    at<uint32_t>(warp, in.d)[lane] = static_cast<uint32_t>(warp.deposit[0][from & 31]);
  });
  set_mask(warp, in.d2, inside, lanes);
}

void decode_shuffle(Decoder& decoder) {
  Modifiers& modifiers = decoder.modifiers();
  if (!modifiers.take("sync")) decoder.unknown();
  int mode = modifiers.take_one_of({"up", "down", "bfly", "idx"});
  if (mode < 0 || decoder.need_type() != Type::kB32) decoder.unknown();
  decoder.need_operands(5, 5);
  Instr in;
  const AstOperand& destination = decoder.operand(0);
  if (destination.kind == AstOperand::Kind::kPair) {
    in.d = decoder.destination(destination.items[0], Type::kB32);
    in.d2 = decoder.predicate_destination(destination.items[1]);
  } else {
    in.d = decoder.destination(destination, Type::kB32);
  }
  in.a = decoder.source(1, Type::kB32);
  in.b = decoder.source(2, Type::kB32);
  in.e = decoder.source(3, Type::kB32);
  in.c = decoder.source(4, Type::kB32);
  in.mode = static_cast<uint8_t>(mode);
  in.imm = reinterpret_cast<uint64_t>(static_cast<Finish>(finish_shuffle));
  in.run = run_collective;
  decoder.emit(in);
}

// ---- vote
// ----------------------------------------------------------------------------------------

enum class Vote : uint8_t { kAll, kAny, kUniform, kBallot };

void finish_vote(Warp& warp, const Instr& in, uint32_t lanes, uint32_t participants) {
  uint32_t yes = 0;
  for_lanes(participants, [&](uint32_t lane) {
    yes |= static_cast<uint32_t>(warp.deposit[0][lane] & 1) << lane;
  });
  switch (static_cast<Vote>(in.mode)) {
    case Vote::kAll:
      set_mask(warp, in.d, yes == participants ? kAllLanes : 0, lanes);
      break;
    case Vote::kAny:
      set_mask(warp, in.d, yes != 0 ? kAllLanes : 0, lanes);
      break;
    case Vote::kUniform:
      set_mask(warp, in.d, yes == 0 || yes == participants ? kAllLanes : 0, lanes);
      break;
    case Vote::kBallot:
      for_lanes(lanes, [&](uint32_t lane) { at<uint32_t>(warp, in.d)[lane] = yes; });
      break;
  }
}

void decode_vote(Decoder& decoder) {
  Modifiers& modifiers = decoder.modifiers();
  if (!modifiers.take("sync")) decoder.unknown();
  int mode = modifiers.take_one_of({"all", "any", "uni", "ballot"});
  const bool ballot = mode == 3;
  if (mode < 0 || decoder.need_type() != (ballot ? Type::kB32 : Type::kPred)) decoder.unknown();
  decoder.need_operands(3, 3);
  Instr in;
  in.d = decoder.destination(0, ballot ? Type::kB32 : Type::kPred);
  bool negated = false;
  in.a = decoder.predicate_source(decoder.operand(1), &negated);
  in.aux = negated ? 1 : 0;
  in.width = 1;
  in.c = decoder.source(2, Type::kB32);
  in.mode = static_cast<uint8_t>(mode);
  in.imm = reinterpret_cast<uint64_t>(static_cast<Finish>(finish_vote));
  in.run = run_collective;
  decoder.emit(in);
}

// ---- match
// ---------------------------------------------------------------------------------------

// flag: .all
void finish_match(Warp& warp, const Instr& in, uint32_t lanes, uint32_t participants) {
  uint32_t agree = 0;
  for_lanes(lanes, [&](uint32_t lane) {
    uint32_t same = 0;
    for_lanes(participants, [&](uint32_t other) {
      same |= static_cast<uint32_t>(warp.deposit[0][other] == warp.deposit[0][lane]) << other;
    });
    if (in.flag) {
      bool all = same == participants;
      agree |= static_cast<uint32_t>(all) << lane;
      same = all ? participants : 0;
    }
    at<uint32_t>(warp, in.d)[lane] = same;
  });
  set_mask(warp, in.d2, agree, lanes);
}

void decode_match(Decoder& decoder) {
  Modifiers& modifiers = decoder.modifiers();
  int mode = modifiers.take_one_of({"any", "all"});
  if (mode < 0 || !modifiers.take("sync")) decoder.unknown();
  Type type = decoder.need_type();
  if (type != Type::kB32 && type != Type::kB64) decoder.unknown();
  decoder.need_operands(3, 3);
  Instr in;
  const AstOperand& destination = decoder.operand(0);
  if (destination.kind == AstOperand::Kind::kPair) {
    in.d = decoder.destination(destination.items[0], Type::kB32);
    in.d2 = decoder.predicate_destination(destination.items[1]);
  } else {
    in.d = decoder.destination(destination, Type::kB32);
  }
  in.a = decoder.source(1, type);
  in.width = static_cast<uint8_t>(type_bytes(type));
  in.c = decoder.source(2, Type::kB32);
  in.flag = mode == 1;
  in.imm = reinterpret_cast<uint64_t>(static_cast<Finish>(finish_match));
  in.run = run_collective;
  decoder.emit(in);
}

// ---- redux and elect
// -----------------------------------------------------------------------------

enum class Reduce : uint8_t { kAdd, kMin, kMax, kAnd, kOr, kXor };

// flag: signed
void finish_reduce(Warp& warp, const Instr& in, uint32_t lanes, uint32_t participants) {
  bool first = true;
  uint32_t value = 0;
  for_lanes(participants, [&](uint32_t lane) {
    auto x = static_cast<uint32_t>(warp.deposit[0][lane]);
    if (first) {
      value = x;
      first = false;
      return;
    }
    bool less = in.flag ? static_cast<int32_t>(x) < static_cast<int32_t>(value) : x < value;
    switch (static_cast<Reduce>(in.mode)) {
      case Reduce::kAdd:
        value += x;
        break;
      case Reduce::kMin:
        value = less ? x : value;
        break;
      case Reduce::kMax:
        value = less ? value : x;
        break;
      case Reduce::kAnd:
        value &= x;
        break;
      case Reduce::kOr:
        value |= x;
        break;
      case Reduce::kXor:
        value ^= x;
        break;
    }
  });
  for_lanes(lanes, [&](uint32_t lane) { at<uint32_t>(warp, in.d)[lane] = value; });
}

void decode_reduce(Decoder& decoder) {
  Modifiers& modifiers = decoder.modifiers();
  if (!modifiers.take("sync")) decoder.unknown();
  int mode = modifiers.take_one_of({"add", "min", "max", "and", "or", "xor"});
  Type type = decoder.need_type();
  if (mode < 0 || type_bytes(type) != 4 || is_float(type)) decoder.unknown();
  decoder.need_operands(3, 3);
  Instr in;
  in.d = decoder.destination(0, type);
  in.a = decoder.source(1, type);
  in.c = decoder.source(2, Type::kB32);
  in.mode = static_cast<uint8_t>(mode);
  in.flag = is_signed(type);
  in.imm = reinterpret_cast<uint64_t>(static_cast<Finish>(finish_reduce));
  in.run = run_collective;
  decoder.emit(in);
}

void finish_elect(Warp& warp, const Instr& in, uint32_t lanes, uint32_t participants) {
  auto leader = static_cast<uint32_t>(std::countr_zero(participants));
  if (in.d != kNoOperand) {
    for_lanes(lanes, [&](uint32_t lane) { at<uint32_t>(warp, in.d)[lane] = leader; });
  }
  set_mask(warp, in.d2, 1u << leader, lanes);
}

void decode_elect(Decoder& decoder) {
  if (!decoder.modifiers().take("sync")) decoder.unknown();
  decoder.need_operands(2, 2);
  const AstOperand& destination = decoder.operand(0);
  if (destination.kind != AstOperand::Kind::kPair) decoder.fail("elect.sync needs d|p");
  Instr in;
  in.d = decoder.destination(destination.items[0], Type::kB32);
  in.d2 = decoder.predicate_destination(destination.items[1]);
  in.c = decoder.source(1, Type::kB32);
  in.imm = reinterpret_cast<uint64_t>(static_cast<Finish>(finish_elect));
  in.run = run_collective;
  decoder.emit(in);
}

bool run_active_mask(Warp& warp, const Instr& in, uint32_t mask) {
  for_lanes(mask, [&](uint32_t lane) { at<uint32_t>(warp, in.d)[lane] = mask; });
  return true;
}

void decode_active_mask(Decoder& decoder) {
  if (decoder.need_type() != Type::kB32) decoder.unknown();
  decoder.need_operands(1, 1);
  Instr in;
  in.d = decoder.destination(0, Type::kB32);
  in.run = run_active_mask;
  decoder.emit(in);
}

}  // namespace

bool run_collective(Warp& warp, const Instr& in, uint32_t mask) {
  deposit(warp, in, mask);
  const uint32_t* members = at<uint32_t>(warp, in.c);
  uint32_t waiting = 0;
  while (mask != 0) {
    auto first = static_cast<uint32_t>(std::countr_zero(mask));
    const uint32_t member = members[first];
    uint32_t same = 0;
    for (uint32_t lane = first; lane < kLanes; ++lane) {
      if ((mask >> lane & 1) != 0 && members[lane] == member) same |= 1u << lane;
    }
    mask &= ~same;
    const uint32_t needed = member & warp.live;
    if ((needed & ~same) == 0) {
      finish_of(in)(warp, in, same, same);
      continue;
    }
    Group& group = split_group(warp, same, warp.frame, warp.pc - 1);
    group.state = Group::State::kWarpWait;
    group.waiting = &in;
    group.member = member;
    waiting |= same;
  }
  if (waiting == 0) return true;
  resolve_warp_waits(warp);
  return false;
}

void resolve_warp_waits(Warp& warp) {
  for (Group& first : warp.groups) {
    if (first.state != Group::State::kWarpWait) continue;
    auto partner = [&](const Group& group) {
      return group.state == Group::State::kWarpWait && group.member == first.member &&
             group.waiting->imm == first.waiting->imm && group.waiting->mode == first.waiting->mode;
    };
    uint32_t come = 0;
    for (const Group& group : warp.groups) {
      if (partner(group)) come |= group.mask;
    }
    if ((first.member & warp.live & ~come) != 0) continue;
    const Group key = first;
    std::byte* saved = warp.base[0];
    for (Group& group : warp.groups) {
      if (group.state != Group::State::kWarpWait || group.member != key.member ||
          group.waiting->imm != key.waiting->imm || group.waiting->mode != key.waiting->mode) {
        continue;
      }
      warp.base[0] = group.frame->registers();
      finish_of (*group.waiting)(warp, *group.waiting, group.mask, come);
      group.state = Group::State::kReady;
      ++group.pc;
    }
    warp.base[0] = saved;
  }
}

bool decode_collective(Decoder& decoder) {
  std::string_view op = decoder.opcode();
  if (op == "shfl") {
    decode_shuffle(decoder);
  } else if (op == "vote") {
    decode_vote(decoder);
  } else if (op == "match") {
    decode_match(decoder);
  } else if (op == "redux") {
    decode_reduce(decoder);
  } else if (op == "elect") {
    decode_elect(decoder);
  } else if (op == "activemask") {
    decode_active_mask(decoder);
  } else {
    return false;
  }
  return true;
}

}  // namespace farlane::softcuda
