"""What hostile clients do to a server."""

import multiprocessing
import os
import select
import time
import urllib.request
import zlib

from field import PATIENCE, Client, Probe, Row, Server, free_port, nice, wait
from raw_client import BINARY, TEXT, dial, frame, text, upgrade

MEMORY = 256
"""MiB that the connections of the server may hold."""

ALLOWANCE = 96
"""MB for what no limit counts: 4 KB of each connection, buffers on their way, and what the allocator keeps."""


class Crowd:
    """Connections that all send the same as fast as they can, over and over or once. Who is closed comes back."""

    def __init__(self, port, count, data, end, *, reads=True, repeats=True, receive_buffer=None, prefix="c", **fields):
        self.port, self.data, self.end, self.reads, self.repeats = port, data, end, reads, repeats
        self.receive_buffer, self.prefix, self.fields = receive_buffer, prefix, fields
        self.poll = select.epoll()
        self.members = {}
        self.rests = {}
        self.opened = 0
        for _ in range(count):
            self.open()

    def open(self):
        self.opened += 1
        try:
            connection = dial(self.port, self.receive_buffer)
            connection.sendall(upgrade(f"/?id={self.prefix}{os.getpid()}-{self.opened}", **self.fields))
        except OSError:
            return time.sleep(0.001)
        connection.setblocking(False)
        self.members[connection.fileno()] = connection
        self.rests[connection.fileno()] = None
        self.poll.register(connection, select.EPOLLIN | select.EPOLLOUT)

    def close(self, number):
        self.members.pop(number).close()
        del self.rests[number]
        self.open()

    def run(self):
        while time.monotonic() < self.end:
            for number, events in self.poll.poll(0.1):
                try:
                    self.turn(number, events)
                except BlockingIOError:
                    pass
                except OSError:
                    self.close(number)
        for connection in self.members.values():
            connection.close()

    def turn(self, number, events):
        connection = self.members[number]
        if self.rests[number] is None:
            # The answer to the handshake.
            if not connection.recv(1_024).startswith(b"HTTP/1.1 101"):
                raise ConnectionError
            self.rests[number] = memoryview(self.data)
            self.poll.modify(number, (select.EPOLLIN if self.reads else 0) | select.EPOLLOUT)
            return
        if events & select.EPOLLIN and self.reads and not connection.recv(1 << 18):
            raise ConnectionError
        if events & (select.EPOLLHUP | select.EPOLLERR):
            raise ConnectionError
        if events & select.EPOLLOUT:
            rest = self.rests[number] or memoryview(self.data)
            self.rests[number] = rest[connection.send(rest) :]
            if not self.rests[number] and not self.repeats:
                self.poll.modify(number, select.EPOLLIN)


def message(event, payload, callback=None):
    return frame(TEXT, text(event, payload, callback).encode())


# What each does until its time is over. The docstrings are its lines in the help.


def questions(target, end):
    """4 clients flood askClient, and who is asked does not answer"""
    question = message("askClient", '{"id":"mute","text":"?"}', '"q"')
    mute = Client(target, "mute")
    mute.socket.setblocking(False)
    Crowd(target.port, 4, question * 200, end).run()
    mute.socket.close()


def bombs(target, end):
    """4 clients send what inflates by just under the ratio limit"""
    codec = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = text("echo", '"' + "x" * 1_040_000 + '"', '"e"').encode()
    packed = (codec.compress(body) + codec.flush(zlib.Z_SYNC_FLUSH))[:-4]
    bomb = frame(TEXT, packed, reserved=4)
    fields = {"Sec_WebSocket_Extensions": "permessage-deflate; client_no_context_takeover"}
    Crowd(target.port, 4, bomb, end, **fields).run()


def deaf(target, end):
    """500 clients ask and do not read"""
    Crowd(target.port, 500, message("echo", '"' + "y" * 100 + '"', '"q"') * 100, end, reads=False, receive_buffer=4_096).run()


def room(target, end):
    """one sends to a room of 300 as fast as it can"""
    members = multiprocessing.Process(target=in_room, args=(target, end))
    members.start()
    teller = Client(target, "teller")
    wait(lambda: '"count":300' in teller.ask("countRoom", {"roomId": "r"}), "the room is full")
    teller.socket.close()
    say = message("command", '{"action":"toRoom","roomId":"r","msg":"hi"}')
    Crowd(target.port, 1, say * 50, end, prefix="sender").run()
    members.join()


def in_room(target, end):
    nice()
    Crowd(target.port, 300, message("joinRoom", '{"roomId":"r"}'), end, repeats=False, prefix="m").run()


def halves(target, end):
    """half requests: 1,500 for the page and 500 for the health, over and over"""
    half = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1"
    whole = half + b"\r\n\r\n"
    waiting = []
    while time.monotonic() < end:
        for connection in waiting[:200]:
            connection.close()
        del waiting[:200]
        while len(waiting) < 2_000 and time.monotonic() < end:
            try:
                number = len(waiting)
                connection = dial(target.health if number % 4 == 0 else target.port)
                connection.sendall(half if number % 2 else whole + half)
                waiting.append(connection)
            except OSError:
                time.sleep(0.01)
        time.sleep(0.2)
    for connection in waiting:
        connection.close()


def unfinished(target, end):
    """1,000 clients send a message of 1 MB and leave out its last byte"""
    body = frame(BINARY, b"x" * 1_000_000, length=1_000_001)
    Crowd(target.port, 1_000, body, end, repeats=False).run()


def contexts(target, end):
    """3,000 clients with compression ask for one echo of 40 KB each"""
    echo = message("echo", '"' + os.urandom(20_000).hex() + '"', '"e"')
    Crowd(target.port, 3_000, echo, end, repeats=False, Sec_WebSocket_Extensions="permessage-deflate").run()


OPTIONS = {
    bombs: ["--compression"],
    contexts: ["--compression"],
    halves: ["--page", "--max-connections", "2000", "--handshake-timeout", "3"],
}
ATTACKS = [questions, bombs, deaf, room, halves, unfinished, contexts]


class Target:
    """What attackers, in another process, know of the server."""

    def __init__(self, port, health):
        self.port, self.health = port, health


def attack_in_process(attack, target, end):
    nice()
    attack(target, end)


def connections(health):
    """How many the server counts; nothing while it does not say."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{health}/metrics", timeout=1) as answer:
            for line in answer.read().decode().splitlines():
                if line.startswith("crossserver_connections{"):
                    return int(float(line.split()[-1]))
    except OSError:
        return None
    return None


def play(attack, options, log):
    health = free_port()
    arguments = ["--health-port", str(health), "--max-memory", str(MEMORY << 20), *OPTIONS.get(attack, [])]
    server = Server(options.program, "serverA", log, *arguments)
    try:
        probe = Probe(server, Client(server, "probe"))
        probe.start()
        time.sleep(2)
        quiet = probe.take()
        end = time.monotonic() + options.seconds
        process = multiprocessing.Process(target=attack_in_process, args=(attack, Target(server.port, health), end))
        process.start()
        # What comes before the attack is at its height does not count.
        time.sleep(min(3, options.seconds / 3))
        probe.take()
        problems = []
        try:
            Client(server, "newcomer").echo()
        except (AssertionError, OSError) as error:
            problems.append(f"a new client: {error}")
        time.sleep(max(0, end - time.monotonic()))
        attacked = probe.take()
        process.join(PATIENCE)
        if process.is_alive():
            process.kill()
        elif process.exitcode:
            problems.append("the attack has failed")
        over = time.monotonic() + 10
        while (left := connections(health)) != 1 and time.monotonic() < over:
            time.sleep(0.2)
        if left != 1:
            problems.append(f"{left} connections after 10 s")
        time.sleep(max(0, over - time.monotonic()))
        probe.stop()
        row = Row(attack.__name__, probe, probe.before + MEMORY * 1.05 + ALLOWANCE, quiet, attacked)
        row.problems += problems
        return row
    finally:
        server.stop()
