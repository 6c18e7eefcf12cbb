"""A client made by hand: one session, its bulk lanes, and whatever a real one would never send."""
import select
import socket
import struct
import time

from harness import (FLAG_REPLY, OP_CONTROL, OP_CONTROL_REPLY, SOON_S, connect, control_record,
                     field, frame, record)

# protocol/api/wire.api
OP_CLIENT_ALIVE = 3
OP_COPY_IN_LANES = 22
OP_COPY_OUT_LANES = 23
OP_LANE_DATA = 24
OP_WINDOWS_RESERVE = 64
OP_EXTENT_CREATE = 65
LEGACY = 0x01ffffff << 32  # protocol/handles.h: the legacy default stream of device 0
# One of these is free in a worker, under sanitizers too. The thread sanitizer lacks the last,
# and trying it costs shadow memory (client/core/handshake.cc).
WINDOWS = (0x7e9000000000, 0x7f0000000000, 0x558000000000, 0x200000000000)
WINDOW_BYTES = 16 << 30


def fields(message):
    """A protobuf message's fields: number to the last value."""
    found = {}
    at = 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7f) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        key = number()
        if key & 7 == 0:
            found[key >> 3] = number()
        else:
            assert key & 7 == 2, f"wire type {key & 7}"
            size = number()
            found[key >> 3] = message[at:at + size]
            at += size
    return found


def lane_hello(token, lane):
    return frame(control_record(
        OP_CONTROL, field(1, field(1, 1) + field(5, b"a lane") + field(6, token) +
                          (field(10, lane) if lane else b"")), 0))


class Connection:
    """Frames out, records in."""

    def __init__(self, address):
        self.socket = connect(address)
        self.received = b""

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def read_records(self, deadline_s=SOON_S):
        """The records of the next frame: (op, flags, sequence, payload); None at the end."""
        def read(count):
            while len(self.received) < count:
                part = self.socket.recv(65536)
                if not part:
                    return None
                self.received += part
            taken, self.received = self.received[:count], self.received[count:]
            return taken

        self.socket.settimeout(deadline_s)
        try:
            prefix = read(8)
            if prefix is None:
                return None
            head_bytes, body_bytes = struct.unpack("<II", prefix)
            head = read(head_bytes)
            if head is None or read(body_bytes) is None:
                return None
        except ConnectionResetError:
            return None
        records = []
        while head:
            size, op, flags, _, sequence = struct.unpack("<IHBBQ", head[:16])
            records.append((op, flags, sequence, head[16:size]))
            head = head[size:]
        return records

    def read_control(self):
        """The next control message: which kind (2: welcome, 3: goodbye) and its fields; None at the
        end."""
        while True:
            records = self.read_records()
            if records is None:
                return None
            for op, _, _, payload in records:
                if op == OP_CONTROL_REPLY:
                    size, _ = struct.unpack("<II", payload[:8])
                    ((kind, message),) = fields(payload[8:8 + size]).items()
                    return kind, fields(message)


class RawSession(Connection):
    """An open session with one extent of device memory."""

    def __init__(self, address, name, extent_bytes):
        super().__init__(address)
        self.sequence = 0
        self.spoke = time.monotonic()
        self.address = address
        self.post_payload(OP_CONTROL, None, control=field(1, field(1, 1) + field(5, name.encode())))
        kind, welcome = self.read_control()
        assert kind == 2, welcome
        self.token = welcome[6]
        self.base = welcome.get(11, 0)
        for base in WINDOWS:
            if self.base:
                break
            if self.ask(OP_WINDOWS_RESERVE, struct.pack("<QQ", base, WINDOW_BYTES)) == 0:
                self.base = base
        assert self.base, "no window is free in the worker"
        result = self.ask(OP_EXTENT_CREATE, struct.pack("<IIQQ", 0, 0, self.base, extent_bytes))
        assert result == 0, f"no device memory: {result}"

    def post_payload(self, op, payload, control=None):
        self.sequence += 1
        self.spoke = time.monotonic()
        self.send(frame(control_record(op, control, self.sequence) if control is not None
                        else record(op, payload, self.sequence)))
        return self.sequence

    def ask(self, op, payload):
        """The result of a question."""
        sequence = self.post_payload(op, payload)
        while True:
            self.stay_alive_until_readable(self)
            records = self.read_records()
            assert records is not None, "the session has ended"
            for _, flags, number, answer in records:
                if flags & FLAG_REPLY and number == sequence:
                    return struct.unpack("<i", answer[:4])[0]

    def stay_alive_until_readable(self, connection, deadline_s=SOON_S):
        """Signs of life meanwhile, as a real client's: a server on a busy machine may take longer
        to answer than it bears silence."""
        end = time.monotonic() + deadline_s
        while not connection.received and not select.select([connection.socket], [], [], 0.1)[0]:
            assert time.monotonic() < end, "no answer"
            try:
                self.post_payload(OP_CLIENT_ALIVE, b"")
            except OSError:
                return  # the end is there to be read

    def stay_alive(self):
        """A sign of life now and then; what the server says on the command lane is taken. False:
        the session has ended."""
        try:
            if time.monotonic() - self.spoke > 0.1:
                self.post_payload(OP_CLIENT_ALIVE, b"")
            self.socket.settimeout(0.02)
            part = self.socket.recv(1 << 20)
        except TimeoutError:
            return True
        except OSError:
            return False
        # Whole frames are dropped, and a part of one is kept.
        self.received += part
        while len(self.received) >= 8:
            size = 8 + sum(struct.unpack("<II", self.received[:8]))
            if len(self.received) < size:
                break
            self.received = self.received[size:]
        return bool(part)

    def copy_in_lanes(self, width, height=1, pitch=0):
        return self.post_payload(OP_COPY_IN_LANES, struct.pack(
            "<QQQQQ", LEGACY, self.base, pitch, width, height))

    def copy_out_lanes(self, width, ticket):
        return self.post_payload(OP_COPY_OUT_LANES, struct.pack(
            "<QQQQQQ", LEGACY, self.base, 0, width, 1, ticket))

    def lane(self, number, token=None):
        """A further connection that says which lane it is."""
        lane = Connection(self.address)
        lane.send(lane_hello(self.token if token is None else token, number))
        return lane

    def open_lane(self, number):
        lane = self.lane(number)
        self.stay_alive_until_readable(lane)
        answer = lane.read_control()
        assert answer is not None and answer[0] == 2, answer
        return lane


def lane_data(command, offset, data):
    return frame(record(OP_LANE_DATA, struct.pack("<QQ", command, offset)), data)


def small_buffers(lane):
    """So that what nobody reads soon stays where it is."""
    lane.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
