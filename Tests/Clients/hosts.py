"""usage: hosts.py CROSSSERVER FAULT…   (started by Scripts/hosts, in namespaces of its own)

The five servers and 200 clients of five_servers.py on three hosts, with two Redis servers on two more, all on one
switch. While all kinds of messages flow, one host is in trouble for ten seconds:

cut    the cable of a host with two servers is out
long   it is out for 16 s
drop   it is in, but the host loses every packet
loss   the host loses a packet in ten
redis  the cable of a Redis server's host is out

Every message must reach exactly those it is for, in order: at once between servers that are not cut off, and after the
heal where one is. What a server that is cut off could not send for 9 s may be missing on all the others, and it must have
counted just as many refused. Meanwhile the others see its servers go and come, and their questions to the cluster say
whose part is missing.
"""

import asyncio
import contextlib
import ctypes
import os
import subprocess
import sys
import time

from five_servers import PATIENCE, ROOMS, Client, Cluster, Host, talk, until

SECONDS = 10
LONG = 16
RATE = 100
WAITS_FOR = 9  # How long a message waits for a link, in seconds.
AT_ONCE = 2_000  # ms; on a machine that has much else to do
KINDS = ("broadcast",) + ("toPlayer",) * 7 + ("toPlayers",) * 4 + ("toRoom",) * 8
CLONE_NEWNET = 0x4000_0000

libc = ctypes.CDLL(None, use_errno=True)


def enter(namespace):
    if libc.setns(namespace, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def ip(arguments):
    subprocess.run(["ip", *arguments.split()], check=True)


class NamespaceHost(Host):
    """A network namespace with one cable to the switch, which is in the namespace of this process."""

    def __init__(self, name, number):
        self.name = name
        self.address = f"10.77.0.{number}"
        ip(f"netns add {name}")
        self.namespace = os.open(f"/run/netns/{name}", os.O_RDONLY)
        ip(f"link add to-{name} type veth peer name eth0 netns {name}")
        ip(f"link set to-{name} master switch up")
        ip(f"-n {name} address add {self.address}/24 dev eth0")
        ip(f"-n {name} link set eth0 up")
        ip(f"-n {name} link set lo up")

    @contextlib.contextmanager
    def entered(self):
        enter(self.namespace)
        try:
            yield
        finally:
            enter(HOME)

    def run(self, command, **options):
        # However this process ends, all others end with it, and with the last one the namespaces.
        return super().run(["setpriv", "--pdeathsig", "KILL", *command], **options)

    def remove(self):
        os.close(self.namespace)
        # A namespace goes some time after it was deleted, and with it what is left in it.
        ip(f"link delete to-{self.name}")
        ip(f"netns delete {self.name}")

    def filter(self, rules):
        with self.entered():
            subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)

    def drop(self, what=""):
        self.filter(
            "table inet trouble {\n"
            f"chain in {{ type filter hook input priority 0; iif != lo {what} drop; }}\n"
            f"chain out {{ type filter hook output priority 0; oif != lo {what} drop; }}\n"
            "}"
        )

    def begin(self, trouble):
        match trouble:
            case "cut" | "long" | "redis":
                ip(f"link set to-{self.name} down")
            case "drop":
                self.drop()
            case "loss":
                self.drop("numgen random mod 100 < 10")

    def end(self, trouble):
        match trouble:
            case "cut" | "long" | "redis":
                ip(f"link set to-{self.name} up")
            case _:
                self.filter("delete table inet trouble")


class Watcher(Client):
    """Asks its server about the others."""

    async def names(self):
        return sorted(server["name"] for server in (await self.ask("cluster", {}))["servers"])

    async def uptimes(self):
        return {server["name"]: server["uptime"] for server in (await self.ask("cluster", {}))["servers"]}

    async def room(self):
        """How many are in the first room, and whose part of it is missing for what reason."""
        answer = await self.ask("countRoom", {"namespace": ROOMS[0][0], "roomId": ROOMS[0][1]})
        missing = {missing["server"]: missing["reason"] for missing in answer["missing"] if missing["server"]}
        return answer["count"], missing

    async def ledger(self):
        return await self.ask("ledger", {})


class Conversation(Cluster):
    def __init__(self, crossserver, trouble):
        names = ["app1", "app2", "app3", "redis1", "redis2"]
        hosts = {name: NamespaceHost(name, number) for number, name in enumerate(names, 1)}
        server_hosts = [hosts[name] for name in ("app1", "app1", "app2", "app2", "app3")]
        self.hosts = hosts.values()
        super().__init__(crossserver, trouble, [hosts["redis1"], hosts["redis2"]], server_hosts)
        self.trouble = trouble
        self.host = hosts["redis1" if trouble == "redis" else "app2"]
        self.isolates = trouble in ("cut", "long", "drop")
        self.seconds = LONG if trouble == "long" else SECONDS
        self.began = self.ended = 0

    async def start(self):
        await super().start()
        self.watchers = [Watcher(f"watcher{number}", server) for number, server in enumerate(self.servers)]
        await asyncio.gather(*(watcher.connect() for watcher in self.watchers))
        self.all = sorted(server.name for server in self.servers)
        self.away = [server.name for server in self.servers if self.isolates and server.host is self.host]
        self.here = [name for name in self.all if name not in self.away]
        await self.see({name: self.all for name in self.all}, "not all servers know each other")

    def server(self, id):
        return self.clients[id].server.name

    def choose(self, kinds, ids, sender):
        # Always one that other servers have to hear of, so that what is refused is also missing.
        while True:
            command, kind, expected = super().choose(kinds, ids, sender)
            if "toPlayerIds" in command:
                command["toPlayerIds"].remove("nobody")
            if any(self.server(id) != sender.server.name for id in expected):
                return command, kind, expected

    async def see(self, expected, what):
        """Waits until the servers see those that they should, and answers how long that took each, in seconds."""
        start = time.monotonic()
        took = {}
        for watcher in self.watchers:
            async def does():
                return await watcher.names() == expected[watcher.server.name]

            await until(does, what)
            took[watcher.server.name] = round(time.monotonic() - start, 1)
        return took

    def in_room(self, servers):
        return len([id for id in self.members(ROOMS[0]) if self.server(id) in servers])

    async def misfortune(self):
        await asyncio.sleep(3)
        uptimes = await self.watchers[0].uptimes()
        self.began = time.monotonic()
        self.host.begin(self.trouble)
        if self.isolates:
            # They are silent, and not dead yet.
            count, missing = await self.watchers[0].room()
            print(f"  {self.trouble}: asked at once, missing: {missing}", file=sys.stderr)
            assert (count, sorted(missing)) == (self.in_room(self.here), self.away), (count, missing)
            expected = {name: self.here for name in self.here} | {name: [name] for name in self.away}
            took = await self.see(expected, "who is cut off does not go")
            print(f"  {self.trouble}: gone after {max(took.values())} s more", file=sys.stderr)
            for watcher in self.watchers:
                # A question of who is cut off waits too, and may be counted among the refused.
                if watcher.server.name in self.here:
                    assert await watcher.room() == (self.in_room(self.here), {}), watcher.server.name
        while time.monotonic() < self.began + self.seconds:
            if not self.isolates:
                assert await self.watchers[-1].names() == self.all
            await asyncio.sleep(0.1)
        self.host.end(self.trouble)
        self.ended = time.monotonic()
        took = await self.see({name: self.all for name in self.all}, "not all servers are back")
        print(f"  {self.trouble}: all see all {max(took.values())} s after the heal", file=sys.stderr)
        after = await self.watchers[0].uptimes()
        assert all(after[name] >= uptimes[name] + self.seconds - 1 for name in self.all), (uptimes, after)
        for watcher in self.watchers:
            assert await watcher.room() == (self.in_room(self.all), {}), watcher.server.name

    def may_be_refused(self, number, ids):
        """Whether it is missing where a message that waited in vain is: on all servers but the sender's.

        What is for single clients travels alone to each, or for several together.
        """
        sender, kind, expected, sent_at = self.sent[number]
        server = self.server(sender)
        others = {id for id in expected if self.server(id) != server}
        waited_in_vain = self.began - 1 < sent_at < self.ended + PATIENCE - WAITS_FOR
        return server in self.away and waited_in_vain and (ids <= others if kind == "clients" else ids == others)

    def figures(self):
        figures = super().figures()
        # By server, how many messages to others this must and may have been.
        self.refused = {name: [0, 0] for name in self.all}
        for number, ids in self.missing.items():
            if self.may_be_refused(number, ids):
                sender, kind, _, _ = self.sent[number]
                refused = self.refused[self.server(sender)]
                refused[0] += 1
                refused[1] += len(ids) if kind == "clients" else 1
                figures["lost"] -= len(ids)
        # A server that is taken for dead does not hold its clients any more: they are looked for on all others, and what is
        # sent then takes another channel. Between channels there is no order.
        overtaken = [number for client, number in self.disordered if self.may_be_overtaken(client, number)]
        figures["disordered"] -= len(overtaken)
        figures["overtaken"] = len(overtaken)
        return figures

    def may_be_overtaken(self, client, number):
        sender, kind, _, sent_at = self.sent[number]
        is_cut_off = self.server(sender) in self.away or client.server.name in self.away
        return is_cut_off and kind == "clients" and self.began - 1 < sent_at < self.ended + PATIENCE

    def adds_up(self):
        return all(self.refused[name][0] <= self.ledgers[name]["refused"] <= self.refused[name][1] for name in self.all)

    async def is_complete(self):
        if self.figures()["lost"]:
            return False
        # What is still on its way looks as if it had been refused.
        self.ledgers = {watcher.server.name: await watcher.ledger() for watcher in self.watchers}
        return self.adds_up()

    def latest(self, is_wanted):
        """In ms, of the messages between servers."""
        latest = 0
        for client in self.clients.values():
            for number, at, _ in client.received:
                sender, _, _, sent_at = self.sent[number]
                if sender in self.clients and is_wanted(self.clients[sender].server, client.server):
                    latest = max(latest, round((at - sent_at) * 1_000))
        return latest

    def check(self, part):
        super().check(part)
        overtaken = self.figures()["overtaken"]
        away = {server.name for server in self.servers if server.host is self.host}
        at_once = self.latest(lambda sender, receiver: not {sender.name, receiver.name} & away)
        keys = ("sent", "republished", "repeated")
        total = {key: sum(ledger[key] for ledger in self.ledgers.values()) for key in keys}
        received = [pair for ledger in self.ledgers.values() for pair in ledger["received"].values()]
        total |= {key: sum(pair[key] for pair in received) for key in ("delivered", "repaired", "missed", "repeats")}
        refused = {name: ledger["refused"] for name, ledger in self.ledgers.items() if ledger["refused"]}
        print(
            f"  {part}: latest away from the trouble {at_once} ms; refused {refused}; overtaken on another channel "
            f"{overtaken}; {total}",
            file=sys.stderr,
        )
        said = [server.said() for server in self.servers]
        assert self.adds_up(), f"refused {refused}, but {self.refused} are missing; {said}"
        assert total["missed"] == 0
        assert self.trouble == "redis" or at_once < AT_ONCE


async def hold(trouble, crossserver):
    conversation = Conversation(crossserver, trouble)
    await conversation.start()
    await talk(conversation, conversation.misfortune(), RATE, 3 + conversation.seconds + 12, KINDS)
    conversation.check(trouble)
    await asyncio.gather(*(watcher.socket.close() for watcher in conversation.watchers))
    await conversation.disconnect()
    await conversation.only_system_channels()
    await conversation.stop()
    for host in conversation.hosts:
        host.remove()
    print(f"ok {trouble}", flush=True)


if __name__ == "__main__":
    HOME = os.open("/proc/self/ns/net", os.O_RDONLY)
    subprocess.run("mount -t tmpfs none /run", shell=True, check=True)
    ip("link add switch type bridge")
    ip("link set switch up")
    for name in sys.argv[2:]:
        asyncio.run(hold(name, sys.argv[1]))
