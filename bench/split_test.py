#!/usr/bin/env python3
"""farlane-bench split on the software device: every part that a kind of command has is a number.

    split_test.py --bench FARLANE_BENCH
"""
import argparse
import subprocess
import sys

COLUMNS = ("total", "append", "credit", "network", "receive", "decode", "driver", "device", "reply",
           "rest", "native")
POSTED = ("launch", "launch, 5 arguments", "memset", "4-byte copy to device")
ASKED = ("4-byte copy to host", "question: stream synchronise, idle", "question: memory info",
         "launch + synchronise")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bench", required=True)
    args = parser.parse_args()
    done = subprocess.run([args.bench, "split", "--no-native", "--device", "software", "--quick",
                           "--runs", "1"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    rows = {}
    for line in done.stdout.splitlines():
        words = line.split()
        if len(words) > len(COLUMNS):
            cells = words[-len(COLUMNS):]
            rows[line[:36].strip()] = dict(zip(COLUMNS, cells))
    for kind in POSTED + ASKED:
        row = rows[kind]
        assert row["native"] == "-", row
        for part in ("total", "network", "receive", "decode", "driver", "device", "reply"):
            assert float(row[part]) >= 0, (kind, part, row)
        for part in ("total", "receive", "decode"):
            assert float(row[part]) > 0, (kind, part, row)
    for kind in POSTED:
        assert float(rows[kind]["append"]) > 0 and float(rows[kind]["driver"]) > 0, rows[kind]
        assert rows[kind]["rest"] == "-", rows[kind]
    for kind in ASKED:
        assert rows[kind]["append"] == "-" and float(rows[kind]["reply"]) > 0, rows[kind]
        float(rows[kind]["rest"])
    assert float(rows["launch + synchronise"]["device"]) > 0, rows


if __name__ == "__main__":
    sys.exit(main())
