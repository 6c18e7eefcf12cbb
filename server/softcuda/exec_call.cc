// call and ret: frames, argument passing, function pointers and the built-in functions.
#include <algorithm>
#include <bit>
#include <cstring>

#include "server/softcuda/exec_builtin.h"
#include "server/softcuda/exec_handlers.h"
#include "server/softcuda/exec_lanes.h"
#include "server/softcuda/ptx_decode.h"

namespace farlane::softcuda {
namespace {

constexpr uint32_t kLocalBytesMax = 512u << 10;  // per thread, as CUDA allows at most
constexpr uint32_t kDepthMax = 4096;

// Copies one parameter between frames, lane by lane.
void copy_param(Warp& warp, const ParamSlot& from, std::byte* from_registers, uint32_t from_local,
                const ParamSlot& to, std::byte* to_registers, uint32_t to_local, uint32_t mask) {
  const uint32_t bytes = std::min(from.bytes, to.bytes);
  std::byte* saved = warp.base[0];
  for (uint32_t rest = mask; rest != 0; rest &= rest - 1) {
    auto lane = static_cast<uint32_t>(std::countr_zero(rest));
    std::byte* local = warp.local + lane * warp.local_stride;
    warp.base[0] = from_registers;
    const std::byte* source = from.operand != kNoOperand
                                  ? at<std::byte>(warp, from.operand) + lane * from.bytes
                                  : local + from_local + from.offset;
    warp.base[0] = to_registers;
    std::byte* target = to.operand != kNoOperand ? at<std::byte>(warp, to.operand) + lane * to.bytes
                                                 : local + to_local + to.offset;
    std::memmove(target, source, bytes);
  }
  warp.base[0] = saved;
}

bool enter(Warp& warp, const CallSite& site, const Function& callee, uint32_t mask,
           const Instr& in) {
  auto lane = static_cast<uint32_t>(std::countr_zero(mask));
  if (!callee.defined || callee.is_entry) {
    raise_fault(warp, Fault::kIllegalInstruction, lane,
                "call of \"" + callee.name + "\", which is not a device function (ptx line " +
                    std::to_string(in.line) + ")");
    return false;
  }
  Frame* caller = warp.frame;
  const uint32_t local_base = caller->local_base + caller->function->local_bytes;
  if (local_base + callee.local_bytes > kLocalBytesMax || caller->depth + 1 >= kDepthMax) {
    raise_fault(warp, Fault::kIllegalAddress, lane,
                "stack overflow: " + std::to_string(caller->depth + 1) +
                    " nested calls need more than " + std::to_string(kLocalBytesMax) +
                    " bytes of local memory");
    return false;
  }
  ensure_local(warp, local_base + callee.local_bytes);
  Frame* frame = push_frame(warp, callee, mask);
  frame->parent = caller;
  frame->site = &site;
  frame->return_pc = warp.pc;
  frame->depth = caller->depth + 1;
  frame->local_base = local_base;
  const size_t count = std::min(site.args.size(), callee.params.size());
  std::byte* caller_registers = caller->registers();
  for (size_t i = 0; i < count; ++i) {
    // Constants of the caller are read through base 1, which is still the caller's.
    copy_param(warp, site.args[i], caller_registers, caller->local_base, callee.params[i],
               frame->registers(), local_base, mask);
  }
  split_group(warp, mask, frame, 0);
  return true;
}

bool run_call(Warp& warp, const Instr& in, uint32_t mask) {
  const CallSite& site = warp.frame->function->calls[in.target];
  enter(warp, site, warp.grid->program->functions[site.callee], mask, in);
  return false;
}

bool run_call_indirect(Warp& warp, const Instr& in, uint32_t mask) {
  const CallSite& site = warp.frame->function->calls[in.target];
  const uint64_t* pointer = at<uint64_t>(warp, site.pointer);
  const auto& functions = warp.grid->program->functions;
  while (mask != 0) {
    auto lane = static_cast<uint32_t>(std::countr_zero(mask));
    uint32_t same = 0;
    for (uint32_t i = lane; i < kLanes; ++i) {
      if ((mask >> i & 1) && pointer[i] == pointer[lane]) same |= 1u << i;
    }
    uint64_t offset = pointer[lane] - kCodeWindow;
    uint64_t index = offset / 16 - 1;
    if (offset == 0 || offset % 16 != 0 || index >= functions.size()) {
      raise_fault(warp, Fault::kInvalidPc, lane,
                  "call through a bad function pointer " + hex(pointer[lane]) + " (ptx line " +
                      std::to_string(in.line) + ")");
      return false;
    }
    if (!enter(warp, site, functions[index], same, in)) return false;
    mask &= ~same;
  }
  return false;
}

bool run_builtin(Warp& warp, const Instr& in, uint32_t mask) {
  const CallSite& site = warp.frame->function->calls[in.target];
  uint64_t args[kBuiltinArgsMax] = {};
  const size_t count = std::min(site.args.size(), size_t{kBuiltinArgsMax});
  for (uint32_t rest = mask; rest != 0; rest &= rest - 1) {
    auto lane = static_cast<uint32_t>(std::countr_zero(rest));
    std::byte* local = warp.local + lane * warp.local_stride + warp.frame->local_base;
    for (size_t i = 0; i < count; ++i) {
      const ParamSlot& slot = site.args[i];
      args[i] = 0;
      const std::byte* from = slot.operand != kNoOperand
                                  ? at<std::byte>(warp, slot.operand) + lane * slot.bytes
                                  : local + slot.offset;
      std::memcpy(&args[i], from, std::min(slot.bytes, 8u));
    }
    uint64_t result = 0;
    // Every thread that runs into an assertion says so, as on a GPU.
    if (!call_builtin(warp, lane, site.builtin, args, &result)) continue;
    if (!site.returns.empty()) {
      const ParamSlot& slot = site.returns[0];
      std::byte* to = slot.operand != kNoOperand
                          ? at<std::byte>(warp, slot.operand) + lane * slot.bytes
                          : local + slot.offset;
      std::memcpy(to, &result, std::min(slot.bytes, 8u));
    }
  }
  return !warp.faulted;
}

ParamSlot actual(Decoder& decoder, const AstOperand& operand, bool is_return) {
  if (operand.kind == AstOperand::Kind::kName) {
    if (auto slot = decoder.frame_variable(operand.name)) return *slot;
    if (decoder.is_register(operand.name)) {
      Type type = decoder.register_type(operand.name);
      if (type == Type::kPred) decoder.fail("a predicate cannot be a parameter");
      return ParamSlot{0, std::max(type_bytes(type), 2u), *decoder.register_code(operand.name)};
    }
  }
  if (is_return) decoder.fail("a result goes to a .param variable or a register");
  uint32_t width = 0;
  uint32_t code = decoder.source_relaxed(operand, Type::kB64, &width);
  return ParamSlot{0, width, code};
}

}  // namespace

bool run_return(Warp& warp, const Instr&, uint32_t mask) {
  Frame* frame = warp.frame;
  Frame* caller = frame->parent;
  if (caller == nullptr) {
    exit_lanes(warp, mask);
    return false;
  }
  const Function& callee = *frame->function;
  const size_t count = std::min(frame->site->returns.size(), callee.returns.size());
  for (size_t i = 0; i < count; ++i) {
    copy_param(warp, callee.returns[i], frame->registers(), frame->local_base,
               frame->site->returns[i], caller->registers(), caller->local_base, mask);
  }
  split_group(warp, mask, caller, frame->return_pc);
  leave_frames(warp, frame, caller, mask);
  return false;
}

bool decode_call(Decoder& decoder) {
  if (decoder.opcode() != "call") return false;
  decoder.modifiers().take("uni");
  // call [(returns),] target [, (args)] [, prototype or targets];
  size_t next = 0;
  CallSite site;
  const size_t count = decoder.operand_count();
  if (count == 0) decoder.fail("call needs a function");
  if (decoder.operand(0).kind == AstOperand::Kind::kVector) {
    for (const AstOperand& item : decoder.operand(0).items) {
      site.returns.push_back(actual(decoder, item, true));
    }
    next = 1;
  }
  const AstOperand& target = decoder.operand(next);
  if (target.kind != AstOperand::Kind::kName) decoder.fail("call needs a function");
  ++next;
  if (next < count && decoder.operand(next).kind == AstOperand::Kind::kVector) {
    for (const AstOperand& item : decoder.operand(next).items) {
      site.args.push_back(actual(decoder, item, false));
    }
    ++next;
  }
  Instr in;
  in.target = static_cast<uint32_t>(decoder.out().calls.size());
  if (decoder.is_register(target.name)) {
    if (next >= count || (decoder.find_prototype(decoder.operand(next).name) == nullptr &&
                          decoder.find_targets(decoder.operand(next).name) == nullptr)) {
      decoder.fail("an indirect call needs a prototype or a list of targets");
    }
    site.pointer = decoder.source(target, Type::kU64);
    in.run = run_call_indirect;
  } else {
    const Symbol* symbol = decoder.find_symbol(target.name);
    if (symbol == nullptr || symbol->kind != Symbol::Kind::kFunction) {
      decoder.fail("function \"" + std::string(target.name) + "\" is not declared");
    }
    const LinkedFunction& function = decoder.linker().functions()[symbol->index];
    site.callee = symbol->index;
    site.builtin = function.builtin;
    if (site.builtin != Builtin::kNone) {
      in.run = run_builtin;
    } else if (!function.ast->has_body) {
      decoder.fail("function \"" + std::string(target.name) +
                   "\" is defined in none of the texts, and the software device has none");
    } else {
      in.run = run_call;
    }
  }
  decoder.out().calls.push_back(std::move(site));
  decoder.emit(in);
  return true;
}

}  // namespace farlane::softcuda
