#!/usr/bin/env python3
"""Makes C++ from the descriptions in protocol/api. Called by the build; see protocol/README.md."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from farlane_gen import (emit_describe, emit_dispatch, emit_driver_table, emit_messages, output,
                         wire_model)

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


def make_driver(out: Path) -> None:
    functions = emit_driver_table.read_driver((PROTOCOL / "api" / "driver.api").read_text())
    folder = out / "server"
    output.write(folder / "driver_table.h", emit_driver_table.driver_table_h(functions))
    output.write(folder / "driver_table.cc", emit_driver_table.driver_table_cc(functions))


MAKERS = {"wire": make_wire, "driver": make_driver}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=MAKERS)
    parser.add_argument("out", type=Path, help="the folder `generated` of the build tree")
    arguments = parser.parse_args()
    try:
        MAKERS[arguments.what](arguments.out)
    except wire_model.ApiError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
