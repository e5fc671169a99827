"""usage: terminal.py CROSSSERVER   uses `crossserver connect` on a pseudo terminal, against a hostile server of its own

Prints "ok NAME" for each check that went well.
"""

import asyncio
import codecs
import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time

import websockets

WAIT = 30
# Erases the line, clears the screen, moves the cursor into a clear line, clears the title, beeps, and writes backwards.
HARMFUL = "\x1b[2J\x1b[H\x1b]0;title\x07\x9b31m\x7f\r\u202edlrow\u2028end"
ESCAPED = "\\u{1b}[2J\\u{1b}[H\\u{1b}]0;title\\u{7}\\u{9b}31m\\u{7f}\\u{d}\\u{202e}dlrow\\u{2028}end"
# What the command itself says to the terminal: a new line to draw on, the place of the cursor, a clear screen.
OWN = re.compile(r"\r\x1b\[K|\r\x1b\[[0-9]+C|\x1b\[2J\x1b\[H|\r\n")


class Terminal:
    def __init__(self, program, *arguments):
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.mode = termios.tcgetattr(self.slave)
        self.shown = ""
        self.decoder = codecs.getincrementaldecoder("utf-8")()
        self.process = subprocess.Popen(
            [program, "connect", *arguments], stdin=self.slave, stdout=self.slave, stderr=self.slave, close_fds=True,
            start_new_session=True,
        )
        os.set_blocking(self.master, False)

    def is_raw(self):
        return termios.tcgetattr(self.slave)[3] & (termios.ICANON | termios.ECHO | termios.ISIG) == 0

    def type(self, text):
        os.write(self.master, text.encode())

    def look(self):
        try:
            self.shown += self.decoder.decode(os.read(self.master, 1 << 16))
        except BlockingIOError:
            pass

    async def until(self, condition, what):
        end = time.monotonic() + WAIT
        while not condition():
            assert time.monotonic() < end, f"{what} did not come: {self.shown!r}"
            await asyncio.sleep(0.005)
            self.look()

    async def shows(self, text):
        await self.until(lambda: text in self.shown, repr(text))

    async def ends(self, status):
        await self.until(lambda: self.process.poll() is not None, "the end")
        self.look()
        assert self.process.returncode == status, f"ended with {self.process.returncode}: {self.shown!r}"
        assert termios.tcgetattr(self.slave) == self.mode, "the terminal is not as it was"
        harmful = [character for character in OWN.sub("", self.shown) if not character.isprintable()]
        assert not harmful, f"{harmful!r} in {self.shown!r}"


async def session(program, script, answer):
    """Runs `script` with a terminal and what the server has received."""
    received = []
    connections = []

    async def handle(connection):
        connections.append(connection)
        try:
            async for text in connection:
                received.append(text)
                await connection.send(answer(json.loads(text)) if text else "")
        except websockets.ConnectionClosedError:
            pass  # A close with another code than 1000.

    async with websockets.serve(handle, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        terminal = Terminal(program, f"ws://127.0.0.1:{port}")
        try:
            await terminal.shows("connected")
            await terminal.until(terminal.is_raw, "raw mode")
            await script(terminal, received, connections)
        finally:
            if terminal.process.poll() is None:
                terminal.process.kill()


async def keys(terminal, received, _):
    """Every key comes at once, is shown by the command itself, and a line can be changed before it is sent."""
    # A wrong letter, which is deleted; then the beginning of the line, and its end by the arrow.
    terminal.type("xcho [1,\x7f]")
    await terminal.shows("> xcho [1]")
    terminal.type("\x01\x1b[3~e\x1b[C\x05\r")
    await terminal.shows("< echo (")
    await terminal.shows("[1]")
    message = json.loads(received[-1])
    assert (message["event"], message["payload"]) == ("echo", [1]), received
    # The line before, by the arrow, with control-U instead of a backspace for each letter.
    terminal.type("\x1b[A\x15/history\r")
    await terminal.shows("  echo [1]")
    terminal.type("\x04")
    await terminal.ends(0)


async def interrupt(terminal, *_):
    """Control-C is a key: on an empty line it leaves."""
    terminal.type("\x03")
    await terminal.ends(0)


async def end_signal(terminal, *_):
    """A signal gives the terminal back, with a line half typed."""
    terminal.type("half")
    await terminal.shows("half")
    os.kill(terminal.process.pid, signal.SIGTERM)
    await terminal.ends(1)


async def harm(terminal, _, connections):
    """What the server says is shown, and moves, colours and clears nothing."""
    await connections[0].send(HARMFUL)
    await terminal.shows("< " + ESCAPED)
    # In an event: JSON must escape the control characters below the space, and no others.
    name = json.dumps("no\x1b[2Jtice")
    await connections[0].send('{"event":' + name + ',"payload":"a\x7f\x9b31m\u202e"}')
    await terminal.shows('* no\\u{1b}[2Jtice "a\\u{7f}\\u{9b}31m\\u{202e}"')
    terminal.type("ask 1\r")
    await terminal.shows("< ask (")
    await terminal.shows('"a\\u{9b}2J"')
    terminal.type("fail 1\r")
    await terminal.shows("< fail error: NO\\u{9b}: \\u{1b}[2J")
    await connections[0].close(1008, "by\x1b[2Je\x9b")
    await terminal.shows("closed: 1008 by\\u{1b}[2Je\\u{9b}")
    terminal.type("/quit\r")
    await terminal.ends(0)


def echo(message):
    return json.dumps({"payload": message["payload"], "callbackId": message["callbackId"]})


def harmful_answer(message):
    body = '"payload":"a\x9b2J"'
    if message["event"] == "fail":
        body = '"error":{"code":"NO\x9b","message":' + json.dumps("\x1b[2J") + "}"
    return "{" + body + ',"callbackId":' + json.dumps(message["callbackId"]) + "}"


async def main():
    program = sys.argv[1]
    for script, answer in [(keys, echo), (interrupt, echo), (end_signal, echo), (harm, harmful_answer)]:
        await session(program, script, answer)
        print("ok", script.__name__, flush=True)


asyncio.run(main())
