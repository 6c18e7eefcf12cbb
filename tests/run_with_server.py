#!/usr/bin/env python3
"""Runs a command against a gpuserverd of its own.

    run_with_server.py --server build/release/bin/gpuserverd [--option=--device=software ...]
                       [--allow-warnings] [--deadline 30] [--transport tcp|shm|auto]
                       -- COMMAND ARGS...

Starts the server on a free port of 127.0.0.1, waits until it listens, runs COMMAND with
FARLANE_SERVER set, stops the server with SIGTERM, and checks that it ended cleanly and that its log
has no warning or error. The exit status is COMMAND's; 97 if COMMAND succeeded and the server did
not.
"""
import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

SERVER_FAULT = 97
# spdlog's "[warning]", and what a sanitizer prints.
COMPLAINT = re.compile(
    r"\[(warning|warn|error|critical)\]|ERROR: AddressSanitizer|WARNING: ThreadSanitizer"
    r"|runtime error:|LeakSanitizer", re.IGNORECASE)


class ServerFault(Exception):
    """The server did not do what it should; the text says what."""


class Server:
    """A running gpuserverd; its log is read all the time, so that it never blocks on the pipe."""

    def __init__(self, command, folder):
        self.folder = folder
        self.port_file = os.path.join(folder, "port")
        self.lines = []
        self.ended = threading.Event()
        environment = {name: value for name, value in os.environ.items()
                       if not name.startswith("FARLANE_GPUSERVERD_")}
        # A sanitizer's runtime or our own libraries must not get into the server this way.
        environment.pop("LD_PRELOAD", None)
        environment["FARLANE_GPUSERVERD_MODULE_CACHE_DIR"] = os.path.join(folder, "modules")
        environment["FARLANE_GPUSERVERD_SOCKET_DIR"] = folder
        self.process = subprocess.Popen(
            command + ["--listen", "127.0.0.1:0", "--port-file", self.port_file],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=environment, text=True, errors="replace", start_new_session=True)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        threading.Thread(target=self._wait, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def _wait(self):
        self.process.wait()
        self.ended.set()

    def address(self, deadline_s):
        """HOST:PORT once the server accepts connections."""
        end = time.monotonic() + deadline_s
        while time.monotonic() < end:
            try:
                with open(self.port_file) as f:
                    text = f.read()
                if text.endswith("\n"):  # written whole
                    return text.strip()
            except OSError:
                pass
            if self.ended.wait(0.01):
                raise ServerFault(
                    f"the server ended with status {self.process.returncode} before it listened")
        raise ServerFault(f"the server did not listen within {deadline_s} s")

    def stop(self, deadline_s):
        """SIGTERM, and a complaint if that does not end it cleanly."""
        if self.ended.is_set():
            raise ServerFault(
                f"the server ended by itself with status {self.process.returncode}")
        self.process.send_signal(signal.SIGTERM)
        if not self.ended.wait(deadline_s):
            self.kill()
            raise ServerFault(f"the server did not end within {deadline_s} s of SIGTERM")
        if self.process.returncode != 0:
            raise ServerFault(f"the server ended with status {self.process.returncode}")

    def kill(self):
        """Ends the server and its workers; they share a process group that nobody else is in."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.ended.wait(5)


def port_only(address):
    return address if ":" in address else f"127.0.0.1:{address}"


def run(args, command, folder):
    """COMMAND's status and what was wrong with the server (None if nothing)."""
    server = Server([args.server] + args.option, folder)
    status = None
    fault = None
    try:
        environment = dict(os.environ)
        environment["FARLANE_SERVER"] = port_only(server.address(args.deadline))
        environment["FARLANE_SOCKET_DIR"] = folder
        environment["FARLANE_TRANSPORT"] = args.transport
        environment["FARLANE_TEST_SERVER_PID"] = str(server.process.pid)
        completed = subprocess.run(command, env=environment)
        status = completed.returncode
        if status < 0:  # as a shell reports a signal
            status = 128 - status
        server.stop(args.deadline)
    except ServerFault as problem:
        fault = str(problem)
    finally:
        server.kill()
    server.reader.join(5)
    complaints = [line for line in server.lines if COMPLAINT.search(line)]
    if fault is None and complaints and not args.allow_warnings:
        fault = f"the server complained {len(complaints)} times, first: {complaints[0]}"
    if fault is not None or status:
        print("--- server log", file=sys.stderr)
        for line in server.lines[-200:]:
            print(line, file=sys.stderr)
        print("---", file=sys.stderr)
    return status, fault


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", required=True, help="the gpuserverd to start")
    parser.add_argument("--option", action="append", default=[],
                        help="an option for it: --option=--device=software")
    parser.add_argument("--allow-warnings", action="store_true",
                        help="warnings and errors in its log are expected")
    parser.add_argument("--transport", default="tcp", choices=["tcp", "shm", "auto"],
                        help="how COMMAND is to reach it; shm makes any other way a failure")
    parser.add_argument("--deadline", type=float, default=30,
                        help="seconds for starting and for stopping")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not command:
        parser.error("there is no command to run")
    with tempfile.TemporaryDirectory(prefix="farlane-server-") as folder:
        status, fault = run(args, command, folder)
    if fault is not None:
        print(f"run_with_server: {fault}", file=sys.stderr)
    if status:
        return status
    return SERVER_FAULT if fault is not None else 0


if __name__ == "__main__":
    sys.exit(main())
