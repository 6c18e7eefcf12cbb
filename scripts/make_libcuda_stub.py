#!/usr/bin/env python3
"""Makes a libcuda.so to link against, from the declarations in cuda.h.

    make_libcuda_stub.py --include FOLDER --output FILE

The vendor's wheels lack the stub that a full toolkit has in lib64/stubs. Only its names count: at
run time the loader takes the real libcuda.so.1, or Farlane's.
"""
import argparse
import os
import re
import subprocess
import sys


def declared_functions(include):
    """The names that programs refer to: after the preprocessor, so with their _v2 and _ptsz."""
    names = set()
    for defines in ([], ["-DCUDA_API_PER_THREAD_DEFAULT_STREAM"]):
        text = subprocess.run(
            ["cc", "-E", "-P", "-I", include, *defines, "-include", "cuda.h", "-x", "c",
             "/dev/null"], check=True, capture_output=True, text=True).stdout
        names.update(re.findall(r"\b(cu[A-Z]\w*)\s*\(", text))
    return names


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--include", required=True)
    parser.add_argument("--output", required=True)
    args = parser.parse_args()
    names = declared_functions(args.include)
    if len(names) < 400:  # CUDA 13.0 declares 449
        print(f"cuda.h in {args.include} declares only {len(names)} functions", file=sys.stderr)
        return 1
    os.makedirs(os.path.dirname(args.output), exist_ok=True)
    source = "".join(f"int {name}(void) {{ return 34; }}\n" for name in sorted(names))
    # 34 is CUDA_ERROR_STUB_LIBRARY, for whoever runs with the stub by mistake.
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-w", "-Wl,-soname,libcuda.so.1", "-x", "c", "-", "-o",
         args.output], input=source, check=True, text=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
