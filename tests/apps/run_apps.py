#!/usr/bin/env python3
"""Runs the test programs and compares what they print with what is expected.

    run_apps.py --apps build/apps-bin                                   natively
    run_apps.py --apps build/apps-bin --launcher "farlane run --server host:port --"
    run_apps.py --apps build/apps-bin --out native/                     keep outputs
    run_apps.py --apps build/apps-bin --launcher "..." --compare native/   hold against a kept run

expected/NAME.txt holds the standard output, and as its last line "exit code N" if N is not zero.
Programs print only what is the same on every correct CUDA implementation, so the comparison is
exact. The exit status is 0 only if every program passed. `--args` goes to every program (a scale
factor on real GPUs; expected outputs are for none).
"""
import argparse
import concurrent.futures
import difflib
import os
import re
import shlex
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SKIPPED = 77  # a program's exit status: this machine lacks what it is about


class Result:
    def __init__(self, name, text, errors, seconds):
        self.name, self.text, self.errors, self.seconds = name, text, errors, seconds
        self.verdict, self.diff = "", ""


def run(command, timeout_s):
    """Runs one program in a process group of its own; gives its output, the exit code in it."""
    start = time.monotonic()
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, start_new_session=True)
    except OSError as error:
        return "", "cannot start: %s\n" % error, 127, 0.0, False
    timed_out = False
    try:
        out, err = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        timed_out = True
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
    seconds = time.monotonic() - start
    return (out.decode(errors="replace"), err.decode(errors="replace"), process.returncode, seconds,
            timed_out)


def one(name, options):
    command = options.launcher + [os.path.join(options.apps, name)] + options.args
    text, errors, code, seconds, timed_out = run(command, options.timeout)
    if timed_out:
        text += "(no end within %g s)\n" % options.timeout
    elif code != 0:
        if text and not text.endswith("\n"):
            text += "\n"
        text += "exit code %d\n" % code
    result = Result(name, text, errors, seconds)
    if code == SKIPPED and options.skip:
        result.verdict = "skipped"
        return result
    reference = os.path.join(options.compare or options.expected, name + ".txt")
    try:
        with open(reference) as f:
            want = f.read()
    except OSError:
        result.verdict = "no reference"
        return result
    if text == want:
        result.verdict = "ok"
    else:
        result.verdict = "no end" if timed_out else "differs"
        result.diff = "".join(difflib.unified_diff(
            want.splitlines(keepends=True), text.splitlines(keepends=True),
            reference, "this run", n=2))
    return result


def programs(folder, only):
    names = []
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if os.path.isfile(path) and os.access(path, os.X_OK) and not name.startswith("."):
            if not only or re.search(only, name):
                names.append(name)
    return names


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--apps", required=True, help="folder with the programs")
    parser.add_argument("--only", help="regular expression over names")
    parser.add_argument("--launcher", default="", help="command in front of each program")
    parser.add_argument("--expected", default=os.path.join(HERE, "expected"))
    parser.add_argument("--compare", help="folder of another run's --out, instead of --expected")
    parser.add_argument("--out", help="keep each program's output here")
    parser.add_argument("--timeout", type=float, default=120, help="seconds for one program")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--args", default="", help="arguments for every program")
    parser.add_argument("--no-skip", dest="skip", action="store_false",
                        help="a program that finds the machine lacking has failed")
    parser.add_argument("--list", action="store_true", help="print the names and stop")
    options = parser.parse_args()
    options.launcher = shlex.split(options.launcher)
    options.args = shlex.split(options.args)
    names = programs(options.apps, options.only)
    if options.list:
        print("\n".join(names))
        return 0
    if not names:
        print("no programs in %s" % options.apps, file=sys.stderr)
        return 2
    if options.out:
        os.makedirs(options.out, exist_ok=True)

    passed = failed = skipped = 0
    with concurrent.futures.ThreadPoolExecutor(max_workers=options.jobs) as pool:
        futures = [pool.submit(one, name, options) for name in names]
        for future in futures:
            result = future.result()
            print("%-24s %-12s %7.2f s" % (result.name, result.verdict, result.seconds))
            if options.out:
                with open(os.path.join(options.out, result.name + ".txt"), "w") as f:
                    f.write(result.text)
                if result.errors:
                    with open(os.path.join(options.out, result.name + ".stderr"), "w") as f:
                        f.write(result.errors)
            if result.verdict == "ok":
                passed += 1
            elif result.verdict == "skipped":
                skipped += 1
            else:
                failed += 1
                sys.stdout.write(result.diff)
                if result.errors:
                    print("--- standard error, the end of it")
                    print("".join(result.errors.splitlines(keepends=True)[-20:]).rstrip("\n"))
            sys.stdout.flush()
    print("%d passed, %d failed%s" % (passed, failed,
                                      ", %d skipped" % skipped if skipped else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
