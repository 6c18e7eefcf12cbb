"""testing.h: fills and compares every message, for round-trip tests, golden vectors and fuzzing."""

from __future__ import annotations

from .emit_messages import SOURCE, all_structs
from .output import banner
from .wire_model import HANDLES, Field, Struct, Wire, camel


def _fill_field(f: Field) -> str:
    target = f"value.{f.name}"
    if f.kind in HANDLES:
        return f"  {target} = filler.handle<{HANDLES[f.kind]}>();\n"
    if f.kind == "bytes":
        return f"  {target} = filler.bytes(limits::{f.limit});\n"
    if f.kind == "string":
        return f"  {target} = filler.string(limits::{f.limit});\n"
    if f.kind == "fixed":
        return f"  filler.fixed({target});\n"
    if f.kind == "list" and f.struct.is_plain:
        return (f"  {target} = filler.list<{f.struct.cpp_name}>(limits::{f.limit}, "
                f"[&](auto& item) {{ fill(filler, item); }});\n")
    if f.kind == "list":
        return (f"  {target}.resize(filler.count(limits::{f.limit}, {f.struct.fixed_bytes}));\n"
                f"  for (auto& item : {target}) fill(filler, item);\n")
    if f.kind == "struct":
        return f"  fill(filler, {target});\n"
    return f"  filler.number({target});\n"


def _equal_field(f: Field) -> str:
    a, b = f"a.{f.name}", f"b.{f.name}"
    if f.kind in ("bytes", "fixed") or (f.kind == "list" and f.struct.is_plain):
        return f"std::ranges::equal({a}, {b})"
    if f.kind == "list":
        return (f"std::ranges::equal({a}, {b}, "
                "[](const auto& x, const auto& y) { return equal(x, y); })")
    if f.kind == "struct":
        return f"equal({a}, {b})"
    if f.kind == "f32":
        return f"std::bit_cast<uint32_t>({a}) == std::bit_cast<uint32_t>({b})"
    return f"{a} == {b}"


def _functions(s: Struct, name: str) -> str:
    unused = "[[maybe_unused]] "
    fills = "".join(_fill_field(f) for f in s.visible)
    equals = " &&\n         ".join(_equal_field(f) for f in s.visible) or "true"
    return (f"inline void fill({unused}testing::Filler& filler, {unused}{name}& value) {{\n"
            f"{fills}}}\n"
            f"inline bool equal({unused}const {name}& a, {unused}const {name}& b) {{\n"
            f"  return {equals};\n}}\n\n")


def testing_h(wire: Wire) -> str:
    functions = "".join(_functions(s, s.cpp_name) for s in wire.structs)
    functions += "".join(_functions(s, camel(s.name)) for _, s, _ in all_structs(wire))
    return banner(SOURCE) + f"""#pragma once

#include <algorithm>
#include <bit>

#include "generated/protocol/messages.h"
#include "protocol/limits.h"
#include "protocol/testing/filler.h"

namespace farlane::protocol::message {{

{functions}}}  // namespace farlane::protocol::message
"""
