"""What nobody should send to servers over Redis. They must live, and answer afterwards."""

import random

import msgpack
import redis

from original_node import BRIDGE, OriginalNode, pack

CLUSTER = "csbp:cluster"


def messages():
    """Bytes that are no message, or one that nobody expects."""
    yield from (b"", b"\xc1", b"{", b"[]", b"null", b"\x80", b"{}", b"\x81", b"\xff\xfe\x00", b"\x00" * 1_000)
    yield b'{"data":{"event":"\xff\xfe","senderServer":"\xc3\x28","payload":"\xed\xa0\x80","targetServer":[]}}'
    yield b"\x81\xa4data\x84\xa5event\xa2\xff\xfe\xacsenderServer\xa2\xc3\x28\xa7payload\xa1\x80\xactargetServer\x90"
    for depth in (513, 5_000):
        event = b"\x81\xa4data\x84\xa5event\xa4echo\xacsenderServer\xa1x\xactargetServer\x90\xa7payload"
        yield event + b"\x91" * depth + b"\xc0"
        yield b"\x81\xa1x" * depth + b"\xc0"
        yield b'{"data":{"event":"echo","senderServer":"x","targetServer":[],"payload":%b1%b}}' % (
            b"[" * depth, b"]" * depth,
        )
        yield b'{"x":' * depth + b"1" + b"}" * depth
    # Sizes that promise more than there is.
    for head in (b"\xdd", b"\xdf", b"\xdb", b"\xc6", b"\xc9"):
        for size in (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x00\x01\x00\x00"):
            yield head + size
            yield b"\x81\xa4data" + head + size
    fields = {"event": "echo", "senderServer": "x", "targetServer": [], "callbackId": "id", "isCallback": True}
    for key in fields:
        for value in (None, 7, -1.5, True, [], [[]], {}, {"x": 1}, b"\xff", [None], msgpack.ExtType(5, b"x")):
            yield msgpack.packb({"data": fields | {key: value}})
            if not isinstance(value, (bytes, msgpack.ExtType)):
                yield pack({"data": fields | {key: value}}, "json")
        yield msgpack.packb({"data": {other: fields[other] for other in fields if other != key}})
    for event in ("hello", "taken"):
        for uptime in (-1, 2**63, 2**64 - 1, 1e300, "1", None, [], {}):
            data = {"event": event, "senderServer": "serverA", "targetServer": []}
            data["payload"] = {"incarnation": "other", "refused": "other", "uptime": uptime}
            # Younger than the receiver at most: who is older may rightly have the name.
            if event == "taken" or not isinstance(uptime, (int, float)) or uptime < 0:
                yield msgpack.packb({"data": data})
    yield msgpack.packb({1: 2, None: 3, b"x": 4, "data": "no frame", "senderServer": "x"})
    yield msgpack.packb({"data": {"event": "echo", "senderServer": "x", "payload": msgpack.Timestamp(2**33, 5)}})
    yield pack({"data": {"event": "x" * 300, "senderServer": "y" * 100_000, "targetServer": ["z"] * 10_000}}, "json")
    yield from truncations()
    generator = random.Random(7)
    for length in range(1, 300):
        yield generator.randbytes(length)


def truncations():
    """Every beginning of a good message, and each with one byte more."""
    data = {"event": "unknown", "senderServer": "x", "payload": {"a": [1, "é"]}, "targetServer": [], "callbackId": "id"}
    for encoding in ("msgpack", "json"):
        whole = pack({"data": data}, encoding)
        for length in range(len(whole)):
            yield whole[:length]
        yield whole + b"\x00"


def attack(url, servers):
    node = OriginalNode(url, "originalNode")
    inboxes = [channel.decode() for channel in node.redis.pubsub_channels("csbp:node:*")]
    for server in servers:
        assert sum(f":{server}:" in inbox for inbox in inboxes) == 1, inboxes
    for channel in [BRIDGE, CLUSTER] + inboxes:
        for message in messages():
            node.redis.publish(channel, message)
        for server in servers:
            node.ask(server)


def attack_with_size(url, servers):
    """Up to the limit of 16 MiB a message is handled; what is longer costs a connection, which is made again."""
    node = OriginalNode(url, "originalNode")
    inboxes = [channel.decode() for channel in node.redis.pubsub_channels("csbp:node:*")]
    node.subscriber.close()
    node.emit("unknown", "x" * (12 << 20), [], node.next_id())
    node = OriginalNode(node.url, node.name)
    for server in servers:
        node.ask(server, "after a large one")
    node.subscriber.close()
    for channel in [BRIDGE, CLUSTER] + inboxes:
        try:
            node.redis.publish(channel, b"x" * ((16 << 20) + 1))
        except redis.ConnectionError:
            pass  # The embedded broker takes no message of this size.
        node = OriginalNode(node.url, node.name)
        for server in servers:
            comes_back(node, server)
        node.subscriber.close()


def comes_back(node, server):
    """Asks until the server answers: while its connection is made again it does not hear."""
    for _ in range(100):
        callback_id = node.next_id()
        node.emit("echo", "again", [server], callback_id)
        if any(data.get("callbackId") == callback_id for _, data in node.messages_within(0.5)):
            return
    raise AssertionError(f"{server} does not answer any more")
