#!/usr/bin/env python3
"""Runs a program twice, with and without asking ahead, and counts its questions.

    ahead_test.py PROGRAM

Where run_with_server.py has a server for it.
"""
import json
import os
import subprocess
import sys
import tempfile


def run(program, ahead):
    with tempfile.TemporaryDirectory() as folder:
        log = os.path.join(folder, "log")
        environment = dict(os.environ, FARLANE_ASK_AHEAD=ahead, FARLANE_STATS="json",
                           FARLANE_LOG_FILE=log)
        subprocess.run([program], env=environment, check=True)
        with open(log) as lines:
            told = [json.loads(line) for line in lines if line.startswith('{"farlane_stats"')]
    return told[0]["asked_by_function"]["cudnnBackendGetAttribute"]["count"], told[0]["asked_ahead"]


def main():
    asked, ahead = run(sys.argv[1], "true")
    asked_singly, ahead_singly = run(sys.argv[1], "false")
    print(f"{asked} questions with {ahead} answers ahead, {asked_singly} one by one")
    wrong = []
    if ahead_singly != 0:
        wrong.append("something was asked ahead although that is off")
    # The program asks three questions about each of some 270 engines.
    if asked_singly < 800 or asked > 100:
        wrong.append("asking ahead does not make the questions few")
    # No more than twice what was wanted.
    if ahead > 2 * asked_singly:
        wrong.append("too much was asked in vain")
    for line in wrong:
        print(f"ahead_test.py: {line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
