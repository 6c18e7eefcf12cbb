"""Both ends of a forwarded function of the management library, from api/nvml.api: in the client it
is packed, on the server it is called."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .api_model import Function, Library
from .output import banner
from .wire_model import ApiError

DEVICE = "nvmlDevice_t"


@dataclass
class Parameter:
    type: str     # of a pointer: what it points at
    name: str
    kind: str     # device, number, one (pointer at one element), many (at an array)
    length: str   # many: the parameter with the count
    place: int    # among those that travel alike


def forwarded(library: Library) -> list[Function]:
    """What the server may be asked to call."""
    return [f for f in library.functions if f.mode == "asked"]


def parameters(f: Function) -> list[Parameter]:
    found: list[Parameter] = []
    places = {"device": 0, "number": 0, "buffer": 0}
    texts = [] if f.parameters == "void" else f.parameters.split(",")
    for text in texts:
        match = re.fullmatch(r"\s*(.+?)\s*(\*?)\s*(\w+)\s*", text)
        if not match or "*" in match.group(1) or "const" in match.group(1):
            raise ApiError(f"{f.where}: {f.name}: {text.strip()!r} cannot be forwarded")
        type_name, star, name = match.groups()
        kind = "device" if type_name == DEVICE and not star else "number"
        if star:
            kind = "many" if name in f.arrays else "one"
        counter = "buffer" if star else kind
        found.append(Parameter(type_name, name, kind, f.arrays.get(name, ""), places[counter]))
        places[counter] += 1
    names = {p.name for p in found}
    for pointer, length in f.arrays.items():
        if pointer not in names or length not in names:
            raise ApiError(f"{f.where}: {f.name} has no {pointer} or no {length}")
    return found


def _pack(p: Parameter) -> str:
    return f"many({p.name}, {p.length})" if p.kind == "many" else p.name


def forward_cc(library: Library) -> str:
    """The client's: one definition for each function that needs nothing but the server's answer."""
    text = ""
    for f in forwarded(library):
        if f.is_handwritten:
            continue
        arguments = ", ".join([f'"{f.name}"', *(_pack(p) for p in parameters(f))])
        text += f"{f.returns} {f.name}({f.parameters}) {{\n  return forward({arguments});\n}}\n"
    return banner(f"protocol/api/{library.name}.api") + f"""#include "client/nvml/forward.h"

using farlane::nvml::forward;
using farlane::nvml::many;

extern "C" {{

{text}
}}  // extern "C"
"""


def _take(p: Parameter) -> str:
    if p.kind == "device":
        return f"in.device({p.place})"
    if p.kind == "number":
        return f"in.number<{p.type}>({p.place})"
    if p.kind == "one":
        return f"in.one<{p.type}>({p.place})"
    return f"in.many<{p.type}>({p.place}, {p.length})"


def monitor_table_inc(library: Library) -> str:
    """The server's: MONITOR(name, body), where the body takes the arguments from `in` and calls
    `function`."""
    text = ""
    for f in forwarded(library):
        if f.is_handwritten and any("const" in part for part in f.parameters.split(",")):
            continue  # answered from other functions
        taken = sorted(parameters(f), key=lambda p: p.kind == "many")  # lengths come first
        lines = "".join(f"  const auto {p.name} = {_take(p)};\n" for p in taken)
        names = ", ".join(p.name for p in parameters(f))
        text += (f"MONITOR({f.name}, {{\n{lines}  return in.is_well_formed() ? function({names}) : "
                 "NVML_ERROR_INVALID_ARGUMENT;\n})\n")
    return banner(f"protocol/api/{library.name}.api") + text
