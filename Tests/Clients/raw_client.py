"""A WebSocket client on a bare socket, which can break every rule."""

import json
import os
import socket
import struct

WAIT = 30
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def dial(port, receive_buffer=None):
    connection = socket.socket()
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.settimeout(WAIT)
    connection.connect(("127.0.0.1", port))
    return connection


def upgrade(target="/", *, method="GET", version="HTTP/1.1", leave_out=(), **fields):
    """The bytes of a handshake: correct ones, but for what is asked for."""
    headers = {
        "Host": "127.0.0.1",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
    } | {name.replace("_", "-"): value for name, value in fields.items()}
    lines = [f"{method} {target} {version}"]
    lines += [f"{name}: {value}" for name, value in headers.items() if name not in leave_out]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def frame(opcode, payload=b"", *, fin=True, reserved=0, masked=True, length_size=None, length=None):
    """One frame; `length_size` (1, 2 or 8 bytes) and `length` override what would be right."""
    if length is None:
        length = len(payload)
    if length_size is None:
        length_size = 1 if length < 126 else 2 if length < 65_536 else 8
    first = (0x80 if fin else 0) | reserved << 4 | opcode
    mask_bit = 0x80 if masked else 0
    if length_size == 1:
        head = struct.pack("!BB", first, mask_bit | length)
    elif length_size == 2:
        head = struct.pack("!BBH", first, mask_bit | 126, length)
    else:
        head = struct.pack("!BBQ", first, mask_bit | 127, length)
    # The mask is zero: it is there, and costs nothing.
    return head + (b"\0\0\0\0" if masked else b"") + payload


def close_body(code, reason=b""):
    return struct.pack("!H", code) + reason


def text(event, payload=None, callback=None):
    """The text of a message of which payload and callback are JSON already."""
    parts = [f'"event":{json.dumps(event)}']
    parts += [f'"payload":{payload}'] if payload is not None else []
    parts += [f'"callbackId":{callback}'] if callback is not None else []
    return "{" + ",".join(parts) + "}"


class RawClient:
    def __init__(self, port, id, receive_buffer=None):
        self.id = id
        self.requests = 0
        self.socket = dial(port, receive_buffer)
        self.buffer = bytearray()
        self.socket.sendall(upgrade(f"/?id={id}"))
        while b"\r\n\r\n" not in self.buffer:
            assert self.receive(), f"closed in the handshake after {bytes(self.buffer)!r}"
        head, _, rest = bytes(self.buffer).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head
        self.buffer = bytearray(rest)

    def receive(self):
        data = self.socket.recv(1 << 18)
        self.buffer += data
        return len(data)

    def read(self, count):
        while len(self.buffer) < count:
            if not self.receive():
                raise EOFError(f"{self.id}: the server closed the connection")
        data = bytes(memoryview(self.buffer)[:count])
        del self.buffer[:count]
        return data

    def read_frame(self):
        first, second = self.read(2)
        assert not second & 0x80, "a frame of the server is masked"
        assert first & 0xF0 == 0x80, f"a fragment or reserved bits from the server: {first:#x}"
        length = second
        if length == 126:
            (length,) = struct.unpack("!H", self.read(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self.read(8))
        return first & 0x0F, self.read(length)

    def send(self, message):
        self.socket.sendall(frame(TEXT, message.encode() if isinstance(message, str) else message))

    def message(self):
        """The next text message; pings are answered."""
        while True:
            opcode, payload = self.read_frame()
            if opcode == TEXT:
                return payload.decode()
            if opcode == CLOSE:
                raise AssertionError(f"{self.id}: closed with {payload!r}")
            if opcode == PING:
                self.socket.sendall(frame(PONG, payload))

    def expect(self, expected):
        found = self.message()
        assert found == expected, f"{self.id}: expected {expected[:300]!r}, got {found[:300]!r}"

    def expect_close(self, *codes):
        """The server closes with one of the codes, and then ends the connection, without any message before."""
        while True:
            opcode, payload = self.read_frame()
            assert opcode != TEXT, f"{self.id}: got {payload[:300]!r} instead of the close"
            if opcode == CLOSE:
                break
        (code,) = struct.unpack("!H", payload[:2])
        assert code in codes, f"{self.id}: closed with {code} {payload[2:]!r}, expected {codes}"
        try:
            self.socket.sendall(frame(CLOSE, payload[:2]))
            assert not self.receive(), "bytes after the close frame"
        except ConnectionError:
            pass  # The server has ended the connection: what was to be shown.

    def request(self, event, payload):
        """Sends a request of which the next message must be the reply; returns the reply's payload as it was written."""
        self.requests += 1
        callback = f'"{self.id}-{self.requests}"'
        self.send(text(event, payload, callback))
        reply = self.message()
        head, tail = '{"payload":', f',"callbackId":{callback}}}'
        assert reply.startswith(head) and reply.endswith(tail), f"{self.id}: expected a reply, got {reply[:300]!r}"
        return reply[len(head) : -len(tail)]

    def command(self, action, msg, **more):
        body = json.dumps({"action": action} | more)
        return self.request("command", f'{body[:-1]}, "msg": {msg}}}')

    def alive(self):
        """Shows that the server answers, and that it sent nothing before."""
        token = f'"{os.urandom(4).hex()}"'
        assert self.request("echo", token) == token

    def push(self, action, msg):
        self.expect(f'{{"event":"say","payload":{{"action":"{action}","msg":{msg}}}}}')


class Bystanders:
    """Two clients that have nothing to do with the attack, and must not notice it."""

    def __init__(self, port):
        self.port = port
        self.victim, self.witness = RawClient(port, "victim"), RawClient(port, "witness")
        for client in (self.victim, self.witness):
            client.alive()
            client.request("joinRoom", '{"roomId":"bystanders"}')

    def undisturbed(self):
        """Each still answers to its id and in its room, and somebody new can come."""
        self.witness.command("toPlayer", '"direct"', toPlayerId="victim")
        self.victim.push("toPlayer", '"direct"')
        self.victim.command("toRoom", '"room"', roomId="bystanders", excludeSocketIds=["victim"])
        self.witness.push("toRoom", '"room"')
        self.victim.alive()
        RawClient(self.port, "newcomer").alive()
