#!/usr/bin/env python3
"""The figures of PyTorch through Farlane that run.py does not have, beside native's of this run.

    measure.py --farlane build/release/bin/farlane --gpuserverd build/release/bin/gpuserverd
               [--bench build/release/bin/farlane-bench] [--python python3] [--libraries FOLDER:...]
               [--only startup graph network] [--runs 5]

startup: from starting Python (or `farlane run`) to the end of its first CUDA tensor, through a
server that has never seen PyTorch's modules, and through one that has. graph: replaying a CUDA
graph and one .item(). network: training behind a round trip of 50 us more and 10 Gb/s. Medians;
native and remote runs take turns. Over TCP on loopback; servers are its own.

How startup is measured. A round is one native run, one cold and one warm; rounds begin with the
native run and end with it in turn, so that a machine that gets slower or quicker is in no one's
favour. Before each run the server has a warm worker and ended programs are gone, before native runs
as well: then somebody holds the GPU, and nobody waits for it to come up. One run of each kind comes
before all that count, for what is read from disk. The figure is the median of the seconds on the
clock. Beside it: the median of the differences to native's run of the same round, with the middle
half of them, and medians of the parts (until Python runs its first line, import, tensor; and the
end of the process, which is not in the figure) and of the CPU seconds of all threads until then.
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

# process_time() counts from before the exec of `farlane run` on: it is the same process.
FIRST_TENSOR = """
import time
begin = time.perf_counter()
import torch
imported, imported_cpu = time.perf_counter(), time.process_time()
x = torch.zeros(1, device="cuda")
torch.cuda.synchronize()
done, done_cpu = time.perf_counter(), time.process_time()
print(imported - begin, done - imported, imported_cpu, done_cpu - imported_cpu, flush=True)
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


def quartiles(numbers):
    """The median between the bounds of the middle half; of one number three times that."""
    return statistics.quantiles(numbers, n=4, method="inclusive") if len(numbers) > 1 else (
        numbers * 3)


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

    def first_tensor(self, server, through):
        """The parts of one run, in seconds; `through` None: native, beside the server."""
        self.settled(server)
        environment = dict(os.environ, FARLANE_TRANSPORT="tcp")
        command = self.through(through) + [self.arguments.python, "-c", FIRST_TENSOR]
        begin = time.perf_counter()
        process = subprocess.Popen(command, text=True, env=environment, stdout=subprocess.PIPE)
        line = process.stdout.readline()
        told = time.perf_counter()
        process.communicate(timeout=self.arguments.timeout)
        ended = time.perf_counter()
        if process.returncode != 0 or not line:
            raise RuntimeError(f"the first tensor: exit {process.returncode}")
        importing, tensor, importing_cpu, tensor_cpu = map(float, line.split())
        return {"all": told - begin, "start": told - begin - importing - tensor,
                "import": importing, "tensor": tensor, "end": ended - told,
                "CPU until imported": importing_cpu, "CPU of the tensor": tensor_cpu}

    def startup_round(self, native_first):
        server = self.server()
        try:
            order = ["cold", "warm"]
            order.insert(0 if native_first else 2, "native")
            return {kind: self.first_tensor(server, None if kind == "native" else server)
                    for kind in order}
        finally:
            server.kill()

    def startup(self):
        self.startup_round(True)  # what is read from disk for the first time is nobody's
        rounds = [self.startup_round(number % 2 == 0)
                  for number in range(self.arguments.startup_runs)]
        parts = rounds[0]["native"].keys()
        middle = {kind: {part: statistics.median(one[kind][part] for one in rounds)
                         for part in parts} for kind in ("native", "cold", "warm")}
        native = middle["native"]["all"]
        for kind, limit in (("cold", native + 0.3), ("warm", native)):
            apart = [one[kind]["all"] - one["native"]["all"] for one in rounds]
            low, middle_apart, high = quartiles(apart)
            ends = [end(one[kind]["all"] for one in rounds) for end in (min, max)]
            self.row(f"first tensor, {kind} module cache", "s", native, middle[kind]["all"], limit,
                     f"{ends[0]:.2f} to {ends[1]:.2f}; by rounds {middle_apart:+.3f}"
                     f" ({low:+.3f} to {high:+.3f})")
        for kind, row in middle.items():
            print(f"    {kind:7} " + "  ".join(f"{part} {row[part]:.3f}" for part in parts),
                  flush=True)

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
    parser.add_argument("--startup-runs", type=int, default=11, help="rounds of startup")
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
