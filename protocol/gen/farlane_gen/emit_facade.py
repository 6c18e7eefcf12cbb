"""What a façade is made of beside its hand-written functions: stubs for what is unsupported, the
version script, the table behind cuGetProcAddress, and the comparison with the vendor's headers."""

from __future__ import annotations

from .api_model import Library
from .output import banner


def _source(library: Library) -> str:
    return f"protocol/api/{library.name}.api"


def stubs_cc(library: Library) -> str:
    """Unsupported functions, and a reference to each supported one: one that nobody wrote is then
    an undefined symbol, one that somebody wrote without saying so here a duplicate."""
    unsupported = f"farlane_{library.name}_unsupported"
    stubs = "".join(f"EXPORTED int {abi.symbol}() {{ return {unsupported}(\"{abi.symbol}\"); }}\n"
                    for f in library.functions for abi in f.unsupported)
    supported = [abi.symbol for f in library.functions for abi in f.supported]
    declarations = "".join(f"void {symbol}();\n" for symbol in supported)
    references = "".join(f"    {symbol},\n" for symbol in supported)
    return banner(_source(library)) + f"""//
// No header is included: the functions have their names in common with the vendor's declarations,
// and here neither their parameters nor their results matter. An error code is an int.
#define EXPORTED __attribute__((visibility("default")))

extern "C" {{

// Says so once per name and returns the library's not-supported code. Hand-written in the façade.
int {unsupported}(const char* function_name);

{stubs}
{declarations}
}}  // extern "C"

// Described as supported: a façade without one of these does not link.
__attribute__((used)) void (*const farlane_{library.name}_supported[])() = {{
{references}}};
"""


def version_script(library: Library) -> str:
    names = "".join(f"    {symbol};\n" for symbol in library.symbols)
    comment = f"# Made from {_source(library)}. Edit that, not this.\n"
    return comment + f"{library.node + ' ' if library.node else ''}{{\n  global:\n{names}" \
                     "  local:\n    *;\n};\n"


def exports_txt(library: Library) -> str:
    """Every exported name, one per line."""
    return "".join(f"{symbol}\n" for symbol in library.symbols)


def proc_table_inc(library: Library) -> str:
    rows = sorted((abi.base, "true" if abi.is_twin else "false", abi.since, abi.symbol)
                  for f in library.functions for abi in f.abis if abi.since)
    lines = "".join(f"PROC({base}, {twin}, {since}, {symbol})\n"
                    for base, twin, since, symbol in rows)
    return (banner(_source(library)) + "// PROC(name, per_thread, since, symbol), sorted by name, "
            "then legacy before per-thread, then by version.\n" + lines)


def check_cc(library: Library) -> str:
    includes = "".join(f"#include <{header}>\n" for header in library.headers)
    checks = ""
    for f in library.functions:
        if f.is_declared:
            checks += (f"static_assert(std::is_same_v<decltype(::{f.name}), "
                       f"{f.returns}({f.parameters})>,\n              \"{f.where}: {f.name} is "
                       "declared otherwise in the header\");\n")
        if not f.is_declared or not library.has_typedefs:
            continue
        for abi in f.abis:
            twin = abi.symbol[-5:] if abi.is_twin else ""
            checks += (f"static_assert(std::is_same_v<decltype(&::{abi.symbol}), "
                       f"PFN_{abi.base}_v{abi.since}{twin}>,\n              \"{f.where}: "
                       f"{abi.symbol} is not the ABI of version {abi.since}\");\n")
    return banner(_source(library)) + f"""//
// Every described function against the installed headers: drift breaks the build.
// The headers then declare every ABI and every twin under its own name.
#define __CUDA_API_VERSION_INTERNAL
#define __CUDA_API_VERSION_INTERNAL_ODR
{includes}
#include <type_traits>

{checks}"""
