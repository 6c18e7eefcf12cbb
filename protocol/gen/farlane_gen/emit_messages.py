"""messages.h and the encode and decode functions."""

from __future__ import annotations

from .output import banner
from .wire_model import HANDLES, SCALARS, Field, Message, Struct, Wire, camel

SOURCE = "protocol/api/wire.api"
KINDS = {"post": "kPost", "ask": "kAsk", "tell": "kTell"}
DIRECTIONS = {"post": "kToServer", "ask": "kToServer", "tell": "kToClient"}


def all_structs(wire: Wire) -> list[tuple[Message, Struct, str]]:
    """(message, fields, kind) of everything that is a record: messages, then their replies."""
    found = []
    for m in wire.messages:
        found.append((m, m.fields, m.kind))
        if m.reply:
            found.append((m, m.reply, "reply"))
    return found


# --- messages.h -----------------------------------------------------------------------------------


def _member(f: Field, keep_pad: bool) -> str:
    if f.is_pad and not keep_pad:
        return ""
    initial = ""
    if f.kind in SCALARS:
        initial = " = 0"
    elif f.kind == "fixed":
        initial = "{}"
    return f"  {f.cpp_type} {f.name}{initial};\n"


def _struct(s: Struct) -> str:
    text = f"struct {s.cpp_name} {{\n"
    text += "".join(_member(f, s.is_plain) for f in s.fields)
    if s.is_plain:
        text += f"\n  friend bool operator==(const {s.cpp_name}&, const {s.cpp_name}&) = default;\n"
    text += "};\n"
    if s.is_plain:
        text += (f"static_assert(sizeof({s.cpp_name}) == {s.fixed_bytes} && "
                 f"std::is_trivially_copyable_v<{s.cpp_name}>);\n")
        for f, offset in s.layout()[0]:
            text += f"static_assert(offsetof({s.cpp_name}, {f.name}) == {offset});\n"
    return text


def _message(m: Message, s: Struct, kind: str) -> str:
    name = camel(s.name)
    text = ""
    if m.reply and kind == "ask":
        text += f"struct {camel(m.reply.name)};\n"
    text += f"struct {name} {{\n  static constexpr Op kOp = {m.cpp_op};\n"
    text += f"  static constexpr MessageKind kKind = MessageKind::{KINDS.get(kind, 'kReply')};\n"
    text += f"  static constexpr const char* kName = \"{s.name}\";\n"
    if m.has_body:
        text += "  static constexpr bool kHasBody = true;\n"
    else:
        text += "  static constexpr bool kHasBody = false;\n"
    if m.reply and kind == "ask":
        text += f"  using Reply = {camel(m.reply.name)};\n"
    members = "".join(_member(f, False) for f in s.fields)
    text += ("\n" + members if members else "") + "};\n"
    text += f"size_t encoded_bytes(const {name}& message);\n"
    text += (f"void encode(std::span<std::byte> out, const {name}& message, uint64_t sequence,\n"
             "            uint8_t lane = 0);\n")
    text += (f"[[nodiscard]] bool decode(const Record& record, {name}& message, Fault& fault);\n")
    text += f"std::string describe(const {name}& message);\n\n"
    return text


def messages_h(wire: Wire) -> str:
    ops = "".join(f"  k{m.cpp_name} = {m.op},\n" for m in wire.messages)
    structs = "\n".join(_struct(s) for s in wire.structs)
    structs += "\n" + "".join(f"std::string describe(const {s.cpp_name}& value);\n"
                              for s in wire.structs)
    structs += "".join(f"size_t payload_bytes(const {s.cpp_name}& value);\n"
                       for s in wire.structs if not s.is_plain)
    messages = "".join(_message(*item) for item in all_structs(wire))
    visits = "".join(f"  visitor.template visit<{camel(s.name)}>();\n"
                     for _, s, _ in all_structs(wire))
    return banner(SOURCE) + f"""//
// Every command, reply and tell of a session as a struct, with encode and decode. A decoded
// message points into the record it came from. See protocol/README.md.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "protocol/fault.h"
#include "protocol/handles.h"
#include "protocol/record.h"

namespace farlane::protocol {{

enum class Op : uint16_t {{
{ops}}};

enum class MessageKind : uint8_t {{
  kPost,   // client to server, no answer of its own
  kAsk,    // client to server, answered by one reply
  kReply,  // server to client: the answer
  kTell,   // server to client, unasked
}};

// "launch"; "op 1234" is not there: nullptr for an op that this version does not have.
const char* op_name(uint16_t op);

// The ops that a client sends (posts and asks), and the ops that a server sends unasked: what each
// side lists in its Hello and Welcome.
std::span<const Op> client_ops();
std::span<const Op> server_ops();

// What every reply begins with; enough to find who waits for it.
struct ReplyPrefix {{
  int32_t result = 0;     // a CUresult
  uint64_t executed = 0;  // highest sequence executed
}};
[[nodiscard]] bool decode(const Record& record, ReplyPrefix& prefix, Fault& fault);

}}  // namespace farlane::protocol

// encoded_bytes() is the size of the whole record. encode() writes exactly that many bytes to the
// front of `out`; a value over its limit or too short an `out` trips a check. decode() checks the
// op, the reply flag and every byte of the payload; false leaves the reason in `fault`.
namespace farlane::protocol::message {{

{structs}
{messages}// visitor.visit<M>() for every message and reply.
template <class Visitor>
void for_each_message(Visitor&& visitor) {{
{visits}}}

}}  // namespace farlane::protocol::message
"""


# --- encode and decode ----------------------------------------------------------------------------


def _wire_struct(s: Struct, name: str) -> str:
    """The fixed part as a struct without holes, padded to 8."""
    places, size = s.layout()
    whole = -(-size // 8) * 8
    text = f"struct {name} {{\n"
    pads = 0
    for f, _ in places:
        if f.is_pad:
            text += f"  {SCALARS[f.kind][0]} pad_{pads} = 0;\n"
            pads += 1
        elif f.is_counted:
            text += f"  uint32_t {f.name}_count = 0;\n"
        elif f.kind in HANDLES:
            text += f"  uint64_t {f.name} = 0;\n"
        else:
            text += _member(f, True)
    if whole != size:
        text += f"  std::array<std::byte, {whole - size}> padding{{}};\n"
    if any(f.kind == "f32" for f, _ in places):
        text += "  using HoldsFloat = void;\n"
    text += f"}};\nstatic_assert(sizeof({name}) == {whole});\n\n"
    return text if whole else ""


def _payload_bytes(s: Struct, value: str) -> str:
    """The expression of a payload's size."""
    terms = [str(-(-s.layout()[1] // 8) * 8)]
    for f in s.fields:
        if f.kind in ("bytes", "string"):
            terms.append(f"padded({value}.{f.name}.size())")
        elif f.kind == "list" and f.struct.is_plain:
            terms.append(f"padded({value}.{f.name}.size_bytes())")
        elif f.kind == "list":
            terms.append(f"items_bytes({value}.{f.name})")
        elif f.is_nested:
            terms.append(f"payload_bytes({value}.{f.name})")
    return " + ".join(terms)


def _write_payload(s: Struct, value: str, wire_name: str, owner: str) -> str:
    places, size = s.layout()
    text = ""
    for f in s.fields:
        if f.is_counted:
            text += (f"  FARLANE_CHECK({value}.{f.name}.size() <= limits::{f.limit}, "
                     f"\"{owner}.{f.name} is over {f.limit}\");\n")
        elif f.kind in HANDLES:
            text += (f"  FARLANE_CHECK({value}.{f.name}.is_valid(), "
                     f"\"{owner}.{f.name} names nothing\");\n")
    if size:
        text += f"  {wire_name} fixed;\n"
    for f, _ in places:
        if f.is_pad:
            continue
        if f.is_counted:
            text += f"  fixed.{f.name}_count = static_cast<uint32_t>({value}.{f.name}.size());\n"
        elif f.kind in HANDLES:
            text += f"  fixed.{f.name} = {value}.{f.name}.bits();\n"
        else:
            text += f"  fixed.{f.name} = {value}.{f.name};\n"
    if size:
        text += "  out.fixed(fixed);\n"
    for f in s.fields:
        if f.kind in ("bytes", "string"):
            text += f"  out.{f.kind}({value}.{f.name});\n"
        elif f.kind == "list" and f.struct.is_plain:
            text += f"  out.list({value}.{f.name});\n"
        elif f.kind == "list":
            text += f"  for (const auto& item : {value}.{f.name}) write(out, item);\n"
        elif f.is_nested:
            text += f"  write(out, {value}.{f.name});\n"
    return text


def _read_payload(s: Struct, value: str, wire_name: str, owner: str) -> str:
    places, size = s.layout()
    text = ""
    if size:
        text += f"  {wire_name} fixed;\n  in.fixed(fixed, \"{owner}\");\n"
    for f in s.fields:
        where = f"\"{owner}.{f.name}\""
        if f.is_pad:
            continue
        if f.kind in HANDLES:
            text += f"  {value}.{f.name} = in.handle<{HANDLES[f.kind]}>(fixed.{f.name}, {where});\n"
        elif f.kind in ("bytes", "string"):
            text += (f"  {value}.{f.name} = in.{f.kind}(fixed.{f.name}_count, "
                     f"limits::{f.limit}, {where});\n")
        elif f.kind == "list" and f.struct.is_plain:
            text += (f"  {value}.{f.name} = in.list<{f.struct.cpp_name}>(fixed.{f.name}_count, "
                     f"limits::{f.limit}, {where});\n")
        elif f.kind == "list":
            text += (f"  {value}.{f.name}.resize(in.count(fixed.{f.name}_count, limits::{f.limit}, "
                     f"{f.struct.fixed_bytes}, {where}));\n"
                     f"  for (auto& item : {value}.{f.name}) {{\n"
                     f"    if (!in.ok()) break;\n    read(in, item);\n  }}\n")
        elif f.is_nested:
            text += f"  read(in, {value}.{f.name});\n"
        else:
            text += f"  {value}.{f.name} = fixed.{f.name};\n"
    return text


def _struct_functions(s: Struct) -> str:
    name, wire_name = s.cpp_name, f"{s.cpp_name}Fixed"
    return (_wire_struct(s, wire_name) +
            f"void write(Writer& out, const {name}& value) {{\n"
            + _write_payload(s, "value", wire_name, s.name) + "}\n\n"
            f"void read(Reader& in, {name}& value) {{\n"
            + _read_payload(s, "value", wire_name, s.name) + "}\n\n")


def _codec_functions(m: Message, s: Struct, kind: str) -> str:
    name, wire_name = camel(s.name), f"{camel(s.name)}Fixed"
    unused = "[[maybe_unused]] " if not s.visible else ""
    wire_struct = _wire_struct(s, wire_name)
    flags = "kReply" if kind == "reply" else "0"
    text = f"namespace {{\n{wire_struct}}}  // namespace\n\n" if wire_struct else ""
    parameter = " message" if any(f.is_variable for f in s.fields) else ""
    text += f"size_t encoded_bytes(const {name}&{parameter}) {{\n"
    text += f"  return sizeof(RecordHeader) + {_payload_bytes(s, 'message')};\n}}\n\n"
    text += (f"void encode(std::span<std::byte> space, {unused}const {name}& message, "
             "uint64_t sequence,\n            uint8_t lane) {\n"
             f"  const size_t bytes = encoded_bytes(message);\n"
             f"  Writer out = begin(space, {m.cpp_op}, {flags}, lane, sequence, bytes);\n")
    text += _write_payload(s, "message", wire_name, s.name)
    text += ("  FARLANE_CHECK(out.written() == bytes, "
             "\"encoded_bytes() and encode() disagree\");\n}\n\n")
    text += f"bool decode(const Record& record, {unused}{name}& message, Fault& fault) {{\n"
    text += (f"  if (!is_record_of(record, {m.cpp_op}, {str(kind == 'reply').lower()}, "
             f"\"{s.name}\", fault)) return false;\n"
             "  Reader in(record.payload);\n")
    text += _read_payload(s, "message", wire_name, s.name)
    text += f"  return in.finish(fault, \"{s.name}\");\n}}\n\n"
    return text


def codec_cc(wire: Wire, kinds: tuple[str, ...]) -> str:
    items = [item for item in all_structs(wire) if item[2] in kinds]
    used: list[Struct] = []
    for _, s, _ in items:
        for f in s.fields:
            if f.struct and not f.struct.is_plain and f.struct not in used:
                used.append(f.struct)
    structs = "".join(_struct_functions(s) for s in used)
    if used:
        structs = f"namespace {{\n{structs}}}  // namespace\n\n"
    sizes = "".join(
        f"size_t payload_bytes(const {s.cpp_name}& value) {{\n"
        f"  return {_payload_bytes(s, 'value')};\n}}\n\n" for s in used)
    items_bytes = """namespace {
template <class T>
size_t items_bytes(const std::vector<T>& items) {
  size_t bytes = 0;
  for (const T& item : items) bytes += payload_bytes(item);
  return bytes;
}
}  // namespace

""" if used else ""
    return (banner(SOURCE) + """
#include "generated/protocol/messages.h"
#include "protocol/check.h"
#include "protocol/codec_support.h"
#include "protocol/limits.h"
#include "protocol/reader.h"
#include "protocol/writer.h"

namespace farlane::protocol::message {

""" + sizes + items_bytes + structs + "".join(_codec_functions(*item) for item in items)
            + "}  // namespace farlane::protocol::message\n")
