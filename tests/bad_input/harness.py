"""What the bad-input tests share: a server and programs that cannot outlive their test, and waits
that end when their condition holds or their deadline has passed."""
import os
import re
import shlex
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
from run_with_server import COMPLAINT, Server  # noqa: E402

# Set by bad_input_test.py from its command line.
SERVER = None    # path of gpuserverd
LAUNCHER = None  # what stands before a program
PROGRAMS = None  # folder of the programs here
APPS = None      # folder of tests/apps' programs

# For what must happen soon; long because machines are shared and sanitizers slow.
SOON_S = 60
LOST = "cudaErrorSystemNotReady"
SANITIZER = re.compile(
    r"ERROR: AddressSanitizer|WARNING: ThreadSanitizer|runtime error:|LeakSanitizer")


def wait_until(condition, deadline_s=SOON_S, what="it"):
    """The condition's value once it is true."""
    end = time.monotonic() + deadline_s
    pause = threading.Event()
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not happen within {deadline_s} s")
        pause.wait(0.01)


class Program:
    """A running program, through `farlane run`; its output is read all the time."""

    def __init__(self, address, name, *arguments, **variables):
        environment = {key: value for key, value in os.environ.items()
                       if not key.startswith("FARLANE_")}
        environment["FARLANE_SERVER"] = address
        environment.update(variables)
        path = os.path.join(PROGRAMS, name)
        if not os.path.exists(path):
            path = os.path.join(APPS, name)
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            shlex.split(LAUNCHER) + [path, *map(str, arguments)], env=environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            errors="replace", start_new_session=True)
        self.out = []
        self.err = []
        self.readers = [threading.Thread(target=self._read, args=pair, daemon=True)
                        for pair in ((self.process.stdout, self.out),
                                     (self.process.stderr, self.err))]
        for reader in self.readers:
            reader.start()

    @staticmethod
    def _read(stream, lines):
        for line in stream:
            lines.append(line.rstrip("\n"))

    @property
    def pid(self):
        return self.process.pid

    def wait_ready(self):
        wait_until(lambda: "ready" in self.out or self.process.poll() is not None,
                   what="the program's being ready")
        if "ready" not in self.out:
            raise AssertionError(f"the program ended early: {self.describe()}")
        return self

    def wait(self, deadline_s=SOON_S):
        """The exit status. A program that hangs fails the test."""
        try:
            status = self.process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the program hangs: {self.describe()}") from None
        self.ended = time.monotonic()
        for reader in self.readers:
            reader.join(SOON_S)
        if any(SANITIZER.search(line) for line in self.err):
            raise AssertionError(f"a sanitizer complained: {self.describe()}")
        return status

    def go_on(self):
        """Ends its standard input, which is what some modes wait for."""
        self.process.stdin.close()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(SOON_S)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            try:
                stream.close()
            except (OSError, ValueError):
                pass

    @property
    def result(self):
        for line in self.out:
            if line.startswith("result "):
                return line.split()[1]
        return None

    def our_errors(self):
        """Our error lines on standard error."""
        return [line for line in self.err if line.startswith("farlane: error")]

    def describe(self):
        return f"status {self.process.poll()}, output {self.out}, errors {self.err}"


class Case(unittest.TestCase):
    """One test with a server of its own (made by serve())."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="farlane-bad-input-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.servers = []

    def run(self, result=None):
        """A failure comes with what the servers said."""
        failed = result and len(result.failures) + len(result.errors)
        outcome = super().run(result)
        if result and len(result.failures) + len(result.errors) > failed:
            for number, server in enumerate(getattr(self, "servers", [])):
                print(f"--- log of server {number} of {self.id()}", *server.lines, sep="\n",
                      file=sys.stderr)
        return outcome

    def serve(self, *options, **variables):
        """Starts a server on the software device; its address is in self.address."""
        for name, value in variables.items():
            os.environ[name] = value
            self.addCleanup(os.environ.pop, name, None)
        folder = os.path.join(self.folder, f"server-{len(self.servers)}")
        os.mkdir(folder)
        self.server = Server([SERVER, "--device", "software", *options], folder)
        self.addCleanup(self.server.process.stdout.close)
        self.addCleanup(self.server.reader.join, SOON_S)
        self.addCleanup(self.server.kill)
        self.servers.append(self.server)
        self.address = self.server.address(SOON_S)
        return self.server

    def start(self, *arguments, address=None, **variables):
        program = Program(address or self.address, *arguments, **variables)
        self.addCleanup(program.kill)
        return program

    def victim(self, *arguments, **keywords):
        return self.start("victim", *arguments, **keywords)

    def expect_good_session(self):
        """A new program works."""
        program = self.victim("work", 3)
        self.assertEqual(program.wait(), 0, program.describe())
        self.assertEqual(program.result, "cudaSuccess")

    def expect_lost(self, program, deadline_s=SOON_S):
        """It ends by itself with the right error, and one line names what to look at."""
        status = program.wait(deadline_s)
        self.assertEqual(status, 3, program.describe())
        self.assertEqual(program.result, LOST, program.describe())
        self.assertEqual(len(program.our_errors()), 1, program.describe())
        self.assertRegex(program.our_errors()[0],
                         r"farlane doctor|setting|limit: |timeouts\.|the server's log|same release")
        return program.our_errors()[0]

    def free_mib(self):
        program = self.victim("print_free")
        self.assertEqual(program.wait(), 0, program.describe())
        return int(next(line for line in program.out if line.startswith("free ")).split()[1])

    def worker_of(self, program, server=None):
        """The pid of the worker that serves it, from the server's log."""
        pattern = re.compile(rf"pid {program.pid} [^)]*\) goes to worker (\d+)")

        def found():
            for line in list((server or self.server).lines):
                match = pattern.search(line)
                if match:
                    return int(match.group(1))
            return None
        return wait_until(found, what="the session's place in the server's log")

    def workers(self, server=None):
        """Pids of the server's children."""
        pid = (server or self.server).process.pid
        try:
            with open(f"/proc/{pid}/task/{pid}/children") as f:
                return [int(child) for child in f.read().split()]
        except OSError:
            return []

    def expect_clean_log(self):
        """No warning or error in the server's log so far."""
        self.assertEqual([line for line in self.server.lines if COMPLAINT.search(line)], [])

    def wait_for_log(self, pattern):
        """A line of the server's log with the pattern: lines come a little after what they tell."""
        wait_until(lambda: any(re.search(pattern, line) for line in list(self.server.lines)),
                   what=f"{pattern} in the server's log")

    def server_log(self):
        return "\n".join(self.server.lines)


def is_running(pid):
    """Not ended, and no zombie."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in ("Z", "X")
    except OSError:
        return False


def connect(address):
    host, port = address.rsplit(":", 1)
    connection = socket.create_connection((host, int(port)), timeout=SOON_S)
    return connection


# --- just enough of the wire: transport/tcp.h, protocol/record.h, protocol/control.proto

OP_CONTROL = 1
OP_CONTROL_REPLY = 2
OP_ECHO = 81
FLAG_REPLY = 1


def varint(value):
    out = b""
    while value > 0x7f:
        out += bytes([value & 0x7f | 0x80])
        value >>= 7
    return out + bytes([value])


def field(number, content):
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def hello(major):
    """A Control message with a Hello."""
    return field(1, field(1, major) + field(5, b"a test"))


def welcome(major):
    return field(2, field(1, major) + field(5, b"a test"))


def record(op, payload, sequence=0, flags=0):
    return struct.pack("<IHBBQ", 16 + len(payload), op, flags, 0, sequence) + payload


def control_record(op, message, sequence):
    padded = message + b"\0" * (-len(message) % 8)
    return record(op, struct.pack("<II", len(message), 0) + padded, sequence)


def frame(head, body=b""):
    return struct.pack("<II", len(head), len(body)) + head + body


def hello_frame(major=1):
    return frame(control_record(OP_CONTROL, hello(major), 1))


def receive_all(connection, deadline_s=SOON_S):
    """What comes until the other side closes; None if it does not."""
    connection.settimeout(deadline_s)
    received = b""
    try:
        while True:
            part = connection.recv(65536)
            if not part:
                return received
            received += part
    except ConnectionResetError:
        return received
    except TimeoutError:
        return None


def send_quietly(connection, data):
    """The other side may close at any time."""
    try:
        connection.sendall(data)
    except OSError:
        pass


class FakeServer:
    """Listens, and does to each connection what `behave` does. Its threads end with the test."""

    def __init__(self, behave):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.connections = []
        threading.Thread(target=self._serve, args=(behave,), daemon=True).start()

    def _serve(self, behave):
        try:
            while True:
                connection, _ = self.listener.accept()
                self.connections.append(connection)
                behave(connection)
        except OSError:
            pass

    def close(self):
        self.listener.close()
        for connection in self.connections:
            connection.close()
