#!/usr/bin/env python3
"""FARLANE_STATS against a program whose questions are known.

    run_with_server.py ... -- stats_test.py --farlane FARLANE --bench FARLANE_BENCH

`farlane-bench question --quick` asks 551 times each (500 rounds and 51 before them) whether a
stream is idle and how much memory is free, when local answers are off.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

QUESTIONS = 551


def run(args, **settings):
    environment = {name: value for name, value in os.environ.items() if name != "FARLANE_STATS"}
    environment.update(settings)
    command = [args.farlane, "run", "--", args.bench, "question", "--quick", "--plain"]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--farlane", required=True)
    parser.add_argument("--bench", required=True)
    args = parser.parse_args()

    off = run(args)
    assert off == "", f"something was said with statistics off: {off!r}"

    told = json.loads(run(args, FARLANE_STATS="json", FARLANE_LOCAL_ANSWERS="false"))
    asked = told["asked_by_function"]
    for name in ("stream_synchronize", "memory_info"):
        assert asked[name]["count"] == QUESTIONS, (name, asked)
        assert asked[name]["total_ns"] >= asked[name]["max_ns"] > 0, (name, asked)
    assert told["asked"] == sum(row["count"] for row in asked.values()), told
    assert told["local"] == 0 and told["local_by_function"] == {}, told
    assert told["posted"] > 0 and told["frames_out"] >= told["asked"], told
    # A reply begins with a header of 16 bytes.
    assert told["bytes_in"] > told["asked"] * 16 and told["command_bytes_out"] > 0, told
    assert 0 < told["waits_by_reason"]["answers"]["count"] <= told["asked"], told
    assert not told["lost"], told

    told = json.loads(run(args, FARLANE_STATS="json"))
    local = told["local_by_function"]
    assert local["stream_synchronize"]["count"] >= QUESTIONS - 1, told
    assert told["local"] == sum(row["count"] for row in local.values()), told

    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "log")
        assert run(args, FARLANE_STATS="1", FARLANE_LOG_FILE=file) == ""
        with open(file) as f:
            text = f.read()
    assert text.startswith("farlane: statistics of process "), text
    assert "calls posted" in text and "answered here, by function" in text, text
    print(text)

    # A simulated round trip of 2 ms is in every question.
    told = json.loads(run(args, FARLANE_STATS="json", FARLANE_LOCAL_ANSWERS="false",
                          FARLANE_SIMULATE_RTT_US="2000"))
    row = told["asked_by_function"]["stream_synchronize"]
    assert row["total_ns"] >= row["count"] * 2_000_000, row


if __name__ == "__main__":
    sys.exit(main())
