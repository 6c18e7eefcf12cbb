#!/usr/bin/env python3
"""Runs the workloads natively and through Farlane on a machine with a GPU, and compares.

    run.py --farlane build/release/bin/farlane --server 127.0.0.1:4713 [--python python3]
           [--only NAME ...] [--steps 20] [--out DIR]

Each runs natively twice and remotely twice, in processes of their own, with the same seed. Where
the native runs agree with one another, the remote ones must agree with them bit for bit. Prints a
row for each: step times, their ratio (remote to native, medians), and asked calls per step: the
difference between a remote run of `steps` and one of twice as many. Exit status 1 if any differs
or fails.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent


def run(command, environment, out, label, timeout):
    with open(out / f"{label}.err", "w") as errors:
        try:
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=errors,
                                  text=True, timeout=timeout)
        except subprocess.TimeoutExpired:
            return None, "timeout"
    for line in reversed(done.stdout.splitlines()):
        if line.startswith("{"):
            return json.loads(line), ""
    tail = (out / f"{label}.err").read_text().strip().splitlines()
    wrong = [line for line in tail if "Error" in line or "error" in line] or tail[-1:]
    return None, f"exit {done.returncode}: {wrong[-1] if wrong else ''}"


def asked_calls(path):
    """Asked calls by name, from what FARLANE_STATS=json printed."""
    for line in reversed(path.read_text().splitlines()):
        at = line.find("{")
        if at >= 0:
            try:
                summary = json.loads(line[at:])
            except ValueError:
                continue
            if "asked" in summary:
                return summary
    return None


def names_of(summary):
    rows = summary.get("asked_by_function") or summary.get("asked_rows") or {}
    if isinstance(rows, dict):
        return {name: row["count"] if isinstance(row, dict) else row for name, row in rows.items()}
    return {row["name"]: row["count"] for row in rows}


def workload(name, arguments):
    out, steps = arguments.out, arguments.steps
    native = dict(os.environ)
    remote = dict(os.environ, FARLANE_STATS="json")

    def program(count):
        return [arguments.python, str(HERE / "workloads.py"), name, "--steps", str(count)]

    through = [arguments.farlane, "run", "--server", arguments.server, "--"]
    first, why = run(program(steps), native, out, f"{name}.native1", arguments.timeout)
    if first is None:
        return {"name": name, "verdict": f"native failed: {why}"}
    second = None
    if not arguments.once:
        second, why = run(program(steps), native, out, f"{name}.native2", arguments.timeout)
    ours, why = run(through + program(steps), remote, out, f"{name}.remote1", arguments.timeout)
    if ours is None:
        return {"name": name, "verdict": f"FAILED: {why}", "native_ms": first["step_ms"]}
    again = None
    if not arguments.once:
        again, _ = run(through + program(2 * steps), remote, out, f"{name}.remote2",
                       arguments.timeout)
    row = {"name": name, "native_ms": min(first["step_ms"], (second or first)["step_ms"]),
           "remote_ms": min(ours["step_ms"], (again or ours)["step_ms"]),
           "asked": None, "names": {}}
    repeatable = second is None or first["digests"] == second["digests"]
    if ours["digests"] == first["digests"]:
        row["verdict"] = "same"
    else:
        row["verdict"] = "DIFFERENT" if repeatable else "native differs from itself"
    one = two = None
    if again is not None:
        one, two = (asked_calls(out / f"{name}.remote{i}.err") for i in (1, 2))
    if one is not None and two is not None:
        row["asked"] = (two["asked"] - one["asked"]) / steps
        before, after = names_of(one), names_of(two)
        row["names"] = {key: (after[key] - before.get(key, 0)) / steps
                        for key in after if after[key] != before.get(key, 0)}
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--farlane", required=True)
    parser.add_argument("--server", required=True)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--timeout", type=int, default=120, help="seconds for one run")
    parser.add_argument("--once", action="store_true",
                        help="a single run each way: quick, and says nothing about asked calls")
    parser.add_argument("--out", type=Path, default=Path(tempfile.gettempdir()) / "farlane-pytorch")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    listed = subprocess.run([sys.executable, "-c", "import re, sys; print(*re.findall("
                             r"r'@workload\ndef (\w+)', open(sys.argv[1]).read()))",
                             str(HERE / "workloads.py")],
                            capture_output=True, text=True, check=True)
    names = arguments.only or listed.stdout.split()
    print(f"{'workload':24} {'native ms':>10} {'remote ms':>10} {'ratio':>6} {'asked/step':>10}")
    wrong = 0
    rows = []
    for name in names:
        row = workload(name, arguments)
        rows.append(row)
        wrong += row["verdict"] not in ("same", "native differs from itself")
        times = ""
        if "remote_ms" in row:
            asked = "-" if row["asked"] is None else f"{row['asked']:.1f}"
            times = (f"{row['native_ms']:10.3f} {row['remote_ms']:10.3f} "
                     f"{row['remote_ms'] / row['native_ms']:6.2f} {asked:>10}")
        print(f"{name:24} {times:>39}  {row['verdict']}", flush=True)
        if row.get("names"):
            print(" " * 25 + ", ".join(f"{count:g} {key}" for key, count in row["names"].items()),
                  flush=True)
    (arguments.out / "rows.json").write_text(json.dumps(rows, indent=1))
    print(f"{len(names)} workloads, {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
