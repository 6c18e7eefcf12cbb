"""The functions of a façade, from api/cudart.api and api/cuda.api: what each is, how it answers."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from .wire_model import ApiError

MODES = ("local", "posted", "asked", "unsupported")
TWINS = ("ptsz", "ptds")


@dataclass
class Abi:
    """An exported symbol: the function for CUDA versions from `since` on (0: not versioned)."""

    symbol: str
    since: int = 0

    @property
    def base(self) -> str:
        """The name that cuGetProcAddress knows it by."""
        return re.sub(r"(_v\d+)?(_pt[sd][sz])?$", "", self.symbol)

    @property
    def is_twin(self) -> bool:
        return self.symbol.endswith(tuple("_" + twin for twin in TWINS))


@dataclass
class Function:
    name: str           # the exported symbol that the declaration is of
    mode: str
    returns: str
    parameters: str     # as in C, "void" for none
    section: str
    where: str
    why: str = ""
    note: str = ""
    is_declared: bool = True
    is_handwritten: bool = False    # although its library's functions are generated
    arrays: dict[str, str] = field(default_factory=dict)  # pointer parameter: where its length is
    since: int = 0
    twins: list[Abi] = field(default_factory=list)
    also: list[Abi] = field(default_factory=list)      # other ABIs, as supported as this one
    without: list[Abi] = field(default_factory=list)   # other ABIs, unsupported

    @property
    def is_supported(self) -> bool:
        return self.mode != "unsupported"

    @property
    def supported(self) -> list[Abi]:
        return [Abi(self.name, self.since), *self.twins, *self.also] if self.is_supported else []

    @property
    def unsupported(self) -> list[Abi]:
        if self.is_supported:
            return self.without
        return [Abi(self.name, self.since), *self.twins, *self.also, *self.without]

    @property
    def abis(self) -> list[Abi]:
        return self.supported + self.unsupported


@dataclass
class Library:
    name: str = ""
    title: str = ""
    node: str = ""      # the version node that its symbols stand under, if any
    headers: list[str] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)
    functions: list[Function] = field(default_factory=list)

    @property
    def has_typedefs(self) -> bool:
        """The headers have a type PFN_name_vVERSION for every ABI."""
        return any(header.endswith("Typedefs.h") for header in self.headers)

    @property
    def symbols(self) -> list[str]:
        return sorted(abi.symbol for f in self.functions for abi in f.abis)


_DECLARATION = re.compile(r"(.*?[\s*])(\w+)\((.*)\)$")
_ATTRIBUTE = re.compile(r'\s*(?:(\w+)=(\w+)|(\w+)\("([^"]*)"\)|(\w+)\(([^")]*)\)|(\w+))')


def _abi(text: str, where: str) -> Abi:
    match = re.fullmatch(r"(\w+)(?:@(\d+))?", text)
    if not match:
        raise ApiError(f"{where}: {text!r} where SYMBOL or SYMBOL@VERSION was expected")
    return Abi(match.group(1), int(match.group(2) or 0))


def _attributes(function: Function, text: str, reasons: dict[str, str]) -> None:
    where, at = function.where, 0
    while text[at:].strip():
        match = _ATTRIBUTE.match(text, at)
        if not match:
            raise ApiError(f"{where}: cannot read the attributes from {text[at:].strip()!r} on")
        at = match.end()
        key = match.group(1) or match.group(3) or match.group(5) or match.group(7)
        value, quoted, items = match.group(2), match.group(4), match.group(6)
        if key in TWINS and items is None and quoted is None:
            function.twins.append(Abi(f"{function.name}_{key}", int(value or 0)))
        elif key == "since" and value:
            function.since = int(value)
        elif key == "why" and value in reasons:
            function.why = reasons[value]
        elif key == "note" and quoted:
            function.note = quoted
        elif key == "undeclared" and match.group(7):
            function.is_declared = False
        elif key == "handwritten" and match.group(7):
            function.is_handwritten = True
        elif key == "array" and items and "=" in items:
            function.arrays.update(item.split("=", 1) for item in items.split())
        elif key in ("also", "without") and items:
            getattr(function, key).extend(_abi(item, where) for item in items.split())
        else:
            raise ApiError(f"{where}: {match.group(0).strip()!r} is no attribute")


def _function(line: str, section: str, where: str, reasons: dict[str, str]) -> Function:
    mode, rest = line.split(None, 1)
    declaration, semicolon, attributes = rest.partition(";")
    match = _DECLARATION.fullmatch(declaration.strip())
    if not semicolon or not match:
        raise ApiError(f"{where}: not a declaration that ends in a semicolon")
    function = Function(match.group(2), mode, match.group(1).strip(), match.group(3).strip(),
                        section, where)
    _attributes(function, attributes, reasons)
    if (mode == "asked") != bool(function.why):
        raise ApiError(f"{where}: {function.name} is {mode}: a function has why=REASON exactly "
                       "when it is asked")
    if function.without and not function.is_supported:
        raise ApiError(f"{where}: {function.name} is unsupported; its ABIs stand in also(...)")
    return function


def read_api(text: str, file: str) -> Library:
    library, section, seen = Library(), "", {}
    for number, line in enumerate(text.splitlines(), 1):
        where, line = f"{file}:{number}", line.strip()
        if not line or line.startswith("#"):
            continue
        word = line.split()[0]
        if word in ("library", "title", "node"):
            setattr(library, "name" if word == "library" else word, line[len(word):].strip())
        elif word == "header":
            library.headers.append(line.split()[1])
        elif word == "reason":
            _, key, meaning = line.split(None, 2)
            library.reasons[key] = meaning
        elif word == "section":
            section = line[len(word):].strip()
        elif word in MODES:
            function = _function(line, section, where, library.reasons)
            for abi in function.abis:
                if abi.symbol in seen:
                    raise ApiError(f"{where}: {abi.symbol} stands already at {seen[abi.symbol]}")
                seen[abi.symbol] = where
            library.functions.append(function)
        else:
            raise ApiError(f"{where}: {word!r} where a mode ({', '.join(MODES)}) was expected")
    return library
