"""usage: tls_half_close.py PORT   asks over TLS and closes the sending half, which must be answered

Once with the handshake, the request, close_notify and the end of TCP in one go, and once on an open connection. Prints
"ok VERSION NAME" for each.
"""

import socket
import ssl
import sys

from raw_client import CLOSE, PING, TEXT, close_body, dial, frame, text, upgrade

PORT = int(sys.argv[1])
REQUEST = frame(TEXT, text("echo", '"' + "x" * 100_000 + '"', '"q"').encode())
REPLY = ('{"payload":"' + "x" * 100_000 + '","callbackId":"q"}').encode()


class Peer:
    """TLS of which the test has the bytes, so that it can send several records at once."""

    def __init__(self, version):
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.minimum_version = context.maximum_version = version
        self.socket = dial(PORT)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.flush()
                self.feed()
        self.flush()

    def flush(self):
        self.socket.sendall(self.outgoing.read())

    def feed(self):
        data = self.socket.recv(1 << 18)
        if data:
            self.incoming.write(data)
        else:
            self.incoming.write_eof()

    def end_output(self):
        """Sends close_notify and the end of TCP behind what is written."""
        try:
            self.tls.unwrap()
        except ssl.SSLWantReadError:
            pass  # The server's half is open.
        self.flush()
        self.socket.shutdown(socket.SHUT_WR)

    def read(self):
        """What comes next, or nothing at the orderly end."""
        while True:
            try:
                return self.tls.read(1 << 18)
            except ssl.SSLWantReadError:
                self.feed()
            except ssl.SSLZeroReturnError:
                return b""

    def read_head(self):
        received = b""
        while b"\r\n\r\n" not in received:
            data = self.read()
            assert data, f"the end after {received!r}"
            received += data
        head, _, rest = received.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head
        return rest

    def read_to_end(self):
        received = b""
        while data := self.read():
            received += data
        return received


def frames(data):
    """The server's frames, each as its opcode and payload."""
    while data:
        length, size = data[1], 2
        if length == 126:
            length, size = int.from_bytes(data[2:4]), 4
        elif length == 127:
            length, size = int.from_bytes(data[2:10]), 10
        assert len(data) >= size + length, f"the end within a frame: {data[:200]!r}"
        yield data[0] & 0x0F, data[size : size + length]
        data = data[size + length :]


def expect_answer(received):
    # It may ask meanwhile whether the peer is there.
    found = [(opcode, payload) for opcode, payload in frames(received) if opcode != PING]
    assert [opcode for opcode, _ in found] == [TEXT, CLOSE], f"{received[:200]!r}"
    assert found[0][1] == REPLY, f"{found[0][1][:200]!r}"
    assert found[1][1] == close_body(1000, b"end of input"), f"{found[1][1]!r}"


for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
    peer = Peer(version)
    peer.tls.write(upgrade("/?id=1") + REQUEST)
    peer.end_output()
    expect_answer(peer.read_head() + peer.read_to_end())
    print("ok", version.name, "in one go", flush=True)

    peer = Peer(version)
    peer.tls.write(upgrade("/?id=2"))
    peer.flush()
    rest = peer.read_head()
    peer.tls.write(REQUEST)
    peer.end_output()
    expect_answer(rest + peer.read_to_end())
    print("ok", version.name, "on an open connection", flush=True)
