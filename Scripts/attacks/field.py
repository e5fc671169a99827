"""What is attacked, and who measures what that costs."""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "Tests" / "Clients"))

from raw_client import TEXT, frame, text, upgrade  # noqa: E402

PATIENCE = 60


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def wait(condition, what):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {PATIENCE} s"
        time.sleep(0.02)


class Program:
    """A process whose memory is looked at."""

    def __init__(self, command, log, returns_memory=True):
        # glibc's allocator would keep what the broker has freed, which the server returns by itself.
        environment = os.environ | ({} if returns_memory else {"MALLOC_TRIM_THRESHOLD_": "131072"})
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
        self.line = self.process.stdout.readline()
        assert self.line, f"{' '.join(command)} does not start"
        self.port = int("".join(c for c in self.line.split("127.0.0.1:")[-1] if c.isdigit() or c == " ").split()[0])

    @property
    def megabytes(self):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024
        return 0

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()


class Server(Program):
    def __init__(self, program, name, log, *options):
        self.name = name
        super().__init__([program, "serve", "--name", name, "--port", "0", *options], log)


class Broker(Program):
    def __init__(self, program, log):
        super().__init__([program, "broker", "--port", "0"], log, returns_memory=False)


class Redis:
    def __init__(self, directory):
        self.port = free_port()
        options = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", directory]
        command = ["redis-server", "--port", str(self.port), *options]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)

        def answers():
            with contextlib.suppress(OSError):
                return b"+PONG" in self.ask("PING")

        wait(answers, "redis-server answers")

    def ask(self, *words):
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as connection:
            connection.sendall(" ".join(words).encode() + b"\r\n")
            return connection.recv(65_536)

    @property
    def megabytes_in(self):
        fields = dict(line.split(b":") for line in self.ask("INFO stats").split(b"\r\n") if b":" in line)
        return int(fields[b"total_net_input_bytes"]) / 1e6

    def stop(self):
        self.process.kill()
        self.process.wait()


class Client:
    """Well-behaved."""

    def __init__(self, server, id):
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(upgrade(f"/?id={id}"))
        self.buffer = b""
        while b"\r\n\r\n" not in self.buffer:
            data = self.socket.recv(4096)
            assert data, "a well-behaved client is not let in"
            self.buffer += data
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        assert head.startswith(b"HTTP/1.1 101 "), f"a well-behaved client gets {head[:40]}"
        self.count = 0

    def read(self):
        def need(count):
            while len(self.buffer) < count:
                data = self.socket.recv(65_536)
                assert data, "the server has closed the connection of a well-behaved client"
                self.buffer += data

        need(2)
        opcode, length, at = self.buffer[0] & 15, self.buffer[1], 2
        if length >= 126:
            size = 2 if length == 126 else 8
            need(2 + size)
            length, at = int.from_bytes(self.buffer[2 : 2 + size], "big"), 2 + size
        need(at + length)
        body, self.buffer = self.buffer[at : at + length], self.buffer[at + length :]
        if opcode == 9:
            self.socket.sendall(frame(10, body))
        return body.decode() if opcode == TEXT else ""

    def send(self, event, payload, callback=None):
        self.socket.sendall(frame(TEXT, text(event, json.dumps(payload), callback and json.dumps(callback)).encode()))

    def wait_for(self, part, patience=PATIENCE):
        end = time.monotonic() + patience
        self.socket.settimeout(patience)
        while time.monotonic() < end:
            if part in (message := self.read()):
                return message
        raise AssertionError(f"nothing with {part}")

    def ask(self, event, payload):
        self.count += 1
        self.send(event, payload, f"p{self.count}")
        return self.wait_for(f'"p{self.count}"')

    def echo(self):
        self.ask("echo", self.count)


class Subscriber:
    """A well-behaved client of a broker: what it publishes comes back to it."""

    def __init__(self, broker, id):
        self.channel = f"probe.{id}"
        self.publisher = socket.create_connection(("127.0.0.1", broker.port), timeout=PATIENCE)
        self.subscriber = socket.create_connection(("127.0.0.1", broker.port), timeout=PATIENCE)
        self.subscriber.sendall(f"SUBSCRIBE {self.channel}\r\n".encode())
        self.take(self.subscriber, b":1\r\n")
        self.count = 0

    def take(self, connection, end):
        buffer = b""
        while not buffer.endswith(end):
            data = connection.recv(4096)
            assert data, "the broker has closed the connection of a well-behaved client"
            buffer += data

    def echo(self):
        self.count += 1
        word = f"<{self.count}>"
        self.publisher.sendall(f"PUBLISH {self.channel} {word}\r\n".encode())
        self.take(self.publisher, b":1\r\n")
        self.take(self.subscriber, f"{word}\r\n".encode())


class Probe(threading.Thread):
    """Measures the echo of a well-behaved client, and the memory of what it is a client of, until it is stopped."""

    def __init__(self, server, client):
        super().__init__(daemon=True)
        self.server = server
        self.client = client
        self.times = []
        self.highest = self.before = server.megabytes
        self.stopped = threading.Event()
        self.failure = None

    def run(self):
        try:
            while not self.stopped.wait(0.01):
                start = time.monotonic()
                self.client.echo()
                self.times.append(1_000 * (time.monotonic() - start))
                self.highest = max(self.highest, self.server.megabytes)
        except (AssertionError, OSError) as error:
            self.failure = f"the probe: {error}"

    def take(self):
        """The times since the last call: their median, and the 99th of a hundred."""
        times, self.times = sorted(self.times), []
        if not times:
            return float("inf"), float("inf")
        return tuple(times[min(len(times) - 1, int(share * len(times)))] for share in (0.5, 0.99))

    def stop(self):
        self.stopped.set()
        self.join(PATIENCE)


class Row:
    """What became of an attack."""

    SLOWEST = 50
    """Milliseconds, of the probe's p99."""

    HEAD = (
        f"{'':12} {'MB: before':>10} {'highest':>8} {'limit':>8} {'after':>8}   {'quiet p50':>9} {'p99':>7}"
        f"   {'attacked p50':>12} {'p99':>7} ms   what must hold"
    )

    def __init__(self, name, probe, limit, quiet, attacked, notes=""):
        self.name = name
        self.probe = probe
        self.limit = limit
        self.quiet = quiet
        self.attacked = attacked
        self.notes = notes
        self.after = probe.server.megabytes
        self.problems = [probe.failure] if probe.failure else []
        if probe.highest > limit:
            self.problems.append("more memory than the limits say")
        if self.after > probe.before + (limit - probe.before) / 2:
            self.problems.append("memory is not given back")
        if attacked[1] > self.SLOWEST:
            self.problems.append(f"p99 above {self.SLOWEST} ms")

    def show(self):
        print(
            f"{self.name:12} {self.probe.before:10.0f} {self.probe.highest:8.0f} {self.limit:8.0f} {self.after:8.0f}"
            f"   {self.quiet[0]:9.1f} {self.quiet[1]:7.1f}   {self.attacked[0]:12.1f} {self.attacked[1]:7.1f}   "
            f"   {', '.join(self.problems) or 'held'}{self.notes and f' ({self.notes})'}",
            flush=True,
        )


def nice():
    """Attackers stand for other machines: they must not take the processor from the server."""
    os.nice(10)
