#!/usr/bin/env python3
"""farlane-bench burst: what travels for it, as the client's statistics count it.

    run_with_server.py ... -- burst_test.py --farlane FARLANE --bench FARLANE_BENCH

`burst --quick` makes 551 bursts (500 rounds and 51 before them) of ten launches, a 4-byte copy to
the host and a synchronisation.
"""
import argparse
import json
import os
import subprocess
import sys

BURSTS = 551
COMMANDS = 11  # of a burst; its synchronisation is none


def run(args, **settings):
    environment = dict(os.environ, FARLANE_STATS="json", **settings)
    command = [args.farlane, "run", "--", args.bench, "burst", "--quick", "--plain"]
    done = subprocess.run(command, env=environment, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE)
    assert done.returncode == 0, done.stderr
    value, unit, name = done.stdout.split(maxsplit=2)
    assert float(value) > 0 and unit == "us", done.stdout
    assert name.startswith("burst of 10 launches"), done.stdout
    return json.loads(done.stderr)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--farlane", required=True)
    parser.add_argument("--bench", required=True)
    args = parser.parse_args()

    told = run(args)
    print(told)
    # The copy's data answer the synchronisation: nothing of a burst asks.
    assert "stream_synchronize" not in told["asked_by_function"], told
    assert told["local_by_function"]["stream_synchronize"]["count"] == BURSTS, told
    assert told["posted"] >= BURSTS * COMMANDS, told
    # A program that does so again and again sends the first launch of each by itself, or keeps it
    # for the synchronisation.
    assert BURSTS - 8 <= told["sent_first"] + told["held_first"] <= BURSTS + 8, told

    told = run(args, FARLANE_SEND_BEFORE_QUESTIONS="false", FARLANE_RECEIVE_AFTER_US="0")
    assert told["sent_first"] == 0 and told["held_first"] == 0, told
    assert "stream_synchronize" not in told["asked_by_function"], told

    told = run(args, FARLANE_HOLD_US="0")
    assert told["sent_first"] >= BURSTS - 8 and told["held_first"] == 0, told

    told = run(args, FARLANE_LOCAL_ANSWERS="false")
    assert told["asked_by_function"]["stream_synchronize"]["count"] == BURSTS, told


if __name__ == "__main__":
    sys.exit(main())
