"""driver_table.h and .cc: the server's way to the driver, from api/driver.api."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .output import banner
from .wire_model import ApiError

SOURCE = "protocol/api/driver.api"


@dataclass
class DriverFunction:
    name: str
    required: bool


def read_driver(text: str) -> list[DriverFunction]:
    found: list[DriverFunction] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split("#")[0].split()
        if not words:
            continue
        if words[0] not in ("required", "optional"):
            raise ApiError(f"{SOURCE}:{number}: {words[0]!r} where required or optional was "
                           "expected")
        for name in words[1:]:
            if not re.fullmatch(r"cu[A-Z]\w*", name):
                raise ApiError(f"{SOURCE}:{number}: {name!r} is no driver function's name")
            if any(f.name == name for f in found):
                raise ApiError(f"{SOURCE}:{number}: {name} stands here twice")
            found.append(DriverFunction(name, words[0] == "required"))
    return found


def driver_table_h(functions: list[DriverFunction]) -> str:
    members = "".join(f"  decltype(&::{f.name}) {f.name} = nullptr;"
                      f"{'' if f.required else '  // optional'}\n" for f in functions)
    visits = "".join(f"  visitor.template operator()<&DriverTable::{f.name}>();\n"
                     for f in functions)
    return banner(SOURCE) + f"""#pragma once

#include <cuda.h>
#include <cudaProfiler.h>

#include <string>

namespace farlane::server {{

// The driver's functions. Those marked optional may be null.
struct DriverTable {{
{members}}};

// visitor.template operator()<&DriverTable::cuInit>() and so on, for every function.
template <class Visitor>
void visit_driver_functions(Visitor&& visitor) {{
{visits}}}

// Loads the driver at `path` ("libcuda.so.1", or the software device's) and fills the table. False
// with a sentence in *error when it cannot be loaded or lacks a required function. The library
// stays loaded for the life of the process.
bool load_driver(const char* path, DriverTable* table, std::string* error);

// The symbols the table asks for, as a driver exports them: for tests of a driver of our own.
struct DriverSymbol {{
  const char* name;
  bool required;
}};
extern const DriverSymbol kDriverSymbols[];
extern const int kDriverSymbolCount;

}}  // namespace farlane::server
"""


def driver_table_cc(functions: list[DriverFunction]) -> str:
    finds = "".join(
        f"  finder.find(FARLANE_SYMBOL({f.name}), table->{f.name}, "
        f"{str(f.required).lower()});\n" for f in functions)
    symbols = "".join(f"    {{FARLANE_SYMBOL({f.name}), {str(f.required).lower()}}},\n"
                      for f in functions)
    return banner(SOURCE) + f"""
#include "generated/server/driver_table.h"

#include <dlfcn.h>

// The header's macros turn cuMemGetInfo into cuMemGetInfo_v2 before the text is made.
#define FARLANE_TEXT(name) #name
#define FARLANE_SYMBOL(name) FARLANE_TEXT(name)

namespace farlane::server {{
namespace {{

struct Finder {{
  void* library;
  std::string missing{{}};

  template <class Function>
  void find(const char* symbol, Function& function, bool required) {{
    function = reinterpret_cast<Function>(dlsym(library, symbol));
    if (function != nullptr || !required) return;
    if (!missing.empty()) missing += ", ";
    missing += symbol;
  }}
}};

}}  // namespace

const DriverSymbol kDriverSymbols[] = {{
{symbols}}};
const int kDriverSymbolCount = static_cast<int>(sizeof kDriverSymbols / sizeof *kDriverSymbols);

bool load_driver(const char* path, DriverTable* table, std::string* error) {{
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {{
    const char* reason = dlerror();
    *error = "driver: cannot load " + std::string(path) + ": " +
             (reason == nullptr ? "unknown reason" : reason);
    return false;
  }}
  Finder finder{{library}};
{finds}  if (!finder.missing.empty()) {{
    *error = "driver: " + std::string(path) + " is older than this server needs; it lacks " +
             finder.missing;
    return false;
  }}
  return true;
}}

}}  // namespace farlane::server
"""
