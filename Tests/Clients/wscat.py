"""usage: wscat.py URL   two people talk to each other through wscat, each at a terminal"""

import os
import pty
import re
import select
import signal
import sys
import time

WAIT = 20


class Terminal:
    """wscat on a pseudo terminal: it prints nothing useful into a pipe."""

    def __init__(self, url):
        self.output = ""
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM="dumb", NODE_PATH="/usr/share/nodejs")
            os.execvp("wscat", ["wscat", "-c", url])

    def type(self, line):
        os.write(self.terminal, line.encode() + b"\n")

    def expect(self, text):
        """Waits until `text` is shown, and forgets what was shown up to its end."""
        end = time.monotonic() + WAIT
        while text not in self.output:
            ready, _, _ = select.select([self.terminal], [], [], max(0, end - time.monotonic()))
            try:
                data = os.read(self.terminal, 65_536) if ready else b""
            except OSError:  # Linux reports the end of the other side of a terminal so.
                data = b""
            if not data:
                sys.exit(f"FAILED: waited {WAIT} s for {text!r}, the terminal shows {self.output!r}")
            self.output += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", data.decode(errors="replace")).replace("\r", "")
        self.output = self.output[self.output.index(text) + len(text) :]

    def close(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def main():
    url = sys.argv[1]
    ada, bob = Terminal(f"{url}/?id=ada"), Terminal(f"{url}/?id=bob")
    for person in (ada, bob):
        person.expect("Connected")
        person.type('{"event":"echo","payload":["ready"],"callbackId":"r"}')
        person.expect('< {"payload":["ready"],"callbackId":"r"}')
    ada.type('{"event":"say","payload":{"msg":"hello"},"callbackId":"1"}')
    ada.expect('< {"payload":{"msg":')
    ada.expect(',"callbackId":"1"}')
    ada.type('{"event":"command","payload":{"action":"toPlayer","toPlayerId":"bob","msg":"hi bob"}}')
    bob.expect('< {"event":"say","payload":{"action":"toPlayer","msg":"hi bob"}}')
    bob.type('{"event":"joinRoom","payload":{"roomId":"7"},"callbackId":"2"}')
    bob.expect('"members":1},"callbackId":"2"}')
    ada.type('{"event":"command","payload":{"action":"toRoom","roomId":"7","msg":"hi room"}}')
    bob.expect('< {"event":"say","payload":{"action":"toRoom","msg":"hi room"}}')
    bob.type('{"event":"command","payload":{"action":"broadcast","msg":"hi all"}}')
    for person in (ada, bob):
        person.expect('< {"event":"say","payload":{"action":"broadcast","msg":"hi all"}}')
    stranger = Terminal(url)
    stranger.expect('Disconnected (code: 4011, reason: "Auth failure")')
    other = Terminal(f"{url}/?id=ada")
    ada.expect("Disconnected (code: 4012")
    for person in (ada, bob, stranger, other):
        person.close()
    print("ok wscat")


main()
