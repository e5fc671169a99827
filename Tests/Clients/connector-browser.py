"""usage: connector-browser.py script|module URL CONVERSATION…   our JavaScript client in headless Chromium"""

import base64
import hashlib
import http.server
import pathlib
import socket
import sys
import threading

from playwright.sync_api import sync_playwright

HERE = pathlib.Path(__file__).resolve().parent
CLIENT = HERE.parent.parent / "Clients" / "javascript"


class Pages(http.server.SimpleHTTPRequestHandler):
    extensions_map = http.server.SimpleHTTPRequestHandler.extensions_map | {".mjs": "text/javascript"}

    def translate_path(self, path):
        name = pathlib.PurePosixPath(path).name
        return str((CLIENT if name.startswith("websocket-connector.") else HERE) / name)

    def log_message(self, *arguments):
        pass


def serve_pages():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def handshake(connection):
    request = b""
    while b"\r\n\r\n" not in request:
        request += connection.recv(4096)
    key = next(line for line in request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key:"))
    key = key.split(b":")[1].strip()
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    connection.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )


def silent(connection):
    pass


def frozen(connection):
    handshake(connection)


def broken(connection):
    handshake(connection)
    connection.sendall(b"\xf3\x01x")


def serve_wrongly(behave):
    """A server that never reads what comes after the handshake, and never closes."""
    listener = socket.create_server(("127.0.0.1", 0))
    connections = []

    def run():
        while True:
            connection, _ = listener.accept()
            connections.append(connection)
            threading.Thread(target=behave, args=[connection], daemon=True).start()

    threading.Thread(target=run, daemon=True).start()
    return f"ws://127.0.0.1:{listener.getsockname()[1]}"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def main():
    form, url, *names = sys.argv[1:]
    options = {
        "url": url,
        "names": names,
        "values": (HERE / "json-values.txt").read_text().splitlines(),
        "nobody": f"ws://127.0.0.1:{free_port()}",
        "silent": serve_wrongly(silent),
        "frozen": serve_wrongly(frozen),
        "broken": serve_wrongly(broken),
    }
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page()
        errors = []
        page.on("pageerror", lambda error: errors.append(f"FAILED without an error in the page: {error}"))
        page.on("console", lambda message: print("console:", message.text, file=sys.stderr))
        page.goto(f"{serve_pages()}/connector-{form}.html")
        lines = page.evaluate("options => hold(options)", options) + errors
        browser.close()
    print("\n".join(lines))
    sys.exit(0 if all(line.startswith("ok ") for line in lines) else 1)


main()
