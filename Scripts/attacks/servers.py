"""What somebody does to a server who can publish on its Redis server, in the name of other servers and of none."""

import base64
import json
import multiprocessing
import secrets
import socket
import struct
import tempfile
import time

from field import Client, Probe, Redis, Row, Server, nice

CLUSTER, EVERYONE = "csbp:cluster", "ws:broadcast"
FIRST, LONGEST = 0xFFFFFF, 0xFFFFFD

MEMORY = 128
"""MB: messages that are held, 32 MiB, kept for repeats, 32 MiB, and waiting for a link, 16 MiB; servers and streams."""


class Attacker:
    """Publishes whatever it likes; hears the cluster channel, and no inbox."""

    def __init__(self, port, seconds):
        self.end = time.monotonic() + seconds
        self.connection = socket.create_connection(("127.0.0.1", port))
        self.heard = socket.create_connection(("127.0.0.1", port)).makefile("rwb")
        self.heard.write(f"SUBSCRIBE {CLUSTER}\r\n".encode())
        self.heard.flush()
        self.pending = 0

    def publish(self, channel, message):
        channel = channel.encode()
        head = b"*3\r\n$7\r\nPUBLISH\r\n$%d\r\n%b\r\n$%d\r\n" % (len(channel), channel, len(message))
        self.connection.sendall(head + message + b"\r\n")
        self.pending += 1
        if self.pending >= 200:
            self.settle()

    def settle(self):
        lines = 0
        while lines < self.pending:
            lines += self.connection.recv(65_536).count(b"\r\n")
        self.pending = 0

    def heartbeat(self, name):
        """A true one."""
        while True:
            line = self.heard.readline()
            if line.startswith(b"{") and b'"heartbeat"' in line:
                event = json.loads(line)
                if event["data"]["senderServer"] == name:
                    return event

    def is_over(self):
        return time.monotonic() > self.end


def announcement(template, kind, name, **changes):
    data = template["data"] | {"event": kind, "senderServer": name}
    return json.dumps({"data": data | {"payload": data["payload"] | changes}}).encode()


def stamped(incarnation, number, uptime, since_previous=FIRST, size=100):
    stamp = struct.pack("!QQIB", incarnation, number << 24 | uptime >> 16, (uptime & 0xFFFF) << 16 | since_previous >> 8,
                        since_previous & 0xFF)
    return b'{"x":"%b","~":"%b"}' % (b"x" * size, base64.b64encode(stamp))


def request(name, incarnation, target, channel):
    """For 2,048 messages."""
    def short(word):
        return struct.pack("!H", len(word)) + word.encode()

    head = b"\xc1\x02\x01" + short(name) + struct.pack("!QQ", incarnation, target)
    return head + short(channel) + struct.pack("!QBQQ", 1, 1, 1, 2_048)


def life(heartbeat):
    payload = heartbeat["data"]["payload"]
    return int(payload["incarnation"], 36), payload["incarnation"], payload["uptime"]


# What each does until its time is over. The docstrings are its lines in the help.


def strangers(attacker):
    """messages of ever new servers, which nobody knows"""
    while not attacker.is_over():
        attacker.publish(EVERYONE, stamped(secrets.randbits(63) | 1, 1, 5_000))


def streams(attacker):
    """large messages of ever new servers, each too early"""
    while not attacker.is_over():
        attacker.publish(EVERYONE, stamped(secrets.randbits(63) | 1, 5, 5_000, 0, size=200_000))


def candidates(attacker):
    """heartbeats of ever new servers, with long intervals"""
    template = attacker.heartbeat("serverB")
    while not attacker.is_over():
        name, incarnation = f"x{secrets.randbelow(1 << 30)}", secrets.token_hex(8)
        attacker.publish(CLUSTER, announcement(template, "heartbeat", name, incarnation=incarnation, interval=60_000))


def jump(attacker):
    """messages with a number far ahead, in the name of a server"""
    while not attacker.is_over():
        incarnation, _, uptime = life(attacker.heartbeat("serverB"))
        for since_previous in (FIRST, 0, LONGEST):
            attacker.publish(EVERYONE, stamped(incarnation, 1 << 30, uptime, since_previous))
        attacker.settle()


def requests(attacker):
    """requests for repeats, in the name of a stranger and in that of a server"""
    target = attacker.heartbeat("serverA")
    asker, text_of_asker, _ = life(attacker.heartbeat("serverB"))
    incarnation, name, _ = life(target)
    while not attacker.is_over():
        for who in (asker, 77):
            attacker.publish(f"csbp:node:serverA:{name}", request("serverB", who, incarnation, EVERYONE))


def farewells(attacker):
    """farewells and heartbeats in the name of a server"""
    while not attacker.is_over():
        template = attacker.heartbeat("serverB")
        attacker.publish(CLUSTER, announcement(template, "left", "serverB", number=1 << 39))
        forged = {"number": 1 << 39, "interval": 60_000, "links": []}
        attacker.publish(CLUSTER, announcement(template, "heartbeat", "serverB", **forged))
        attacker.settle()


ATTACKS = [strangers, streams, candidates, jump, requests, farewells]


def attack_in_process(attack, port, seconds):
    nice()
    attack(Attacker(port, seconds))


def hears(first, second, word):
    """Whether what one client says to all comes to that of another server."""
    first.send("command", {"action": "broadcast", "msg": word})
    second.wait_for(word, 10)


def play(attack, options, log):
    servers = []
    with tempfile.TemporaryDirectory() as directory:
        redis = Redis(directory)

        def start(name):
            servers.append(Server(options.program, name, log, "--redis", f"127.0.0.1:{redis.port}", "--json-bus"))
            return servers[-1]

        try:
            a, b = Client(start("serverA"), "a"), Client(start("serverB"), "b")
            hears(b, a, "before")
            for number in range(400):
                a.send("command", {"action": "broadcast", "msg": f"h{number}" + "x" * 300})
            b.wait_for("h399x")
            probe = Probe(servers[0], Client(servers[0], "probe"))
            probe.start()
            time.sleep(2)
            quiet, megabytes = probe.take(), redis.megabytes_in
            process = multiprocessing.Process(target=attack_in_process, args=(attack, redis.port, options.seconds))
            process.start()
            time.sleep(options.seconds / 2)
            # Who comes in the middle of it, and who was there, must be heard.
            problems = heard_in_time((Client(start("serverC"), "c"), "new"), (b, "old"), to=a)
            process.join()
            attacked, taken = probe.take(), redis.megabytes_in - megabytes
            time.sleep(10)
            problems += heard_in_time((b, "after"), to=a)
            probe.stop()
            notes = f"{taken / options.seconds:.1f} MB/s into Redis"
            row = Row(attack.__name__, probe, probe.before + MEMORY, quiet, attacked, notes)
            row.problems += problems
            return row
        finally:
            for server in servers:
                server.stop()
            redis.stop()


def heard_in_time(*senders, to):
    problems = []
    for sender, word in senders:
        start = time.monotonic()
        try:
            hears(sender, to, word)
            if time.monotonic() - start > 5:
                problems.append(f"{word} heard after {time.monotonic() - start:.0f} s")
        except (AssertionError, OSError):
            problems.append(f"{word} not heard")
    return problems
