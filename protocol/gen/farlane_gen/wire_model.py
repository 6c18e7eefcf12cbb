"""The commands of api/wire.api: what they are made of and how they lie on the wire."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

SCALARS = {
    "u8": ("uint8_t", 1), "u16": ("uint16_t", 2), "u32": ("uint32_t", 4), "u64": ("uint64_t", 8),
    "i32": ("int32_t", 4), "i64": ("int64_t", 8), "f32": ("float", 4), "addr": ("uint64_t", 8),
}
HANDLES = {"stream": "StreamId", "event": "EventId", "module": "ModuleId", "kernel": "KernelId",
           "graph": "GraphId", "exec": "ExecId"}
VARIABLE = ("bytes", "string", "list")
RECORD_ALIGNMENT = 8


class ApiError(Exception):
    """A mistake in a description, with its file and line."""


def camel(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


@dataclass
class Field:
    name: str
    kind: str                       # of SCALARS or HANDLES, or bytes, string, list, fixed, struct
    limit: str = ""                 # a constant of limits.h
    count: int = 0                  # of fixed<N>
    struct: "Struct | None" = None  # of list and struct

    @property
    def is_pad(self) -> bool:
        return self.name == "pad"

    @property
    def is_counted(self) -> bool:
        """A u32 count in the fixed part, the data after it."""
        return self.kind in VARIABLE

    @property
    def is_nested(self) -> bool:
        """A struct with variable members, laid out whole in the variable part."""
        return self.kind == "struct" and not self.struct.is_plain

    @property
    def is_variable(self) -> bool:
        return self.is_counted or self.is_nested

    @property
    def size_and_alignment(self) -> tuple[int, int]:
        """Of the field's place in the fixed part; (0, 1) where it has none."""
        if self.kind in SCALARS:
            size = SCALARS[self.kind][1]
            return size, size
        if self.kind in HANDLES:
            return 8, 8
        if self.kind == "fixed":
            return self.count, 1
        if self.is_counted:
            return 4, 4
        if self.is_nested:
            return 0, 1
        return self.struct.fixed_bytes, self.struct.alignment

    @property
    def cpp_type(self) -> str:
        """As the field stands in the struct that handlers and callers use."""
        if self.kind in SCALARS:
            return SCALARS[self.kind][0]
        if self.kind in HANDLES:
            return HANDLES[self.kind]
        if self.kind == "fixed":
            return f"std::array<std::byte, {self.count}>"
        if self.kind == "bytes":
            return "std::span<const std::byte>"
        if self.kind == "string":
            return "std::string_view"
        if self.kind == "struct":
            return self.struct.cpp_name
        if self.struct.is_plain:
            return f"std::span<const {self.struct.cpp_name}>"
        return f"std::vector<{self.struct.cpp_name}>"


@dataclass
class Struct:
    """A struct, or the fields of a message or reply."""

    name: str
    fields: list[Field] = field(default_factory=list)
    where: str = ""
    comment: list[str] = field(default_factory=list)

    @property
    def cpp_name(self) -> str:
        return camel(self.name)

    @property
    def is_plain(self) -> bool:
        return not any(f.is_variable for f in self.fields)

    @property
    def visible(self) -> list[Field]:
        return [f for f in self.fields if not f.is_pad]

    @property
    def alignment(self) -> int:
        return max((f.size_and_alignment[1] for f in self.fields), default=1)

    def layout(self) -> tuple[list[tuple[Field, int]], int]:
        """(field, offset) for each field with a place in the fixed part, and its unpadded size."""
        at, places = 0, []
        for f in self.fields:
            size, alignment = f.size_and_alignment
            if size == 0:
                continue
            if at % alignment:
                raise ApiError(f"{self.where}: {self.name}.{f.name} would leave a hole at byte "
                               f"{at}; write a pad field before it")
            places.append((f, at))
            at += size
        return places, at

    @property
    def fixed_bytes(self) -> int:
        """Of a plain struct, exact; of anything else, padded to the record alignment."""
        size = self.layout()[1]
        if self.is_plain and self.where_is_struct:
            return size
        return -(-size // RECORD_ALIGNMENT) * RECORD_ALIGNMENT

    where_is_struct: bool = False


@dataclass
class Message:
    name: str
    op: int
    kind: str                      # post, ask or tell
    fields: Struct
    reply: Struct | None = None    # of an ask
    has_body: bool = False
    group: str = ""

    @property
    def cpp_name(self) -> str:
        return camel(self.name)

    @property
    def cpp_op(self) -> str:
        return f"Op::k{self.cpp_name}"


@dataclass
class Wire:
    structs: list[Struct] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)

    def of_kind(self, *kinds: str) -> list[Message]:
        return [m for m in self.messages if m.kind in kinds]


_TOKEN = re.compile(r"\s*(?:(#[^\n]*)|([A-Za-z_0-9]+)|(->|[{}=<>,]))")


class WireParser:
    def __init__(self, text: str, file: str, limits: set[str]):
        self.file, self.limits = file, limits
        self.tokens: list[tuple[str, int]] = []
        self.at = 0
        self.wire = Wire()
        self._tokenise(text)

    def _tokenise(self, text: str) -> None:
        line, position = 1, 0
        while text[position:].strip():
            match = _TOKEN.match(text, position)
            if not match:
                raise ApiError(f"{self.file}:{line}: cannot read {text[position:position + 20]!r}")
            line += text.count("\n", position, match.start(match.lastindex))
            if not match.group(1):
                self.tokens.append((match.group(match.lastindex), line))
            position = match.end()

    def _where(self) -> str:
        line = self.tokens[min(self.at, len(self.tokens) - 1)][1]
        return f"{self.file}:{line}"

    def _next(self, expected: str = "") -> str:
        if self.at >= len(self.tokens):
            raise ApiError(f"{self.file}: the file ends where {expected or 'more'} was expected")
        token = self.tokens[self.at][0]
        if expected and token != expected:
            raise ApiError(f"{self._where()}: {token!r} where {expected!r} was expected")
        self.at += 1
        return token

    def _peek(self) -> str:
        return self.tokens[self.at][0] if self.at < len(self.tokens) else ""

    def parse(self) -> Wire:
        while self.at < len(self.tokens):
            where, word = self._where(), self._next()
            if word == "struct":
                struct, body = self._fields(self._next(), where)
                if body:
                    raise ApiError(f"{where}: a struct has no body")
                struct.where_is_struct = True
                struct.layout()
                self.wire.structs.append(struct)
            elif word in ("post", "ask", "tell"):
                self._message(word, where)
            else:
                raise ApiError(f"{where}: {word!r} where struct, post, ask or tell was expected")
        return self.wire

    def _message(self, kind: str, where: str) -> None:
        name = self._next()
        self._next("=")
        op = int(self._next())
        fields, has_body = self._fields(name, where)
        reply = None
        if kind == "ask":
            self._next("->")
            reply, reply_body = self._fields(name + "_reply", where)
            if has_body or reply_body:
                raise ApiError(f"{where}: ask {name}: only a post or tell has a body")
            prefix = [Field("result", "i32"), Field("pad", "u32"), Field("executed", "u64")]
            reply.fields[:0] = prefix
            reply.layout()
        fields.layout()
        for other in self.wire.messages:
            if other.op == op or other.name == name:
                raise ApiError(f"{where}: {name} = {op} is taken by {other.name} = {other.op}")
        if not 0 < op < 65536:
            raise ApiError(f"{where}: op {op} of {name} is not in 1..65535")
        self.wire.messages.append(Message(name, op, kind, fields, reply, has_body))

    def _fields(self, name: str, where: str) -> tuple[Struct, bool]:
        struct, has_body = Struct(name, where=where), False
        self._next("{")
        while self._peek() != "}":
            if has_body:
                raise ApiError(f"{self._where()}: body stands at the end")
            type_name = self._next()
            if type_name == "body":
                has_body = True
                continue
            struct.fields.append(self._field(type_name))
        self._next("}")
        names = [f.name for f in struct.visible]
        if len(set(names)) != len(names):
            raise ApiError(f"{where}: {name} has two fields of one name")
        return struct, has_body

    def _field(self, kind: str) -> Field:
        where = self._where()
        if kind in SCALARS or kind in HANDLES:
            return Field(self._next(), kind)
        if kind in ("bytes", "string"):
            self._next("<")
            limit = self._limit()
            self._next(">")
            return Field(self._next(), kind, limit=limit)
        if kind == "fixed":
            self._next("<")
            count = int(self._next())
            self._next(">")
            return Field(self._next(), kind, count=count)
        if kind == "list":
            self._next("<")
            struct = self._struct(self._next(), where)
            self._next(",")
            limit = self._limit()
            self._next(">")
            return Field(self._next(), kind, limit=limit, struct=struct)
        return Field(self._next(), "struct", struct=self._struct(kind, where))

    def _limit(self) -> str:
        name = self._next()
        if name not in self.limits:
            raise ApiError(f"{self._where()}: {name} is not a constant of limits.h")
        return name

    def _struct(self, name: str, where: str) -> Struct:
        for struct in self.wire.structs:
            if struct.name == name:
                return struct
        raise ApiError(f"{where}: no type or struct is called {name}")


def read_limits(text: str) -> dict[str, str]:
    """Constants of limits.h and their values as written."""
    return dict(re.findall(r"inline constexpr uint\d+_t (\w+) = ([^;]+);", text))


def read_wire(text: str, file: str, limits: set[str]) -> Wire:
    return WireParser(text, file, limits).parse()
