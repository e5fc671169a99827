"""Violations of RFC 6455 after the handshake: each ends the connection with the right code, and nobody else's."""

from raw_client import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Bystanders, RawClient, close_body, frame

MESSAGE = b'{"event":"echo","payload":1,"callbackId":"x"}'
LIMIT = 1 << 20

PROTOCOL_ERROR, INVALID_DATA, POLICY, TOO_BIG = 1002, 1007, 1008, 1009

# Name: the code that must come, and the bytes, of which each of several is a connection of its own.
VIOLATIONS = {
    "unmasked": (PROTOCOL_ERROR, [
        frame(TEXT, MESSAGE, masked=False), frame(PING, masked=False), frame(BINARY, MESSAGE, masked=False),
        frame(TEXT, b"{", fin=False) + frame(CONTINUATION, b"}", masked=False),
    ]),
    "reserved bits": (PROTOCOL_ERROR, [frame(TEXT, MESSAGE, reserved=bits) for bits in range(1, 8)]
        + [frame(PING, reserved=4), frame(CLOSE, close_body(1000), reserved=1)]),
    "reserved opcodes": (PROTOCOL_ERROR, [frame(opcode, MESSAGE) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)]),
    "invalid UTF-8": (INVALID_DATA, [frame(TEXT, data) for data in (
        b"\xff", b"\x80", b"\xc0\xaf", b"\xe2\x82", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"{}\xf8", b"a" * 5_000 + b"\xc3",
    )]),
    "invalid UTF-8 in fragments": (INVALID_DATA, [
        frame(TEXT, b"\xe2\x82", fin=False) + frame(CONTINUATION, b"A"),
        frame(TEXT, b"\xe2", fin=False) + frame(CONTINUATION, b"\x82"),
        frame(TEXT, b"ok", fin=False) + frame(CONTINUATION, b"\xff", fin=False) + frame(CONTINUATION),
    ]),
    "oversize": (TOO_BIG, [
        frame(TEXT, length=LIMIT + 1), frame(BINARY, length=1 << 40), frame(TEXT, length=(1 << 63) - 1, length_size=8),
        frame(TEXT, b"a" * LIMIT, fin=False) + frame(CONTINUATION, length=1),
        frame(TEXT, b"a" * 600_000, fin=False) + frame(CONTINUATION, length=600_000, fin=False),
    ]),
    "too many fragments": (POLICY, [frame(TEXT, fin=False) + frame(CONTINUATION, fin=False) * 2_000]),
    "length": (PROTOCOL_ERROR, [
        frame(TEXT, b"{}", length_size=2), frame(TEXT, b"{}", length_size=8), frame(TEXT, b"a" * 125, length_size=2),
        frame(TEXT, b"a" * 65_535, length_size=8), frame(BINARY, length=1 << 63, length_size=8),
    ]),
    "control frames": (PROTOCOL_ERROR, [
        frame(PING, fin=False), frame(PONG, b"x", fin=False), frame(CLOSE, fin=False),
        frame(PING, b"a" * 126), frame(PONG, b"a" * 126), frame(CLOSE, close_body(1000, b"a" * 124)),
    ]),
    "fragments": (PROTOCOL_ERROR, [
        frame(CONTINUATION, MESSAGE), frame(CONTINUATION, MESSAGE, fin=False),
        frame(TEXT, b"{", fin=False) + frame(TEXT, MESSAGE), frame(BINARY, b"{", fin=False) + frame(BINARY, MESSAGE),
        frame(TEXT, b"{", fin=False) + frame(PING) + frame(TEXT, MESSAGE),
    ]),
    "close codes": (PROTOCOL_ERROR, [
        frame(CLOSE, close_body(code)) for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535)
    ] + [frame(CLOSE, b"\x03")]),
    "close reason": (INVALID_DATA, [frame(CLOSE, close_body(1000, b"\xff")), frame(CLOSE, close_body(4000, b"\xe2\x82"))]),
}  # fmt: skip


def violation(code, attacks, options):
    bystanders = Bystanders(options.port)
    for number, attack in enumerate(attacks):
        for split in (False, True):
            attacker = RawClient(options.port, f"attack {number}".replace(" ", "-"))
            attacker.alive()
            try:
                if split and len(attack) < 200:
                    for byte in attack:
                        attacker.socket.sendall(bytes([byte]))
                else:
                    attacker.socket.sendall(attack)
            except ConnectionError:
                pass  # The server has closed already; its close frame can still be read.
            attacker.expect_close(code)
    bystanders.undisturbed()


def valid_close(options):
    """The codes that a client may send are echoed."""
    for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4001, 4999):
        client = RawClient(options.port, "client")
        client.socket.sendall(frame(CLOSE, close_body(code, "leb wohl ä".encode())))
        client.expect_close(code)


def control_flood(options):
    """Pings are answered in order between the fragments of a message; pongs that nobody asked for are ignored."""
    bystanders = Bystanders(options.port)
    client = RawClient(options.port, "client")
    for number in range(1_000):
        client.socket.sendall(frame(PING, str(number).encode()) + frame(PONG, b"unasked"))
        opcode, payload = client.read_frame()
        assert (opcode, payload) == (PONG, str(number).encode()), (opcode, payload)
    client.socket.sendall(frame(TEXT, MESSAGE[:10], fin=False) + frame(PING, b"between") + frame(CONTINUATION, MESSAGE[10:]))
    assert client.read_frame() == (PONG, b"between")
    client.expect('{"payload":1,"callbackId":"x"}')
    bystanders.undisturbed()


CASES = {
    name: lambda options, code=code, attacks=attacks: violation(code, attacks, options)
    for name, (code, attacks) in VIOLATIONS.items()
} | {"valid close": valid_close, "control flood": control_flood}
