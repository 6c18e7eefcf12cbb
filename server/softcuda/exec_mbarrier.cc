// mbarrier: barriers that are objects in shared memory. Their 64 bits are opaque to programs; here
// they hold, from bit 0: arrivals still expected in this phase (20), arrivals per phase (20), bytes
// still expected (23, signed), and in bit 63 the parity of the phase. A block runs on one host
// thread at a time, so plain arithmetic is enough.
#include "server/softcuda/exec_memory.h"
#include "server/softcuda/ptx_decode.h"

namespace farlane::softcuda {
namespace {

struct Phase {
  uint64_t pending, expected;
  int64_t bytes;
  bool odd;
};

Phase unpack(uint64_t word) {
  constexpr uint64_t kCount = (1u << 20) - 1;
  return Phase{word & kCount, word >> 20 & kCount, static_cast<int64_t>(word << 1) >> 41,
               word >> 63 != 0};
}
uint64_t pack(const Phase& phase) {
  constexpr uint64_t kCount = (1u << 20) - 1;
  constexpr uint64_t kBytes = (1u << 23) - 1;
  return (phase.pending & kCount) | (phase.expected & kCount) << 20 |
         (static_cast<uint64_t>(phase.bytes) & kBytes) << 40 | uint64_t{phase.odd} << 63;
}

enum class Action : uint8_t {
  kInit,
  kInvalidate,
  kArrive,
  kArriveDrop,
  kArriveExpect,
  kExpect,
  kComplete
};

void act(Action action, uint32_t amount, Phase& phase) {
  switch (action) {
    case Action::kInit:
      phase = Phase{amount, amount, 0, false};
      return;
    case Action::kInvalidate:
      phase = Phase{};
      return;
    case Action::kArrive:
      phase.pending -= amount;
      break;
    case Action::kArriveDrop:
      phase.pending -= amount;
      phase.expected -= amount;
      break;
    case Action::kArriveExpect:
      phase.bytes += amount;
      phase.pending -= 1;
      break;
    case Action::kExpect:
      phase.bytes += amount;
      break;
    case Action::kComplete:
      phase.bytes -= amount;
      break;
  }
  if (phase.pending == 0 && phase.bytes == 0) {
    phase.odd = !phase.odd;
    phase.pending = phase.expected;
  }
}

// mode: Action, b: the count or bytes, d: the state before, or none.
bool run_action(Warp& warp, const Instr& in, uint32_t mask) {
  std::byte* pointers[kLanes];
  if (!lane_pointers(warp, in, mask, "mbarrier", pointers)) return false;
  for (uint32_t rest = mask; rest != 0; rest &= rest - 1) {
    auto lane = static_cast<uint32_t>(std::countr_zero(rest));
    uint64_t word = load_relaxed<uint64_t>(pointers[lane]);
    Phase phase = unpack(word);
    act(static_cast<Action>(in.mode), at<uint32_t>(warp, in.b)[lane], phase);
    store_relaxed(pointers[lane], pack(phase));
    if (in.d != kNoOperand) at<uint64_t>(warp, in.d)[lane] = word;
  }
  return true;
}

// flag: b is a parity, not a state. A phase is over when the current one has the other parity.
bool run_test(Warp& warp, const Instr& in, uint32_t mask) {
  std::byte* pointers[kLanes];
  if (!lane_pointers(warp, in, mask, "mbarrier", pointers)) return false;
  warp.touched_sync = true;
  uint32_t over = 0;
  for (uint32_t rest = mask; rest != 0; rest &= rest - 1) {
    auto lane = static_cast<uint32_t>(std::countr_zero(rest));
    bool odd = load_relaxed<uint64_t>(pointers[lane]) >> 63 != 0;
    bool asked = in.flag ? (at<uint32_t>(warp, in.b)[lane] & 1) != 0
                         : at<uint64_t>(warp, in.b)[lane] >> 63 != 0;
    over |= static_cast<uint32_t>(odd != asked) << lane;
  }
  set_mask(warp, in.d, over, mask);
  return true;
}

}  // namespace

bool decode_mbarrier(Decoder& decoder) {
  if (decoder.opcode() != "mbarrier") return false;
  Modifiers& modifiers = decoder.modifiers();
  int verb = modifiers.take_one_of({"init", "inval", "arrive", "arrive_drop", "expect_tx",
                                    "complete_tx", "test_wait", "try_wait", "pending_count"});
  if (verb < 0) decoder.unknown();
  const bool with_bytes = verb == 2 && modifiers.take("expect_tx");
  const bool parity = (verb == 6 || verb == 7) && modifiers.take("parity");
  if (verb == 2 || verb == 3) modifiers.take("noComplete");
  take_ordering(modifiers);
  Space space = take_space(modifiers);
  if (decoder.need_type() != Type::kB64) decoder.unknown();
  Instr in;
  in.width = 8;
  size_t next = 0;
  if (verb == 8) {
    decoder.need_operands(2, 2);
    in.d = decoder.destination(0, Type::kU32);
    in.a = decoder.source(1, Type::kB64);
    in.run = unary<uint32_t, uint64_t>(
        [](uint64_t state) { return static_cast<uint32_t>(unpack(state).pending); });
    decoder.emit(in);
    return true;
  }
  const bool test = verb == 6 || verb == 7;
  if (test) {
    in.d = decoder.predicate_destination(decoder.operand(next++));
  } else if (decoder.operand(0).kind != AstOperand::Kind::kAddress) {
    if (decoder.operand(0).name != "_") in.d = decoder.destination(0, Type::kB64);
    ++next;
  }
  decoder.address(decoder.operand(next++), space, in);
  if (test) {
    in.flag = parity;
    in.b = decoder.source(next++, parity ? Type::kU32 : Type::kB64);
    if (verb == 7 && next < decoder.operand_count()) ++next;  // how long to sleep
    in.run = run_test;
  } else {
    constexpr Action kActions[] = {Action::kInit,       Action::kInvalidate, Action::kArrive,
                                   Action::kArriveDrop, Action::kExpect,     Action::kComplete};
    Action action = with_bytes ? Action::kArriveExpect : kActions[verb];
    in.mode = static_cast<uint8_t>(action);
    in.b = next < decoder.operand_count() ? decoder.source(next++, Type::kU32)
                                          : decoder.constant(1, 4);
    in.run = run_action;
  }
  decoder.need_operands(next, next);
  decoder.emit(in);
  return true;
}

}  // namespace farlane::softcuda
