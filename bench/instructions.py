#!/usr/bin/env python3
"""Counts the instructions of one launch, one small copy and one question, in the log alone, through
libcudart's functions, and in the worker, of one collective of NCCL's, and holds them against
bench/instructions_baseline.json.

    instructions.py --program build/release/bin/farlane_instructions [--write]

Fails when a figure has grown by more than 5 %; --write makes what is measured the new baseline, to
be committed with the change that caused it. Only instructions of our own code are counted:
callgrind tells each by the file it came from, and the C library, whose memcpy is another one on
each processor, is left out. What a compiler of another version makes is not comparable: then
nothing is checked and the exit status is 77.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile

# Figures, and the functions that collecting is toggled in: within one that is counted, one that is
# not.
TOGGLES = {
    "launch": ["count_launch"],
    "copy": ["count_copy"],
    "question": ["count_question"],
    "launch through libcudart": ["count_facade_launch"],
    "copy through libcudart": ["count_facade_copy"],
    "question through libcudart": ["count_facade_question", "count_worker_question"],
    "launch in the worker": ["count_worker_launch"],
    "copy in the worker": ["count_worker_copy"],
    "question in the worker": ["count_worker_question"],
    "collective through libnccl": ["count_facade_collective"],
    "collective in the worker": ["count_worker_collective"],
}
TOLERANCE = 0.05
SKIPPED = 77
BASELINE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "instructions_baseline.json")


def own_instructions(file, program):
    """Sum of the self cost of everything in `program`, from a callgrind output file."""
    names = {}
    own = False
    skip = False
    total = 0
    for line in file:
        named = re.match(r"ob=\((\d+)\)(?: (.*))?", line)
        if named:
            if named.group(2):
                names[named.group(1)] = named.group(2).strip()
            own = os.path.basename(names[named.group(1)]) == os.path.basename(program)
        elif line.startswith("cob="):
            known = re.match(r"cob=\((\d+)\)(?: (.*))?", line)
            if known.group(2):
                names[known.group(1)] = known.group(2).strip()
        elif line.startswith("calls="):
            skip = True  # the next line is what the callee cost
        elif re.match(r"[+\-*\d]\S* \d+", line):
            if own and not skip:
                total += int(line.split()[1])
            skip = False
    return total


def measure(program, toggles):
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "callgrind.out")
        done = subprocess.run(
            ["valgrind", "--tool=callgrind", *(f"--toggle-collect={name}" for name in toggles),
             f"--callgrind-out-file={out}", program],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            sys.exit(f"valgrind failed:\n{done.stderr}")
        with open(out) as file:
            return own_instructions(file, program) / int(done.stdout)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    parser.add_argument("--compiler", required=True, help="name and version, e.g. GNU 12.2.0")
    parser.add_argument("--write", action="store_true", help="make this the baseline")
    args = parser.parse_args()
    figures = {name: round(measure(args.program, toggles), 1) for name, toggles in TOGGLES.items()}
    for name, figure in figures.items():
        print(f"{name:28} {figure:10.1f} instructions")
    if any(figure <= 0 for figure in figures.values()):
        sys.exit("nothing was counted: are the functions count_* inlined, or renamed?")
    if args.write:
        with open(BASELINE, "w") as f:
            json.dump({"compiler": args.compiler, **figures}, f, indent=2)
            f.write("\n")
        return 0
    with open(BASELINE) as f:
        baseline = json.load(f)
    if baseline["compiler"] != args.compiler:
        print(f"the baseline is of {baseline['compiler']}, this is {args.compiler}: not compared")
        return SKIPPED
    grown = False
    for name, figure in figures.items():
        if name not in baseline:
            sys.exit(f"{name} is not in the baseline: --write")
        before = baseline[name]
        if figure > before * (1 + TOLERANCE):
            grown = True
            print(f"FAILED: {name} grew from {before} to {figure}; if that is meant: --write")
        elif figure < before * (1 - TOLERANCE):
            print(f"{name} shrank from {before} to {figure}: lower the baseline with --write")
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
