"""usage: five_servers.py CROSSSERVER PART…

Five servers over two Redis servers, and 200 clients that must receive exactly what is for them. The parts, each with
a cluster of its own, after which no channel is left, neither of the clients nor of the servers:

conversation  rooms are joined and left, clients move to other servers, all kinds of messages flow
moves         while messages for single clients flow these connect to other servers, which replaces their connections
restart       while messages flow one Redis is killed, and started again, empty, 2 s later
freeze        while messages flow one Redis does not run for 4 s
cut           while messages flow one Redis cuts the connections of its subscribers, three times
"""

import asyncio
import atexit
import collections
import contextlib
import http.client
import json
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

import redis.asyncio
import redis.exceptions
import websockets

SERVERS = 5
CLIENTS = 200
ROOMS = [("chat", f"{number}") for number in range(8)]
ROOMS += [("game", "7"), ("game", "x:y"), ("lobby", "é"), ("solo", "1")]
SYSTEM = {"csbp:server_bridge", "csbp:cluster", "ws:broadcast", "ws:private_socket"}
IN_FLIGHT = 64
PATIENCE = 60


async def until(condition, what):
    """Waits for what must come; what it is may be a function that tells how far it has come."""
    end = time.monotonic() + PATIENCE
    while not await condition():
        assert time.monotonic() < end, what() if callable(what) else what
        await asyncio.sleep(0.02)


def free_port():
    """Below the ports of outgoing connections, so that a server can be started again there."""
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        try:
            socket.create_server(("127.0.0.1", port)).close()
            return port
        except OSError:
            pass  # Somebody has it.


class Host:
    """Where programs run and sockets are opened: here."""

    address = "127.0.0.1"

    def entered(self):
        return contextlib.nullcontext()

    def run(self, command, **options):
        with self.entered():
            process = subprocess.Popen(command, **options)
        atexit.register(process.kill)
        return process

    def connect(self, port):
        """To a program of the same host."""
        with self.entered():
            return socket.create_connection(("127.0.0.1", port))


HERE = Host()


class Redis:
    def __init__(self, directory, host=HERE):
        self.host = host
        self.port = free_port()
        self.directory = directory
        # A path leads to every host.
        self.path = f"{directory}/{self.port}.sock"
        self.connection = redis.asyncio.Redis(unix_socket_path=self.path, decode_responses=True, protocol=2)

    async def start(self):
        self.process = self.host.run(
            ["redis-server", "--port", f"{self.port}", "--bind", self.host.address, "--protected-mode", "no",
             "--unixsocket", self.path, "--save", "", "--appendonly", "no", "--dir", self.directory],
            stdout=subprocess.DEVNULL,
        )
        await until(self.answers, f"Redis {self.port} does not answer")

    async def answers(self):
        try:
            return await self.connection.ping()
        except redis.exceptions.ConnectionError:
            return False

    async def channels(self):
        return set(await self.connection.pubsub_channels())

    async def subscribers(self, channel):
        return dict(await self.connection.pubsub_numsub(channel))[channel]

    def kill(self):
        self.process.kill()
        self.process.wait()


class Server:
    def __init__(self, crossserver, name, all_redis, host=HERE):
        self.name, self.host = name, host
        self.log = tempfile.TemporaryFile()
        self.health_port = free_port()
        arguments = ["serve", "--port", "0", "--health-port", f"{self.health_port}", "--name", name]
        for node in all_redis:
            arguments += ["--redis", f"{node.host.address}:{node.port}"]
        self.process = host.run([crossserver, *arguments], stdout=subprocess.PIPE, stderr=self.log, text=True)

    async def listening(self):
        line = await asyncio.to_thread(self.process.stdout.readline)
        assert line.startswith("listening on "), (line, self.said())
        self.port = int(line.rsplit(":")[-1])

    async def stop(self):
        self.process.send_signal(signal.SIGTERM)
        status = await asyncio.to_thread(self.process.wait, PATIENCE)
        assert status == 0, (self.name, status, self.said())

    def unsent(self):
        """How many messages it has reported that were not sent after all."""
        connection = http.client.HTTPConnection("server")
        with self.host.connect(self.health_port) as connection.sock:
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
        return int(re.search(r'^crossserver_bus_messages_dropped_total\S*reason="unsent"\S* (\d+)$', text, re.MULTILINE)[1])

    def said(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")[-2_000:]


class Client:
    def __init__(self, id, server):
        self.id, self.server = id, server
        self.replies = {}
        self.received = []  # the number of the message, when it came, and over which connection
        self.moves = []  # the former server, the new one, and from when to when it was connected to
        self.rooms = set()
        self.random = random.Random(id)  # Not one for all: who comes first differs from run to run.

    async def connect(self):
        self.socket = await websockets.connect(
            f"ws://server/?id={self.id}",
            sock=self.server.host.connect(self.server.port),
            proxy=None,
            compression=None,
            ping_interval=None,
            max_queue=None,
        )
        self.reader = asyncio.create_task(self.read())

    async def read(self):
        socket = self.socket
        async for text in socket:
            message = json.loads(text)
            if message.get("event") == "say":
                self.received.append((message["payload"]["msg"], time.monotonic(), socket))
            else:
                self.replies.pop(message["callbackId"]).set_result(message["payload"])

    async def move(self, server, closes):
        """Connects to another server, which replaces the connection if it does not close that first."""
        old, reader = self.socket, self.reader
        if closes:
            await old.close()
        former, self.server = self.server, server
        began = time.monotonic()
        await self.connect()
        self.moves.append((former, server, began, time.monotonic()))
        await asyncio.wait_for(asyncio.wait([reader]), PATIENCE)
        reader.exception()
        assert old.close_code == (1000 if closes else 4012), old.close_code
        rooms, self.rooms = self.rooms, set()
        for room in sorted(rooms):
            await self.join(room)

    async def send(self, event, payload):
        """Answers the future reply."""
        callback_id = f"{len(self.replies)}-{time.monotonic_ns()}"
        self.replies[callback_id] = reply = asyncio.get_running_loop().create_future()
        await self.socket.send(json.dumps({"event": event, "payload": payload, "callbackId": callback_id}))
        return reply

    async def ask(self, event, payload):
        return await asyncio.wait_for(await self.send(event, payload), PATIENCE)

    async def change(self, event, room):
        payload = {"roomId": room[1]}
        if room[0] != "chat":
            payload["namespace"] = room[0]
        reply = await self.ask(event, payload)
        assert "members" in reply, reply

    async def join(self, room):
        await self.change("joinRoom", room)
        self.rooms.add(room)

    async def leave(self, room):
        await self.change("leaveRoom", room)
        self.rooms.remove(room)


class Cluster:
    def __init__(self, crossserver, seed, redis_hosts=(HERE, HERE), server_hosts=(HERE,) * SERVERS):
        self.random = random.Random(seed)
        self.directory = tempfile.TemporaryDirectory()
        self.redis = [Redis(self.directory.name, host) for host in redis_hosts]
        self.crossserver = crossserver
        self.server_hosts = server_hosts
        self.sent = {}  # number: (sender, kind that keeps its order, ids of those who must receive it, when it was sent)
        self.replies = []
        self.in_flight = asyncio.Semaphore(IN_FLIGHT)
        self.is_calm = True  # Without faults nothing but these messages is reported as not sent.

    async def start(self):
        await asyncio.gather(*(node.start() for node in self.redis))
        self.servers = [
            Server(self.crossserver, f"server{number}", self.redis, host)
            for number, host in enumerate(self.server_hosts)
        ]
        await asyncio.gather(*(server.listening() for server in self.servers))
        await self.subscribed({"ws:broadcast": SERVERS, "ws:private_socket": SERVERS, "csbp:server_bridge": SERVERS})
        self.clients = {f"c{number}": Client(f"c{number}", self.servers[number % SERVERS]) for number in range(CLIENTS)}
        await asyncio.gather(*(client.connect() for client in self.clients.values()))

    async def subscribed(self, expected):
        for node in self.redis:
            for channel, count in expected.items():
                async def complete():
                    return await node.subscribers(channel) == count

                await until(complete, f"not {count} subscribers of {channel} on {node.port}")

    async def change_rooms(self, change):
        """Changes the rooms of every client, and waits until the servers are subscribed to theirs."""
        await asyncio.gather(*(change(client) for client in self.clients.values()))
        namespaces = {room[0] for room in ROOMS}
        holders = {namespace: set() for namespace in namespaces}
        for client in self.clients.values():
            for namespace, _ in client.rooms:
                holders[namespace].add(client.server.name)
        await self.subscribed({f"ws:{namespace}": len(holders[namespace]) for namespace in namespaces})

    def members(self, room):
        return [client.id for client in self.clients.values() if room in client.rooms]

    def choose(self, kinds, ids, sender):
        """A message, among which ones it must keep its place, and the ids of those who must receive it."""
        kind = self.random.choice(kinds)
        ids = ids or list(self.clients)
        if kind == "broadcast":
            return {"action": kind}, kind, set(ids)
        if kind == "toPlayer":
            id = self.random.choice(ids)
            return {"action": kind, "toPlayerId": id}, "clients", {id}
        if kind == "toPlayers":
            chosen = self.random.sample(ids, self.random.randint(1, 20))
            return {"action": kind, "toPlayerIds": chosen + ["nobody"]}, "clients", set(chosen)
        namespace, room_id = room = self.random.choice(ROOMS)
        members = self.members(room)
        excluded = self.random.sample(members, self.random.randint(0, min(3, len(members))))
        command = {"action": kind, "roomId": room_id, "excludeSocketIds": excluded + ["nobody"]}
        if namespace != "chat" or self.random.random() < 0.5:
            command["namespace"] = namespace
        return command, room, set(members) - set(excluded)

    async def say(self, kinds, to=None):
        """Sends something from any client, or to some of these from any other."""
        sender = self.random.choice([client for client in self.clients.values() if client.id not in (to or [])])
        command, kind, expected = self.choose(kinds, to, sender)
        number = len(self.sent)
        await self.in_flight.acquire()
        self.sent[number] = (sender.id, kind, expected, time.monotonic())
        reply = await sender.send("command", command | {"msg": number})
        reply.add_done_callback(lambda _: self.in_flight.release())
        self.replies.append(reply)

    async def all_received(self):
        """Waits until everything has come, or does not, and then a second for what should not come."""
        replies = await asyncio.wait_for(asyncio.gather(*self.replies), PATIENCE)
        assert all(reply == {"msg": "done"} for reply in replies), [reply for reply in replies if "error" in reply][:3]
        self.replies.clear()
        end = time.monotonic() + PATIENCE
        while not await self.is_complete() and time.monotonic() < end:
            await asyncio.sleep(0.1)
        await asyncio.sleep(1)
        for client in self.clients.values():
            assert not client.reader.done(), f"{client.id} was closed with {client.socket.close_code}"

    async def is_complete(self):
        return not self.figures()["lost"]

    def figures(self):
        figures = collections.Counter(received=0, lost=0, repeated=0, strange=0, disordered=0, latest=0)
        self.disordered = []  # clients, and the number that came late
        missing = {number: set(expected) for number, (_, _, expected, _) in self.sent.items()}
        for client in self.clients.values():
            newest, seen = {}, set()
            for number, at, connection in client.received:
                sender, kind, expected, sent_at = self.sent[number]
                figures["received"] += 1
                figures["strange"] += client.id not in expected
                figures["repeated"] += number in seen
                if number < newest.get((connection, sender, kind), -1):
                    self.disordered.append((client, number))
                figures["latest"] = max(figures["latest"], round((at - sent_at) * 1_000))
                newest[connection, sender, kind] = number
                seen.add(number)
                missing[number].discard(client.id)
        figures["disordered"] = len(self.disordered)
        crossed = sum(self.has_crossed(number, id) for number, ids in missing.items() for id in ids)
        figures["lost"] = sum(map(len, missing.values())) - crossed
        figures["crossed"] = crossed
        self.missing = {number: ids for number, ids in missing.items() if ids}
        return figures

    def has_crossed(self, number, id):
        """Whether the client has moved to the sender's server, or away from it, while the message was on its way.

        It is the one message that may be lost when a client moves, and that server says so: Documentation/delivery.md.
        """
        sender, kind, _, sent_at = self.sent[number]
        server = self.clients[sender].server
        return kind == "clients" and any(
            server in (former, new) and began - 2 < sent_at < ended + 1
            for former, new, began, ended in self.clients[id].moves
        )

    def check(self, part):
        """Says the figures, which must be right."""
        figures = self.figures()
        print(
            f"{part}: sent {len(self.sent)}, received {figures['received']}, lost {figures['lost']}, repeated "
            f"{figures['repeated']}, not for the receiver {figures['strange']}, out of order {figures['disordered']}, "
            f"latest {figures['latest']} ms" + (f", crossed {figures['crossed']}" if figures["crossed"] else ""),
            file=sys.stderr,
        )
        wrong = [figures[name] for name in ("lost", "repeated", "strange", "disordered")]
        unsent = sum(server.unsent() for server in self.servers)
        wrong.append(self.is_calm and figures["crossed"] != unsent)
        start = min((at for _, _, _, at in self.sent.values()), default=0)
        details = [
            (number, *self.sent[number][:2], round(self.sent[number][3] - start, 3), sorted(ids)[:5], len(ids))
            for number, ids in list(self.missing.items())[:20]
        ]
        assert not any(wrong), (details, [server.said() for server in self.servers])

    async def disconnect(self):
        """Some leave their rooms first, and some go without a word."""
        async def go(client, way):
            if way == 0:
                for room in list(client.rooms):
                    await client.leave(room)
            if way == 2:
                client.socket.transport.abort()
            else:
                await client.socket.close()
            await asyncio.wait([client.reader])
            client.reader.exception()

        await asyncio.gather(*(go(client, number % 3) for number, client in enumerate(self.clients.values())))

    async def only_system_channels(self):
        for node in self.redis:
            async def clean():
                others = {name for name in await node.channels() if not name.startswith("csbp:node:")}
                return others == SYSTEM

            await until(clean, f"channels of clients are left on {node.port}, or others are missing")

    async def stop(self):
        await asyncio.gather(*(server.stop() for server in self.servers))
        for node in self.redis:
            async def silent():
                return not await node.channels()

            await until(silent, f"channels are left on {node.port}")
            await node.connection.aclose()
            node.kill()

    async def join_rooms(self, client):
        for room in client.random.sample(ROOMS[:-1], 3):
            await client.join(room)
        if client.id == "c7":
            await client.join(("solo", "1"))


async def conversation(cluster):
    async def others(client):
        for room in client.random.sample(sorted(client.rooms), 2):
            await client.leave(room)
        for room in client.random.sample([room for room in ROOMS if room not in client.rooms], 2):
            await client.join(room)

    async def elsewhere(client):
        if client.random.random() < 0.2:
            others = [server for server in cluster.servers if server is not client.server]
            await client.move(client.random.choice(others), closes=client.random.random() < 0.5)

    kinds = ["broadcast"] + ["toPlayer"] * 7 + ["toPlayers"] * 4 + ["toRoom"] * 8
    for change in (cluster.join_rooms, others, elsewhere, others):
        await cluster.change_rooms(change)
        for _ in range(400):
            await cluster.say(kinds)
        await cluster.all_received()


async def moves(cluster, rate=200, seconds=15):
    """Every mover is heard of by each server before, and stays for some seconds."""
    movers = list(cluster.clients.values())[-50:]
    ids = [client.id for client in movers]
    cluster.in_flight = asyncio.Semaphore(10_000)
    end = time.monotonic() + seconds

    async def wander(client):
        while time.monotonic() < end:
            await asyncio.sleep(client.random.uniform(1, 3))
            others = [server for server in cluster.servers if server is not client.server]
            await client.move(client.random.choice(others), closes=False)

    for _ in range(20 * len(movers)):
        await cluster.say(["toPlayer"], ids)
    await cluster.all_received()
    wandering = asyncio.gather(*(wander(client) for client in movers))
    start = time.monotonic()
    for number in range(rate * seconds):
        await cluster.say(["toPlayer"] * 3 + ["toPlayers"], ids)
        await asyncio.sleep(max(0, start + number / rate - time.monotonic()))
    await wandering
    await cluster.all_received()


async def talk(cluster, fault, rate=200, seconds=12, kinds=("broadcast",) + ("toRoom",) * 19):
    """Messages flow, so many a second, while something goes wrong."""
    await cluster.change_rooms(cluster.join_rooms)
    cluster.in_flight = asyncio.Semaphore(10_000)
    cluster.is_calm = False
    start = time.monotonic()
    trouble = asyncio.create_task(fault)
    for number in range(rate * seconds):
        await cluster.say(kinds)
        await asyncio.sleep(max(0, start + number / rate - time.monotonic()))
    await trouble
    await cluster.all_received()


async def restart(node):
    await asyncio.sleep(3)
    node.kill()
    await asyncio.sleep(2)
    await node.start()


async def freeze(node):
    await asyncio.sleep(3)
    node.process.send_signal(signal.SIGSTOP)
    await asyncio.sleep(4)
    node.process.send_signal(signal.SIGCONT)


async def cut(node):
    for _ in range(3):
        await asyncio.sleep(3)
        assert await node.connection.execute_command("CLIENT KILL TYPE pubsub") == SERVERS


async def hold(part, crossserver):
    cluster = Cluster(crossserver, seed=part)
    await cluster.start()
    if part == "conversation":
        await conversation(cluster)
    elif part == "moves":
        await moves(cluster)
    else:
        await talk(cluster, {"restart": restart, "freeze": freeze, "cut": cut}[part](cluster.redis[0]))
    cluster.check(part)
    await cluster.disconnect()
    await cluster.only_system_channels()
    await cluster.stop()
    print(f"ok {part}", flush=True)


if __name__ == "__main__":
    for name in sys.argv[2:]:
        asyncio.run(hold(name, sys.argv[1]))
