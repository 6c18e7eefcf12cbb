#!/usr/bin/env python3
"""The figures of PyTorch through Farlane that run.py does not have, beside native's of this run.

    measure.py --farlane build/release/bin/farlane --gpuserverd build/release/bin/gpuserverd
               [--bench build/release/bin/farlane-bench] [--python python3] [--libraries FOLDER:...]
               [--only startup graph network] [--runs 5]

startup: from starting Python to the end of its first CUDA tensor, through a server that has never
seen PyTorch's modules, and through one that has. graph: replaying a CUDA graph and one .item().
network: training behind a round trip of 50 us more and 10 Gb/s. Medians; native and remote runs
take turns. Over TCP on loopback; servers are its own.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from run_with_server import Server, port_only  # noqa: E402

FIRST_TENSOR = """
import time
begin = time.perf_counter()
import torch
imported = time.perf_counter()
x = torch.zeros(1, device="cuda")
torch.cuda.synchronize()
print(imported - begin, time.perf_counter() - imported, flush=True)
"""
GRAPH = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
import torch, workloads
torch.manual_seed(1)
steps, times = workloads.graph_replay(), []
for block in range(12):
    begin = time.perf_counter()
    for _ in range(200):
        next(steps)
    times.append((time.perf_counter() - begin) / 200 * 1e6)
print(json.dumps(sorted(times[2:])[5]))
"""


class Measuring:
    def __init__(self, arguments):
        self.arguments = arguments
        self.scratch = tempfile.TemporaryDirectory(prefix="farlane-measure-")

    def server(self):
        folder = tempfile.mkdtemp(dir=self.scratch.name)
        command = [self.arguments.gpuserverd, "--device", "cuda", "--log-level", "debug"]
        if self.arguments.libraries:
            command += ["--libraries-path", self.arguments.libraries]
        server = Server(command, folder)
        server.where = port_only(server.address(30))
        return server

    def through(self, server):
        if server is None:
            return []
        return [self.arguments.farlane, "run", "--server", server.where, "--"]

    def output(self, server, program, **settings):
        """The last line that it prints."""
        environment = dict(os.environ, FARLANE_TRANSPORT="tcp", **settings)
        done = subprocess.run(self.through(server) + program, env=environment, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=self.arguments.timeout)
        if done.returncode != 0:
            raise RuntimeError(f"exit {done.returncode}: {done.stderr[-500:]}")
        lines = done.stdout.strip().splitlines()
        return lines[-1], done.stderr

    def row(self, name, unit, native, ours, limit, *more):
        met = "met" if ours <= limit else "NOT met"
        print(f"{name:34} native {native:8.4g} {unit:2}  farlane {ours:8.4g} {unit:2}  "
              f"limit {limit:8.4g}  {met:8}" + "".join(f"  {text}" for text in more), flush=True)

    # --- the figures

    def settled(self, server):
        """A worker is ready for the next program and those before it are gone, as on a server that
        has been up a while: what starting and ending a CUDA context takes is nobody's."""
        end = time.monotonic() + 10
        while time.monotonic() < end:
            log = "\n".join(server.lines)
            used = re.findall(r" goes to worker (\d+)", log)
            if (log.count(" is warm on device") > len(used)
                    and not any(os.path.exists(f"/proc/{worker}") for worker in used)):
                return
            server.ended.wait(0.01)
        raise RuntimeError("the server has no warm worker, or one that does not end")

    def first_tensor(self, server):
        """Seconds: in all, importing, the tensor."""
        if server is not None:
            self.settled(server)
        environment = dict(os.environ, FARLANE_TRANSPORT="tcp")
        begin = time.perf_counter()
        process = subprocess.Popen(
            self.through(server) + [self.arguments.python, "-c", FIRST_TENSOR], text=True,
            env=environment, stdout=subprocess.PIPE)
        line = process.stdout.readline()
        seconds = time.perf_counter() - begin
        process.communicate(timeout=self.arguments.timeout)
        if process.returncode != 0 or not line:
            raise RuntimeError(f"the first tensor: exit {process.returncode}")
        return [seconds, *map(float, line.split())]

    def startup(self):
        samples = {"native": [], "cold": [], "warm": []}
        self.first_tensor(None)  # what is read from disk for the first time is nobody's
        for _ in range(self.arguments.runs):
            samples["native"].append(self.first_tensor(None))
            server = self.server()
            try:
                samples["cold"].append(self.first_tensor(server))
                samples["warm"].append(self.first_tensor(server))
            finally:
                server.kill()
        middle = {key: [statistics.median(column) for column in zip(*rows)]
                  for key, rows in samples.items()}
        native = middle["native"]
        for key, limit in (("cold", native[0] + 0.3), ("warm", native[0])):
            parts = " + ".join(f"{part:.2f}" for part in middle[key][1:])
            least, most = (end(row[0] for row in samples[key]) for end in (min, max))
            self.row(f"first tensor, {key} module cache", "s", native[0], middle[key][0], limit,
                     f"import + tensor {parts}, native {native[1]:.2f} + {native[2]:.2f};"
                     f" {least:.2f} to {most:.2f}")

    def round_trip_us(self, server):
        """A bare round trip over loopback, spinning: farlane-bench's."""
        if not self.arguments.bench:
            return None
        file = Path(self.scratch.name) / "raw.json"
        subprocess.run([self.arguments.bench, "compare", "--server", server.where, "--no-native",
                        "--quick", "--runs", "1", "--json", str(file)],
                       stdout=subprocess.DEVNULL, timeout=self.arguments.timeout, check=True)
        return json.loads(file.read_text())["raw"]["round_trip_spinning_us"]

    def graph(self):
        server = self.server()
        program = [self.arguments.python, "-c", GRAPH, str(HERE)]
        try:
            raw = self.round_trip_us(server)
            native, ours, spinning = [], [], []
            for _ in range(self.arguments.runs):
                native.append(float(self.output(None, program)[0]))
                ours.append(float(self.output(server, program)[0]))
                spinning.append(float(self.output(server, program, FARLANE_SPIN_US="1000")[0]))
        finally:
            server.kill()
        native, ours, spinning = map(statistics.median, (native, ours, spinning))
        limit = native + 1.5 * (raw or 0)
        self.row("graph replay and item()", "us", native, ours, limit,
                 f"round trip {raw} us, FARLANE_SPIN_US=1000: {spinning:.4g} us")

    def network(self):
        server = self.server()
        slow = {"FARLANE_SIMULATE_RTT_US": "50", "FARLANE_SIMULATE_GBPS": "10"}
        try:
            for name in self.arguments.training:
                program = [self.arguments.python, str(HERE / "workloads.py"), name, "--steps", "20"]
                rows = {"native": [], "loopback": [], "shaped": []}
                for _ in range(self.arguments.long_runs):
                    rows["native"].append(self.output(None, program)[0])
                    rows["loopback"].append(self.output(server, program)[0])
                    rows["shaped"].append(self.output(server, program, **slow)[0])
                ms = {key: statistics.median(json.loads(line)["step_ms"] for line in lines)
                      for key, lines in rows.items()}
                self.row(f"{name}, loopback", "ms", ms["native"], ms["loopback"],
                         1.02 * ms["native"], f"ratio {ms['loopback'] / ms['native']:.3f}")
                self.row(f"{name}, 50 us, 10 Gb/s", "ms", ms["native"], ms["shaped"],
                         1.10 * ms["native"], f"ratio {ms['shaped'] / ms['native']:.3f}")
        finally:
            server.kill()


FIGURES = ("startup", "graph", "network")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--farlane", required=True)
    parser.add_argument("--gpuserverd", required=True)
    parser.add_argument("--bench", help="farlane-bench, for the bare round trip")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--libraries",
                        default=os.environ.get("FARLANE_GPUSERVERD_LIBRARIES_PATH", ""))
    parser.add_argument("--only", nargs="*", choices=FIGURES, default=FIGURES)
    parser.add_argument("--training", nargs="*", default=["resnet50_training", "gpt2_training"])
    parser.add_argument("--runs", type=int, default=5, help="of what is short")
    parser.add_argument("--long-runs", type=int, default=3, help="of what is not")
    parser.add_argument("--timeout", type=int, default=60, help="seconds for one program")
    arguments = parser.parse_args()
    measuring = Measuring(arguments)
    wrong = 0
    for name in arguments.only:
        try:
            getattr(measuring, name)()
        except (RuntimeError, OSError, subprocess.SubprocessError, ValueError) as error:
            print(f"{name}: {error}", flush=True)
            wrong += 1
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
