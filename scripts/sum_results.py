#!/usr/bin/env python3
"""Adds up the JUnit files of ctest runs and prints one closing line in ctest's own words.

    sum_results.py FOLDER

For a test that failed, what it printed (its last lines) stands below its name: where the logs of
the run are not at hand, that is all there is to find the cause with.

Exit status 1 if a test failed, or if a run had no test at all.
"""
import glob
import os
import sys
import xml.etree.ElementTree as xml


OUTPUT_LINES_MAX = 60
OUTPUT_COLUMNS_MAX = 200


def print_output(case):
    lines = (case.findtext("system-out") or "").strip().splitlines()
    if len(lines) > OUTPUT_LINES_MAX:
        print(f"    ({len(lines) - OUTPUT_LINES_MAX} lines before)")
    for line in lines[-OUTPUT_LINES_MAX:]:
        print(f"    {line[:OUTPUT_COLUMNS_MAX]}")


def main():
    total = failed = skipped = 0
    empty = []
    for path in sorted(glob.glob(os.path.join(sys.argv[1], "*.xml"))):
        suite = xml.parse(path).getroot()
        name = os.path.splitext(os.path.basename(path))[0]
        count = int(suite.get("tests", 0))
        bad = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        left_out = int(suite.get("skipped", 0)) + int(suite.get("disabled", 0))
        print(f"{name}: {count - bad - left_out} passed, {bad} failed, {left_out} skipped")
        for case in suite.iter("testcase"):
            if case.find("failure") is not None:
                print(f"  failed: {case.get('name')}")
                print_output(case)
        total += count
        failed += bad
        skipped += left_out
        if count == 0:
            empty.append(name)
    ran = total - skipped
    if ran:
        print(f"{100 * (ran - failed) // ran}% tests passed, {failed} tests failed out of {ran}")
    for name in empty:
        print(f"no test ran under {name}")
    return 1 if failed or empty else 0


if __name__ == "__main__":
    sys.exit(main())
