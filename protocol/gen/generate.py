#!/usr/bin/env python3
"""Makes C++ from the descriptions in protocol/api. Called by the build; see protocol/README.md."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from farlane_gen import (api_model, cudax_model, emit_coverage, emit_cudax, emit_describe,
                         emit_dispatch, emit_driver_table, emit_facade, emit_messages, emit_nvml,
                         emit_testing, output, wire_model)

PROTOCOL = Path(__file__).resolve().parent.parent


def read_wire() -> wire_model.Wire:
    limits = wire_model.read_limits((PROTOCOL / "limits.h").read_text())
    path = PROTOCOL / "api" / "wire.api"
    return wire_model.read_wire(path.read_text(), "protocol/api/wire.api", set(limits))


def make_wire(out: Path) -> None:
    wire = read_wire()
    folder = out / "protocol"
    output.write(folder / "messages.h", emit_messages.messages_h(wire))
    output.write(folder / "codec_posts.cc", emit_messages.codec_cc(wire, ("post",)))
    output.write(folder / "codec_asks.cc", emit_messages.codec_cc(wire, ("ask",)))
    output.write(folder / "codec_replies.cc", emit_messages.codec_cc(wire, ("reply",)))
    output.write(folder / "codec_tells.cc", emit_messages.codec_cc(wire, ("tell",)))
    output.write(folder / "dispatch.h", emit_dispatch.dispatch_h(wire))
    output.write(folder / "describe.cc", emit_describe.describe_cc(wire))
    output.write(folder / "testing.h", emit_testing.testing_h(wire))


def make_driver(out: Path) -> None:
    functions = emit_driver_table.read_driver((PROTOCOL / "api" / "driver.api").read_text())
    folder = out / "server"
    output.write(folder / "driver_table.h", emit_driver_table.driver_table_h(functions))
    output.write(folder / "driver_table.cc", emit_driver_table.driver_table_cc(functions))


def read_libraries() -> list[api_model.Library]:
    return [api_model.read_api((PROTOCOL / "api" / f"{name}.api").read_text(),
                               f"protocol/api/{name}.api") for name in FACADES]


def make_facades(out: Path) -> None:
    for library in read_libraries():
        folder, name = out / "client", library.name
        output.write(folder / f"{name}_stubs.cc", emit_facade.stubs_cc(library))
        output.write(folder / f"{name}.map", emit_facade.version_script(library))
        output.write(folder / f"{name}_exports.txt", emit_facade.exports_txt(library))
        output.write(folder / f"{name}_check.cc", emit_facade.check_cc(library))
        if library.has_typedefs:
            output.write(folder / f"{name}_proc_table.inc", emit_facade.proc_table_inc(library))
        if name == "nvml":
            output.write(folder / "nvml_forward.cc", emit_nvml.forward_cc(library))
            output.write(out / "server" / "monitor_table.inc", emit_nvml.monitor_table_inc(library))


def read_cudax() -> list[cudax_model.CudaxLibrary]:
    return [cudax_model.read_cudax((PROTOCOL / "api" / f"{name}.api").read_text(),
                                   f"protocol/api/{name}.api") for name in CUDAX]


def make_cudax(out: Path) -> None:
    libraries = read_cudax()
    client, server = out / "client", out / "server"
    for library in libraries:
        name = library.name
        for i, text in enumerate(emit_cudax.client_parts(library, CUDAX_PARTS)):
            output.write(client / f"{name}_calls_{i}.cc", text)
        output.write(client / f"{name}_facts.h", emit_cudax.facts_h(library))
        output.write(client / f"{name}_unsupported.cc", emit_cudax.unsupported_c(library))
        output.write(client / f"{name}_unsupported_say.cc", emit_cudax.unsupported_say_cc(library))
        output.write(client / f"{name}.map", emit_facade.version_script(library))
        output.write(client / f"{name}_exports.txt", emit_facade.exports_txt(library))
        output.write(client / f"{name}_check.cc", emit_cudax.check_cc(library))
        if any(f.header for f in library.functions):
            output.write(client / f"{name}_first.cc", emit_cudax.first_cc(library))
        output.write(server / f"cudax_{name}.cc", emit_cudax.server_cc(library))
    output.write(server / "cudax_libraries.cc", emit_cudax.server_list_cc(libraries))


def make_coverage(out: Path) -> None:
    output.write(out / "coverage.md", emit_coverage.coverage_md(read_libraries() + read_cudax()))


FACADES = ("cudart", "cuda", "nvml")
CUDAX = ("cublas", "cublaslt", "cudnn", "cufft", "curand", "cusparse", "cusolver", "nccl")
# Files that a library's client functions are spread over, to compile side by side.
CUDAX_PARTS = 4
MAKERS = {"wire": make_wire, "driver": make_driver, "facades": make_facades,
          "cudax": make_cudax,
          "coverage": make_coverage}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=MAKERS)
    parser.add_argument("out", type=Path,
                        help="the folder `generated` of the build tree; for coverage, docs/")
    arguments = parser.parse_args()
    try:
        MAKERS[arguments.what](arguments.out)
    except wire_model.ApiError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
