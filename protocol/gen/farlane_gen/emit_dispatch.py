"""dispatch.h: from a record to the handler's overload for its message."""

from __future__ import annotations

from .emit_messages import SOURCE
from .output import banner
from .wire_model import Message, Wire, camel


def _case(m: Message) -> str:
    body = ", body" if m.has_body else ""
    return (f"    case {m.cpp_op}:\n"
            f"      return detail::handle<message::{m.cpp_name}>(record, handler{body});\n")


def _others(messages: list[Message]) -> str:
    return "".join(f"    case {m.cpp_op}:\n" for m in messages)


def dispatch_h(wire: Wire) -> str:
    to_server, to_client = wire.of_kind("post", "ask"), wire.of_kind("tell")
    commands = "".join(_case(m) for m in to_server)
    tells = "".join(_case(m) for m in to_client)
    replies = "".join(
        f"    case {m.cpp_op}:\n"
        f"      return detail::handle<message::{camel(m.reply.name)}>(record, handler);\n"
        for m in wire.of_kind("ask"))
    not_asks = [m for m in wire.messages if m.kind != "ask"]
    bodies = "".join(f"    case {m.cpp_op}:\n" for m in wire.messages if m.has_body)
    no_bodies = "".join(f"    case {m.cpp_op}:\n" for m in wire.messages if not m.has_body)
    return banner(SOURCE) + f"""//
// A handler has an overload for each message of its direction:
//
//   bool on(const RecordHeader& header, const message::Launch& launch);
//   bool on(const RecordHeader& header, const message::CopyIn& copy, std::span<std::byte> body);
//
// The second form is for messages with a `body`; the body is empty unless the record is the last of
// its frame. False stops the dispatch: the handler keeps its reason; `void` instead of bool is
// fine. A handler of the server's records may take replies undecoded, to hand each to its waiter:
//
//   bool on_reply(const Record& record);   // instead of one overload per reply
#pragma once

#include <cstddef>
#include <span>
#include <type_traits>

#include "generated/protocol/messages.h"
#include "protocol/fault.h"
#include "protocol/record.h"

namespace farlane::protocol {{

enum class DispatchStatus : uint8_t {{
  kDone,
  kMalformed,  // the peer's fault: see DispatchResult::fault
  kStopped,    // the handler said false
}};

struct [[nodiscard]] DispatchResult {{
  DispatchStatus status = DispatchStatus::kDone;
  Fault fault{{}};

  explicit operator bool() const {{ return status == DispatchStatus::kDone; }}
}};

namespace detail {{

inline DispatchResult malformed(FaultReason reason, const char* field, uint64_t value) {{
  return {{DispatchStatus::kMalformed, Fault{{reason, field, value, 0}}}};
}}

inline DispatchResult wrong_direction(const char* field, const Record& record) {{
  return malformed(FaultReason::kWrongDirection, field, record.header.op);
}}

template <class M, class Handler, class... Body>
DispatchResult handle(const Record& record, Handler& handler, Body... body) {{
  M message;
  Fault fault;
  if (!decode(record, message, fault)) return {{DispatchStatus::kMalformed, fault}};
  const RecordHeader& header = record.header;
  const M& decoded = message;
  if constexpr (std::is_void_v<decltype(handler.on(header, decoded, body...))>) {{
    handler.on(header, decoded, body...);
  }} else {{
    if (!handler.on(header, decoded, body...)) return {{DispatchStatus::kStopped}};
  }}
  return {{}};
}}

}}  // namespace detail

// Whether the bulk data of a frame may belong to this op.
constexpr bool takes_body(Op op) {{
  switch (op) {{
{bodies}      return true;
{no_bodies}      return false;
  }}
  return false;
}}

// One record from a client, a post or an ask.
template <class Handler>
DispatchResult dispatch_commands(const Record& record, [[maybe_unused]] std::span<std::byte> body,
                                 Handler& handler) {{
  if (record.is_reply()) {{
    return detail::wrong_direction("reply flag", record);
  }}
  switch (static_cast<Op>(record.header.op)) {{
{commands}{_others(to_client)}      return detail::wrong_direction("record op", record);
  }}
  return detail::malformed(FaultReason::kUnknownOp, "record op", record.header.op);
}}

// One reply from a server.
template <class Handler>
DispatchResult dispatch_replies(const Record& record, Handler& handler) {{
  switch (static_cast<Op>(record.header.op)) {{
{replies}{_others(not_asks)}      return detail::wrong_direction("reply op", record);
  }}
  return detail::malformed(FaultReason::kUnknownOp, "reply op", record.header.op);
}}

// One record from a server, a tell or a reply.
template <class Handler>
DispatchResult dispatch_events(const Record& record, [[maybe_unused]] std::span<std::byte> body,
                               Handler& handler) {{
  if (record.is_reply()) {{
    if constexpr (requires {{ handler.on_reply(record); }}) {{
      if constexpr (std::is_void_v<decltype(handler.on_reply(record))>) {{
        handler.on_reply(record);
        return {{}};
      }} else {{
        return {{handler.on_reply(record) ? DispatchStatus::kDone : DispatchStatus::kStopped}};
      }}
    }} else {{
      return dispatch_replies(record, handler);
    }}
  }}
  switch (static_cast<Op>(record.header.op)) {{
{tells}{_others(to_server)}      return detail::wrong_direction("record op", record);
  }}
  return detail::malformed(FaultReason::kUnknownOp, "record op", record.header.op);
}}

namespace detail {{

template <class One>
DispatchResult each_record(std::span<const std::byte> head, std::span<std::byte> body, One&& one) {{
  RecordCursor records(head);
  Record record;
  while (records.next(record)) {{
    const bool last = records.at_end();
    if (last && !body.empty() &&
        (record.is_reply() || !takes_body(static_cast<Op>(record.header.op)))) {{
      return malformed(FaultReason::kUnexpectedBody, "frame body", record.header.op);
    }}
    if (DispatchResult result = one(record, last ? body : std::span<std::byte>()); !result) {{
      return result;
    }}
  }}
  if (records.fault()) return {{DispatchStatus::kMalformed, records.fault()}};
  return {{}};
}}

}}  // namespace detail

// All records of a frame from a client, in order; the body goes to the last one.
template <class Handler>
DispatchResult dispatch_command_frame(std::span<const std::byte> head, std::span<std::byte> body,
                                      Handler& handler) {{
  return detail::each_record(head, body, [&](const Record& record, std::span<std::byte> own) {{
    return dispatch_commands(record, own, handler);
  }});
}}

// All records of a frame from a server.
template <class Handler>
DispatchResult dispatch_event_frame(std::span<const std::byte> head, std::span<std::byte> body,
                                    Handler& handler) {{
  return detail::each_record(head, body, [&](const Record& record, std::span<std::byte> own) {{
    return dispatch_events(record, own, handler);
  }});
}}

}}  // namespace farlane::protocol
"""
