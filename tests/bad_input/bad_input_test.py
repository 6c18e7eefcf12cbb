#!/usr/bin/env python3
"""Everything that may go wrong between a CUDA program and its server: nothing hangs, nothing dies,
the program gets CUDA's error and one line that says what to look at, other sessions go on, and the
GPU's memory comes back.

    bad_input_test.py --server GPUSERVERD --launcher "farlane run --" --programs DIR --apps DIR
                      [CLASS[.TEST]...]
"""
import argparse
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
import unittest

import harness
from harness import (LOST, OP_CONTROL, OP_CONTROL_REPLY, OP_ECHO, SOON_S, Case, FakeServer, connect,
                     control_record, frame, hello_frame, is_running, receive_all, record,
                     send_quietly, wait_until, welcome)
from lanes_test import Lanes


class WrongServer(Case):
    """What the address leads to is not a Farlane server, or not the right one."""

    def fake(self, behave):
        server = FakeServer(behave)
        self.addCleanup(server.close)
        return server.address

    def test_nobody_listens(self):
        # Bound and not listening: nobody else can have the port meanwhile.
        taken = socket.socket()
        self.addCleanup(taken.close)
        taken.bind(("127.0.0.1", 0))
        program = self.victim("every_call", address="127.0.0.1:%d" % taken.getsockname()[1])
        line = self.expect_lost(program)
        self.assertIn("connection refused", line)
        self.assertIn("farlane doctor", line)
        self.assertIn("the same from 10 of 10", program.out)

    def test_a_host_that_does_not_answer(self):
        # A backlog that is full: the kernel answers no further connection.
        listener = socket.socket()
        self.addCleanup(listener.close)
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(8):
            filler = socket.socket()
            self.addCleanup(filler.close)
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        program = self.victim("every_call", address="127.0.0.1:%d" % listener.getsockname()[1],
                              FARLANE_CONNECT_TIMEOUT_MS="400")
        line = self.expect_lost(program)
        self.assertIn("timeouts.connect_timeout_ms", line)
        self.assertIn("the same from 10 of 10", program.out)

    def test_a_name_that_does_not_exist(self):
        program = self.victim("every_call", address="no-such-host.invalid:4713")
        line = self.expect_lost(program)
        self.assertIn("no-such-host.invalid", line)

    def test_a_listener_that_says_nothing(self):
        address = self.fake(lambda connection: None)
        program = self.victim("every_call", address=address, FARLANE_CALL_TIMEOUT_MS="700",
                              FARLANE_CONNECT_TIMEOUT_MS="700")
        line = self.expect_lost(program)
        self.assertRegex(line, r"timeouts\.(call|connect)_timeout_ms")
        self.assertGreaterEqual(program.ended - program.started, 0.7)

    def test_garbage(self):
        for garbage in (b"\xff" * 4096, bytes(range(256)) * 16, b"\0" * 64,
                        frame(b"\xff" * 64), frame(record(999, b"")),
                        frame(control_record(OP_CONTROL_REPLY, b"\xff\xff\xff\xff", 0))):
            with self.subTest(garbage=garbage[:16]):
                address = self.fake(lambda connection, data=garbage: send_quietly(connection, data))
                program = self.victim("every_call", address=address)
                self.expect_lost(program)

    def test_closes_at_once(self):
        address = self.fake(lambda connection: connection.close())
        self.expect_lost(self.victim("every_call", address=address))

    def test_closes_in_the_middle_of_a_frame(self):
        def behave(connection):
            send_quietly(connection, hello_frame()[:20])
            connection.close()
        self.expect_lost(self.victim("every_call", address=self.fake(behave)))

    def test_speaks_http(self):
        def behave(connection):
            send_quietly(connection, b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n"
                                     b"Connection: close\r\n\r\n")
        self.expect_lost(self.victim("every_call", address=self.fake(behave)))

    def test_another_version(self):
        def behave(connection):
            send_quietly(connection,
                         frame(control_record(OP_CONTROL_REPLY, welcome(major=99), 0)))
        line = self.expect_lost(self.victim("every_call", address=self.fake(behave)))
        self.assertIn("protocol 99", line)
        self.assertIn("same release", line)

    def test_announces_four_gib(self):
        for prefix in (struct.pack("<II", 0xffffffff, 0), struct.pack("<II", 64, 0xffffffff)):
            with self.subTest(prefix=prefix):
                address = self.fake(
                    lambda connection, data=prefix: send_quietly(connection, data + b"x" * 100))
                self.expect_lost(self.victim("every_call", address=address))


class Connections(Case):
    """Strangers at the server's port, while a session works on undisturbed."""

    def setUp(self):
        super().setUp()
        self.serve("--handshake-timeout-ms", "1000")
        self.worker = self.victim("work", 0).wait_ready()

    def tearDown(self):
        self.worker.go_on()
        self.assertEqual(self.worker.wait(), 0, self.worker.describe())
        self.assertEqual(self.worker.err, [])
        self.expect_good_session()
        self.server.stop(SOON_S)

    def refused(self, data, **keywords):
        """The server closes the connection; what it said before."""
        with connect(self.address) as connection:
            send_quietly(connection, data)
            said = receive_all(connection, **keywords)
            self.assertIsNotNone(said, "the server keeps the connection")
            return said

    def test_garbage(self):
        for garbage in (b"\xff" * 4096, bytes(range(256)) * 16, b"GET / HTTP/1.1\r\n\r\n",
                        b"\0" * 64, frame(b"\xff" * 64), frame(record(999, b"", 1)),
                        frame(control_record(OP_CONTROL, b"\xff" * 30, 1)),
                        frame(control_record(OP_CONTROL, welcome(1), 1))):
            with self.subTest(garbage=garbage[:16]):
                self.refused(garbage)

    def test_half_a_frame_and_nothing_more(self):
        whole = hello_frame()
        for count in (1, 7, 8, 20, len(whole) - 1):
            with self.subTest(bytes=count):
                self.refused(whole[:count])

    def test_half_a_frame_and_gone(self):
        whole = hello_frame()
        for count in (0, 1, 8, len(whole) - 1):
            with connect(self.address) as connection:
                send_quietly(connection, whole[:count])

    def test_four_gib(self):
        for prefix in (struct.pack("<II", 0xffffffff, 0), struct.pack("<II", 64, 0xffffffff),
                       struct.pack("<II", 0, 0)):
            with self.subTest(prefix=prefix):
                self.refused(prefix + b"x" * 200)

    def test_garbage_after_the_hello(self):
        for garbage in (b"\xff" * 64, frame(record(53, b"\xff" * 160, 2)),
                        frame(record(64, b"\0" * 16, 77)), frame(record(2, b"\0" * 8, 2)),
                        struct.pack("<II", 0xffffffff, 0)):
            with self.subTest(garbage=garbage[:24]):
                self.refused(hello_frame() + garbage)

    def test_a_frame_in_single_bytes(self):
        with connect(self.address) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in hello_frame():
                connection.sendall(bytes([byte]))
            connection.settimeout(SOON_S)
            self.assertEqual(len(connection.recv(8)), 8)

    def test_another_version(self):
        said = self.refused(hello_frame(major=99))
        self.assertIn(b"version 1", said)
        self.assertIn(b"99", said)
        self.assertIn(b"same release", said)

    def test_two_hundred_that_say_nothing(self):
        crowd = [connect(self.address) for _ in range(200)]
        try:
            # The server lets go of them by itself; a session that comes then gets in.
            for connection in crowd:
                self.assertIsNotNone(receive_all(connection), "kept for ever")
            self.expect_good_session()
        finally:
            for connection in crowd:
                connection.close()


class Floods(Case):
    """A client that talks and does not listen."""

    # Room for the staging buffers and what the outbox may hold, beside what any worker has. A
    # sanitizer keeps freed memory and says nothing about what the worker needs.
    MORE_THAN_ANOTHER_MIB = 96
    MEMORY_TELLS = True

    def resident_mib(self, pid):
        with open(f"/proc/{pid}/status") as status:
            line = next(line for line in status if line.startswith("VmRSS:"))
        return int(line.split()[1]) // 1024

    def test_questions_whose_answers_nobody_reads(self):
        self.serve("--client-timeout-ms", "1500")
        other = self.victim("work", 0, FARLANE_CALL_TIMEOUT_MS="1000").wait_ready()
        ours = self.resident_mib(self.worker_of(other))
        most = 0
        with connect(self.address) as connection:
            connection.setblocking(False)
            pending = hello_frame()
            sequence = 1
            end = time.monotonic() + SOON_S
            # Until the server has had enough.
            while time.monotonic() < end:
                try:
                    pending = pending[connection.send(pending):]
                except BlockingIOError:
                    select.select([], [connection], [], 0.05)
                    pids = [pid for pid in self.workers() if is_running(pid)]
                    most = max([most] + [self.resident_mib(pid) for pid in pids])
                except OSError:
                    break
                if not pending:
                    pending = frame(b"".join(record(OP_ECHO, struct.pack("<Q", 7), sequence + i)
                                             for i in range(1, 1001)))
                    sequence += 1000
            else:
                self.fail("the server bears it for ever")
        self.wait_for_log("took no data for 1500 ms.*timeouts.client_timeout_ms")
        if self.MEMORY_TELLS:
            self.assertLess(most, ours + self.MORE_THAN_ANOTHER_MIB)
        other.go_on()
        self.assertEqual(other.wait(), 0, other.describe())
        self.assertEqual(other.err, [])
        self.expect_good_session()


class Settings(Case):
    """Mistakes in settings are told in words, and nothing starts."""

    def run_server(self, *arguments, **variables):
        return subprocess.run([harness.SERVER, "--listen", "127.0.0.1:0", *arguments],
                              env={**os.environ, **variables}, capture_output=True, text=True,
                              timeout=SOON_S)

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w") as f:
            f.write(text)
        return path

    def test_an_unknown_key_of_the_server(self):
        path = self.write("server.toml", "[sessions]\nmax_session = 3\n")
        done = self.run_server("--config", path)
        self.assertNotEqual(done.returncode, 0)
        self.assertGreater(done.returncode, 0, "ended by a signal")
        said = done.stdout + done.stderr
        self.assertIn("sessions.max_session", said)
        self.assertIn("did you mean sessions.max_sessions?", said)
        self.assertIn("server.toml:2", said)

    def test_an_unknown_option_of_the_server(self):
        done = self.run_server("--max-sesions=3")
        self.assertGreater(done.returncode, 0)
        self.assertIn("max-sesions", done.stdout + done.stderr)

    def test_an_unknown_key_of_the_client(self):
        path = self.write("client.toml", 'sever = "h:1"\n')
        program = self.victim("every_call", address="127.0.0.1:1", FARLANE_CONFIG=path)
        self.assertEqual(program.wait(), 2, program.describe())
        said = "\n".join(program.err)
        self.assertIn("did you mean server?", said)
        self.assertIn("client.toml:1", said)

    def test_a_value_out_of_range(self):
        program = self.victim("every_call", address="127.0.0.1:1",
                              FARLANE_CALL_TIMEOUT_MS="5")
        self.assertEqual(program.wait(), 2, program.describe())
        self.assertIn("FARLANE_CALL_TIMEOUT_MS", "\n".join(program.err))
        done = self.run_server("--staging-slots", "0")
        self.assertGreater(done.returncode, 0)

    def test_an_address_that_is_taken(self):
        self.serve()
        done = self.run_server("--listen", self.address)
        self.assertGreater(done.returncode, 0)
        self.assertIn("listen", done.stdout + done.stderr)

    def test_a_device_library_that_is_not_there(self):
        done = self.run_server("--device", "software", "--software-library", "/nowhere/lib.so")
        self.assertGreater(done.returncode, 0)
        self.assertIn("/nowhere/lib.so", done.stdout + done.stderr)


class EndOfTheClient(Case):
    """A program ends without a word: its worker goes, its memory comes back, others stay."""

    def test_killed_in_mid_copy(self):
        self.serve()
        other = self.victim("hold", 32).wait_ready()
        for _ in range(3):
            victim = self.victim("copy_for_ever").wait_ready()
            worker = self.worker_of(victim)
            self.assertTrue(is_running(worker))
            victim.process.kill()
            victim.process.wait()
            wait_until(lambda: not is_running(worker), what="the worker's end")
        other.process.stdin.write("\n")
        other.process.stdin.flush()
        self.assertEqual(other.wait(), 0, other.describe())
        self.assertIn("last byte 1", other.out)
        self.expect_good_session()
        self.expect_clean_log()

    def test_killed_in_a_kernel_that_never_ends(self):
        self.serve()
        victim = self.victim("wait_for_ever").wait_ready()
        worker = self.worker_of(victim)
        victim.process.kill()
        victim.process.wait()
        wait_until(lambda: not is_running(worker), what="the worker's end")
        self.expect_good_session()
        self.expect_clean_log()

    def test_its_place_is_free_again(self):
        self.serve("--max-sessions", "1")
        first = self.victim("work", 0).wait_ready()
        line = self.expect_lost(self.victim("every_call"))
        self.assertIn("sessions.max_sessions", line)
        first.process.kill()
        first.process.wait()
        wait_until(lambda: self.victim("work", 3).wait() == 0, what="a session")
        self.expect_clean_log()

    def test_stopped_for_too_long(self):
        # Its kernel of the session goes on, its connection stays; it just says nothing any more.
        self.serve("--client-timeout-ms", "700", "--stopped-client-timeout-ms", "700")
        victim = self.victim("wait_for_ever", FARLANE_CALL_TIMEOUT_MS="400").wait_ready()
        worker = self.worker_of(victim)
        victim.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: not is_running(worker), what="the worker's end")
        self.wait_for_log("timeouts.client_timeout_ms")
        victim.process.send_signal(signal.SIGCONT)
        self.expect_lost(victim)
        self.expect_good_session()

    def expect_kept(self, *mode, **variables):
        """A stopped program goes on after longer than either side bears silence."""
        for transport in "tcp", "shm":
            with self.subTest(transport=transport):
                self.serve("--client-timeout-ms", "1500", "--heartbeat-ms", "100")
                victim = self.victim(*mode, FARLANE_CALL_TIMEOUT_MS="1000",
                                     FARLANE_TRANSPORT=transport,
                                     FARLANE_SOCKET_DIR=self.server.folder, **variables)
                victim.wait_ready()
                worker = self.worker_of(victim)
                victim.process.send_signal(signal.SIGSTOP)
                self.wait_for_log("client.* for 1500 ms, but its machine answers.*"
                                  "timeouts.stopped_client_timeout_ms")
                victim.process.send_signal(signal.SIGCONT)
                victim.go_on()
                self.assertEqual(victim.wait(), 0, victim.describe() + self.server_log())
                self.assertEqual(victim.err, [])
                wait_until(lambda: not is_running(worker), what="the worker's end")
                self.expect_clean_log()

    def test_stopped_while_it_is_idle(self):
        self.expect_kept("hold", 1)

    def test_stopped_while_it_works(self):
        self.expect_kept("work", 0)

    def test_stopped_while_it_copies_over_lanes(self):
        self.expect_kept("work", 0, FARLANE_CONNECTIONS="2", FARLANE_LANES_THRESHOLD_BYTES="65536")

    def test_an_idle_program_keeps_its_session(self):
        self.serve("--client-timeout-ms", "600", "--stopped-client-timeout-ms", "600")
        victim = self.victim("hold", 1, FARLANE_CALL_TIMEOUT_MS="400").wait_ready()
        worker = self.worker_of(victim)
        # Long enough for the server to lose patience with a client that is really silent: another
        # one is, and is gone.
        silent = self.victim("hold", 1, FARLANE_CALL_TIMEOUT_MS="400").wait_ready()
        gone = self.worker_of(silent)
        silent.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: not is_running(gone), what="the silent one's end")
        self.assertTrue(is_running(worker), self.server_log())
        victim.go_on()
        self.assertEqual(victim.wait(), 0, victim.describe())


class EndOfTheWorker(Case):
    """The process that serves a session dies or hangs."""

    def expect_worker_death(self, mode, kill=signal.SIGKILL):
        self.serve()
        other = self.victim("work", 0).wait_ready()
        victim = self.victim(mode).wait_ready()
        worker = self.worker_of(victim)
        self.assertIn(worker, self.workers())
        os.kill(worker, kill)
        self.expect_lost(victim)
        self.assertIsNone(other.process.poll(), other.describe())
        self.expect_good_session()
        other.go_on()
        self.assertEqual(other.wait(), 0, other.describe())
        self.assertEqual(other.err, [])
        self.wait_for_log(rf"\[(warning|error)\].*\b{worker}\b")
        self.server.stop(SOON_S)

    def test_killed_in_a_call_that_waits(self):
        self.expect_worker_death("wait_for_ever")

    def test_killed_in_mid_copy(self):
        self.expect_worker_death("copy_for_ever")

    def test_killed_by_a_fault(self):
        self.expect_worker_death("wait_for_ever", signal.SIGSEGV)

    def test_its_memory_does_not_count_any_more(self):
        self.serve()
        before = self.free_mib()
        victim = self.victim("hold", 300).wait_ready()
        os.kill(self.worker_of(victim), signal.SIGKILL)
        victim.go_on()
        self.expect_lost(victim)
        self.assertEqual(self.free_mib(), before)

    def test_a_silent_worker_is_given_up_after_the_timeout_and_not_before(self):
        self.serve()
        victim = self.victim("wait_for_ever", FARLANE_CALL_TIMEOUT_MS="1500").wait_ready()
        worker = self.worker_of(victim)
        os.kill(worker, signal.SIGSTOP)
        stopped = time.monotonic()
        line = self.expect_lost(victim)
        self.assertIn("timeouts.call_timeout_ms", line)
        # It may have heard a heartbeat just before, hence the second's margin.
        self.assertGreaterEqual(victim.ended - stopped, 0.5)
        self.assertIn("1500", line)
        self.expect_good_session()
        os.kill(worker, signal.SIGCONT)
        wait_until(lambda: not is_running(worker), what="the worker's end")

    def test_a_busy_worker_is_not_silent(self):
        self.serve("--heartbeat-ms", "100")
        victim = self.victim("wait_for_ever", FARLANE_CALL_TIMEOUT_MS="700").wait_ready()
        # Three sessions later much more time than that has passed.
        for _ in range(3):
            self.expect_good_session()
        wait_until(lambda: time.monotonic() > victim.started + 3, what="time")
        self.assertIsNone(victim.process.poll(), victim.describe())

    def test_a_warm_worker_that_dies_is_replaced(self):
        self.serve()
        (warm,) = wait_until(self.workers, what="a warm worker")
        os.kill(warm, signal.SIGKILL)
        wait_until(lambda: [w for w in self.workers() if w != warm and is_running(w)],
                   what="another warm worker")
        self.expect_good_session()


class EndOfTheServer(Case):
    """The supervisor ends, orderly or not."""

    def test_killed(self):
        self.serve()
        victims = [self.victim(mode).wait_ready() for mode in ("wait_for_ever", "copy_for_ever")]
        workers = self.workers()
        self.assertGreaterEqual(len(workers), 2)
        self.server.process.kill()
        for victim in victims:
            self.expect_lost(victim)
        for worker in workers:
            wait_until(lambda pid=worker: not is_running(pid), what=f"the end of worker {worker}")

    def test_sigterm_lets_sessions_finish(self):
        self.serve("--drain-s", "60")
        running = self.victim("hold", 16).wait_ready()
        self.server.process.send_signal(signal.SIGTERM)
        self.wait_for_log("drain_s")
        # No new ones meanwhile.
        self.expect_lost(self.victim("every_call"))
        self.assertIsNone(self.server.process.poll())
        running.go_on()
        self.assertEqual(running.wait(), 0, running.describe())
        self.assertIn("last byte 1", running.out)
        self.assertTrue(self.server.ended.wait(SOON_S), "the server does not end")
        self.assertEqual(self.server.process.returncode, 0)
        self.expect_clean_log()

    def test_sigterm_ends_what_does_not_finish(self):
        self.serve("--drain-s", "0")
        victim = self.victim("wait_for_ever").wait_ready()
        worker = self.worker_of(victim)
        self.server.process.send_signal(signal.SIGTERM)
        line = victim.wait() and victim.our_errors()
        self.assertEqual(victim.result, LOST, victim.describe())
        self.assertEqual(len(line), 1, victim.describe())
        self.assertIn("shutting down", line[0])
        self.assertTrue(self.server.ended.wait(SOON_S), "the server does not end")
        self.assertEqual(self.server.process.returncode, 0)
        self.assertFalse(is_running(worker))

    def test_an_idle_server_ends_at_once(self):
        self.serve("--drain-s", "600")
        self.expect_good_session()
        self.server.stop(SOON_S)
        self.expect_clean_log()


class OddPrograms(Case):
    """Programs that do what programs do."""

    def setUp(self):
        super().setUp()
        self.serve()

    def tearDown(self):
        self.expect_good_session()
        self.expect_clean_log()
        self.server.stop(SOON_S)

    def test_exit_without_synchronising(self):
        program = self.victim("leave")
        self.assertEqual(program.wait(), 0, program.describe())
        self.assertEqual(program.err, [])
        worker = self.worker_of(program)
        wait_until(lambda: not is_running(worker), what="the worker's end")

    def test_no_standard_output_left(self):
        program = self.victim("close_output")
        self.assertEqual(program.wait(), 0, program.describe())
        self.assertEqual(program.err, [])

    def test_fork_after_use(self):
        program = self.start("fork_child")
        self.assertEqual(program.wait(), 0, program.describe())
        self.assertEqual(program.out[-1], "PASS", program.describe())
        self.assertEqual(program.err, [])

    def test_an_error_that_stays_is_the_sessions_own(self):
        other = self.victim("work", 0).wait_ready()
        program = self.start("fail_illegal_address")
        self.assertEqual(program.wait(), 0, program.describe())
        other.go_on()
        self.assertEqual(other.wait(), 0, other.describe())

    def test_many_sessions_one_after_the_other(self):
        before = self.free_mib()
        for _ in range(5):
            self.expect_good_session()
        self.assertEqual(self.free_mib(), before)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", required=True)
    parser.add_argument("--launcher", required=True)
    parser.add_argument("--programs", required=True)
    parser.add_argument("--apps", required=True)
    parser.add_argument("--sanitized", action="store_true", help="the server is")
    parser.add_argument("tests", nargs="*")
    args = parser.parse_args()
    harness.SERVER = os.path.abspath(args.server)
    harness.LAUNCHER = args.launcher
    harness.PROGRAMS = args.programs
    harness.APPS = args.apps
    Floods.MEMORY_TELLS = Lanes.MEMORY_TELLS = not args.sanitized
    unittest.main(argv=[sys.argv[0], *args.tests], verbosity=2)


if __name__ == "__main__":
    main()
