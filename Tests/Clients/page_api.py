"""usage: page_api.py PORT demo|serve   asks the HTTP side of `crossserver demo` or `crossserver serve --page`

Prints "ok NAME" for each check that went well.
"""

import http.client
import json
import sys
import time

PORT = int(sys.argv[1])
HERE = f"127.0.0.1:{PORT}"
WEBSOCKET = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def ask(method, path, headers={}, port=PORT):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(method, path, headers=headers)
    response = connection.getresponse()
    body = b"" if response.status == 101 else response.read()
    connection.close()
    return response, body


def status(*arguments, **options):
    return ask(*arguments, **options)[0].status


def nodes():
    return {node["name"]: node for node in json.loads(ask("GET", "/api/nodes")[1])}


def wait_for(name, state):
    end = time.monotonic() + 30
    while nodes()[name]["state"] != state:
        assert time.monotonic() < end, f"{name} is {nodes()[name]['state']}, not {state}"
        time.sleep(0.05)


def files():
    for path in ("/", "/page.js", "/style.css", "/websocket-connector.js"):
        response, body = ask("GET", path)
        assert response.status == 200 and len(body) > 500, (path, response.status, len(body))
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert status("HEAD", path) == 200
    assert status("GET", "/etc/passwd") == 404
    assert status("GET", "/..%2fPackage.swift") == 404


def health():
    assert status("GET", "/healthz") == 200
    response, body = ask("GET", "/readyz")
    assert (response.status, body) == (200, b"ready\n"), (response.status, body)


def noControl():
    """A server alone shows itself, and cannot be stopped from a page."""
    assert [node["actions"] for node in nodes().values()] == [[]]
    assert status("POST", "/api/nodes/serverA/stop") == 404


def otherPages():
    """Pages from elsewhere can neither control the servers nor become their clients."""
    own = {"Host": HERE}
    for headers in (
        {"Origin": "http://elsewhere.example"},
        {"Origin": "http://localhost:1"},
        {"Origin": "null"},
        {"Origin": f"https://{HERE}"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        # A name of theirs that points here.
        {"Host": f"elsewhere.example:{PORT}", "Origin": f"http://elsewhere.example:{PORT}"},
        {"Host": f"elsewhere.example:{PORT}"},
    ):
        assert status("POST", "/api/nodes/serverB/stop", own | headers) == 403, headers
        assert status("GET", "/api/nodes", own | headers) == 403, headers
    for node in nodes().values():
        port = int(node["url"].split(":")[2].strip("/"))
        for origin in ("http://elsewhere.example", "http://127.0.0.1.elsewhere.example", "null"):
            assert status("GET", "/?id=evil", WEBSOCKET | {"Origin": origin}, port) == 403, origin
        assert status("GET", "/?id=good", WEBSOCKET | {"Origin": f"http://localhost:{PORT}"}, port) == 101
    assert all(node["state"] == "running" for node in nodes().values())


def control():
    page = {"Origin": f"http://{HERE}", "Sec-Fetch-Site": "same-origin"}
    assert status("POST", "/api/nodes/serverB/dance", page) == 404
    assert status("POST", "/api/nodes/serverX/stop", page) == 404
    assert status("GET", "/api/nodes/serverB/stop") in (404, 405)
    assert status("POST", "/api/nodes/serverB/start", page) == 409
    for name in nodes():
        for action, state in (("stop", "stopped"), ("kill", "killed")):
            url = nodes()[name]["url"]
            response, body = ask("POST", f"/api/nodes/{name}/{action}", page)
            assert response.status == 200 and json.loads(body)["name"] == name, (response.status, body)
            wait_for(name, state)
            assert status("POST", f"/api/nodes/{name}/{action}", page) == 409
            if name == "serverA":
                assert status("GET", "/?id=a", WEBSOCKET) == 503
            assert status("GET", "/") == 200
            assert status("GET", "/readyz") == 200
            assert status("POST", f"/api/nodes/{name}/start", page) == 200
            wait_for(name, "running")
            assert nodes()[name]["url"] == url


CHECKS = {"demo": [files, health, otherPages, control], "serve": [files, health, noControl]}
for check in CHECKS[sys.argv[2]]:
    check()
    print("ok", check.__name__)
