"""A CUDA-X library's façade on the client, and its table of functions on the server."""

from __future__ import annotations

from .cudax_model import (OBJECT_ROLES, OPTIONAL_STATUSES, STATUSES, CudaxFunction, CudaxLibrary,
                          Parameter, parameters_of)
from .output import banner
from .wire_model import ApiError


def _source(library: CudaxLibrary) -> str:
    return f"protocol/api/{library.name}.api"


def _includes(library: CudaxLibrary) -> str:
    return "".join(f"#include <{header}>\n" for header in library.headers)


def _kind(library: CudaxLibrary, p: Parameter) -> str:
    return f"{library.kind_number(p.kind):#x}"


def _client_line(library: CudaxLibrary, p: Parameter) -> str:
    name = p.name
    if p.role in ("object", "ended", "made", "out_object", "either", "object_on_device",
                  "made_on_host"):
        return f"call.{p.role}({name}, {_kind(library, p)});"
    if p.role == "objects":
        return f"call.objects({name}, {p.count}, {_kind(library, p)});"
    if p.role in ("value", "address", "base", "string", "stream", "event", "out_in_base",
                  "config"):
        return f"call.{p.role}({name});"
    if p.role == "null":
        return f"static_cast<void>({name});"
    if p.role == "scratch":
        return f"call.scratch({name}, {p.count});"
    if p.role.endswith("_bytes"):
        return f"call.{p.role.removesuffix('_bytes')}({name}, {p.count});"
    return f"call.{p.role}({name}, ({p.count or '1'}) * sizeof *{name});"


def _caller(library: CudaxLibrary) -> str:
    return "GroupCall" if library.is_grouped else "Call"


def _second_name(library: CudaxLibrary, f: CudaxFunction) -> str:
    """The same function under its second name."""
    names = ", ".join(p.name for p in parameters_of(f))
    call = f"  return {f.name}({names});\n"
    return "".join(f"{f.returns} {other.symbol}({f.parameters}) {{\n{call}}}\n\n"
                   for other in f.also)


def _client_function(library: CudaxLibrary, f: CudaxFunction) -> str:
    lines = []
    if f.needs and not library.is_grouped:
        lines.append(f"if (!({f.needs})) return static_cast<{f.returns}>(kLibrary.invalid_value);")
    if f.may_be_null:
        ended = next(p.name for p in f.arguments if p.role == "ended")
        lines.append(f"if ({ended} == nullptr) return static_cast<{f.returns}>(kLibrary.success);")
    lines.append(f"{_caller(library)} call(kLibrary, {f.number}, \"{f.name}\");")
    if f.needs and library.is_grouped:
        # The group that it belongs to fails too.
        lines.append(f"if (!({f.needs})) call.refuse();")
    lines += [line for p in f.arguments if (line := _client_line(library, p))]
    if f.sets is not None:
        keys = "".join(f", static_cast<uint64_t>({key})" for key in f.sets)
        number = next((other.number for other in library.functions if other.name == f.sets_as),
                      f.number)
        lines.append(f"call.sets({number}{keys});")
    lines += [f"call.fills({name});" for name in f.fills]
    lines += [f"call.computes({name});" for name in f.computes]
    if f.word:
        lines.append(f"call.keeps({f.word});")
    if f.ordered_with:
        lines.append(f"call.ordered_with({f.ordered_with});")
    if f.mode_of:
        lines.append(f"call.scalars_on_device({f.mode_of});")
    if f.binds:
        lines.append("call.binds();")
    if f.is_idle:
        lines.append("call.idle();")
    if f.returns != library.status_type():
        # A number, or nothing.
        result = "" if f.returns == "void" else f" static_cast<{f.returns}>(call.returned())"
        lines += ["call.tells_nothing();", f"call.ask({str(f.is_pure).lower()});",
                  f"return{result};"]
        return _client_body(f, lines)
    posts = f.mode == "posted" or f.waits_for_host
    send = "call.post()" if posts else f"call.ask({str(f.is_pure).lower()})"
    lines.append(f"return static_cast<{f.returns}>({send});")
    return _client_body(f, lines)


def _client_body(f: CudaxFunction, lines: list[str]) -> str:
    body = "".join(f"  {line}\n" for line in lines)
    return f"{f.returns} {f.name}({f.parameters}) {{\n{body}}}\n\n"


def client_parts(library: CudaxLibrary, parts: int) -> list[str]:
    """The generated functions, cut into files that compile side by side."""
    functions = [f for f in library.functions if f.number and not f.is_by_hand]
    helpers = "".join(f"#include \"{helper}\"\n" for helper in library.helpers)
    caller = _caller(library)
    header = f"{library.name}/group_call.h" if library.is_grouped else "call.h"
    seconds = [f for f in library.functions if f.also and f.is_supported]
    head = banner(_source(library)) + f"""{_includes(library)}
#include "client/cudax/{header}"
{helpers}#include "generated/client/{library.name}_facts.h"

using farlane::client::cudax::{caller};
using namespace farlane::client::cudax::{library.name};

extern "C" {{

"""
    return [head + "".join(_client_function(library, f) for f in functions[i::parts]) +
            "".join(_second_name(library, f) for f in seconds[i::parts]) +
            "}  // extern \"C\"\n" for i in range(parts)]


# A letter of the first API, where the function that it is made of takes an enumeration.
_LETTERS = {"cublasOperation_t": "operation", "cublasFillMode_t": "fill_mode",
            "cublasSideMode_t": "side_mode", "cublasDiagType_t": "diagonal"}


def _made_of(library: CudaxLibrary, f: CudaxFunction) -> str:
    """A function without a handle, made of the one with a handle whose parameters are the same but
    for what could not be otherwise: letters, scalars by value, a result that is returned."""
    target = next(other for other in library.functions if other.name == f.made_of)
    own = parameters_of(f)
    by_name = {p.name: p for p in own}
    own += [by_name[name] for name in f.given_again]
    theirs = parameters_of(target)[1:]
    returns = f.returns != "void"
    if len(theirs) != len(own) + returns:
        raise ApiError(f"{f.where}: {f.name} has other parameters than {target.name}")
    letters, names = [], []
    for p, q in zip(own, theirs):
        if p.type == "char":
            letters.append(f"is_{_LETTERS[q.type]}({p.name})")
            names.append(f"{_LETTERS[q.type]}({p.name})")
        else:
            names.append("&" + p.name if q.is_pointer and not p.is_pointer else p.name)
    names += ["&result"] if returns else []
    lines = [f"{f.returns} result{{}};"] if returns else []
    lines.append(f"first_{f.mode}({' && '.join(letters) or 'true'}, [&](cublasHandle_t handle) {{")
    lines.append(f"  return {target.name}(handle, {', '.join(names)});")
    lines.append("});")
    lines += ["return result;"] if returns else []
    return _client_body(f, lines)


def first_cc(library: CudaxLibrary) -> str:
    """The functions of a library's first API, which has a header of its own that cannot be included
    with the other; that header is held against the description here, too."""
    functions = [f for f in library.functions if f.header]
    headers = "".join(f"#include <{name}>\n" for name in sorted({f.header for f in functions}))
    checks = "".join(f"template struct Declared<{f.returns} (*)({f.parameters}), &::{f.name}>;"
                     f"  // {f.where}\n" for f in functions)
    return banner(_source(library)) + f"""{headers}
#include "client/cudax/{library.name}/first_api.h"

using namespace farlane::client::cudax::{library.name};

extern "C" {{

{"".join(_made_of(library, f) for f in functions if f.made_of)}}}  // extern "C"

template <class F, F>
struct Declared {{}};

{checks}"""


def facts_h(library: CudaxLibrary) -> str:
    statuses = "".join(f"    .{key} = {library.statuses[key]},\n"
                       for key in STATUSES + OPTIONAL_STATUSES)
    structs = "    .names_in_structs = true,\n" if library.names_in_structs else ""
    kinds = "".join(f"inline constexpr uint16_t k{_camel(kind)} = {library.kind_number(kind):#x};\n"
                    for kind in library.kind_names)
    numbers = "".join(f"inline constexpr uint32_t k_{f.name} = {f.number};\n"
                      for f in library.functions if f.number and f.is_by_hand)
    return banner(_source(library)) + f"""#pragma once

{_includes(library)}
#include "client/cudax/call.h"

namespace farlane::client::cudax::{library.name} {{

inline constexpr LibraryFacts kLibrary = {{
    .number = {library.number},
    .name = "{library.title.split(" (")[0]}",
    .soname = "{library.soname}",
    .major = {library.version},
{statuses}{structs}}};

// Kinds of objects.
{kinds}
// Functions whose client side is written by hand.
{numbers}
}}  // namespace farlane::client::cudax::{library.name}
"""


def _camel(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def unsupported_c(library: CudaxLibrary) -> str:
    """What is exported and does nothing but say so. No header is included: see emit_facade."""
    status = f"farlane_{library.name}_unsupported"
    stubs = "".join(f"EXPORTED int {abi.symbol}() {{ return {status}(\"{f.name}\"); }}\n"
                    for f in library.functions if not f.is_supported for abi in f.abis)
    by_hand = [f.name for f in library.functions
               if f.mode == "local" or f.is_supported and f.is_by_hand]
    declarations = "".join(f"void {name}();\n" for name in by_hand)
    references = "".join(f"    {name},\n" for name in by_hand) or "    nullptr,\n"
    return banner(_source(library)) + f"""#define EXPORTED __attribute__((visibility("default")))

extern "C" {{

int {status}(const char* function_name);

{stubs}
{declarations}
}}  // extern "C"

// Described as supported and written by hand: the library does not link without one of these.
__attribute__((used)) void (*const farlane_{library.name}_by_hand[])() = {{
{references}}};
"""


def unsupported_say_cc(library: CudaxLibrary) -> str:
    return banner(_source(library)) + f"""#include "client/core/api.h"
#include "generated/client/{library.name}_facts.h"

extern "C" int farlane_{library.name}_unsupported(const char* function_name) {{
  farlane::client::unsupported(function_name);
  return static_cast<int>(farlane::client::cudax::{library.name}::kLibrary.not_supported);
}}
"""


_SERVER_ROLES = {"inout": "Out", "inresult": "Result", "base": "Address", "out_in_base": "Out"}


def _server_role(library: CudaxLibrary, p: Parameter) -> str:
    role = p.role.removesuffix("_bytes")
    role = _SERVER_ROLES.get(role) or _camel(role)
    if p.role in OBJECT_ROLES:
        return f"role::{role}<{_kind(library, p)}>"
    return f"role::{role}"


def _prompt(f: CudaxFunction) -> str:
    """Of a row of the server's table: when the call waits for nobody."""
    if f.connects:
        # Its count, its peer if it has one, its communicator: each argument is a word.
        names = [p.name for p in f.arguments]
        comm = next(p.name for p in f.arguments if p.role == "object")
        count, *peer = [names.index(name) for name in f.connects]
        words = f"{{{count}, {peer[0] if peer else 0}, {names.index(comm)}}}"
        return f", Prompt::kConnected, {words}"
    return ", Prompt::kNo, {}, true" if f.registers else ", Prompt::kYes" if f.is_prompt else ""


def server_cc(library: CudaxLibrary) -> str:
    rows = ""
    for f in sorted((f for f in library.functions if f.number), key=lambda f: f.number):
        if f.thunk:
            rows += f"    {{{f.number}, \"{f.name}\", &{library.name}::{f.thunk}}},\n"
            continue
        roles = ", ".join(_server_role(library, p) for p in f.arguments)
        rows += (f"    {{{f.number}, \"{f.name}\",\n     &Invoke<{f.returns}({f.parameters})>::call"
                 f"<{roles}>{_prompt(f)}}},\n")
    thunks = f"#include \"{library.thunks}\"\n" if library.thunks else ""
    # What thunks written by hand need.
    kinds = "".join(f"extern const uint16_t k{_camel(kind)};\n"
                    f"const uint16_t k{_camel(kind)} = {library.kind_number(kind):#x};\n"
                    for kind in library.kind_names)
    space = f"namespace {library.name}"
    grouped = "    .is_grouped = true,\n" if library.is_grouped else ""
    kinds = f"{space} {{\n{kinds}}}  // {space}\n" if thunks else ""
    return banner(_source(library)) + f"""{_includes(library)}
#include "server/cudax/call.h"
{thunks}
namespace farlane::server::cudax {{
{kinds}namespace {{

constexpr Function kFunctions[] = {{
{rows}}};

}}  // namespace

extern const Library k{_camel(library.name)} = {{
    .number = {library.number},
    .title = "{library.title.split(" (")[0]}",
    .soname = "{library.soname}",
    .property = "{library.property}",
    .success = {library.statuses["success"]},
    .functions = kFunctions,
{grouped}}};

}}  // namespace farlane::server::cudax
"""


def server_list_cc(libraries: list[CudaxLibrary]) -> str:
    names = [f"k{_camel(library.name)}" for library in libraries]
    externs = "".join(f"extern const Library {name};\n" for name in names)
    return banner("protocol/api") + f"""#include "server/cudax/call.h"

namespace farlane::server::cudax {{

{externs}
std::span<const Library* const> libraries() {{
  static constexpr const Library* kAll[] = {{{", ".join("&" + name for name in names)}}};
  return kAll;
}}

}}  // namespace farlane::server::cudax
"""


def check_cc(library: CudaxLibrary) -> str:
    """Every described function against the installed headers: drift breaks the build. In C++ some
    have an overload of the same name; that of these parameters is meant. The name of one that no
    header is said to declare means a struct of ours, and would be ambiguous."""
    checks = "".join(f"template struct Declared<{f.returns} (*)({f.parameters}), &::{f.name}>;"
                     f"  // {f.where}\n" for f in library.functions if f.is_declared)
    undeclared = [f for f in library.functions if not f.is_declared and not f.header]
    # The header's macros lead from a function's first name to that of its second version.
    structs = "".join(f"#undef {f.name}\nstruct {f.name} {{}};\n" for f in undeclared)
    absent = "".join(f"template struct Undeclared<{f.name}>;  // {f.where}\n" for f in undeclared)
    if undeclared:
        checks += f"""
namespace nobodys {{
{structs}}}  // namespace nobodys
using namespace nobodys;
template <class>
struct Undeclared {{}};
{absent}"""
    return banner(_source(library)) + f"""{_includes(library)}
template <class F, F>
struct Declared {{}};

{checks}"""
