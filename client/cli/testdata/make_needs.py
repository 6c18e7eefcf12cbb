#!/usr/bin/env python3
"""Links a program that needs libraries of given names, without having them.

    make_needs.py OUTPUT NAME...     for example: needs_cublas libcublas.so.13
"""
import os
import subprocess
import sys
import tempfile


def main():
    output, names = sys.argv[1], sys.argv[2:]
    with tempfile.TemporaryDirectory() as folder:
        libraries = []
        for name in names:
            path = os.path.join(folder, name)
            subprocess.run(["cc", "-shared", "-fPIC", f"-Wl,-soname,{name}", "-x", "c", "/dev/null",
                            "-o", path], check=True)
            libraries.append(path)
        subprocess.run(["cc", "-x", "c", "-", "-x", "none", "-Wl,--no-as-needed", *libraries, "-o",
                        output], input="int main(void) { return 0; }\n", text=True, check=True)


if __name__ == "__main__":
    main()
