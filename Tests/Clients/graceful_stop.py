"""usage: graceful_stop.py PORT PID SIGNAL   asks a server with clients to stop, and watches how it goes"""

import os
import sys
import time

from raw_client import CLOSE, RawClient, close_body, dial, frame, upgrade


def main():
    port, pid, signal = map(int, sys.argv[1:])
    polite = [RawClient(port, f"client-{number}") for number in range(20)]
    for client in polite:
        client.alive()
    silent = RawClient(port, "silent")
    silent.alive()
    unfinished = dial(port)
    unfinished.sendall(upgrade()[:-2])
    started = time.monotonic()
    os.kill(pid, signal)
    for client in polite + [silent]:
        opcode, payload = client.read_frame()
        assert opcode == CLOSE and payload[:2] == close_body(1001), (opcode, payload)
        if client is not silent:
            client.socket.sendall(frame(CLOSE, payload[:2]))
            assert not client.receive(), "bytes after the close frame"
    try:
        late = dial(port)
        late.sendall(upgrade("/?id=late"))
        answer = late.recv(100)
        assert not answer.startswith(b"HTTP/1.1 101"), "a new client was taken while the server stops"
    except ConnectionError:
        pass  # The server does not listen any more.
    for connection in (silent.socket, unfinished):
        try:
            while connection.recv(1_000):
                pass
        except ConnectionResetError:
            pass  # Cut: as it should be.
    seconds = time.monotonic() - started
    assert seconds < 25, f"stopping took {seconds} s"


main()
