"""What can be done with connections: bad handshakes, half-open ones, and clients that do not read."""

import base64
import os
import select
import time

from raw_client import CLOSE, PING, TEXT, WAIT, Bystanders, RawClient, close_body, dial, frame, text, upgrade

PLAIN = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"

# Name: the statuses that are right, and the requests.
REFUSED = {
    "plain GET": ({426}, [PLAIN, b"GET /path?id=7 HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n"]),
    "wrong version": ({400}, [upgrade(Sec_WebSocket_Version=version) for version in ("12", "8", "0", "13, 8", "x", "")]
        + [upgrade(leave_out=["Sec-WebSocket-Version"])]),
    "head too large": ({431}, [
        upgrade("/?" + "x" * 20_000), upgrade(X_Long="x" * 20_000), b"GET /" + b"x" * 16_500,
        PLAIN[:-2] + b"".join(b"X-%d: y\r\n" % number for number in range(1_800)),
    ]),
    "bad key": ({400}, [upgrade(leave_out=["Sec-WebSocket-Key"])]
        + [upgrade(Sec_WebSocket_Key=key) for key in (
            "", "x", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZQ==, x", base64.b64encode(b"x" * 15).decode(),
            base64.b64encode(b"x" * 17).decode(),
        )]),
    "bad head": ({400}, [
        upgrade(leave_out=["Host"]), upgrade(version="HTTP/1.1 x"), upgrade(version="HTTP/a.b"), upgrade("nopath"),
        upgrade().replace(b"Host:", b"Host :"), upgrade().replace(b"Upgrade:", b"Up grade:"),
        upgrade().replace(b"Connection", b" Connection"), upgrade(X="a\0b"), upgrade().replace(b"\r\nHost", b"\r\n: x\r\nHost"),
        upgrade().replace(b"\r\nHost", b"\r\nno colon\r\nHost"), b"nonsense\r\n\r\n", b"\r\n\r\n\r\n\r\n",
    ]),
    "not a GET": ({400, 405, 426}, [upgrade(method=method) for method in ("POST", "HEAD", "PUT", "OPTIONS", "get")]),
    "not an upgrade": ({400, 426}, [
        upgrade(leave_out=["Upgrade"]), upgrade(leave_out=["Connection"]), upgrade(Upgrade="h2c"), upgrade(Connection="close"),
    ]),
    "old HTTP": ({400, 426, 505}, [upgrade(version=version) for version in ("HTTP/1.0", "HTTP/0.9", "HTTP/2.0")]),
}  # fmt: skip


def read_all(connection):
    """Everything up to the end of the connection."""
    data = b""
    try:
        while part := connection.recv(65_536):
            data += part
    except ConnectionResetError:
        pass  # As good an end as any.
    return data


def refused(statuses, requests, options):
    bystanders = Bystanders(options.port)
    for request in requests:
        connection = dial(options.port)
        connection.sendall(request)
        answer = read_all(connection)
        head, _, body = answer.partition(b"\r\n\r\n")
        status_line = head.split(b"\r\n")[0].split(b" ")
        shown = f"{answer[:200]!r} for {request[:200]!r}"
        assert status_line[0] == b"HTTP/1.1" and int(status_line[1]) in statuses, shown
        fields = {line.partition(b":")[0].lower(): line.partition(b":")[2].strip() for line in head.split(b"\r\n")[1:]}
        if not request.startswith(b"HEAD"):
            assert int(fields[b"content-length"]) == len(body), shown
        assert fields[b"connection"].lower() == b"close", shown
        if request == PLAIN:
            assert body == b"Upgrade Required", shown
    bystanders.undisturbed()


def garbage(options):
    """Bytes that are no HTTP are answered with 400, or cut after the time for the handshake."""
    bystanders = Bystanders(options.port)
    attacks = [os.urandom(size) for size in (1, 10, 100, 1_000, 10_000)]
    attacks += [b"\0" * 5_000, b"\xff" * 5_000, b"\r\n" * 5_000, b"\n" * 5_000, b"GET" + b" " * 5_000, b":" * 5_000]
    attacks += [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(506)]
    connections = []
    for attack in attacks:
        connections.append(dial(options.port))
        connections[-1].sendall(attack)
    for connection in connections:
        answer = read_all(connection)
        assert answer == b"" or answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 431 ", b"HTTP/1.1 505 ")), answer
    bystanders.undisturbed()


def closing_time(connection, started):
    """Seconds until the server ended the connection, whatever it said before."""
    connection.settimeout(WAIT)
    read_all(connection)
    return time.monotonic() - started


def unfinished_handshake(options):
    """With --handshake-timeout 2: who does not finish is cut then, also when bytes keep coming."""
    bystanders = Bystanders(options.port)
    started = time.monotonic()
    silent, half, dripping = dial(options.port), dial(options.port), dial(options.port)
    half.sendall(upgrade("/?id=half")[:-2])
    while not select.select([dripping], [], [], 0.1)[0]:
        try:
            dripping.sendall(b"G" if time.monotonic() - started < 0.15 else b"E")
        except ConnectionError:
            break
        assert time.monotonic() - started < WAIT, "a handshake that drips in is never cut"
    for connection in (silent, half, dripping):
        seconds = closing_time(connection, started)
        assert 1 < seconds < 15, f"cut after {seconds} s"
    bystanders.undisturbed()


def half_open(options):
    """With --ping-interval 2: a client that vanished does not answer the ping and is cut; the others stay."""
    bystanders = Bystanders(options.port)
    gone = RawClient(options.port, "gone")
    started = time.monotonic()
    pings = 0
    try:
        while True:
            ready, _, _ = select.select([gone.socket, bystanders.victim.socket, bystanders.witness.socket], [], [], WAIT)
            assert ready, "neither a ping nor an end"
            for client in (bystanders.victim, bystanders.witness):
                if client.socket in ready:
                    client.alive()
            if gone.socket in ready:
                opcode, payload = gone.read_frame()
                assert opcode == PING, (opcode, payload)
                pings += 1
    except (EOFError, ConnectionResetError):
        pass  # Cut, as it must be.
    seconds = time.monotonic() - started
    assert 1 <= pings <= 2 and seconds < 20, f"{pings} pings in {seconds} s"
    bystanders.undisturbed()
    bystanders.witness.command("toPlayer", "1", toPlayerId="gone")
    bystanders.undisturbed()


def stale_close(options):
    """The late close of a connection that was replaced does not touch the new one."""
    bystanders = Bystanders(options.port)
    for ending in ("close frame", "reset", "later"):
        first = RawClient(options.port, "same")
        first.request("joinRoom", '{"roomId":"r"}')
        second = RawClient(options.port, "same")
        second.alive()
        opcode, payload = first.read_frame()
        assert opcode == CLOSE and payload[:2] == close_body(4012), (opcode, payload)
        if ending == "close frame":
            first.socket.sendall(frame(CLOSE, payload[:2]))
            assert read_all(first.socket) == b""
        elif ending == "reset":
            first.socket.close()
        for _ in range(20):
            bystanders.witness.command("toPlayer", '"new"', toPlayerId="same")
            second.push("toPlayer", '"new"')
            bystanders.witness.command("toRoom", '"room"', roomId="r")
            second.push("toRoom", '"room"')
        second.alive()
        if ending == "later":  # The old connection still stands, with its close unanswered: it is nobody now.
            first.send(text("leaveRoom", '{"roomId":"r"}'))
            first.send(text("command", '{"action":"toPlayer","toPlayerId":"victim","msg":"from the grave"}'))
            first.socket.close()
            bystanders.undisturbed()
            bystanders.witness.command("toRoom", '"room"', roomId="r")
            second.push("toRoom", '"room"')
        second.socket.close()
    bystanders.undisturbed()


def resident(options):
    with open(f"/proc/{options.pid}/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS:"))


def slow_reader(options):
    """200 MB are broadcast to a client that does not read: others get all, it is cut, and memory stays bounded."""
    sender, healthy = RawClient(options.port, "sender"), RawClient(options.port, "healthy")
    slow = RawClient(options.port, "slow", receive_buffer=4_096)
    slow.alive()
    size, count = 500_000, 400
    msg = '"' + "x" * size + '"'
    baseline = resident(options)
    peak = 0
    for _ in range(count):
        sender.send(text("command", f'{{"action":"broadcast","msg":{msg}}}'))
        for client in (sender, healthy):
            client.push("broadcast", msg)
        peak = max(peak, resident(options))
    assert peak - baseline < 64 << 20, f"resident memory grew from {baseline} to {peak}"
    slow.socket.settimeout(WAIT)
    held = len(read_all(slow.socket))
    assert held < 32 << 20, f"{held} bytes were kept for the slow client"
    assert '"members":1}' in healthy.request("joinRoom", '{"roomId":"r"}')
    for client in (sender, healthy):
        client.alive()


def crowd(options):
    """Many connections that come and vanish without a word leave nothing behind."""
    bystanders = Bystanders(options.port)
    for number in range(300):
        client = RawClient(options.port, f"guest-{number % 10}")
        client.send(text("joinRoom", f'{{"roomId":"{number % 7}"}}'))
        if number % 3 == 0:
            client.socket.sendall(frame(TEXT, length=1_000)[:3])
        client.socket.close()
    end = time.monotonic() + WAIT
    while '"members":1}' not in bystanders.witness.request("joinRoom", '{"roomId":"1"}'):
        assert time.monotonic() < end, "the guests are still in their rooms"
    bystanders.undisturbed()


CASES = {
    name: lambda options, statuses=statuses, requests=requests: refused(statuses, requests, options)
    for name, (statuses, requests) in REFUSED.items()
} | {
    "garbage": garbage,
    "unfinished handshake": unfinished_handshake,
    "half-open": half_open,
    "stale close": stale_close,
    "slow reader": slow_reader,
    "crowd": crowd,
}
