"""A stand-in for a server of the Node original, with redis-py and msgpack: its maps, its key orders, its channels."""

import itertools
import json
import re
import time

import msgpack
import redis

BRIDGE = "csbp:server_bridge"
EVERYONE = "ws:broadcast"
CLIENTS = "ws:private_socket"
REPLY = "_Cs_Cb_"
WAIT = 30


def pack(message, encoding):
    if encoding == "json":
        return json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode()
    return msgpack.packb(message)


def unpack(data):
    return json.loads(data) if data[:1] == b"{" else msgpack.unpackb(data)


def bare(raw):
    """A message of ours without the stamp: the last key of the map, which the original does not look at."""
    if raw[:1] == b"{":
        assert re.fullmatch(rb',"~":"[A-Za-z0-9+/]{28}"}', raw[-36:]), raw[-100:]
        return raw[:-36] + b"}"
    assert raw[-25:-21] == b"\xa1~\xc4\x15", raw[-100:]
    return bytes([raw[0] - 1]) + raw[1:-25]


def client_message(sender, frame, id=None, ids=None, room=None, excluding=()):
    """A message for everyone, for one client or several, or for a room (namespace, id)."""
    message = {"data": frame}
    if id is not None:
        message["socketId"] = id
    if ids is not None:
        message["socketIds"] = ids
    if room is not None:
        message["roomNamespace"], message["roomId"] = room
    message["senderServer"] = sender
    if room is not None:
        message["excludeSocketIds"] = list(excluding)
    return message


def channel_of(namespace):
    return namespace if namespace.startswith("ws:") else f"ws:{namespace}"


class OriginalNode:
    """Hears the bridge from the start.

    With `namespaces` it takes clients: it hears what is for them too, and has members in the rooms of these.
    """

    ids = itertools.count(1)

    def __init__(self, url, name, encoding="msgpack", namespaces=None):
        self.url, self.name, self.encoding = url, name, encoding
        self.redis = redis.Redis.from_url(url)
        self.subscriber = self.redis.pubsub(ignore_subscribe_messages=True)
        self.subscriber.subscribe(BRIDGE)
        if namespaces is not None:
            for channel in [CLIENTS, EVERYONE] + [channel_of(namespace) for namespace in namespaces]:
                self.subscriber.subscribe(channel)
        # Answered when the subscriptions before it are made.
        self.subscriber.ping()
        while True:
            message = self.subscriber.get_message(timeout=WAIT)
            if message is None or message["type"] == "pong":
                break

    def close(self):
        self.subscriber.close()
        self.redis.close()

    def publish(self, message, channel=BRIDGE):
        return self.redis.publish(channel, pack(message, self.encoding))

    def broadcast(self, frame):
        self.publish(client_message(self.name, frame), EVERYONE)

    def to_socket_id(self, id, frame):
        self.publish(client_message(self.name, frame, id=id), CLIENTS)

    def to_socket_ids(self, ids, frame):
        self.publish(client_message(self.name, frame, ids=ids), CLIENTS)

    def broadcast_to_room(self, namespace, room, frame, excluding=()):
        message = client_message(self.name, frame, room=(namespace, room), excluding=excluding)
        self.publish(message, channel_of(namespace))

    def emit(self, event, payload, targets=(), callback_id=None):
        """emitCrossServer."""
        data = {"event": event, "senderServer": self.name, "payload": payload, "targetServer": list(targets)}
        if callback_id is not None:
            data["callbackId"] = callback_id
        self.publish({"data": data})

    def emit_with_promise(self, event, payload, targets=(), callback_id=None):
        """emitCrossServerWithPromise: its keys come in another order."""
        data = {"payload": payload, "event": event, "senderServer": self.name, "targetServer": list(targets)}
        data["callbackId"] = callback_id
        self.publish({"data": data})

    def reply(self, callback_id, *payload, sender=None):
        """`callback(payload)`; without a payload `callback()`."""
        sender = self.name if sender is None else sender
        data = {"event": REPLY, "senderServer": sender, "targetServer": [], "callbackId": callback_id}
        data["isCallback"] = True
        if payload:
            data["payload"] = payload[0]
        self.publish({"data": data})

    def next_id(self):
        return f"{self.name[-6:]}-mwpqch9e-at0k-{next(self.ids)}"

    def messages(self):
        """The messages of other servers as they come, each with its bytes and its inner map."""
        yield from self.messages_within(WAIT)
        raise AssertionError(f"{self.name}: nothing more came within {WAIT} s")

    def messages_within(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            message = self.subscriber.get_message(timeout=min(seconds, 1))
            if message is None or message["type"] != "message":
                continue
            try:
                data = unpack(message["data"])["data"]
                sender = data["senderServer"]
            except (ValueError, KeyError, TypeError, RecursionError, msgpack.UnpackException):
                continue  # Garbage that a test has sent.
            if sender != self.name:
                yield message["data"], data

    def client_message(self, ours=("serverA", "serverB")):
        """The next message of ours for clients: its channel and its bytes."""
        end = time.monotonic() + WAIT
        while time.monotonic() < end:
            message = self.subscriber.get_message(timeout=1)
            if message is None or message["type"] != "message" or message["channel"] == BRIDGE.encode():
                continue
            if unpack(message["data"])["senderServer"] in ours:
                return message["channel"].decode(), message["data"]
        raise AssertionError(f"{self.name}: no message for clients came within {WAIT} s")

    def replies(self, callback_id, count):
        """As many replies, by server; others of the bridge are passed over, but not one reply too many."""
        found = {}
        for raw, data in self.messages():
            if data.get("callbackId") == callback_id and data.get("isCallback"):
                assert data["senderServer"] not in found, f"{data['senderServer']} answered twice"
                found[data["senderServer"]] = raw
                if len(found) == count:
                    return found

    def request(self, event="echo"):
        """The next request of another server."""
        for raw, data in self.messages():
            if data["event"] == event and "callbackId" in data:
                return raw, data

    def reply_bytes(self, server, callback_id, payload, encoding):
        """What the original writes when it answers."""
        data = {"event": REPLY, "senderServer": server, "targetServer": [], "callbackId": callback_id}
        data |= {"isCallback": True, "payload": payload}
        return pack({"data": data}, encoding)

    def ask(self, server, payload="fence"):
        """Waits for the answer of one server: it lives, and has handled all that came before."""
        callback_id = self.next_id()
        self.emit("echo", payload, [server], callback_id)
        raw = self.replies(callback_id, 1)[server]
        assert unpack(raw)["data"]["payload"] == {"echo": payload, "server": server}, raw
