// mov with its packing and unpacking forms, selp, slct, clocks.
#include <chrono>

#include "server/softcuda/exec_dispatch.h"
#include "server/softcuda/exec_handlers.h"
#include "server/softcuda/exec_lanes.h"

namespace farlane::softcuda {
namespace {

template <class T>
Handler copy_handler() {
  return unary<T, T>([](T a) { return a; });
}

struct Wide {
  uint64_t low, high;
};

Handler copy_of(Decoder& decoder, Type type) {
  switch (type_bytes(type)) {
    case 2:
      return copy_handler<uint16_t>();
    case 4:
      return copy_handler<uint32_t>();
    case 8:
      return copy_handler<uint64_t>();
    case 16:
      return copy_handler<Wide>();
    default:
      decoder.unknown();
  }
}

bool run_move_predicate(Warp& warp, const Instr& in, uint32_t mask) {
  set_mask(warp, in.d, mask_at(warp, in.a) ^ (in.aux != 0 ? kAllLanes : 0), mask);
  return true;
}

// Parts of `width` bytes in the list, the whole in a or d of count * width bytes.
bool run_pack(Warp& warp, const Instr& in, uint32_t mask) {
  const std::vector<uint32_t>& list = warp.frame->function->lists[in.target];
  const uint32_t whole = uint32_t{in.width} * in.count;
  std::byte result[kLanes * 16];
  for (uint32_t i = 0; i < in.count; ++i) {
    const std::byte* from = at<std::byte>(warp, list[i]);
    const uint32_t stride = std::max<uint32_t>(in.width, 2);
    for (uint32_t lane = 0; lane < kLanes; ++lane) {
      std::memcpy(result + lane * whole + i * in.width, from + lane * stride, in.width);
    }
  }
  std::byte* to = at<std::byte>(warp, in.d);
  for (uint32_t rest = mask; rest != 0; rest &= rest - 1) {
    auto lane = static_cast<uint32_t>(std::countr_zero(rest));
    std::memcpy(to + lane * whole, result + lane * whole, whole);
  }
  return true;
}

bool run_unpack(Warp& warp, const Instr& in, uint32_t mask) {
  const std::vector<uint32_t>& list = warp.frame->function->lists[in.target];
  const uint32_t whole = uint32_t{in.width} * in.count;
  std::byte source[kLanes * 16];
  std::memcpy(source, at<std::byte>(warp, in.a), size_t{whole} * kLanes);
  const uint32_t stride = std::max<uint32_t>(in.width, 2);
  for (uint32_t i = 0; i < in.count; ++i) {
    if (list[i] == kNoOperand) continue;
    std::byte* to = at<std::byte>(warp, list[i]);
    for (uint32_t rest = mask; rest != 0; rest &= rest - 1) {
      auto lane = static_cast<uint32_t>(std::countr_zero(rest));
      if (stride != in.width) std::memset(to + lane * stride, 0, stride);
      std::memcpy(to + lane * stride, source + lane * whole + i * in.width, in.width);
    }
  }
  return true;
}

Type part_type(Decoder& decoder, Type whole, size_t parts) {
  switch (type_bytes(whole) / parts) {
    case 1:
      return Type::kB8;
    case 2:
      return Type::kB16;
    case 4:
      return Type::kB32;
    case 8:
      return Type::kB64;
    default:
      decoder.fail("these parts do not make up a ." + std::string(type_name(whole)));
  }
}

void decode_mov(Decoder& decoder) {
  Type type = decoder.need_type();
  decoder.need_operands(2, 2);
  const AstOperand& to = decoder.operand(0);
  const AstOperand& from = decoder.operand(1);
  Instr in;
  if (type == Type::kPred) {
    bool negated = false;
    in.a = decoder.predicate_source(from, &negated);
    in.aux = negated ? 1 : 0;
    in.d = decoder.predicate_destination(to);
    in.run = run_move_predicate;
  } else if (from.kind == AstOperand::Kind::kVector) {
    Type part = part_type(decoder, type, from.items.size());
    std::vector<uint32_t> list;
    for (const AstOperand& item : from.items) list.push_back(decoder.source(item, part));
    in.width = static_cast<uint8_t>(type_bytes(part));
    in.count = static_cast<uint8_t>(list.size());
    in.target = decoder.add_list(std::move(list));
    in.d = decoder.destination(to, type);
    in.run = run_pack;
  } else if (to.kind == AstOperand::Kind::kVector) {
    Type part = part_type(decoder, type, to.items.size());
    std::vector<uint32_t> list;
    for (const AstOperand& item : to.items) {
      list.push_back(item.name == "_" ? kNoOperand : decoder.destination(item, part));
    }
    in.width = static_cast<uint8_t>(type_bytes(part));
    in.count = static_cast<uint8_t>(list.size());
    in.target = decoder.add_list(std::move(list));
    in.a = decoder.source(from, type);
    in.run = run_unpack;
  } else {
    in.a = decoder.source(from, type);
    in.d = decoder.destination(to, type);
    in.run = copy_of(decoder, type);
  }
  decoder.emit(in);
}

template <class T>
bool run_select(Warp& warp, const Instr& in, uint32_t mask) {
  const T* a = at<T>(warp, in.a);
  const T* b = at<T>(warp, in.b);
  const uint32_t chosen = mask_at(warp, in.c) ^ (in.aux != 0 ? kAllLanes : 0);
  T result[kLanes];
  for (uint32_t i = 0; i < kLanes; ++i) result[i] = chosen >> i & 1 ? a[i] : b[i];
  store_lanes(at<T>(warp, in.d), result, mask);
  return true;
}

void decode_selp(Decoder& decoder) {
  Type type = decoder.need_type();
  decoder.need_operands(4, 4);
  Instr in;
  in.a = decoder.source(1, type);
  in.b = decoder.source(2, type);
  bool negated = false;
  in.c = decoder.predicate_source(decoder.operand(3), &negated);
  in.aux = negated ? 1 : 0;
  in.d = decoder.destination(0, type);
  in.run = with_bits(decoder, type, [](auto t) -> Handler { return run_select<decltype(t)>; });
  decoder.emit(in);
}

void decode_slct(Decoder& decoder) {
  bool flush = decoder.modifiers().take("ftz");
  Type type = decoder.need_type();
  Type by = decoder.need_type();
  if (by != Type::kS32 && by != Type::kF32) decoder.unknown();
  decoder.need_operands(4, 4);
  Instr in;
  in.a = decoder.source(1, type);
  in.b = decoder.source(2, type);
  in.c = decoder.source(3, by);
  in.d = decoder.destination(0, type);
  in.run = with_bits(decoder, type, [by, flush](auto t) -> Handler {
    using T = decltype(t);
    if (by == Type::kS32) {
      return ternary<T, T, T, int32_t>([](T a, T b, int32_t c) { return c >= 0 ? a : b; });
    }
    // A subnormal counts as zero with .ftz; NaN chooses b.
    if (flush) {
      return ternary<T, T, T, float>(
          [](T a, T b, float c) { return c >= 0 || (c < 0 && c > -0x1p-126f) ? a : b; });
    }
    return ternary<T, T, T, float>([](T a, T b, float c) { return c >= 0 ? a : b; });
  });
  decoder.emit(in);
}

}  // namespace

bool run_clock(Warp& warp, const Instr& in, uint32_t mask) {
  auto since = static_cast<Clock>(in.mode) == Clock::kCycles
                   ? std::chrono::steady_clock::now().time_since_epoch()
                   : std::chrono::system_clock::now().time_since_epoch();
  auto value =
      static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(since).count());
  if (in.aux != 0) value >>= 32;
  warp.touched_sync = true;  // who watches the clock waits for something
  for (uint32_t i = 0; i < kLanes; ++i) {
    if ((mask >> i & 1) == 0) continue;
    if (in.flag) {
      at<uint64_t>(warp, in.d)[i] = value;
    } else {
      at<uint32_t>(warp, in.d)[i] = static_cast<uint32_t>(value);
    }
  }
  return true;
}

bool run_frame_address(Warp& warp, const Instr& in, uint32_t mask) {
  uint64_t value = warp.frame->local_base + in.imm;
  for (uint32_t i = 0; i < kLanes; ++i) {
    if ((mask >> i & 1) == 0) continue;
    if (in.flag) {
      at<uint64_t>(warp, in.d)[i] = value;
    } else {
      at<uint32_t>(warp, in.d)[i] = static_cast<uint32_t>(value);
    }
  }
  return true;
}

bool decode_move(Decoder& decoder) {
  std::string_view op = decoder.opcode();
  if (op == "mov") {
    decode_mov(decoder);
  } else if (op == "selp") {
    decode_selp(decoder);
  } else if (op == "slct") {
    decode_slct(decoder);
  } else {
    return false;
  }
  return true;
}

}  // namespace farlane::softcuda
