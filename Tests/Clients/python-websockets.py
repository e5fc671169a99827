"""usage: python-websockets.py [--deflate] URL CONVERSATION…   holds the conversations with the package `websockets`"""

import asyncio
import json
import pathlib
import sys
import traceback

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

VALUES = (pathlib.Path(__file__).parent / "json-values.txt").read_text().splitlines()
WAIT = 20
DEFLATE = "--deflate" in sys.argv


class Client:
    def __init__(self, connection):
        self.connection = connection
        self.requests = 0

    @classmethod
    async def open(cls, url, id):
        connection = await connect(f"{url}/?id={id}", compression="deflate" if DEFLATE else None, max_size=1 << 22)
        negotiated = connection.response.headers.get("Sec-WebSocket-Extensions", "")
        assert negotiated.startswith("permessage-deflate") == DEFLATE, f"extensions: {negotiated!r}"
        client = cls(connection)
        await client.request("echo", '"the id is bound now"')
        return client

    async def send(self, message):
        await self.connection.send(message)

    async def expect(self, text):
        async with asyncio.timeout(WAIT):
            found = await self.connection.recv()
        assert found == text, f"expected {text[:300]!r}, got {found[:300]!r}"

    async def ask(self, event, payload):
        self.requests += 1
        await self.send(f'{{"event":"{event}","payload":{payload},"callbackId":"{self.requests}"}}')

    async def reply(self):
        """The payload of the reply to the last `ask`, which must be the next message, as it was written."""
        async with asyncio.timeout(WAIT):
            text = await self.connection.recv()
        head, tail = '{"payload":', f',"callbackId":"{self.requests}"}}'
        assert text.startswith(head) and text.endswith(tail), f"no reply to {self.requests}: {text[:300]!r}"
        return text[len(head) : -len(tail)]

    async def request(self, event, payload):
        await self.ask(event, payload)
        return await self.reply()

    async def closed(self):
        async with asyncio.timeout(WAIT):
            await self.connection.wait_closed()
        return self.connection.close_code, self.connection.close_reason


def pushed(action, msg):
    return f'{{"event":"say","payload":{{"action":"{action}","msg":{msg}}}}}'


async def nothing_else(sender, receiver, id):
    await sender.request("command", f'{{"action":"toPlayer","toPlayerId":"{id}","msg":"fence"}}')
    await receiver.expect(pushed("toPlayer", '"fence"'))


async def echo(a, b, c, url):
    for value in VALUES:
        found = await a.request("echo", value)
        assert found == value, f"{value!r} came back as {found!r}"
    for size in (1, 125, 126, 65_535, 65_536, 900_000):
        text = '"' + ("0123456789abcdef" * (size // 16 + 1))[:size] + '"'
        assert await a.request("echo", text) == text, f"a text of {size} characters came back different"


async def replies(a, b, c, url):
    await a.send('{"event":"echo","payload":{"b":2,"a":1},"callbackId":"mwpq9f93-qrat-1"}')
    await a.expect('{"payload":{"b":2,"a":1},"callbackId":"mwpq9f93-qrat-1"}')
    await a.send('{"event":"echo","callbackId":"no payload"}')
    await a.expect('{"callbackId":"no payload"}')
    await a.send('{"event":"echo","payload":null,"callbackId":"null payload"}')
    await a.expect('{"payload":null,"callbackId":"null payload"}')
    assert "msg" in json.loads(await a.request("say", '{"msg":"hello"}'))


async def pipelined(a, b, c, url):
    for number in range(1_000):
        await a.send(f'{{"event":"echo","payload":{number},"callbackId":"p{number}"}}')
    for number in range(1_000):
        await a.expect(f'{{"payload":{number},"callbackId":"p{number}"}}')


async def rooms(a, b, c, url):
    async def members(client, event, payload):
        return json.loads(await client.request(event, payload))["members"]

    assert await members(a, "joinRoom", '{"roomId":"1"}') == 1
    assert await members(b, "joinRoom", '{"roomId":"1"}') == 2
    assert await members(b, "joinRoom", '{"roomId":"1","namespace":"game"}') == 1
    assert await members(a, "leaveRoom", '{"roomId":"1"}') == 1
    assert "error" in json.loads(await a.request("joinRoom", "{}"))
    assert "error" in json.loads(await a.request("leaveRoom", "null"))
    await b.connection.close()
    async with asyncio.timeout(WAIT):
        while await members(c, "joinRoom", '{"roomId":"1"}') != 1:
            pass


async def commands(a, b, c, url):
    await b.request("joinRoom", '{"roomId":"r","namespace":"n"}')
    await c.request("joinRoom", '{"roomId":"r","namespace":"n"}')
    for value in VALUES:
        await a.ask("command", f'{{"action":"broadcast","msg":{value}}}')
        for client in (a, b, c):
            await client.expect(pushed("broadcast", value))
        assert "msg" in json.loads(await a.reply())
    await a.request("command", '{"action":"toPlayer","toPlayerId":"b","msg":[1,null]}')
    await b.expect(pushed("toPlayer", "[1,null]"))
    await b.request("command", '{"action":"toPlayers","toPlayerIds":["a","c","nobody"],"msg":"ä"}')
    await a.expect(pushed("toPlayers", '"ä"'))
    await c.expect(pushed("toPlayers", '"ä"'))
    room = '"action":"toRoom","roomId":"r","namespace":"n"'
    await a.request("command", f'{{{room},"msg":{{"x":1}},"excludeSocketIds":["c"]}}')
    await b.expect(pushed("toRoom", '{"x":1}'))
    for payload in ('{"action":"dance","msg":1}', "5", "null", "[]"):
        assert "error" in json.loads(await a.request("command", payload)), payload
    for client, id in ((b, "b"), (c, "c")):
        await nothing_else(a, client, id)


async def noId(a, b, c, url):
    for path in ("", "/", "/?name=x"):
        connection = await connect(url + path)
        try:
            async with asyncio.timeout(WAIT):
                await connection.recv()
            raise AssertionError("a message instead of the close")
        except ConnectionClosed:
            found = (connection.close_code, connection.close_reason)
            assert found == (4011, "Auth failure"), found


async def sameId(a, b, c, url):
    second = await Client.open(url, "a")
    code, _ = await a.closed()
    assert code == 4012, code
    await b.request("command", '{"action":"toPlayer","toPlayerId":"a","msg":1}')
    await second.expect(pushed("toPlayer", "1"))
    await second.connection.close()


async def heartbeat(a, b, c, url):
    for _ in range(3):
        await a.send("")
        await a.expect("")


async def binary(a, b, c, url):
    await a.send('{"event":"echo","payload":"ä","callbackId":"binary"}'.encode())
    await a.expect('{"payload":"ä","callbackId":"binary"}')


async def fragments(a, b, c, url):
    text = '{"event":"echo","payload":"frägments 👋","callbackId":"fragments"}'
    for size in (1, 7, 40):
        await a.send(text[start : start + size] for start in range(0, len(text), size))
        await a.expect('{"payload":"frägments 👋","callbackId":"fragments"}')


async def pingPong(a, b, c, url):
    async with asyncio.timeout(WAIT):
        await (await a.connection.ping("are you there?"))


async def close(a, b, c, url):
    await a.connection.close(4001, "client manual close")
    assert a.connection.close_code == 4001, a.connection.close_code


async def main():
    url, *names = [argument for argument in sys.argv[1:] if argument != "--deflate"]
    failures = 0
    for name in names:
        clients = [await Client.open(url, id) for id in ("a", "b", "c")]
        try:
            await globals()[name](*clients, url)
            print("ok", name)
        except Exception:
            failures += 1
            print(f"FAILED {name}:", traceback.format_exc())
        for client in clients:
            await client.connection.close()
    sys.exit(1 if failures else 0)


asyncio.run(main())
