#!/usr/bin/env python3
"""Runs a Python test with the packages of build/python-tests under `farlane run`.

    run.py --packages FOLDER --needs MODULE --farlane FARLANE -- SCRIPT ARGUMENTS...

The status is the test's; 77, which ctest shows as skipped, if the packages are not there.
"""
import argparse
import os
import subprocess
import sys

SKIPPED = 77


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--packages", required=True, help="a virtual environment")
    parser.add_argument("--needs", required=True, help="a module that must be in it")
    parser.add_argument("--farlane", required=True)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    python = os.path.join(args.packages, "bin", "python")
    found = os.path.exists(python) and subprocess.run(
        [python, "-c", f"import importlib.util as u; exit(u.find_spec('{args.needs}') is None)"],
        check=False).returncode == 0
    if not found:
        print(f"skipped: {args.needs} is not in {args.packages} (tests/python/README.md)")
        return SKIPPED
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    return subprocess.run([args.farlane, "run", "--", python, *command], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
