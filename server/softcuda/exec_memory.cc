// ld, st, cvta, isspacep, cp.async, and the checks behind every memory access.
#include "server/softcuda/exec_memory.h"

#include <algorithm>

#include "server/softcuda/exec_builtin.h"
#include "server/softcuda/ptx_decode.h"

namespace farlane::softcuda {
namespace {

const char* space_text(Space space) {
  switch (space) {
    case Space::kGlobal:
      return "global";
    case Space::kConst:
      return "constant";
    case Space::kShared:
      return "shared";
    case Space::kLocal:
      return "local";
    case Space::kParam:
      return "parameter";
    case Space::kGeneric:
      return "generic";
    case Space::kReg:
      break;
  }
  return "?";
}

bool in_range(uint64_t begin, uint64_t size, uint64_t address, uint32_t bytes) {
  uint64_t offset = address - begin;
  return offset < size && size - offset >= bytes;
}

std::byte* find_global(Warp& warp, uint64_t address, uint32_t bytes) {
  for (size_t i = 0; i < std::size(warp.ranges); ++i) {
    const Warp::Range range = warp.ranges[i];
    if (in_range(range.begin, range.bytes, address, bytes)) {
      for (; i > 0; --i) warp.ranges[i] = warp.ranges[i - 1];
      warp.ranges[0] = range;
      return reinterpret_cast<std::byte*>(address);
    }
  }
  const Grid& grid = *warp.grid;
  uint64_t begin = 0;
  uint64_t end = 0;
  if (in_range(grid.module_begin, grid.module_end - grid.module_begin, address, bytes)) {
    begin = grid.module_begin;
    end = grid.module_end;
  } else if (in_range(reinterpret_cast<uint64_t>(grid.workspace), sizeof(grid.workspace), address,
                      bytes)) {
    begin = reinterpret_cast<uint64_t>(grid.workspace);
    end = begin + sizeof(grid.workspace);
  } else if (grid.heap->find(address, &begin, &end)) {
    // A thread may free this block and another get the address: not remembered.
    return in_range(begin, end - begin, address, bytes) ? reinterpret_cast<std::byte*>(address)
                                                        : nullptr;
  } else if (grid.config->memory == nullptr || !grid.config->memory->find(address, &begin, &end)) {
    return nullptr;
  }
  if (!in_range(begin, end - begin, address, bytes)) return nullptr;
  for (size_t i = std::size(warp.ranges) - 1; i > 0; --i) warp.ranges[i] = warp.ranges[i - 1];
  warp.ranges[0] = Warp::Range{begin, end - begin};
  return reinterpret_cast<std::byte*>(address);
}

// The bits of one register of `width` bytes, of the lanes' low `bits`.
uint64_t read_register(Warp& warp, uint32_t code, uint32_t width, uint32_t lane) {
  switch (width) {
    case 2:
      return at<uint16_t>(warp, code)[lane];
    case 4:
      return at<uint32_t>(warp, code)[lane];
    default:
      return at<uint64_t>(warp, code)[lane];
  }
}

template <class R, class M>
void load_lanes(R* to, std::byte* const* pointers, uint32_t offset, uint32_t mask) {
  if (mask == kAllLanes) {
    for (uint32_t lane = 0; lane < kLanes; ++lane) {
      to[lane] = static_cast<R>(load_relaxed<M>(pointers[lane] + offset));
    }
    return;
  }
  for (uint32_t rest = mask; rest != 0; rest &= rest - 1) {
    int lane = std::countr_zero(rest);
    to[lane] = static_cast<R>(load_relaxed<M>(pointers[lane] + offset));
  }
}

// M: the element in memory; its signedness says how it fills a wider register. The list holds code
// and width of each destination in turn.
template <class M>
bool run_load(Warp& warp, const Instr& in, uint32_t mask) {
  std::byte* pointers[kLanes];
  if (!lane_pointers(warp, in, mask, "load", pointers)) return false;
  if (in.flag) warp.touched_sync = true;
  const std::vector<uint32_t>& list = warp.frame->function->lists[in.target];
  for (uint32_t i = 0; i < in.count; ++i) {
    const uint32_t offset = i * static_cast<uint32_t>(sizeof(M));
    switch (list[2 * i + 1]) {
      case 2:
        load_lanes<uint16_t, M>(at<uint16_t>(warp, list[2 * i]), pointers, offset, mask);
        break;
      case 4:
        load_lanes<uint32_t, M>(at<uint32_t>(warp, list[2 * i]), pointers, offset, mask);
        break;
      default:
        load_lanes<uint64_t, M>(at<uint64_t>(warp, list[2 * i]), pointers, offset, mask);
        break;
    }
  }
  return true;
}

bool run_load128(Warp& warp, const Instr& in, uint32_t mask) {
  std::byte* pointers[kLanes];
  if (!lane_pointers(warp, in, mask, "load", pointers)) return false;
  if (in.flag) warp.touched_sync = true;
  const std::vector<uint32_t>& list = warp.frame->function->lists[in.target];
  for (uint32_t i = 0; i < in.count; ++i) {
    uint64_t* to = at<uint64_t>(warp, list[2 * i]);
    for (uint32_t rest = mask; rest != 0; rest &= rest - 1) {
      int lane = std::countr_zero(rest);
      to[2 * lane] = load_relaxed<uint64_t>(pointers[lane] + 16 * i);
      to[2 * lane + 1] = load_relaxed<uint64_t>(pointers[lane] + 16 * i + 8);
    }
  }
  return true;
}

template <class M>
bool run_store(Warp& warp, const Instr& in, uint32_t mask) {
  std::byte* pointers[kLanes];
  if (!lane_pointers(warp, in, mask, "store", pointers)) return false;
  const std::vector<uint32_t>& list = warp.frame->function->lists[in.target];
  for (uint32_t i = 0; i < in.count; ++i) {
    for (uint32_t rest = mask; rest != 0; rest &= rest - 1) {
      auto lane = static_cast<uint32_t>(std::countr_zero(rest));
      store_relaxed<M>(pointers[lane] + i * sizeof(M),
                       static_cast<M>(read_register(warp, list[2 * i], list[2 * i + 1], lane)));
    }
  }
  return true;
}

bool run_store128(Warp& warp, const Instr& in, uint32_t mask) {
  std::byte* pointers[kLanes];
  if (!lane_pointers(warp, in, mask, "store", pointers)) return false;
  const std::vector<uint32_t>& list = warp.frame->function->lists[in.target];
  for (uint32_t i = 0; i < in.count; ++i) {
    const uint64_t* from = at<uint64_t>(warp, list[2 * i]);
    for (uint32_t rest = mask; rest != 0; rest &= rest - 1) {
      int lane = std::countr_zero(rest);
      store_relaxed<uint64_t>(pointers[lane] + 16 * i, from[2 * lane]);
      store_relaxed<uint64_t>(pointers[lane] + 16 * i + 8, from[2 * lane + 1]);
    }
  }
  return true;
}

Handler load_handler(Type type) {
  if (type_bytes(type) == 16) return run_load128;
  if (is_signed(type)) {
    switch (type_bytes(type)) {
      case 1:
        return run_load<int8_t>;
      case 2:
        return run_load<int16_t>;
      case 4:
        return run_load<int32_t>;
      default:
        return run_load<int64_t>;
    }
  }
  switch (type_bytes(type)) {
    case 1:
      return run_load<uint8_t>;
    case 2:
      return run_load<uint16_t>;
    case 4:
      return run_load<uint32_t>;
    default:
      return run_load<uint64_t>;
  }
}

Handler store_handler(Type type) {
  switch (type_bytes(type)) {
    case 1:
      return run_store<uint8_t>;
    case 2:
      return run_store<uint16_t>;
    case 4:
      return run_store<uint32_t>;
    case 8:
      return run_store<uint64_t>;
    default:
      return run_store128;
  }
}

void decode_access(Decoder& decoder, bool is_load) {
  Modifiers& modifiers = decoder.modifiers();
  Instr in;
  Space space = take_space(modifiers);
  in.flag = take_ordering(modifiers);
  bool hint = modifiers.take("L2::cache_hint");
  modifiers.ignore_prefix("L1::");
  modifiers.ignore_prefix("L2::");
  int vector = modifiers.take_one_of({"v2", "v4", "v8"});
  in.count = static_cast<uint8_t>(vector < 0 ? 1 : 2 << vector);
  Type type = decoder.need_type();
  if (type == Type::kPred) decoder.unknown();
  decoder.need_operands(hint ? 3 : 2, hint ? 3 : 2);
  in.width = static_cast<uint8_t>(type_bytes(type));
  const AstOperand& value = decoder.operand(is_load ? 0 : 1);
  std::vector<const AstOperand*> items;
  if (value.kind == AstOperand::Kind::kVector) {
    for (const AstOperand& item : value.items) items.push_back(&item);
  } else {
    items.push_back(&value);
  }
  if (items.size() != in.count) {
    decoder.fail("this access has " + std::to_string(items.size()) + " registers, not " +
                 std::to_string(in.count));
  }
  std::vector<uint32_t> list;
  for (const AstOperand* item : items) {
    uint32_t width = 0;
    uint32_t code = is_load ? decoder.destination_relaxed(*item, type, &width)
                            : decoder.source_relaxed(*item, type, &width);
    if (width < type_bytes(type)) {
      decoder.fail("\"" + std::string(item->name) + "\" is narrower than ." +
                   std::string(type_name(type)));
    }
    if ((width == 16) != (type_bytes(type) == 16)) decoder.fail("a .b128 register needs .b128");
    list.push_back(code);
    list.push_back(width);
  }
  in.target = decoder.add_list(std::move(list));
  decoder.address(decoder.operand(is_load ? 1 : 0), space, in);
  if (!is_load && in.space == Space::kParam) decoder.fail("a kernel's parameters are read-only");
  in.run = is_load ? load_handler(type) : store_handler(type);
  decoder.emit(in);
}

uint64_t window_of(Space space, bool entry) {
  switch (space) {
    case Space::kShared:
      return kSharedWindow;
    case Space::kLocal:
      return kLocalWindow;
    case Space::kParam:
      return entry ? kParamWindow : kLocalWindow;
    case Space::kGlobal:
    case Space::kConst:
    case Space::kGeneric:
    case Space::kReg:
      break;
  }
  return 0;
}

void decode_cvta(Decoder& decoder) {
  Modifiers& modifiers = decoder.modifiers();
  bool to = modifiers.take("to");
  Space space = take_space(modifiers);
  Type type = decoder.need_type();
  if (type != Type::kU64) decoder.fail("addresses have 64 bits here");
  decoder.need_operands(2, 2);
  uint64_t window = window_of(space, decoder.is_entry());
  Instr in;
  in.d = decoder.destination(0, type);
  in.a = decoder.source(1, type);
  in.b = decoder.constant(to ? uint64_t{0} - window : window, 8);
  in.run = binary<uint64_t, uint64_t, uint64_t>([](uint64_t a, uint64_t b) { return a + b; });
  decoder.emit(in);
}

bool run_isspacep(Warp& warp, const Instr& in, uint32_t mask) {
  const uint64_t* a = at<uint64_t>(warp, in.a);
  uint32_t result = 0;
  for (uint32_t lane = 0; lane < kLanes; ++lane) {
    uint64_t window = a[lane] & kWindowMask;
    bool inside = false;
    if (in.imm != 0) {
      inside = window == in.imm;
    } else {
      inside = window != kSharedWindow && window != kLocalWindow && window != kParamWindow;
      // The constants of the module are constant memory and not global; the rest is global.
      uint64_t begin = warp.grid->module_begin;
      bool constant = a[lane] - begin < warp.grid->const_bytes;
      inside = in.flag ? constant : inside && !constant;
    }
    result |= static_cast<uint32_t>(inside) << lane;
  }
  set_mask(warp, in.d, result, mask);
  return true;
}

void decode_isspacep(Decoder& decoder) {
  Instr in;
  Space space = take_space(decoder.modifiers());
  if (space == Space::kGeneric) decoder.unknown();
  decoder.need_operands(2, 2);
  in.d = decoder.predicate_destination(decoder.operand(0));
  in.a = decoder.source(1, Type::kU64);
  in.imm = window_of(space, true);
  in.flag = space == Space::kConst;
  in.run = run_isspacep;
  decoder.emit(in);
}

// The copy is done at once; waiting for it has nothing to do.
bool run_async_copy(Warp& warp, const Instr& in, uint32_t mask) {
  const Instr& source = warp.frame->function->code[warp.pc];
  std::byte* to[kLanes];
  if (!lane_pointers(warp, in, mask, "store", to)) return false;
  uint64_t addresses[kLanes];
  lane_addresses(warp, source, mask, addresses);
  for (uint32_t rest = mask; rest != 0; rest &= rest - 1) {
    auto lane = static_cast<uint32_t>(std::countr_zero(rest));
    uint32_t bytes = in.width;
    if (in.b != kNoOperand) bytes = std::min(bytes, at<uint32_t>(warp, in.b)[lane]);
    if (in.c != kNoOperand && ((mask_at(warp, in.c) ^ (in.aux ? kAllLanes : 0)) >> lane & 1)) {
      bytes = 0;  // ignore-src
    }
    std::byte block[16] = {};
    if (bytes != 0) {
      const std::byte* from =
          translate(warp, lane, source.space, addresses[lane], in.width, "load", in.line);
      if (from == nullptr) return false;
      for (uint32_t i = 0; i < bytes; ++i) block[i] = load_relaxed<std::byte>(from + i);
    }
    for (uint32_t i = 0; i < in.width; ++i) store_relaxed(to[lane] + i, block[i]);
  }
  return true;
}

bool run_skip(Warp&, const Instr&, uint32_t) {
  return true;
}

void decode_async_copy(Decoder& decoder) {
  Modifiers& modifiers = decoder.modifiers();
  if (!modifiers.take("async")) decoder.unknown();
  if (modifiers.take_one_of({"commit_group", "wait_group", "wait_all"}) >= 0) {
    Instr in;
    in.run = run_skip;
    decoder.emit(in);
    return;
  }
  if (modifiers.take_one_of({"ca", "cg"}) < 0) decoder.unknown();
  bool hint = modifiers.take("L2::cache_hint");
  modifiers.ignore_prefix("L2::");
  if (modifiers.take_one_of({"shared", "shared::cta"}) < 0) decoder.unknown();
  if (!modifiers.take("global")) decoder.unknown();
  decoder.need_operands(hint ? 4 : 3, hint ? 5 : 4);
  Instr in;
  decoder.address(decoder.operand(0), Space::kShared, in);
  uint64_t bytes = decoder.number(decoder.operand(2));
  if (bytes != 4 && bytes != 8 && bytes != 16) decoder.fail("cp.async copies 4, 8 or 16 bytes");
  in.width = static_cast<uint8_t>(bytes);
  if (decoder.operand_count() - (hint ? 1 : 0) == 4) {
    const AstOperand& size = decoder.operand(3);
    if (size.kind == AstOperand::Kind::kName && decoder.is_register(size.name) &&
        decoder.register_type(size.name) == Type::kPred) {
      bool negated = false;
      in.c = decoder.predicate_source(size, &negated);
      in.aux = negated ? 1 : 0;
    } else {
      in.b = decoder.source(size, Type::kU32);
    }
  }
  in.run = run_async_copy;
  Instr source;
  source.run = run_skip;
  decoder.address(decoder.operand(1), Space::kGlobal, source);
  decoder.emit(in);
  decoder.emit(source);
}

}  // namespace

std::byte* find_host(Warp& warp, uint32_t lane, Space space, uint64_t address, uint32_t bytes) {
  if (space == Space::kGeneric) {
    switch (address & kWindowMask) {
      case kSharedWindow:
        space = Space::kShared;
        address &= ~kWindowMask;
        break;
      case kLocalWindow:
        space = Space::kLocal;
        address &= ~kWindowMask;
        break;
      case kParamWindow:
        space = Space::kParam;
        address &= ~kWindowMask;
        break;
      default:
        break;
    }
  }
  switch (space) {
    case Space::kGlobal:
    case Space::kConst:
    case Space::kGeneric:
      return find_global(warp, address, bytes);
    case Space::kShared:
      // A generic shared address may come here with its window still on.
      if ((address & kWindowMask) == kSharedWindow) address &= ~kWindowMask;
      return in_range(0, warp.shared_bytes, address, bytes) ? warp.shared + address : nullptr;
    case Space::kLocal:
      return in_range(0, warp.local_stride, address, bytes)
                 ? warp.local + lane * warp.local_stride + address
                 : nullptr;
    case Space::kParam:
      return in_range(0, warp.grid->params.size(), address, bytes)
                 ? warp.grid->params.data() + address
                 : nullptr;
    case Space::kReg:
      break;
  }
  return nullptr;
}

std::byte* translate_slow(Warp& warp, uint32_t lane, Space space, uint64_t address, uint32_t bytes,
                          const char* what, uint32_t line) {
  std::string shown = std::string(what) + " of " + std::to_string(bytes) + " bytes at " +
                      hex(address) + " in " + space_text(space) + " memory (ptx line " +
                      std::to_string(line) + ")";
  if ((address & (bytes - 1)) != 0) {
    raise_fault(warp, Fault::kMisalignedAddress, lane, "misaligned " + shown);
    return nullptr;
  }
  std::byte* found = find_host(warp, lane, space, address, bytes);
  if (found == nullptr) raise_fault(warp, Fault::kIllegalAddress, lane, "illegal " + shown);
  return found;
}

void lane_addresses(Warp& warp, const Instr& in, uint32_t mask, uint64_t* addresses) {
  if (in.frame_relative) {
    for (uint32_t lane = 0; lane < kLanes; ++lane) {
      addresses[lane] = warp.frame->local_base + in.imm;
    }
  } else if (in.address32) {
    const uint32_t* a = at<uint32_t>(warp, in.a);
    for (uint32_t lane = 0; lane < kLanes; ++lane) {
      addresses[lane] = static_cast<uint32_t>(a[lane] + in.imm);
    }
  } else {
    const uint64_t* a = at<uint64_t>(warp, in.a);
    for (uint32_t lane = 0; lane < kLanes; ++lane) addresses[lane] = a[lane] + in.imm;
  }
  (void)mask;
}

bool lane_pointers(Warp& warp, const Instr& in, uint32_t mask, const char* what,
                   std::byte** pointers) {
  const uint32_t bytes = uint32_t{in.width} * in.count;
  uint64_t addresses[kLanes];
  lane_addresses(warp, in, mask, addresses);
  if (in.space == Space::kShared) {
    for (uint32_t rest = mask; rest != 0; rest &= rest - 1) {
      auto lane = static_cast<uint32_t>(std::countr_zero(rest));
      uint64_t address = addresses[lane];
      if (in_range(0, warp.shared_bytes, address, bytes) && (address & (bytes - 1)) == 0) {
        pointers[lane] = warp.shared + address;
        continue;
      }
      pointers[lane] = translate_slow(warp, lane, Space::kShared, address, bytes, what, in.line);
      if (pointers[lane] == nullptr) return false;
    }
    return true;
  }
  for (uint32_t rest = mask; rest != 0; rest &= rest - 1) {
    auto lane = static_cast<uint32_t>(std::countr_zero(rest));
    pointers[lane] = in.frame_relative && addresses[lane] + bytes <= warp.local_stride &&
                             (in.imm & (bytes - 1)) == 0
                         ? warp.local + lane * warp.local_stride + addresses[lane]
                         : translate(warp, lane, in.space, addresses[lane], bytes, what, in.line);
    if (pointers[lane] == nullptr) return false;
  }
  return true;
}

Space take_space(Modifiers& modifiers) {
  struct Row {
    std::string_view name;
    Space space;
  };
  constexpr Row kRows[] = {
      {"global", Space::kGlobal},      {"shared", Space::kShared},
      {"shared::cta", Space::kShared}, {"shared::cluster", Space::kShared},
      {"const", Space::kConst},        {"local", Space::kLocal},
      {"param", Space::kParam},        {"param::entry", Space::kParam},
      {"param::func", Space::kParam},
  };
  for (const Row& row : kRows) {
    if (modifiers.take(row.name)) return row.space;
  }
  return Space::kGeneric;
}

bool take_ordering(Modifiers& modifiers) {
  bool strong =
      modifiers.take_one_of({"volatile", "relaxed", "acquire", "release", "acq_rel", "mmio"}) >= 0;
  modifiers.take("mmio");
  modifiers.take("relaxed");
  modifiers.ignore({"weak", "cta", "cluster", "gpu", "sys", "nc", "ca", "cg", "cs", "lu", "cv",
                    "wb", "wt", "unified"});
  return strong;
}

bool decode_memory(Decoder& decoder) {
  std::string_view op = decoder.opcode();
  if (op == "ld" || op == "ldu") {
    decode_access(decoder, true);
  } else if (op == "st") {
    decode_access(decoder, false);
  } else if (op == "cvta") {
    decode_cvta(decoder);
  } else if (op == "isspacep") {
    decode_isspacep(decoder);
  } else if (op == "cp") {
    decode_async_copy(decoder);
  } else {
    return false;
  }
  return true;
}

}  // namespace farlane::softcuda
