#!/usr/bin/env python3
"""Bad input: each program of failing.py natively and through Farlane, what it saw compared.

    failures.py --farlane build/release/bin/farlane --gpuserverd build/release/bin/gpuserverd
                [--python python3] [--libraries FOLDER:...] [--only NAME ...] [--no-native]

Exceptions must have the same type and text, values the same bits, the process the same exit status.
What cannot happen natively (a server that goes, a library it lacks) is compared with what the
program must be told. Starts servers of its own. A program that runs longer than its limit, or ends
by a signal of its own making, is a failure. Exit status 1 if anything is.
"""

import argparse
import concurrent.futures
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from run_with_server import Server, port_only  # noqa: E402

# What differs from run to run in texts: amounts of memory, and whose they are. NVML knows the
# processes of the machine it runs on, so that PyTorch may list others there.
MEMORY = [(re.compile(r" (Including non-PyTorch memory, this p|P)rocess.*? memory in use\.(?= )"),
           ""),
          (re.compile(r"\d+(\.\d+)? (bytes|[KMG]iB)"), "SIZE")]


def masked(value):
    if isinstance(value, str):
        for pattern, instead in MEMORY:
            value = pattern.sub(instead, value)
        return value
    if isinstance(value, list):
        return [masked(part) for part in value]
    return value


class Outcome:
    def __init__(self, status, notes, errors, seconds):
        self.status, self.notes, self.errors, self.seconds = status, notes, errors, seconds

    def wrong(self):
        if self.status is None:
            return "HANGS"
        if self.status in (-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS, -signal.SIGILL):
            return f"ends by signal {-self.status}"
        return None

    def text(self):
        return json.dumps(self.notes) + "\n" + self.errors


class Runner:
    def __init__(self, arguments):
        self.arguments = arguments
        self.folder = Path(tempfile.mkdtemp(prefix="farlane-failures-"))

    def server(self, *options, libraries=None, through=()):
        """A server of its own, started by the command `through`; its address. Ends with stop()."""
        folder = tempfile.mkdtemp(dir=self.folder)
        libraries = self.arguments.libraries if libraries is None else libraries
        command = [*through, self.arguments.gpuserverd, "--device", self.arguments.device, *options]
        if libraries:
            command += ["--libraries-path", libraries]
        server = Server(command, folder)
        server.where = port_only(server.address(30))
        return server

    def run(self, name, server=None, on_ready=None, limit_s=None, **settings):
        """Natively where there is no server. `on_ready` is called with the process."""
        where = getattr(server, "where", server)
        command = [self.arguments.python, str(HERE / "failing.py"), name]
        environment = {key: value for key, value in os.environ.items()
                       if not key.startswith("FARLANE_") or where is not None}
        environment.update(settings, PYTHONFAULTHANDLER="1", TORCH_SHOW_CPP_STACKTRACES="0")
        if where is not None:
            command = [self.arguments.farlane, "run", "--server", where, "--", *command]
        label = f"{name}.{'remote' if where else 'native'}.{time.monotonic_ns()}"
        errors = self.folder / label
        begin = time.monotonic()
        with open(errors, "w") as file:
            process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, text=True,
                                       stdout=subprocess.PIPE, stderr=file, start_new_session=True)
        hung = threading.Event()

        def end():
            hung.set()
            process.send_signal(signal.SIGABRT)  # says where it is
            try:
                process.wait(3)
            except subprocess.TimeoutExpired:
                pass
            os.killpg(process.pid, signal.SIGKILL)
        timer = threading.Timer(limit_s or self.arguments.timeout, end)
        timer.start()
        notes = []
        for line in process.stdout:
            try:
                said = json.loads(line)
            except ValueError:
                said = [line]
            if said == ["ready"]:
                if on_ready is not None:
                    on_ready(process)
            else:
                notes.append(said)
        process.stdin.close()
        process.wait()
        timer.cancel()
        outcome = Outcome(None if hung.is_set() else process.returncode, notes,
                          errors.read_text(errors="replace"), time.monotonic() - begin)
        if self.arguments.out:
            with open(Path(self.arguments.out) / label, "w") as log:
                log.write(f"status {outcome.status}, {outcome.seconds:.1f} s\n"
                          + "\n".join(map(json.dumps, notes)) + "\n" + outcome.errors)
        return outcome


# --- what is compared

def difference(native, remote):
    """Where the two part, or None."""
    if native.wrong():
        return f"natively it {native.wrong()}"
    if remote.wrong():
        return remote.wrong()
    here, there = masked(native.notes), masked(remote.notes)
    for one, other in zip(here, there):
        if one != other:
            return f"native {json.dumps(one)}, remote {json.dumps(other)}"
    if len(here) != len(there):
        return f"native notes {len(here)} things, remote {len(there)}"
    if native.status != remote.status:
        return f"native exit {native.status}, remote {remote.status}"
    said = [sorted(set(re.findall(r"Assertion `.*?` failed|^\w*(?:Error|Interrupt)\b", run.errors,
                                  re.MULTILINE))) for run in (native, remote)]
    return None if said[0] == said[1] else f"standard error: native {said[0]}, remote {said[1]}"


def uncompared(remote):
    """Without native all that can be seen is that it ended, and how."""
    return remote.wrong() or NOT_COMPARED


def said(outcome, pattern, status=0, within_s=None):
    """None if the program ended as it should and said that."""
    if outcome.wrong():
        return outcome.wrong()
    if outcome.status != status:
        return f"exit {outcome.status}: {outcome.text().strip().splitlines()[-1:]}"
    if not re.search(pattern, outcome.text(), re.MULTILINE):
        return f"does not say {pattern!r}: {outcome.text()[:300]!r}"
    if within_s is not None and outcome.seconds > within_s:
        return f"took {outcome.seconds:.1f} s, more than {within_s}"
    return None


def noted(outcome, what):
    return next((note[1:] for note in outcome.notes if note[0] == what), None)


# --- the cases

CASES = {}
ALONE = set()
SKIPPED = "not run: "
NOT_COMPARED = "not compared: it ended"


def case(function):
    CASES[function.__name__] = function
    return function


def alone(function):
    """It needs the whole GPU."""
    ALONE.add(function.__name__)
    return case(function)


def compared(name, alone_on_gpu=False, **options):
    def check(runner, server):
        if runner.arguments.no_native:
            return uncompared(runner.run(name, server, **options))
        native = runner.run(name, **options)
        return difference(native, runner.run(name, server, **options))
    check.__name__ = name
    return (alone if alone_on_gpu else case)(check)


compared("out_of_memory", True)
compared("out_of_memory_expandable", True)
for each in ("out_of_host_memory", "not_a_number", "device_assert", "device_assert_in_loss",
             "device_assert_uncaught", "illegal_address", "misaligned_address", "trap",
             "illegal_address_triton", "refused_launches", "capture_broken", "interrupted_and_on",
             "looking"):
    compared(each)


@case
def device_assert_blocking(runner, server):
    """With CUDA_LAUNCH_BLOCKING the failing call itself raises."""
    def run(where):
        return runner.run("device_assert", where, CUDA_LAUNCH_BLOCKING="1")
    if runner.arguments.no_native:
        return uncompared(run(server))
    return difference(run(None), run(server))


def worker_of(server, deadline_s=5):
    """The worker of the last session."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        pids = re.findall(r"goes to worker (\d+)", "\n".join(server.lines))
        if pids:
            return int(pids[-1])
        server.ended.wait(0.01)
    raise RuntimeError("the server has no session")


def is_gone(server, pid, deadline_s=5):
    end = time.monotonic() + deadline_s
    while os.path.exists(f"/proc/{pid}") and time.monotonic() < end:
        server.ended.wait(0.01)
    return not os.path.exists(f"/proc/{pid}")


@case
def interrupted(runner, _):
    """Ctrl-C in mid-step: KeyboardInterrupt, its status, and nothing left at the server."""
    server = runner.server()
    try:
        worker = []

        def interrupt(process):
            worker.append(worker_of(server))
            process.send_signal(signal.SIGINT)
        remote = runner.run("interrupted", server, on_ready=interrupt)
        gone = bool(worker) and is_gone(server, worker[0])
    finally:
        server.kill()
    if not worker:
        return f"it never came to its step: {remote.text()[:300]!r}"
    if not gone:
        return "its worker is still there"
    if runner.arguments.no_native:
        return uncompared(remote)
    native = runner.run("interrupted", on_ready=lambda p: p.send_signal(signal.SIGINT))
    return difference(native, remote)


def ended(runner, program, action, pattern, options=(), status=0, **settings):
    """`action(server)` in mid-step; the exception must say `pattern`, and where the server is."""
    server = runner.server(*options)
    try:
        remote = runner.run(program, server, on_ready=lambda _: action(server), **settings)
    finally:
        server.kill()
    wrong = said(remote, pattern, status)
    if wrong:
        return wrong
    if status == 0:
        step = noted(remote, "the step")
        if not step or len(step) < 2 or server.where not in step[1]:
            return f"the exception does not name the server {server.where}: {step}"
        return said(remote, '"and on without it"')
    return said(remote, r"^\S*Error: .*" + re.escape(server.where), status)


@case
def worker_killed(runner, _):
    return ended(runner, "server_goes", lambda s: os.kill(worker_of(s), signal.SIGKILL),
                 r"the connection to the server .* ended")


@case
def worker_killed_uncaught(runner, _):
    return ended(runner, "server_goes_uncaught", lambda s: os.kill(worker_of(s), signal.SIGKILL),
                 r"the connection to the server .* ended", status=1)


@case
def server_stopped(runner, _):
    return ended(runner, "server_goes", lambda s: s.process.send_signal(signal.SIGTERM),
                 r"the server .* ended the session|the connection to the server .* ended",
                 options=("--drain-s", "0"))


@case
def server_silent(runner, _):
    return ended(runner, "server_goes", lambda s: os.kill(worker_of(s), signal.SIGSTOP),
                 r"has said nothing for \d+ ms", FARLANE_CALL_TIMEOUT_MS="2000")


@case
def no_server(runner, _):
    import socket
    with socket.socket() as free:  # a port that nobody listens on
        free.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{free.getsockname()[1]}"
        remote = runner.run("a_tensor", where)
    return said(remote, r'"a tensor", "\w*Error", ".*' + re.escape(where), within_s=30)


@case
def no_such_host(runner, _):
    return said(runner.run("a_tensor", "gpu.invalid:4713"),
                r'"a tensor", "\w*Error", ".*gpu\.invalid', within_s=30)


@case
def server_full(runner, _):
    server = runner.server("--max-sessions", "1")
    second = []

    def meanwhile(process):
        second.append(runner.run("a_tensor", server))
        process.stdin.close()
    try:
        first = runner.run("waits", server, on_ready=meanwhile)
    finally:
        server.kill()
    return said(first, "the end") or said(second[0], r'"a tensor", "\w*Error", ".*max_sessions')


@case
def profiled(runner, server):
    """Without CUPTI's driver the profiler says what it lacks, and records the CPU's side."""
    remote = runner.run("profiled", server)
    return said(remote, "CUPTI initialization failed") or said(remote, r'"recorded", true')


def libraries_without(runner, *names):
    """A folder with all of the server's libraries but those, in the place of its own."""
    folder = tempfile.mkdtemp(dir=runner.folder)
    for source in filter(None, runner.arguments.libraries.split(":")):
        for file in Path(source).glob("*.so*"):
            link = Path(folder) / file.name
            if not link.exists() and not any(file.name.startswith(name) for name in names):
                link.symlink_to(file)
    return folder


def where_system_lacks(runner, name):
    """The start of a command for which the system's libraries `name*` are not there.

    A view of its own of their folders (Linux: mount_namespaces(7), overlayfs). OSError if the
    system has some and this process may not do that."""
    known = subprocess.run(["/sbin/ldconfig", "-p"], stdout=subprocess.PIPE, text=True, check=True)
    folders = {os.path.dirname(os.path.realpath(line.split(" => ")[1]))
               for line in known.stdout.splitlines()
               if " => " in line and line.split()[0].startswith(name)}
    steps = []
    for number, folder in enumerate(sorted(folders)):
        view = runner.folder / f"without-{name}-{number}"
        steps += [f"mkdir -p {view} && mount -t tmpfs none {view} && mkdir {view}/up {view}/work"
                  f" && mount -t overlay none -o lowerdir={folder},upperdir={view}/up,"
                  f"workdir={view}/work {folder} && rm {folder}/{name}*"]
    if not steps:
        return []
    through = ["unshare", "--mount", "sh", "-c", " && ".join([*steps, 'exec "$@"']), "sh"]
    tried = subprocess.run([*through, "true"], stderr=subprocess.PIPE, text=True)
    if tried.returncode != 0:
        raise OSError(tried.stderr.strip())
    return through


@case
def no_cudnn(runner, _):
    """Convolutions say what is missing and where; everything else works."""
    try:
        through = where_system_lacks(runner, "libcudnn")
    except OSError as error:
        return SKIPPED + f"the system has a cuDNN, which cannot be hidden: {error}"
    server = runner.server(libraries=libraries_without(runner, "libcudnn"), through=through)
    try:
        remote = runner.run("convolution", server)
    finally:
        server.kill()
    wrong = said(remote, r'"a convolution", "RuntimeError", ".*' + re.escape(server.where)
                 + r".* has no libcudnn\.so\.9.*libraries\.path")
    for what in ("a product", "without cuDNN"):
        if not wrong and noted(remote, what) != ["went well"]:
            wrong = f"{what}: {noted(remote, what)}"
    return wrong


def with_other_version(runner, program, *names, major, wanted):
    """What `program` says on a server whose libraries are of another major version."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None, None
    folder = libraries_without(runner, *(f"lib{name}" for name in names))
    for name in names:
        source = (f"int {name}GetProperty(int which, int* value)"
                  " { *value = which == 0 ? %d : 3; return 0; }" % major)
        subprocess.run([compiler, "-shared", "-fPIC", "-xc", "-", "-o",
                        f"{folder}/lib{name}.so.{wanted}"], input=source, text=True, check=True)
    server = runner.server(libraries=folder)
    try:
        return runner.run(program, server), server
    finally:
        server.kill()


@case
def another_cudnn(runner, _):
    remote, server = with_other_version(runner, "convolution", "cudnn", major=8, wanted=9)
    if remote is None:
        return SKIPPED + "there is no C compiler to make the other version with"
    wrong = said(remote, r'"a convolution", "RuntimeError", ".*libcudnn\.so\.9 on the server '
                 + re.escape(server.where) + r" is version 8\.3\.3")
    for what in ("a product", "without cuDNN"):
        if not wrong and noted(remote, what) != ["went well"]:
            wrong = f"{what}: {noted(remote, what)}"
    return wrong


@case
def another_cublas(runner, _):
    remote, server = with_other_version(runner, "product", "cublas", "cublasLt", major=12,
                                        wanted=13)
    if remote is None:
        return SKIPPED + "there is no C compiler to make the other version with"
    wrong = said(remote, r"the program uses cuBLAS\w* 13, and libcublas\w*\.so\.13 on the server "
                 + re.escape(server.where) + r" is version 12\.3\.3")
    if not wrong and noted(remote, "a product")[0] != "RuntimeError":
        wrong = f"a product: {noted(remote, 'a product')}"
    for what in ("a transform", "a kernel"):
        if not wrong and noted(remote, what) != ["went well"]:
            wrong = f"{what}: {noted(remote, what)}"
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--farlane", required=True)
    parser.add_argument("--gpuserverd", required=True)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--libraries", default=os.environ.get("FARLANE_GPUSERVERD_LIBRARIES_PATH",
                                                              ""),
                        help="the server's folders of CUDA-X libraries")
    parser.add_argument("--device", default="cuda", help="what the server uses")
    parser.add_argument("--only", nargs="*", choices=CASES)
    parser.add_argument("--no-native", action="store_true", help="there is no GPU here")
    parser.add_argument("--timeout", type=int, default=60, help="seconds for one program")
    parser.add_argument("--jobs", type=int, default=4, help="cases at once")
    parser.add_argument("--out", help="a folder for what the programs said")
    arguments = parser.parse_args()
    if arguments.out:
        Path(arguments.out).mkdir(parents=True, exist_ok=True)
    runner = Runner(arguments)
    names = arguments.only or list(CASES)
    server = runner.server()
    wrong = untold = 0

    def check(name):
        begin = time.monotonic()
        try:
            verdict = CASES[name](runner, server)
        except Exception as error:  # a case that breaks is a failure, and the others go on
            verdict = f"{type(error).__name__}: {error}"
        return name, verdict, time.monotonic() - begin

    def tell(name, verdict, seconds):
        nonlocal wrong, untold
        if verdict is not None:
            told = not verdict.startswith((SKIPPED, NOT_COMPARED))
            wrong += told
            untold += not told
        print(f"{name:28} {seconds:6.1f} s  {verdict or 'as it should'}", flush=True)

    try:
        with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
            for done in pool.map(check, [name for name in names if name not in ALONE]):
                tell(*done)
        for name in names:
            if name in ALONE:
                tell(*check(name))
    finally:
        server.kill()
        shutil.rmtree(runner.folder, ignore_errors=True)
    print(f"{len(names)} cases, {wrong} wrong, {untold} not run or not compared")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
