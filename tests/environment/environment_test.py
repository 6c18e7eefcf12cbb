#!/usr/bin/env python3
"""CUDA's environment variables, which the vendor's driver implements and ours must; and what is
left of CUDA when the server's worker is gone.

    environment_test.py FARLANE PROGRAM        (program.cu; FARLANE_SERVER is set)
"""
import json
import os
import subprocess
import sys
import tempfile
import unittest

FARLANE, PROGRAM = sys.argv[1:3]
UUID = "GPU-fa71a2e0-50f7-4de1-9ce0-000000000001"  # the software device's


def run(*arguments, **variables):
    """The program's lines, by their first word, and the session's statistics."""
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith("CUDA_")}
    with tempfile.NamedTemporaryFile() as log:
        environment.update(variables, FARLANE_STATS="json", FARLANE_LOG_FILE=log.name)
        output = subprocess.run([FARLANE, "run", "--", PROGRAM, *arguments], env=environment,
                                capture_output=True, text=True, check=True, timeout=120).stdout
        said = log.read().decode()
    lines = dict(line.split(" ", 1) for line in output.splitlines())
    stats = [json.loads(line[line.index("{"):]) for line in said.splitlines() if "{" in line]
    return lines, stats[0] if stats else {}


def asked(stats, name):
    text = json.dumps(stats)
    return f'"{name}"' in text


class Environment(unittest.TestCase):
    def test_visible_devices(self):
        for value, count in (("0", 1), ("0,0", 1), (UUID, 1), (UUID[:12], 1), (" 0 , 7", 1),
                             ("1", 0), ("-1", 0), ("", 0), ("GPU-0", 0), ("7,0", 0)):
            lines, _ = run(CUDA_VISIBLE_DEVICES=value)
            with self.subTest(value=value):
                self.assertEqual(lines["count"].split()[0], str(count))
                if count == 0:
                    self.assertEqual(lines["count"], "0 cudaErrorNoDevice")
                    self.assertEqual(lines["malloc"], "cudaErrorNoDevice")

    def test_device_order(self):
        for value in ("PCI_BUS_ID", "FASTEST_FIRST"):
            self.assertEqual(run(CUDA_DEVICE_ORDER=value)[0]["count"], "1 cudaSuccess")

    def test_launch_blocking(self):
        lines, _ = run("fail")
        self.assertEqual(lines["launched"], "cudaSuccess")
        self.assertEqual(lines["finished"], "cudaErrorLaunchFailure")
        lines, _ = run("fail", CUDA_LAUNCH_BLOCKING="1")
        self.assertEqual(lines["launched"], "cudaErrorLaunchFailure")
        lines, _ = run("fail", CUDA_LAUNCH_BLOCKING="0")
        self.assertEqual(lines["launched"], "cudaSuccess")

    def test_module_loading(self):
        lines, stats = run()
        self.assertEqual(lines["loading"], "lazy")
        self.assertFalse(asked(stats, "module_load"), stats)
        for value, mode in (("LAZY", "lazy"), ("DEFAULT", "lazy"), ("EAGER", "eager")):
            lines, stats = run(CUDA_MODULE_LOADING=value)
            self.assertEqual(lines["loading"], mode)
            self.assertEqual(asked(stats, "module_load"), mode == "eager", stats)
        lines, _ = run("work", CUDA_MODULE_LOADING="EAGER")
        self.assertEqual(lines["kernel"], "says 1")

    def test_a_lost_session_has_its_devices_still(self):
        # Destructors ask for the device and set it back; an error there ends PyTorch programs.
        lines, _ = run("lose")
        self.assertEqual(lines["work"], "cudaErrorSystemNotReady")
        self.assertEqual(lines["malloc"], "cudaErrorSystemNotReady")
        self.assertEqual((lines["get"], lines["set"]), ("cudaSuccess", "cudaSuccess"))
        self.assertEqual(lines["wrong"], "cudaErrorInvalidDevice")
        self.assertEqual(lines["state"], "0 1")
        self.assertEqual((lines["properties"], lines["name"]), ("cudaSuccess", "0 the same"))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
