"""What a client can do with its bulk lanes that it should not (run by bad_input_test.py): its
session ends with a reason in the log, or waits; nobody's memory grows, and another session never
notices."""
import os
import re
import signal
import struct
import subprocess
import time

from harness import OP_ECHO, SOON_S, Case, receive_all, send_quietly, wait_until
from raw_client import Connection, RawSession, lane_data, lane_hello, small_buffers

MIB = 1 << 20
LANES = 4
CHUNK = 65536
EXTENT = 64 * MIB
ECHO = struct.pack("<Q", 7)


class Lanes(Case):
    """Bulk lanes in the hands of somebody hostile, or just slow."""

    # Of a worker and of a program beyond what they had before: their pinned slots are 1 MiB here.
    MORE_MIB = 32
    MEMORY_TELLS = True

    def start_server(self, *options):
        self.serve("--lanes-max", LANES, "--lane-slots", "2", "--lane-chunk-bytes", CHUNK, *options)
        # It uses lanes of its own all the time.
        self.other = self.victim("work", 0, FARLANE_LANES_THRESHOLD_BYTES="65536",
                                 FARLANE_CONNECTIONS="2").wait_ready()

    def serve(self, *options):
        super().serve(*map(str, options))

    def expect_others_unaffected(self):
        self.assertIsNone(self.other.process.poll(), self.other.describe())
        self.other.go_on()
        self.assertEqual(self.other.wait(), 0, self.other.describe())
        self.assertEqual(self.other.err, [])
        self.expect_good_session()
        self.server.stop(SOON_S)

    def raw_session(self):
        name = f"raw {os.getpid()} {len(getattr(self, 'sessions', []))}"
        session = RawSession(self.address, name, EXTENT)
        self.addCleanup(session.close)
        self.sessions = [*getattr(self, "sessions", []), session]
        pattern = re.compile(rf"\({name}[^)]*\) goes to worker (\d+)")
        session.worker = int(wait_until(
            lambda: next((m.group(1) for m in map(pattern.search, list(self.server.lines)) if m),
                         None), what="the session's place in the log"))
        session.before_mib = resident_mib(session.worker)
        return session

    def lanes_of(self, session, count):
        lanes = [session.open_lane(number) for number in range(1, count + 1)]
        for lane in lanes:
            self.addCleanup(lane.close)
        return lanes

    def expect_end(self, session, pattern, meanwhile=lambda: None):
        """The session ends, its client alive and listening, and the log says why; its worker did
        not grow."""
        most = 0
        end = time.monotonic() + SOON_S
        while session.stay_alive():
            meanwhile()
            most = max(most, resident_mib(session.worker))
            self.assertLess(time.monotonic(), end, "the server bears it for ever")
        self.wait_for_log(pattern)
        if self.MEMORY_TELLS:
            self.assertLess(most, session.before_mib + self.MORE_MIB)

    def test_lanes_that_say_nothing(self):
        self.start_server("--client-timeout-ms", "3000")
        session = self.raw_session()
        lanes = self.lanes_of(session, LANES)
        # More than may be are refused and told so.
        for number in (1, LANES, LANES + 1, 1 << 31):
            lane = session.lane(number)
            self.addCleanup(lane.close)
            kind, goodbye = lane.read_control()
            self.assertEqual(kind, 3)
            self.assertRegex(str(goodbye), "there already|copies.lanes_max")
        # Silence is no fault of a lane …
        end = time.monotonic() + 4
        while time.monotonic() < end:
            self.assertTrue(session.stay_alive(), self.server_log())
        # … until a copy waits for what should come over it.
        session.copy_in_lanes(EXTENT)
        self.expect_end(session, "the data of a copy did not come for 3000 ms.*"
                                 "timeouts.client_timeout_ms")
        for lane in lanes:
            self.assertIsNotNone(receive_all(lane.socket), "the lane stays open")
        self.expect_others_unaffected()

    def test_crowds_of_connections_for_one_session(self):
        self.start_server("--handshake-timeout-ms", "1000")
        session = self.raw_session()
        crowd = []
        for _ in range(100):
            crowd.append(session.lane(1))
            self.addCleanup(crowd[-1].close)
        welcomed = sum(1 for lane in crowd if (lane.read_control() or (0,))[0] == 2)
        self.assertEqual(welcomed, 1)
        if self.MEMORY_TELLS:
            self.assertLess(resident_mib(session.worker), session.before_mib + self.MORE_MIB)
        self.assertEqual(session.ask(OP_ECHO, ECHO), 0)
        self.expect_others_unaffected()

    def test_wrong_tokens(self):
        self.start_server()
        session = self.raw_session()
        wrong = bytes(byte ^ 1 for byte in session.token)
        for token in (wrong, session.token[:-1], session.token + b"x", b"", b"\0" * 16, b"x" * 65):
            with self.subTest(token=token):
                lane = Connection(self.address)
                self.addCleanup(lane.close)
                send_quietly(lane.socket, lane_hello(token, 1))
                answer = lane.read_control()
                self.assertTrue(answer is None or answer[0] == 3, answer)
        self.wait_for_log("refused: a lane for a session that is not here")
        # The right one still opens, and the session goes on.
        self.lanes_of(session, 1)
        self.assertEqual(session.ask(OP_ECHO, ECHO), 0)
        self.expect_others_unaffected()

    def test_claims_that_cannot_be(self):
        self.start_server()
        top = (1 << 64) - 1
        head = lane_data(1, 0, b"")[8:]

        def prefix(head_bytes, body_bytes):
            return struct.pack("<II", head_bytes, body_bytes) + head

        claims = {
            "a body over the chunk": (lambda lane, _: lane.send(prefix(len(head), CHUNK + 1)),
                                      r"a piece of 65537 bytes \(limit 65536"),
            "a body of 4 GiB": (lambda lane, _: lane.send(prefix(len(head), 0xffffffff)),
                                "body of 4294967295 bytes"),
            "a head of 4 GiB": (lambda lane, _: lane.send(prefix(0xffffffff, 0)),
                                "head of 4294967295 bytes"),
            "bytes before the copy": (lambda lane, copy: lane.send(
                lane_data(copy, top - 100, b"x" * 1000)), f"1000 bytes at {top - 100} came"),
            "bytes beyond the copy": (lambda lane, copy: lane.send(
                lane_data(copy, EXTENT - 10, b"x" * 1000)), f"1000 bytes at {EXTENT - 10} came"),
            "a copy that never was": (lambda lane, _: lane.send(lane_data(1, 0, b"x")),
                                      "no copy under way"),
        }
        for what, (send, pattern) in claims.items():
            with self.subTest(what):
                session = self.raw_session()
                (lane,) = self.lanes_of(session, 1)
                command = session.copy_in_lanes(EXTENT)
                send(lane, command)
                self.expect_end(session, pattern)

        with self.subTest("rows whose sum overflows"):
            session = self.raw_session()
            self.lanes_of(session, 1)
            session.copy_in_lanes(1 << 40, 1 << 40, 1)
            self.expect_end(session, rf"{1 << 40} rows of {1 << 40} bytes")
        with self.subTest("more than the memory"):
            # An error of the copy, not of the session; its data may come all the same.
            session = self.raw_session()
            (lane,) = self.lanes_of(session, 1)
            command = session.copy_in_lanes(1 << 45)
            for i in range(100):
                lane.send(lane_data(command, i * CHUNK, b"x" * CHUNK))
            if self.MEMORY_TELLS:
                self.assertLess(resident_mib(session.worker), session.before_mib + self.MORE_MIB)
            session.close()
        self.expect_others_unaffected()

    def test_a_flood_of_data_for_copies_that_never_come(self):
        self.start_server()
        session = self.raw_session()
        (lane,) = self.lanes_of(session, 1)
        lane.socket.setblocking(False)
        piece = lane_data(1 << 40, 0, b"x" * CHUNK)
        pending = b""
        sent = 0
        try:
            while sent < 256 * MIB:
                pending = pending or piece
                count = lane.socket.send(pending)
                pending = pending[count:]
                sent += count
        except BlockingIOError:
            pass  # held up by its own network, as it should be
        self.assertLess(sent, 64 * MIB)
        self.assertEqual(session.ask(OP_ECHO, ECHO), 0)
        if self.MEMORY_TELLS:
            self.assertLess(resident_mib(session.worker), session.before_mib + self.MORE_MIB)
        self.expect_others_unaffected()

    def test_a_reader_that_takes_nothing(self):
        self.start_server("--client-timeout-ms", "5000")
        session = self.raw_session()
        for lane in self.lanes_of(session, LANES):
            small_buffers(lane)
        for ticket in range(1, 9):
            session.copy_out_lanes(EXTENT, ticket)
        self.expect_end(session, "took no data from its further connections for 5000 ms.*"
                                 "timeouts.client_timeout_ms")
        self.expect_others_unaffected()

    def test_a_reader_that_is_only_slow(self):
        self.start_server("--client-timeout-ms", "2000")
        session = self.raw_session()
        (lane,) = self.lanes_of(session, 1)
        lane.socket.settimeout(SOON_S)
        session.copy_out_lanes(EXTENT, 1)
        most = taken = 0
        # Longer than the timeout in all, and always a little in time.
        while taken < EXTENT:
            end = time.monotonic() + 0.2
            while time.monotonic() < end:
                self.assertTrue(session.stay_alive(), self.server_log())
            wanted = min(taken + EXTENT // 16, EXTENT)
            while taken < wanted:
                part = lane.socket.recv(MIB)
                self.assertTrue(part, self.server_log())
                taken += len(part)
            most = max(most, resident_mib(session.worker))
        if self.MEMORY_TELLS:
            self.assertLess(most, session.before_mib + self.MORE_MIB)
        self.assertEqual(session.ask(OP_ECHO, ECHO), 0)
        self.expect_others_unaffected()

    def test_a_program_whose_server_reads_nothing(self):
        # The client's side: what its program hands over does not pile up in it.
        self.start_server()
        program = self.victim("copy_for_ever", FARLANE_CONNECTIONS="4",
                              FARLANE_CALL_TIMEOUT_MS="2000").wait_ready()
        worker = self.worker_of(program)
        before = resident_mib(program.pid)
        os.kill(worker, signal.SIGSTOP)
        most = before
        while not has_ended(program.process, 0.02):
            most = max(most, resident_mib(program.pid))
        self.expect_lost(program)
        os.kill(worker, signal.SIGCONT)
        if self.MEMORY_TELLS:
            self.assertLess(most, before + self.MORE_MIB)
        self.expect_others_unaffected()


def resident_mib(pid):
    """Of a process that may be ending: then 0."""
    try:
        with open(f"/proc/{pid}/status") as status:
            return next((int(line.split()[1]) // 1024 for line in status
                         if line.startswith("VmRSS:")), 0)
    except OSError:
        return 0


def has_ended(process, wait_s):
    """Whether it ends within so many seconds."""
    try:
        process.wait(wait_s)
    except subprocess.TimeoutExpired:
        return False
    return True
