"""usage: health.py PORT ready|unready [SUBSTRING…]   waits until /readyz of `crossserver serve --health-port` says so

The answer has to contain the substrings. Asks /healthz and /metrics too.
"""

import http.client
import sys
import time

PORT, STATE, *PARTS = sys.argv[1:]


def ask(path, method="GET"):
    connection = http.client.HTTPConnection("127.0.0.1", int(PORT), timeout=20)
    connection.request(method, path)
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    return response, body


end = time.monotonic() + 40
while True:
    response, body = ask("/readyz")
    if (response.status == 200) == (STATE == "ready") and all(part in body for part in PARTS):
        break
    assert time.monotonic() < end, (response.status, body)
    time.sleep(0.05)
assert response.status in (200, 503), response.status
assert body.startswith("ready\n") == (STATE == "ready"), body
assert response.headers["Cache-Control"] == "no-store"
assert ask("/readyz", "HEAD")[0].status == response.status
assert ask("/healthz")[0].status == 200
assert ask("/")[0].status == 404
response, body = ask("/metrics")
assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4"), response.headers
lines = body.splitlines()
assert "# TYPE crossserver_ready gauge" in lines and "# TYPE crossserver_client_messages_total counter" in lines, body
assert 'crossserver_ready{server="serverA"} ' + ("1.0" if STATE == "ready" else "0.0") in lines, body
