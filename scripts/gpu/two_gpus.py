#!/usr/bin/env python3
"""NCCL and torch.distributed on a machine with two GPUs, natively and through Farlane in one run.

    two_gpus.py --farlane build/release/bin/farlane --server 127.0.0.1:4713
                [--python python3] [--all-reduce build/release/bin/all_reduce] [--libraries DIR:DIR]
                [--only NAME ...] [--steps 20]

Prints all-reduce bandwidths side by side, and for each workload of tests/pytorch/distributed.py
whether the remote run computes what the native one does, and the step times. --libraries: where
the native all_reduce finds the vendor's libcudart and libnccl.
"""
import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path

DISTRIBUTED = Path(__file__).resolve().parents[2] / "tests" / "pytorch" / "distributed.py"


def run(command, environment, timeout_s):
    """What it printed, and what was wrong with it."""
    try:
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=timeout_s)
    except subprocess.TimeoutExpired as late:
        text = (late.stderr or b"").decode(errors="replace")
        return (late.stdout or b"").decode(errors="replace"), f"timeout: {text[-600:]}"
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if "rror" in line or "arlane" in line]
        return done.stdout, f"exit {done.returncode}: " + "\n".join(lines[-8:])
    return done.stdout, ""


def all_reduce(arguments, through):
    native = dict(os.environ, LD_LIBRARY_PATH=arguments.libraries)
    tables = []
    for command, environment in (([arguments.all_reduce], native),
                                 (through + [arguments.all_reduce], dict(os.environ))) * 2:
        text, wrong = run(command, environment, arguments.timeout)
        if wrong:
            print(f"all_reduce: {' '.join(command)}: {wrong}")
        rows = re.findall(r"^\s*(\d+)\s+([\d.]+) us\s+([\d.]+) GB/s\s+(\w+)", text, re.MULTILINE)
        tables.append({int(size): (float(us), float(rate), how) for size, us, rate, how in rows})
    worst = 1.0
    print(f"{'bytes':>12} {'native us':>10} {'ours us':>10} {'native GB/s':>12} "
          f"{'ours GB/s':>10} ratio")
    for size in sorted(tables[0]):
        if not all(size in table for table in tables):
            break
        native_us, ours_us = (min(tables[i][size][0], tables[i + 2][size][0]) for i in (0, 1))
        ratio = native_us / ours_us
        worst = min(worst, ratio)
        print(f"{size:12} {native_us:10.2f} {ours_us:10.2f} {size / native_us / 1e3:12.2f} "
              f"{size / ours_us / 1e3:10.2f} {ratio:5.3f} {tables[1][size][2]}")
    print(f"all-reduce: ours is at least {worst:.3f} of native")
    return 0 if tables[0] and tables[1] else 1


def result_of(text):
    for line in reversed(text.splitlines()):
        if line.startswith("{"):
            return json.loads(line)
    return None


def workload(name, arguments, through, launcher):
    program = [arguments.python, str(DISTRIBUTED), name, "--steps", str(arguments.steps)]
    if launcher == "torchrun":
        program = [arguments.python, "-m", "torch.distributed.run", "--standalone",
                   "--nproc-per-node", "2"] + program[1:]
    first_text, first_wrong = run(program, dict(os.environ), arguments.timeout)
    ours_text, ours_wrong = run(through + program, dict(os.environ), arguments.timeout)
    first, ours = result_of(first_text), result_of(ours_text)
    again = None
    if first is not None and ours is not None and first["all"] != ours["all"]:
        again = result_of(run(program, dict(os.environ), arguments.timeout)[0])
    if first is None:
        verdict = f"native failed: {first_wrong}"
    elif ours is None:
        verdict = f"FAILED: {ours_wrong}"
    elif first["all"] == ours["all"]:
        verdict = "same bits"
    elif again is not None and again["all"] != first["all"]:
        verdict = "native differs from itself"
    else:
        verdict = "DIFFERENT"
    times = ""
    if first is not None and ours is not None:
        times = (f"{first['step_ms']:10.3f} {ours['step_ms']:10.3f} "
                 f"{ours['step_ms'] / first['step_ms']:6.2f}")
    print(f"{name + ' (' + launcher + ')':28} {times:>28}  {verdict}", flush=True)
    return 0 if verdict in ("same bits", "native differs from itself") else 1


def death(arguments, through):
    """What the rank that lives is told."""
    program = [arguments.python, str(DISTRIBUTED), "death"]
    told = [result_of(run(side + program, dict(os.environ), arguments.timeout)[0])
            for side in ([], through)]
    same = told[0] is not None and told[1] is not None and told[0]["raised"] == told[1]["raised"]
    print(f"death of a rank: native {told[0]}, remote {told[1]}: "
          f"{'the same' if same else 'DIFFERENT'}", flush=True)
    return 0 if same else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--farlane", required=True)
    parser.add_argument("--server", required=True)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--all-reduce")
    parser.add_argument("--libraries", default="")
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--timeout", type=int, default=60, help="seconds for one run")
    arguments = parser.parse_args()
    through = [arguments.farlane, "run", "--server", arguments.server, "--"]
    wrong = all_reduce(arguments, through) if arguments.all_reduce else 0
    runs = [("collectives", "spawn"), ("collectives", "torchrun"), ("ddp_resnet50", "torchrun"),
            ("ddp_bert", "torchrun"), ("ddp_bert", "spawn"), ("captured", "spawn")]
    print(f"{'workload':28} {'native ms':>10} {'remote ms':>10} {'ratio':>6}")
    for name, launcher in runs:
        if not arguments.only or name in arguments.only:
            wrong += workload(name, arguments, through, launcher)
    if not arguments.only or "death" in arguments.only:
        wrong += death(arguments, through)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
