#!/usr/bin/env python3
"""Checks that a façade exports exactly the names of its list, under the right version, and that
the list is what the vendor's library exports. Only the standard library and `nm` are used.

usage: check_exports.py LIBRARY EXPORTS_TXT VERSION_NODE_OR_- VENDOR_LIBRARY
"""

import pathlib
import subprocess
import sys


def exported(library: str) -> dict[str, str]:
    """Names of functions to their version nodes."""
    output = subprocess.run(["nm", "-D", "--defined-only", "--with-symbol-versions", library],
                            check=True, capture_output=True, text=True).stdout
    symbols = {}
    for line in output.splitlines():
        fields = line.split()
        if fields[-2] == "A":
            continue  # the version node itself
        name, _, version = fields[-1].partition("@")
        symbols[name] = version.lstrip("@")
    return symbols


def main(library: str, exports_file: str, node: str, vendor: str) -> int:
    wanted = set(pathlib.Path(exports_file).read_text().split())
    have = exported(library)
    failures = [f"{library} lacks {name}" for name in sorted(wanted - have.keys())]
    failures += [f"{library} shows {name}, which is not CUDA's"
                 for name in sorted(have.keys() - wanted)]
    failures += [f"{name} has version node {version or 'none'}, not {node}"
                 for name, version in sorted(have.items()) if node != "-" and version != node]
    if pathlib.Path(vendor).exists():
        theirs = exported(vendor)
        failures += [f"{exports_file} lacks {name}" for name in sorted(theirs.keys() - wanted)]
        failures += [f"{vendor} has no {name}" for name in sorted(wanted - theirs.keys())]
        failures += [f"the vendor's {name} has version node {theirs[name]}"
                     for name in sorted(wanted & theirs.keys())
                     if node != "-" and theirs[name] != node]
    else:
        print(f"no {vendor}: the list itself is not checked")
    print("\n".join(failures) or f"{len(have)} names, as they should be")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
