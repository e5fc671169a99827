"""usage: original_clients.py REDIS-URL URL-OF-SERVER-A URL-OF-SERVER-B CONVERSATION…

Holds conversations between a server of the original and the clients of two of ours: of serverA, which writes
MessagePack, and serverB, which writes JSON.
"""

import contextlib
import itertools
import json
import sys
import time
import traceback

from websockets.sync.client import connect

from original_node import BRIDGE, CLIENTS, EVERYONE, WAIT, OriginalNode, bare, client_message, pack, unpack

OURS = {"serverA": "msgpack", "serverB": "json"}
PAYLOADS = [
    "null", "true", "-1.5e-10", "123456789012345678901234567890", '""', '"é🐀"', '"\\u00e9\\ud83d\\ude00 \\" \\\\ \\n"',
    "[]", "{}", '{"b":1,"a":[{"":null}],"2":"x"}', '{"roomId":"1","senderServer":"serverA","~":"x"}',
    '"%s"' % ("x" * 70_000),
]


def frame(payload, event="say"):
    return f'{{"event":"{event}","payload":{payload}}}'


class Client:
    def __init__(self, stack, url, id):
        self.id = id
        self.connection = stack.enter_context(connect(f"{url}/?id={id}", compression=None, max_size=1 << 22))
        self.callback_ids = itertools.count(1)
        self.frames = []
        self.request("echo", '"the id is bound now"')

    def receive(self):
        return self.connection.recv(timeout=WAIT)

    def request(self, event, payload="{}"):
        """The payload of the reply; the frames before it are kept."""
        callback_id = next(self.callback_ids)
        self.connection.send(f'{{"event":"{event}","payload":{payload},"callbackId":"{callback_id}"}}')
        while True:
            text = self.receive()
            message = json.loads(text) if "callbackId" in text else {}
            if message.get("callbackId") == str(callback_id):
                return message["payload"]
            self.frames.append(text)

    def command(self, action, msg, **fields):
        """The event that it has made the server send."""
        head = "".join(f'"{key}":{json.dumps(value)},' for key, value in fields.items())
        reply = self.request("command", f'{{{head}"action":"{action}","msg":{msg}}}')
        assert reply == {"msg": "done"}, reply
        return frame(f'{{"action":"{action}","msg":{msg}}}')

    def join(self, room, namespace="chat"):
        reply = self.request("joinRoom", json.dumps({"roomId": room, "namespace": namespace}))
        assert reply["msg"] == f"joined {room}", reply

    def frames_before(self, fence):
        while not self.frames or self.frames[-1] != fence:
            self.frames.append(self.receive())
        frames, self.frames = self.frames[:-1], []
        return frames


class Stage:
    """Clients a1, a2 of serverA and b1, b2 of serverB, and servers of the original that ours have noticed."""

    fences = itertools.count(1)

    def __init__(self, stack, redis_url, urls, originals=("originalNode",), namespaces=("chat",)):
        self.stack = stack
        self.urls = urls
        self.clients = {}
        self.nodes = []
        for encoding, name in zip(itertools.cycle(OURS.values()), originals):
            self.nodes.append(OriginalNode(redis_url, name, encoding, namespaces))
            stack.callback(self.nodes[-1].close)
        for server, url in urls.items():
            for number in (1, 2):
                client = Client(stack, url, f"{server[-1].lower()}{number}")
                self.clients[client.id] = client
        self.wait_for_originals(len(originals))

    def wait_for_originals(self, count):
        end = time.monotonic() + WAIT
        for client in self.clients.values():
            while client.request("cluster")["originalServers"] != count:
                assert time.monotonic() < end, f"{client.id}'s server does not count {count} servers of the original"
                time.sleep(0.1)

    def sender(self, server):
        return self.clients[f"{server[-1].lower()}1"]

    def expect(self, ids, text):
        """Exactly these clients have the frame, once, and nobody anything else."""
        self.expect_all({id: [text] for id in ids})

    def expect_all(self, expected):
        # What was published before comes before it.
        fence = frame(next(self.fences), "fence")
        self.nodes[0].broadcast(fence)
        for id, client in self.clients.items():
            found = client.frames_before(fence)
            assert found == expected.get(id, []), f"{id}: {str(found)[:500]}, not {str(expected.get(id, []))[:500]}"


@contextlib.contextmanager
def stage(*arguments, **options):
    with contextlib.ExitStack() as stack:
        yield Stage(stack, *arguments, **options)


def expect_bytes(node, channel, server, message):
    """The next message is the original's in every byte, but for what we add to the end of the map."""
    found, raw = node.client_message()
    encoding = OURS[server]
    expected = pack(message, encoding)
    assert (found, bare(raw)) == (channel, expected), (found, raw[:300], expected[:300])


def original_bytes(*_):
    """The stand-in writes what the original was seen to write."""
    text = '{"event":"say","payload":{"msg":"all"}}'
    message = client_message("nodeA", text)
    assert pack(message, "msgpack").hex() == (
        "82a464617461d9277b226576656e74223a22736179222c227061796c6f6164223a7b226d7367223a22616c6c227d7d"
        "ac73656e646572536572766572a56e6f646541"
    )
    quoted = '"{\\"event\\":\\"say\\",\\"payload\\":{\\"msg\\":\\"all\\"}}"'
    assert pack(message, "json").decode() == f'{{"data":{quoted},"senderServer":"nodeA"}}'
    for fields, text, hexadecimal in (
        ({"id": "42"}, '"socketId":"42","senderServer":"nodeA"}',
         "a8736f636b65744964a23432ac73656e646572536572766572a56e6f646541"),
        ({"ids": ["1", "2"]}, '"socketIds":["1","2"],"senderServer":"nodeA"}',
         "a9736f636b657449647392a131a132ac73656e646572536572766572a56e6f646541"),
        ({"room": ("chat", "1000"), "excluding": ["9"]},
         '"roomNamespace":"chat","roomId":"1000","senderServer":"nodeA","excludeSocketIds":["9"]}',
         "ad726f6f6d4e616d657370616365a463686174a6726f6f6d4964a431303030ac73656e646572536572766572a56e6f646541"
         "b06578636c756465536f636b657449647391a139"),
    ):
        message = client_message("nodeA", "{}", **fields)
        assert pack(message, "json").decode() == '{"data":"{}",' + text
        count = len(message)
        assert pack(message, "msgpack").hex() == f"8{count}a464617461a27b7d" + hexadecimal


def reaches_ours(*arguments):
    """Every kind of message of the original reaches the clients it is for, unchanged, in both encodings."""
    with stage(*arguments, originals=("first", "second")) as on:
        everyone = list(on.clients)
        for id in ("a1", "b1", "b2"):
            on.clients[id].join("1000")
        on.clients["a2"].join("1000", "other")
        on.clients["a2"].join("1000", "ws:own")
        for node in on.nodes:
            for payload in PAYLOADS:
                text = frame(payload)
                node.broadcast(text)
                on.expect(everyone, text)
                for id in everyone:
                    node.to_socket_id(id, text)
                    on.expect([id], text)
                node.to_socket_ids(["b2", "a1", "nobody", "b2"], text)
                on.expect(["a1", "b2"], text)
                node.broadcast_to_room("chat", "1000", text, ["b1", "nobody"])
                on.expect(["a1", "b2"], text)
            text = frame('"rooms"')
            node.broadcast_to_room("chat", "1000", text)
            on.expect(["a1", "b1", "b2"], text)
            node.broadcast_to_room("chat", "1000", text, everyone)
            node.broadcast_to_room("chat", "other", text)
            node.to_socket_id("nobody", text)
            node.to_socket_ids([], text)
            on.expect([], text)
            for namespace in ("other", "ws:own"):
                node.broadcast_to_room(namespace, "1000", text)
                on.expect(["a2"], text)
            # Sent to the socket as it is.
            node.to_socket_id("a1", "no JSON")
            on.expect(["a1"], "no JSON")
            texts = [frame(number) for number in range(200)]
            for text in texts:
                node.to_socket_id("b1", text)
            on.expect_all({"b1": texts})


def reaches_original(*arguments):
    """Every kind of message of our clients reaches the servers of the original, and each of ours, once."""
    with stage(*arguments, originals=("first", "second")) as on:
        everyone = list(on.clients)
        for id in everyone:
            on.clients[id].join("1000")
        for server in OURS:
            sender = on.sender(server)
            for payload in PAYLOADS:
                text = sender.command("broadcast", payload)
                for node in on.nodes:
                    expect_bytes(node, EVERYONE, server, client_message(server, text))
                on.expect(everyone, text)
                text = sender.command("toPlayer", payload, toPlayerId="afar")
                for node in on.nodes:
                    expect_bytes(node, CLIENTS, server, client_message(server, text, id="afar"))
                on.expect([], text)
                text = sender.command("toRoom", payload, roomId="1000", excludeSocketIds=["9", "a2"])
                message = client_message(server, text, room=("chat", "1000"), excluding=["9", "a2"])
                for node in on.nodes:
                    expect_bytes(node, "ws:chat", server, message)
                on.expect(["a1", "b1", "b2"], text)
                text = sender.command("toRoom", payload, roomId="of nobody here")
                message = client_message(server, text, room=("chat", "of nobody here"))
                for node in on.nodes:
                    expect_bytes(node, "ws:chat", server, message)
                on.expect([], text)
                text = sender.command("toPlayers", payload, toPlayerIds=["a2", "", "afar", "b2"])
                # Its own clients are none of the others' business.
                ids = ["afar", "b2"] if server == "serverA" else ["a2", "afar"]
                for node in on.nodes:
                    expect_bytes(node, CLIENTS, server, client_message(server, text, ids=ids))
                on.expect(["a2", "b2"], text)
        text = on.sender("serverA").command("broadcast", '"the end"')
        for node in on.nodes:
            expect_bytes(node, EVERYONE, "serverA", client_message("serverA", text))


def order_to_original(*arguments):
    """Many for a client that nobody of ours has: all come, in order."""
    with stage(*arguments) as on:
        for server in OURS:
            id = f"afar-{server}"
            texts = [on.sender(server).command("toPlayer", number, toPlayerId=id) for number in range(300)]
            for text in texts:
                expect_bytes(on.nodes[0], CLIENTS, server, client_message(server, text, id=id))
        on.expect_all({})


def same_id_on_original(*arguments):
    """An id that the original has too, which knows nothing of logins here: both get all, in order."""
    with stage(*arguments) as on:
        for server, other in (("serverA", "serverB"), ("serverB", "serverA")):
            id = f"twin-{other}"
            ours = Client(on.stack, on.urls[other], id)
            for number in range(100):
                if number % 2:
                    text = on.sender(server).command("toPlayers", number, toPlayerIds=[id, "afar"])
                    message = client_message(server, text, ids=[id, "afar"])
                else:
                    text = on.sender(server).command("toPlayer", number, toPlayerId=id)
                    message = client_message(server, text, id=id)
                expect_bytes(on.nodes[0], CLIENTS, server, message)
                assert ours.receive() == text
            ours.connection.close()
            text = on.sender(server).command("toPlayer", '"gone"', toPlayerId=id)
            expect_bytes(on.nodes[0], CLIENTS, server, client_message(server, text, id=id))
        on.expect_all({})


def joins_late(redis_url, urls):
    """A server of the original that comes later gets what until then went to the one of ours that holds the client."""
    with stage(redis_url, urls, originals=()) as on:
        for server, other in (("serverA", "serverB"), ("serverB", "serverA")):
            on.wait_for_originals(0)
            id = f"known-{other}"
            ours = Client(on.stack, on.urls[other], id)
            for number in range(10):
                text = on.sender(server).command("toPlayer", number, toPlayerId=id)
                assert ours.receive() == text
            node = OriginalNode(redis_url, "late", namespaces=())
            on.wait_for_originals(1)
            for number in range(100):
                text = on.sender(server).command("toPlayer", number, toPlayerId=id)
                channel, raw = node.client_message()
                message = unpack(raw)
                assert (channel, message["socketId"], message["data"]) == (CLIENTS, id, text), raw
                assert ours.receive() == text
            node.close()


def wrong_channel(*arguments):
    """What a channel is not for is dropped."""
    with stage(*arguments) as on:
        everyone = list(on.clients)
        for id in everyone:
            on.clients[id].join("1000")
            on.clients[id].join("1000", "broadcast")
            on.clients[id].join("1000", "other")
        node = on.nodes[0]
        text = frame('"wrong"')
        to_all, to_one, to_some, to_room, to_system_room = (
            {}, {"id": "a1"}, {"ids": everyone}, {"room": ("chat", "1000")}, {"room": ("broadcast", "1000")},
        )
        right = {EVERYONE: [to_all], CLIENTS: [to_one, to_some], "ws:chat": [to_room]}
        for encoding in OURS.values():
            node.encoding = encoding
            for channel in (EVERYONE, CLIENTS, "ws:chat", "ws:other", BRIDGE, "csbp:cluster"):
                for scope in (to_all, to_one, to_some, to_room, to_system_room):
                    if scope not in right.get(channel, []):
                        node.publish(client_message(node.name, text, **scope), channel)
                on.expect([], text)


def wrong_messages(*arguments):
    """Values that no key of the original has, and a sender that is the receiver."""
    with stage(*arguments) as on:
        for client in on.clients.values():
            client.join("1000")
        node = on.nodes[0]
        text = frame('"wrong"')
        for encoding in OURS.values():
            node.encoding = encoding
            for channel, message in (
                (EVERYONE, client_message(node.name, text)),
                (CLIENTS, client_message(node.name, text, id="a1")),
                (CLIENTS, client_message(node.name, text, ids=["a1", "b1"])),
                ("ws:chat", client_message(node.name, text, room=("chat", "1000"))),
            ):
                # A message for a room may come without those that it excludes.
                for key in message.keys() - {"excludeSocketIds"}:
                    for value in (None, 7, -1.5, True, {}, {"x": 1}, [], [[]], [None], [7]):
                        node.publish(message | {key: value}, channel)
                    # Without its scope it is one for everyone, which this channel is not for.
                    node.publish({other: message[other] for other in message if other != key}, channel)
                whole = pack(message, encoding)
                for length in range(len(whole)):
                    node.redis.publish(channel, whole[:length])
            on.expect([], text)
            for server, others in (("serverA", ["b1", "b2"]), ("serverB", ["a1", "a2"])):
                node.publish(client_message(server, text), EVERYONE)
                on.expect(others, text)


CONVERSATIONS = {
    "originalBytes": original_bytes,
    "reachesOurs": reaches_ours,
    "reachesOriginal": reaches_original,
    "orderToOriginal": order_to_original,
    "sameIdOnOriginal": same_id_on_original,
    "joinsLate": joins_late,
    "wrongChannel": wrong_channel,
    "wrongMessages": wrong_messages,
}


def main():
    redis_url, *urls = sys.argv[1:4]
    for name in sys.argv[4:]:
        try:
            CONVERSATIONS[name](redis_url, dict(zip(OURS, urls)))
        except Exception:
            traceback.print_exc()
            sys.exit(f"{name} failed")
        print("ok", name, flush=True)


main()
