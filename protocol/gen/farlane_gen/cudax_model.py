"""The functions of a CUDA-X library (cuBLAS, …), from api/<library>.api: how arguments travel."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

from .api_model import Abi, Function, Library
from .wire_model import ApiError

MODES = ("local", "posted", "asked", "unsupported")
ROLES = ("value", "address", "base", "object", "objects", "made", "ended", "stream", "event", "in",
         "in_bytes", "scalar", "scalar_bytes", "out", "out_bytes", "out_in_base", "out_object",
         "inout", "inout_bytes", "whole", "whole_bytes", "filled", "result", "result_bytes",
         "inresult", "inresult_bytes", "string", "scratch", "null", "config", "either",
         "object_on_device", "made_on_host")
OBJECT_ROLES = ("object", "objects", "made", "ended", "out_object", "either", "object_on_device",
                "made_on_host")
OUT_ROLES = ("out", "out_bytes", "out_in_base", "out_object", "inout", "inout_bytes", "whole",
             "whole_bytes")
STATUSES = ("success", "not_initialized", "invalid_value", "not_supported", "out_of_memory",
            "failed")
# Of a null handle, where it is not not_initialized.
OPTIONAL_STATUSES = ("invalid_handle",)


@dataclass
class Parameter:
    name: str
    type: str           # as in C; arrays are pointers
    role: str = ""
    count: str = ""     # a C++ expression over the other parameters
    kind: str = ""      # of an object

    @property
    def is_pointer(self) -> bool:
        return self.type.endswith("*")

    @property
    def pointee(self) -> str:
        return re.sub(r"\s*\*$", "", self.type)


@dataclass
class CudaxFunction(Function):
    number: int = 0                 # 0: nothing of it travels
    arguments: list[Parameter] = field(default_factory=list)
    is_pure: bool = False           # the same arguments have the same answer: asked once
    is_by_hand: bool = False        # the client's side is written by hand
    sets: list[str] | None = None   # changes the first object; the parameters that say which part
    sets_as: str = ""               # the function whose words these replace
    fills: list[str] = field(default_factory=list)      # objects that the call gives new contents
    computes: list[str] = field(default_factory=list)   # objects whose contents it finds out
    word: str = ""                  # an expression that is kept with the object
    needs: str = ""                 # an expression; when it is false, nothing is sent
    ordered_with: str = ""          # the object whose stream the call's work is ordered with
    thunk: str = ""                 # the server's side is written by hand
    binds: bool = False             # the first object works on this stream from now on
    may_be_null: bool = False       # a null object to end is one that has ended
    is_idle: bool = False           # puts no work into a stream, although nothing else says so
    waits_for_host: bool = False    # asked only where its result goes to host memory
    is_prompt: bool = False         # of a grouped library: it never waits for other ranks
    connects: list[str] = field(default_factory=list)   # nor with these (server/cudax/call.h)
    registers: bool = False         # of a grouped library: from then on others wait
    mode_of: str = ""               # the expression that says whether scalars are in device memory
    made_of: str = ""               # the function whose call it is, in the client
    given_again: list[str] = field(default_factory=list)    # parameters that this one takes twice
    header: str = ""                # that declares it, where it is none of the library's


@dataclass
class CudaxLibrary(Library):
    number: int = 0
    soname: str = ""
    property: str = ""              # the function that tells the version, as cublasGetProperty
    version: str = ""               # the major version of the headers, a macro
    pointers: str = ""              # what a pointer is that nothing is said about: device or none
    names_in_structs: bool = False
    is_grouped: bool = False        # calls travel in groups, and are made on threads of their own
    also_with: str = ""             # every function has a second name, with this before the first
    helpers: list[str] = field(default_factory=list)    # our headers that expressions need
    thunks: str = ""                # the server's header of thunks written by hand
    statuses: dict[str, str] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)         # C type -> kind
    kind_names: list[str] = field(default_factory=list)
    shared_kinds: dict[str, int] = field(default_factory=dict)  # kinds of another library

    def status_type(self) -> str:
        """What most of its functions return."""
        return Counter(f.returns for f in self.functions if f.number).most_common(1)[0][0]

    def kind_number(self, kind: str) -> int:
        if kind in self.shared_kinds:
            return self.shared_kinds[kind]
        return self.number << 8 | self.kind_names.index(kind) + 1


_DECLARATION = re.compile(r"(.*?[\s*])(\w+)\((.*)\)$")
_ATTRIBUTE = re.compile(r'\s*(?:(\w+):(\w+)(?:\(((?:[^()]|\([^()]*\))*)\))?'
                        r'|(\w+)=(\w+)|(\w+)\("([^"]*)"\)'
                        r"|(\w+)\(((?:[^()]|\([^()]*\))*)\)|(\w+))")


def _parameters(text: str, where: str) -> list[Parameter]:
    if text.strip() in ("", "void"):
        return []
    parameters = []
    for number, part in enumerate(text.split(",")):
        part = part.strip()
        is_array = bool(re.search(r"\[\d*\]$", part))
        part = re.sub(r"\s*\[\d*\]$", "", part)
        match = re.fullmatch(r"(.*?[\s*])(\w+)", part)
        if not match:
            raise ApiError(f"{where}: parameter {number + 1} has no name: {part!r}")
        type_ = match.group(1).strip() + ("*" if is_array else "")
        parameters.append(Parameter(match.group(2), type_))
    return parameters


def parameters_of(function: Function) -> list[Parameter]:
    return _parameters(function.parameters, function.where)


def _attributes(library: CudaxLibrary, function: CudaxFunction, text: str) -> None:
    where, at = function.where, 0
    by_name = {p.name: p for p in function.arguments}
    while text[at:].strip():
        match = _ATTRIBUTE.match(text, at)
        if not match:
            raise ApiError(f"{where}: cannot read the attributes from {text[at:].strip()!r} on")
        at = match.end()
        parameter, role, count, key, value, noted, quoted, call, items, word = match.groups()
        if parameter:
            if parameter not in by_name or role not in ROLES:
                raise ApiError(f"{where}: {match.group(0).strip()!r} names no parameter and role")
            p = by_name[parameter]
            p.role = role
            if role in OBJECT_ROLES:
                p.kind, _, p.count = (count or "").partition(";")
            else:
                p.count = count or ""
        elif key == "why" and value in library.reasons:
            function.why = library.reasons[value]
            function.waits_for_host = value == "result"
        elif noted == "note":
            function.note = quoted
        elif call == "sets" or word == "sets":
            function.sets = (items or "").split()
            if function.sets[:1] == ["as"]:
                function.sets_as, function.sets = function.sets[1], function.sets[2:]
        elif call == "fills":
            function.fills = items.split()
        elif call == "computes":
            function.computes = items.split()
        elif call == "word":
            function.word = items
        elif call == "needs":
            function.needs = items
        elif call == "with":
            function.ordered_with = items
        elif call == "thunk":
            function.thunk = items
        elif call == "mode":
            function.mode_of = items
        elif word == "pure":
            function.is_pure = True
        elif word == "prompt":
            function.is_prompt = True
        elif call == "connects":
            function.connects = items.split()
        elif word == "registers":
            function.registers = True
        elif word == "by_hand":
            function.is_by_hand = True
        elif word == "binds":
            function.binds = True
        elif word == "may_be_null":
            function.may_be_null = True
        elif word == "idle":
            function.is_idle = True
        elif word == "undeclared":
            function.is_declared = False
        elif call == "on":
            function.made_of, *function.given_again = items.split()
        elif call == "header":
            function.header, function.is_declared = items, False
        else:
            raise ApiError(f"{where}: {match.group(0).strip()!r} is no attribute")


def _default_role(library: CudaxLibrary, p: Parameter, where: str) -> None:
    bare = re.sub(r"\bconst\b", "", p.type).strip()
    if p.role in OBJECT_ROLES:
        is_handle = p.role in ("ended", "object", "either", "object_on_device")
        type_ = bare if is_handle else re.sub(r"\s*\*$", "", bare)
        p.kind = p.kind.strip() or library.kinds.get(type_, "")
        p.count = p.count.strip()
        if p.kind not in library.kind_names:
            raise ApiError(f"{where}: {p.name} is no object of this library ({p.type})")
    elif p.role:
        return
    elif bare in library.kinds:
        p.role, p.kind = "object", library.kinds[bare]
    elif bare in ("cudaStream_t", "CUstream"):
        p.role = "stream"
    elif bare in ("cudaEvent_t", "CUevent"):
        p.role = "event"
    elif not p.is_pointer:
        p.role = "value"
    elif library.pointers == "device":
        p.role = "address"
    else:
        raise ApiError(f"{where}: say what the pointer {p.name} is")


def _function(library: CudaxLibrary, line: str, section: str, where: str) -> CudaxFunction:
    number = 0
    match = re.match(r"(\d+)\s+", line)
    if match:
        number, line = int(match.group(1)), line[match.end():]
    mode, rest = line.split(None, 1)
    declaration, semicolon, attributes = rest.partition(";")
    match = _DECLARATION.fullmatch(declaration.strip())
    if mode not in MODES or not semicolon or not match:
        raise ApiError(f"{where}: not NUMBER MODE DECLARATION; ATTRIBUTE...")
    function = CudaxFunction(match.group(2), mode, match.group(1).strip(), match.group(3).strip(),
                             section, where)
    function.number = number
    if number:
        function.arguments = _parameters(function.parameters, where)
    _attributes(library, function, attributes)
    travels = mode in ("posted", "asked") and not function.made_of
    if travels != bool(number):
        raise ApiError(f"{where}: {function.name} is {mode}: a function has a number exactly when "
                       "it travels")
    if function.made_of and not function.header:
        raise ApiError(f"{where}: say which header declares {function.name}")
    for p in function.arguments:
        _default_role(library, p, where)
    if mode == "asked" and not function.why:
        raise ApiError(f"{where}: {function.name} is asked without why=REASON")
    answers = any(p.role in OUT_ROLES for p in function.arguments)
    # A result in device memory leaves nothing to wait for: Call::post() asks where it is elsewhere.
    function.waits_for_host &= not answers and not function.is_pure and any(
        p.role.removesuffix("_bytes") in ("result", "inresult", "filled")
        for p in function.arguments)
    unknown = [name for name in function.fills + function.computes
               if name not in {p.name for p in function.arguments if p.role == "object"}]
    if unknown:
        raise ApiError(f"{where}: {function.name} has no object {unknown[0]}")
    if travels and answers and mode != "asked":
        raise ApiError(f"{where}: {function.name} has an out parameter and is not asked")
    return function


def read_cudax(text: str, file: str) -> CudaxLibrary:
    library, section = CudaxLibrary(), ""
    names: dict[str, str] = {}
    numbers: dict[int, str] = {}
    for line_number, line in enumerate(text.splitlines(), 1):
        where, line = f"{file}:{line_number}", line.strip()
        if not line or line.startswith("#"):
            continue
        word, _, rest = line.partition(" ")
        rest = rest.strip()
        if word in ("title", "node", "soname", "property", "version", "pointers", "thunks",
                    "also_with"):
            setattr(library, word, rest)
        elif word == "library":
            library.name = rest
        elif word == "number":
            library.number = int(rest)
        elif word == "header":
            library.headers.append(rest)
        elif word == "names_in_structs":
            library.names_in_structs = True
        elif word == "grouped":
            library.is_grouped = True
        elif word == "helper":
            library.helpers.append(rest)
        elif word == "status":
            key, constant = rest.split()
            if key not in STATUSES + OPTIONAL_STATUSES:
                raise ApiError(f"{where}: {key!r} is none of "
                               f"{', '.join(STATUSES + OPTIONAL_STATUSES)}")
            library.statuses[key] = constant
        elif word == "object":
            kind, *types = rest.split()
            library.kind_names.append(kind)
            if types and types[0].startswith("0x"):
                library.shared_kinds[kind] = int(types.pop(0), 16)
            for type_ in types:
                library.kinds[type_] = kind
        elif word == "reason":
            key, meaning = rest.split(None, 1)
            library.reasons[key] = meaning
        elif word == "section":
            section = rest
        else:
            function = _function(library, line, section, where)
            if function.name in names or function.number in numbers and function.number:
                raise ApiError(f"{where}: {function.name} or its number stands already at "
                               f"{names.get(function.name) or numbers[function.number]}")
            names[function.name] = numbers[function.number] = where
            if library.also_with:
                function.also.append(Abi(library.also_with + function.name))
            library.functions.append(function)
    numbered = {f.name: f for f in library.functions if f.number}
    for function in library.functions:
        for name in filter(None, (function.sets_as, function.made_of)):
            if name not in numbered:
                raise ApiError(f"{function.where}: {name} is no function that travels")
        if function.made_of and numbered[function.made_of].mode != function.mode:
            raise ApiError(f"{function.where}: {function.name} is {function.mode}, and "
                           f"{function.made_of} is not")
    library.statuses.setdefault("invalid_handle", library.statuses.get("not_initialized", ""))
    missing = [key for key in STATUSES if key not in library.statuses]
    if missing:
        raise ApiError(f"{file}: no status for {', '.join(missing)}")
    return library
