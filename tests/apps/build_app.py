#!/usr/bin/env python3
"""Runs one compiler command unless its output is already newer than all it was made from.

    build_app.py --output FILE --depfile FILE -- COMMAND...

The test programs are shared by all build trees, but every tree starts with an empty build log and
would compile them once more. This asks the files instead: the depfile that nvcc wrote, and the
command itself. A lock keeps two trees from building one program at the same time.
"""
import argparse
import fcntl
import hashlib
import os
import subprocess
import sys


def dependencies(depfile):
    """The prerequisites in a make-style depfile, or None if it cannot be read."""
    try:
        with open(depfile) as f:
            text = f.read().replace("\\\n", " ")
    except OSError:
        return None
    return [name.replace("\0", " ")
            for name in text.split(":", 1)[1].replace("\\ ", "\0").split()]


def up_to_date(output, depfile, stamp, digest):
    try:
        with open(stamp) as f:
            if f.read() != digest:
                return False
        made = os.stat(output).st_mtime_ns
        names = dependencies(depfile)
        return names is not None and all(os.stat(n).st_mtime_ns <= made for n in names)
    except OSError:
        return False


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", required=True)
    parser.add_argument("--depfile", required=True)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    digest = hashlib.sha256("\0".join(command).encode()).hexdigest()
    os.makedirs(os.path.dirname(args.output), exist_ok=True)
    hidden = os.path.dirname(args.depfile)
    os.makedirs(hidden, exist_ok=True)
    stamp = args.depfile + ".stamp"
    with open(args.depfile + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if up_to_date(args.output, args.depfile, stamp, digest):
            return 0
        status = subprocess.run(command).returncode
        if status == 0:
            with open(stamp, "w") as f:
                f.write(digest)
        return status


if __name__ == "__main__":
    sys.exit(main())
