"""usage: redis-py.py PORT PASSWORD PROTOCOL

Publishes and subscribes with redis-py; prints "fine".
"""
import sys

import redis

port, password, protocol = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
options = dict(port=port, password=password, protocol=protocol, client_name="tester", health_check_interval=1)
client = redis.Redis(**options)
assert client.ping()
assert client.client_getname() in ("tester", b"tester")
assert client.info()["role"] == "master"
assert any(entry["name"] == "tester" for entry in client.client_list())
assert client.echo("hé") == "hé".encode()

subscriber = redis.Redis(**options).pubsub()
subscriber.subscribe("news", "ws:chat")
subscriber.psubscribe("n*")


def expect(*expected):
    while True:
        message = subscriber.get_message(timeout=30)
        assert message is not None, expected
        if message["type"] != "pong":
            break
    seen = (message["type"], message["channel"], message["data"])
    assert seen == expected, (seen, expected)


expect("subscribe", b"news", 1)
expect("subscribe", b"ws:chat", 2)
expect("psubscribe", b"n*", 3)
assert client.publish("news", b"\x00\xff\r\n") == 2
expect("message", b"news", b"\x00\xff\r\n")
expect("pmessage", b"news", b"\x00\xff\r\n")
large = b"x" * 3_000_000
assert client.publish("ws:chat", large) == 1
expect("message", b"ws:chat", large)
assert client.pubsub_numsub("news", "none") == [(b"news", 1), (b"none", 0)]
assert sorted(client.pubsub_channels()) == [b"news", b"ws:chat"]
assert client.pubsub_numpat() == 1
subscriber.ping()
subscriber.unsubscribe("ws:chat")
expect("unsubscribe", b"ws:chat", 2)
assert client.publish("ws:chat", "x") == 0

try:
    redis.Redis(port=port, password="wrong", protocol=protocol).ping()
except redis.exceptions.AuthenticationError:
    pass
else:
    raise AssertionError("a wrong password was taken")
try:
    client.get("key")
except redis.exceptions.ResponseError as error:
    assert "unknown command" in str(error)

# A subscriber whose connection was cut subscribes again.
assert client.client_kill_filter(_type="pubsub") == 1
while client.pubsub_numsub("news")[0][1] != 0:
    pass
expect("subscribe", b"news", 1)
expect("psubscribe", b"n*", 2)
client.publish("news", "again")
expect("message", b"news", b"again")
print("fine")
