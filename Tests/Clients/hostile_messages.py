"""What a client can say that is no violation of RFC 6455."""

import json
import os

from raw_client import BINARY, TEXT, Bystanders, RawClient, frame, text

EVENTS = [
    "connection", "close", "error", "pong", "message", "client-ping", "server-error", "listening", "ws-server-close",
    "constructor", "__proto__", "toString", "hasOwnProperty",
]  # fmt: skip

PAYLOADS = [
    None, "null", "1", '"victim"', "[]", '{"url":"/?id=victim","headers":{}}', '{"id":"victim","code":1000}',
    '{"__proto__":{"id":"victim"}}',
]  # fmt: skip


def event(name, options):
    """The name of a system event, or of something that every JavaScript object has, is a name like any other."""
    bystanders = Bystanders(options.port)
    attacker = RawClient(options.port, "attacker")
    for payload in PAYLOADS:
        attacker.send(text(name, payload))
    attacker.alive()
    attacker.send(text(name, PAYLOADS[-1], '"asked"'))
    attacker.send(text("echo", "1", '"end"'))
    answer = attacker.message()
    if '"callbackId":"asked"' in answer:  # A server may say that it does not know the event.
        assert "error" in answer, answer
        answer = attacker.message()
    assert answer == '{"payload":1,"callbackId":"end"}', answer
    bystanders.undisturbed()
    attacker.alive()
    bystanders.witness.command("toPlayer", '"still me"', toPlayerId="attacker")
    attacker.push("toPlayer", '"still me"')


INVALID = [
    b"{", b"}", b"[", b"[1", b"nonsense", b"5", b"null", b"true", b'"text"', b"[]", b"{}", b"\0", b" ", b"\xef\xbb\xbf{}",
    b'{"event":null,"callbackId":"bad"}', b'{"event":5,"callbackId":"bad"}', b'{"event":{},"callbackId":"bad"}',
    b'{"payload":1,"callbackId":"bad"}',
    b'{"event":"echo","payload":01,"callbackId":"bad"}', b'{"event":"echo","payload":NaN,"callbackId":"bad"}',
    b'{"event":"echo","payload":.5,"callbackId":"bad"}', b'{"event":"echo","payload":1.,"callbackId":"bad"}',
    b'{"event":"echo","payload":+1,"callbackId":"bad"}', b'{"event":"echo","payload":1e,"callbackId":"bad"}',
    b'{"event":"echo","payload":tru,"callbackId":"bad"}', b'{"event":"echo","payload":[1,],"callbackId":"bad"}',
    b'{"event":"echo","payload":{"a":1,},"callbackId":"bad"}', b'{"event":"echo","payload":{1:2},"callbackId":"bad"}',
    b'{"event":"echo","payload":[1}],"callbackId":"bad"}', b'{"event":"echo","payload":"\\x","callbackId":"bad"}',
    b'{"event":"echo","payload":"\\u12g4","callbackId":"bad"}', b'{"event":"echo","payload":"a\nb","callbackId":"bad"}',
    b'{"event":"echo","payload":"\x01","callbackId":"bad"}', b"{'event':'echo','callbackId':'bad'}",
    b'{"event":"echo","payload":1,"callbackId":"bad",}', b'{"event":"echo","payload":1,"callbackId":"bad"}}',
    b'{"event":"echo","payload":1,"callbackId":"bad"} x', b'{"event":"echo" "payload":1,"callbackId":"bad"}',
    b'{"event":"echo","payload":1,"callbackId":"bad"', b'{"event":"echo","payload":,"callbackId":"bad"}',
    b'{"event":"echo","payload":1 2,"callbackId":"bad"}', b'[{"event":"echo","payload":1,"callbackId":"bad"}]',
]  # fmt: skip


def invalid_json(options):
    """A thousand messages that are no JSON, or no message, are dropped, and the log stays short."""
    bystanders = Bystanders(options.port)
    attacker = RawClient(options.port, "attacker")
    for number in range(1_000):
        attacker.socket.sendall(frame(TEXT if number % 2 else BINARY, INVALID[number % len(INVALID)]))
    for invalid in INVALID:
        attacker.send(invalid)
        attacker.alive()
    bystanders.undisturbed()
    size = os.path.getsize(options.log)
    assert size < 20_000, f"the log has {size} bytes"


CALLBACKS = [
    (json.dumps("a"), True), (json.dumps("a" * 64), True), (json.dumps("a" * 65), False),
    (json.dumps("👋" * 32, ensure_ascii=False), True), (json.dumps("👋" * 33, ensure_ascii=False), False),
    (json.dumps("👋" * 32), True), (json.dumps("👋" * 33), False), (json.dumps("ä" * 64, ensure_ascii=False), True),
    (json.dumps("\\" * 64), True), (json.dumps("\\" * 65), False), (json.dumps("\n" * 64), True),
    ('""', False), ("1", False), ("{}", False), ('["a"]', False), ("null", False), ("true", False),
]  # fmt: skip


def callback_ids(options):
    """A reply goes out for a string of 1 to 64 UTF-16 code units, and for nothing else."""
    client = RawClient(options.port, "client")
    for callback, answered in CALLBACKS:
        client.send(text("echo", '"x"', callback))
        if answered:
            reply = json.loads(client.message())
            assert reply == {"payload": "x", "callbackId": json.loads(callback)}, f"{reply} for {callback}"
        client.alive()


def binary(options):
    """A binary message is read as text; one that is no text is dropped."""
    client = RawClient(options.port, "client")
    for junk in (b"\xff\xfe", os.urandom(1_000), b"\0" * 100, b"\xed\xa0\x80"):
        client.socket.sendall(frame(BINARY, junk))
    client.socket.sendall(frame(BINARY, '{"event":"echo","payload":"ä","callbackId":"b"}'.encode()))
    client.expect('{"payload":"ä","callbackId":"b"}')
    client.socket.sendall(frame(BINARY, b'{"event":"echo","payload":"\xff","callbackId":"bad"}'))
    client.alive()


def nesting(options):
    """Deep nesting neither kills the server nor anybody's connection; what is answered is answered unchanged."""
    bystanders = Bystanders(options.port)
    attacker = RawClient(options.port, "attacker")
    for depth in (100, 10_000, 400_000):
        for opening, closing in (("[", "]"), ('{"a":', "}")):
            if depth * len(opening + closing) > 1_000_000:
                continue
            payload = opening * depth + "1" + closing * depth
            attacker.send(text("echo", payload, '"deep"'))
            attacker.send(text("command", f'{{"action":"toPlayer","toPlayerId":"attacker","msg":{payload}}}', '"deep"'))
            attacker.send(text("echo", "1", '"end"'))
            while (answer := attacker.message()) != '{"payload":1,"callbackId":"end"}':
                unchanged = payload in answer
                assert unchanged or len(answer) < 300, f"depth {depth}: {answer[:100]!r} of {len(answer)} characters"
            attacker.send(opening * depth)
            attacker.alive()
    assert attacker.request("echo", "[" * 100 + "]" * 100) == "[" * 100 + "]" * 100
    bystanders.undisturbed()


def huge_numbers(options):
    """Numbers that fit no type are passed on as they are."""
    bystanders = Bystanders(options.port)
    client = RawClient(options.port, "client")
    digits = "1234567890" * 40
    for number in ("1e400", "-1e-400", digits, f"-{digits}.{digits}e+{digits}", "1E400", "0.1e-999999999999"):
        assert client.request("echo", number) == number
        client.command("toPlayer", number, toPlayerId="victim")
        bystanders.victim.push("toPlayer", number)
    for key in ("toPlayerId", "roomId"):
        client.request("command", f'{{"action":"toPlayer","{key}":{digits},"msg":1}}')
    bystanders.undisturbed()


def lone_surrogates(options):
    """Escapes of half a character are passed on as they are, and are harmless in names."""
    bystanders = Bystanders(options.port)
    client = RawClient(options.port, "client")
    for value in (r'"\ud800"', r'"\udfff\ud800"', r'{"\ud800":"\udc00 x"}', r'"\ud83d\ude00"', r'"\uD83Dx\uDE00"'):
        assert client.request("echo", value) == value
        client.command("toPlayer", value, toPlayerId="victim")
        bystanders.victim.push("toPlayer", value)
    client.send(r'{"event":"\ud800","payload":"\udfff"}')
    client.send(r'{"event":"echo","payload":1,"callbackId":"\ud800"}')
    client.send(r'{"event":"joinRoom","payload":{"roomId":"\ud800","namespace":"\udc00"}}')
    client.send(text("echo", "1", '"end"'))
    while client.message() != '{"payload":1,"callbackId":"end"}':
        pass
    client.alive()
    bystanders.undisturbed()


def long_names(options):
    """Names of any length, and very many of them, are refused or kept within bounds."""
    bystanders = Bystanders(options.port)
    client = RawClient(options.port, "client")
    long = "x" * 100_000
    client.send(text(long, "1"))
    assert "error" in client.request("joinRoom", json.dumps({"roomId": long}))
    assert "error" in client.request("joinRoom", json.dumps({"roomId": "r", "namespace": long}))
    refused = 0
    for number in range(3_000):
        refused += "error" in client.request("joinRoom", f'{{"roomId":"{number}"}}')
    assert refused > 0, "one client is in 3,000 rooms"
    bystanders.undisturbed()


CASES = {f"event {name}": lambda options, name=name: event(name, options) for name in EVENTS} | {
    "invalid JSON": invalid_json,
    "callback ids": callback_ids,
    "binary": binary,
    "nesting": nesting,
    "huge numbers": huge_numbers,
    "lone surrogates": lone_surrogates,
    "long names": long_names,
}
