"""describe.cc: one line of text for every message, for traces and logs; names and lists of ops."""

from __future__ import annotations

from .emit_messages import SOURCE, all_structs
from .output import banner
from .wire_model import HANDLES, Field, Struct, Wire, camel


def _add(f: Field) -> str:
    if f.kind in HANDLES:
        how = f"protocol::describe(value.{f.name})"
    elif f.kind == "addr":
        how = f"address_text(value.{f.name})"
    elif f.kind in ("bytes", "fixed"):
        how = f"bytes_text(value.{f.name})"
    elif f.kind == "string":
        how = f"string_text(value.{f.name})"
    elif f.kind == "list":
        how = f"list_text(value.{f.name})"
    elif f.kind == "struct":
        how = f"describe(value.{f.name})"
    else:
        how = f"fmt::format(\"{{}}\", value.{f.name})"
    return f"  line.add(\"{f.name}\", {how});\n"


def _describe(s: Struct, name: str, label: str) -> str:
    unused = "[[maybe_unused]] " if not s.visible else ""
    fields = "".join(_add(f) for f in s.visible)
    return (f"std::string describe({unused}const {name}& value) {{\n  Line line(\"{label}\");\n"
            f"{fields}  return line.text();\n}}\n\n")


def describe_cc(wire: Wire) -> str:
    functions = "".join(_describe(s, s.cpp_name, "") for s in wire.structs)
    functions += "".join(_describe(s, camel(s.name), s.name) for _, s, _ in all_structs(wire))
    names = "".join(f"    case {m.cpp_op}:\n      return \"{m.name}\";\n" for m in wire.messages)
    client = ", ".join(m.cpp_op for m in wire.of_kind("post", "ask"))
    server = ", ".join(m.cpp_op for m in wire.of_kind("tell"))
    return banner(SOURCE) + f"""
#include <fmt/format.h>

#include "generated/protocol/messages.h"
#include "protocol/describe_support.h"

namespace farlane::protocol {{

const char* op_name(uint16_t op) {{
  switch (static_cast<Op>(op)) {{
{names}  }}
  return nullptr;
}}

std::span<const Op> client_ops() {{
  static constexpr Op kOps[] = {{{client}}};
  return kOps;
}}

std::span<const Op> server_ops() {{
  static constexpr Op kOps[] = {{{server}}};
  return kOps;
}}

namespace message {{

{functions}}}  // namespace message
}}  // namespace farlane::protocol
"""
