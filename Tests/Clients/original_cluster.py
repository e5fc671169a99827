"""usage: original_cluster.py REDIS-URL CROSSSERVER CONVERSATION…

Holds conversations between a server of the original and two of ours: serverA, which writes MessagePack, and serverB,
which writes JSON.
"""

import atexit
import datetime
import json
import subprocess
import sys
import traceback

import msgpack

import hostile_bus
from original_node import REPLY, OriginalNode, bare, pack, unpack

OURS = {"serverA": "msgpack", "serverB": "json"}
VALUES = [
    {}, [], None, True, False, 0, -1, 1.5, 127, 128, 65_535, 65_536, 2**32, 2**53 - 1, -33, -(2**31) - 1, "", "x" * 31,
    "x" * 32, "x" * 256, "x" * 65_536, "é🐀\u2028\"\\", list(range(20)), {str(key): key for key in range(40)},
    {"b": 1, "a": [{"": None}, [[[]]]], "data": {"senderServer": "serverA"}},
]


class Emit:
    """A running `crossserver emit`: one of ours that asks."""

    def __init__(self, crossserver, url, *arguments):
        self.process = subprocess.Popen(
            [crossserver, "emit", *arguments, "--redis", url], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        # It would answer those who come after a failure.
        atexit.register(self.process.kill)

    def end(self, status):
        output, errors = self.process.communicate(timeout=60)
        assert self.process.returncode == status, (self.process.returncode, output, errors)
        return output.splitlines(), errors.splitlines()


def asks_ours(url, crossserver):
    """Every server answers on the bridge with the original's bytes, in the encoding of the request."""
    for encoding in OURS.values():
        node = OriginalNode(url, "originalNode", encoding)
        for emit in (node.emit, node.emit_with_promise):
            for payload in VALUES:
                callback_id = node.next_id()
                emit("echo", payload, [], callback_id)
                replies = node.replies(callback_id, 2)
                for server, raw in replies.items():
                    expected = node.reply_bytes(server, callback_id, {"echo": payload, "server": server}, encoding)
                    assert raw == expected, (raw[:300], expected[:300])
                assert set(replies) == set(OURS)


def asks_without_payload(url, crossserver):
    node = OriginalNode(url, "originalNode")
    callback_id = node.next_id()
    data = {"event": "echo", "senderServer": node.name, "targetServer": ["serverB"], "callbackId": callback_id}
    node.publish({"data": data})
    raw = node.replies(callback_id, 1)["serverB"]
    assert raw == node.reply_bytes("serverB", callback_id, {"server": "serverB"}, "msgpack"), raw


def asks_with_what_json_has_not(url, crossserver):
    """What MessagePack holds and JSON does not comes back as `JSON.stringify` writes it: see FromNode.md."""
    sent = [
        float("nan"), float("inf"), float("-inf"),
        msgpack.Timestamp.from_datetime(datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.timezone.utc)),
        b"\x01\xff",
    ]
    expected = [None, None, None, "2024-02-29T12:00:00.000Z", {"type": "Buffer", "data": [1, 255]}]
    node = OriginalNode(url, "originalNode")
    for payload, answer in ((sent, expected), (dict(zip("abcde", sent)), dict(zip("abcde", expected)))):
        callback_id = node.next_id()
        node.emit("echo", payload, [], callback_id)
        for server, raw in node.replies(callback_id, 2).items():
            assert raw == node.reply_bytes(server, callback_id, {"echo": answer, "server": server}, "msgpack"), raw


def asks_one(url, crossserver):
    """Only the named servers handle it; nobody answers what asks for no answer, or what nobody handles."""
    node = OriginalNode(url, "originalNode")
    node.emit("echo", 1, ["serverA"], "only-A")
    node.emit("echo", 2, ["serverB", "serverB", "other"], "only-B")
    node.emit("echo", 3, ["other"], "nobody")
    node.emit("echo", 4)
    node.emit("unknown", 5, [], "unknown")
    for name in ("constructor", "__proto__", "toString", "hasOwnProperty", "connection", REPLY):
        node.emit(name, 6, [], "named")
    answers = []
    for server in OURS:
        node.emit("echo", "fence", [server], f"fence-{server}")
    for raw, data in node.messages():
        answers.append((data["senderServer"], data["callbackId"]))
        if sum("fence" in id for _, id in answers) == len(OURS):
            break
    expected = [("serverA", "only-A"), ("serverB", "only-B")] + [(server, f"fence-{server}") for server in OURS]
    assert sorted(answers) == sorted(expected), answers


def own_name(url, crossserver):
    """A message with the receiver's own name is its own that has come back."""
    twin = OriginalNode(url, "serverA")
    node = OriginalNode(url, "originalNode")
    twin.emit("echo", 1, [], "looped")
    assert set(node.replies("looped", 1)) == {"serverB"}
    node.ask("serverA")


def counts_rooms(url, crossserver):
    node = OriginalNode(url, "originalNode")
    for payload in ({"namespace": "chat", "roomId": "1000"}, {"roomId": 7}):
        callback_id = node.next_id()
        node.emit_with_promise("countRoom", payload, [], callback_id)
        for server, raw in node.replies(callback_id, 2).items():
            assert raw == node.reply_bytes(server, callback_id, {"count": 0}, "msgpack"), raw
    callback_id = node.next_id()
    node.emit("countRoom", {"namespace": "chat"}, ["serverA"], callback_id)
    data = unpack(node.replies(callback_id, 1)["serverA"])["data"]
    error = data.pop("error")
    assert error["code"] == "INVALID_PAYLOAD" and data["payload"] == {"error": error["message"]}, (data, error)
    del data["payload"]
    assert data == {
        "event": REPLY, "senderServer": "serverA", "targetServer": [], "callbackId": callback_id, "isCallback": True,
    }


def answers_ours(url, crossserver):
    """One of ours asks: in the original's bytes, and it prints what the original answers."""
    for ours in OURS.values():
        for theirs in OURS.values():
            node = OriginalNode(url, "originalNode", theirs)
            payload = {"q": [1, -1, 1.5, None, True, "é🐀", 2**53 - 1], "deep": {"a": {"b": {}}}}
            options = ["--json-bus"] if ours == "json" else []
            text = json.dumps(payload, separators=(",", ":"), ensure_ascii=False)
            emit = Emit(crossserver, url, "whoAreYou", text, "--to", node.name, *options)
            raw, data = node.request("whoAreYou")
            callback_id, sender = data["callbackId"], data["senderServer"]
            expected = {"event": "whoAreYou", "senderServer": sender, "payload": payload, "targetServer": [node.name]}
            expected["callbackId"] = callback_id
            assert bare(raw) == pack({"data": expected}, ours), raw
            assert callback_id.startswith("~"), callback_id
            node.reply(callback_id, payload)
            lines, errors = emit.end(0)
            assert (lines, errors) == ([f'{{"server":"{node.name}","reply":{text}}}'], []), (lines, errors)


def answers_without_payload(url, crossserver):
    node = OriginalNode(url, "originalNode")
    for payload, text in (((), '{"server":"originalNode"}'), ((None,), '{"server":"originalNode","reply":null}')):
        emit = Emit(crossserver, url, "echo", "--to", node.name)
        raw, data = node.request()
        assert set(data) == {"event", "senderServer", "targetServer", "callbackId"}, data
        node.reply(data["callbackId"], *payload)
        assert emit.end(0) == ([text], []), text


def answers_all(url, crossserver):
    """Two of the original and two of ours answer what goes to all."""
    first, second = OriginalNode(url, "first"), OriginalNode(url, "second", "json")
    emit = Emit(crossserver, url, "echo", "1")
    first.reply(first.request()[1]["callbackId"], "from the first")
    second.reply(second.request()[1]["callbackId"], "from the second")
    lines, errors = emit.end(0)
    replies = {reply["server"]: reply["reply"] for reply in map(json.loads, lines)}
    assert replies == {
        "first": "from the first",
        "second": "from the second",
        "serverA": {"echo": 1, "server": "serverA"},
        "serverB": {"echo": 1, "server": "serverB"},
    }, replies
    assert len(lines) == 4 and errors == [], (lines, errors)


def false_replies(url, crossserver):
    """Repeated and forged replies, and those to other requests, are no replies."""
    node = OriginalNode(url, "originalNode")
    emit = Emit(crossserver, url, "echo", "1", "--to", node.name, "--to", "slow")
    callback_id = node.request()[1]["callbackId"]
    incarnation, _, number = callback_id.rpartition("-")
    for other in (f"{incarnation}-{number}0", f"{incarnation}-", f"{incarnation}", "~-1", "~", "", callback_id * 1_000):
        node.reply(other, "of another request", sender="slow")
    node.reply(callback_id, "forged", sender="stranger")
    node.reply(callback_id, "forged", sender="")
    data = {"event": REPLY, "senderServer": "slow", "targetServer": [], "callbackId": callback_id}
    for wrong in ({"isCallback": False}, {"isCallback": 1}, {"isCallback": True, "event": "echo"}):
        node.publish({"data": data | wrong | {"payload": "no reply"}})
    node.reply(callback_id, "first")
    node.reply(callback_id, "second")
    node.reply(callback_id, "the end", sender="slow")
    lines, errors = emit.end(0)
    expected = ['{"server":"originalNode","reply":"first"}', '{"server":"slow","reply":"the end"}']
    assert (lines, errors) == (expected, []), (lines, errors)


def late_reply(url, crossserver):
    """Who answers late is named as missing, and the reply is nobody's."""
    node = OriginalNode(url, "originalNode")
    emit = Emit(crossserver, url, "echo", "1", "--to", node.name, "--to", "slow", "--timeout", "1000")
    late = node.request()[1]["callbackId"]
    node.reply(late, "in time")
    lines, errors = emit.end(3)
    assert lines == ['{"server":"originalNode","reply":"in time"}'], lines
    assert len(errors) == 1 and errors[0].startswith("slow: "), errors
    emit = Emit(crossserver, url, "echo", "2", "--to", "slow")
    callback_id = node.request()[1]["callbackId"]
    node.reply(late, "late", sender="slow")
    node.reply(callback_id, "in time", sender="slow")
    assert emit.end(0) == (['{"server":"slow","reply":"in time"}'], [])


def garbage(url, crossserver):
    hostile_bus.attack(url, list(OURS))


def large(url, crossserver):
    hostile_bus.attack_with_size(url, list(OURS))


CONVERSATIONS = {
    "asksOurs": asks_ours,
    "asksWithoutPayload": asks_without_payload,
    "asksWithWhatJSONHasNot": asks_with_what_json_has_not,
    "asksOne": asks_one,
    "ownName": own_name,
    "countsRooms": counts_rooms,
    "answersOurs": answers_ours,
    "answersWithoutPayload": answers_without_payload,
    "answersAll": answers_all,
    "falseReplies": false_replies,
    "lateReply": late_reply,
    "garbage": garbage,
    "large": large,
}


def main():
    url, crossserver, *names = sys.argv[1:]
    for name in names:
        try:
            CONVERSATIONS[name](url, crossserver)
        except Exception:
            traceback.print_exc()
            sys.exit(f"{name} failed")
        print("ok", name, flush=True)


main()
