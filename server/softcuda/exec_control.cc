// bra, brx.idx, exit, ret, trap and what has no effect here.
#include <bit>

#include "server/softcuda/exec_handlers.h"
#include "server/softcuda/exec_lanes.h"
#include "server/softcuda/ptx_decode.h"

namespace farlane::softcuda {
namespace {

bool run_branch(Warp& warp, const Instr& in, uint32_t mask) {
  const bool backward = in.target < warp.pc;
  if (mask == warp.mask) {
    warp.pc = in.target;
    return !backward || count_spin(warp);
  }
  if (backward) count_spin(warp);
  split_group(warp, mask, warp.frame, in.target);
  return false;
}

bool run_branch_indexed(Warp& warp, const Instr& in, uint32_t mask) {
  const std::vector<uint32_t>& targets = warp.frame->function->lists[in.target];
  const uint32_t* index = at<uint32_t>(warp, in.a);
  while (mask != 0) {
    auto lane = static_cast<uint32_t>(std::countr_zero(mask));
    uint32_t same = 0;
    for (uint32_t i = lane; i < kLanes; ++i) {
      if ((mask >> i & 1) && index[i] == index[lane]) same |= 1u << i;
    }
    if (index[lane] >= targets.size()) {
      raise_fault(warp, Fault::kInvalidPc, lane,
                  "brx.idx with index " + std::to_string(index[lane]) + " into " +
                      std::to_string(targets.size()) + " targets");
      return false;
    }
    uint32_t target = targets[index[lane]];
    if (same == warp.mask) {
      warp.pc = target;
      return false;
    }
    split_group(warp, same, warp.frame, target);
    mask &= ~same;
  }
  return false;
}

bool run_exit(Warp& warp, const Instr&, uint32_t mask) {
  exit_lanes(warp, mask);
  return false;
}

bool run_trap(Warp& warp, const Instr& in, uint32_t mask) {
  raise_fault(warp, Fault::kIllegalInstruction, static_cast<uint32_t>(std::countr_zero(mask)),
              "trap (ptx line " + std::to_string(in.line) + ")");
  return false;
}

bool run_nothing(Warp&, const Instr&, uint32_t) {
  return true;
}

bool run_nanosleep(Warp& warp, const Instr&, uint32_t) {
  warp.touched_sync = true;
  return true;
}

bool run_fence(Warp&, const Instr&, uint32_t) {
#if defined(__SANITIZE_THREAD__)
  // The thread sanitizer knows no fences. Read-modify-writes of one word order what it looks at.
  static std::atomic<uint32_t> order{0};
  order.fetch_add(1, std::memory_order_seq_cst);
#else
  std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
  return true;
}

}  // namespace

bool decode_control(Decoder& decoder) {
  std::string_view op = decoder.opcode();
  Modifiers& modifiers = decoder.modifiers();
  Instr in;
  if (op == "bra") {
    modifiers.take("uni");
    decoder.need_operands(1, 1);
    if (decoder.operand(0).kind != AstOperand::Kind::kName) decoder.fail("bra needs a label");
    in.run = run_branch;
    decoder.emit_branch(in, decoder.operand(0).name);
    return true;
  }
  if (op == "brx") {
    if (!modifiers.take("idx")) decoder.unknown();
    modifiers.take("uni");
    decoder.need_operands(2, 2);
    const AstTargets* targets = decoder.find_targets(decoder.operand(1).name);
    if (targets == nullptr) decoder.fail("brx.idx needs a list of branch targets");
    in.a = decoder.source(0, Type::kU32);
    in.target = decoder.add_label_list(targets->targets);
    in.run = run_branch_indexed;
    decoder.emit(in);
    return true;
  }
  if (op == "ret") {
    modifiers.take("uni");
    in.run = run_return;
  } else if (op == "exit") {
    in.run = run_exit;
  } else if (op == "trap") {
    in.run = run_trap;
  } else if (op == "brkpt" || op == "pmevent") {
    modifiers.take("mask");
    in.run = run_nothing;
  } else if (op == "nanosleep") {
    decoder.need_type();
    in.run = run_nanosleep;
  } else if (op == "membar" || op == "fence") {
    modifiers.ignore({"cta", "gl", "sys", "gpu", "cluster", "sc", "acq_rel", "acquire", "release",
                      "proxy", "alias", "async", "async.global", "global", "shared::cta"});
    in.run = run_fence;
  } else if (op == "griddepcontrol") {
    modifiers.ignore({"wait", "launch_dependents"});
    in.run = run_nothing;
  } else if (op == "setmaxnreg") {
    modifiers.ignore({"inc", "dec", "sync", "aligned", "u32"});
    in.run = run_nothing;
  } else if (op == "prefetch" || op == "prefetchu" || op == "discard" || op == "applypriority") {
    modifiers.ignore({"global", "local", "L1", "L2"});
    modifiers.ignore_prefix("L2");
    in.run = run_nothing;
  } else {
    return false;
  }
  decoder.emit(in);
  return true;
}

}  // namespace farlane::softcuda
