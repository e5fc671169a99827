"""usage: browser.py URL CONVERSATION…   holds the conversations in a page of headless Chromium"""

import pathlib
import sys

from playwright.sync_api import sync_playwright

HERE = pathlib.Path(__file__).parent


def two_pages(context, url):
    """Two pages talk to each other, and each shows what it got."""
    pages = {}
    for name in ("ada", "bob"):
        pages[name] = context.new_page()
        pages[name].goto((HERE / "browser.html").as_uri())
        pages[name].evaluate("url => connect(url)", f"{url}/?id={name}")
    for sender, receiver in (("ada", "bob"), ("bob", "ada")):
        command = {"action": "toPlayer", "toPlayerId": receiver, "msg": f"Grüße von {sender} 👋"}
        pages[sender].evaluate(
            "command => socket.send(JSON.stringify({ event: 'command', payload: command }))", command
        )
        expected = f'{{"event":"say","payload":{{"action":"toPlayer","msg":"Grüße von {sender} 👋"}}}}'
        pages[receiver].locator("#log li").get_by_text(expected, exact=True).wait_for(timeout=20_000)
    for page in pages.values():
        count = page.locator("#log li").count()
        assert count == 1, f"one message expected, {count} shown"


def main():
    url, *names = sys.argv[1:]
    values = (HERE / "json-values.txt").read_text().splitlines()
    lines = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        context = browser.new_context()
        if "twoPages" in names:
            names.remove("twoPages")
            try:
                two_pages(context, url)
                lines.append("ok twoPages")
            except Exception as error:
                lines.append(f"FAILED twoPages: {error}")
        page = context.new_page()
        page.on("console", lambda message: print("console:", message.text, file=sys.stderr))
        page.goto((HERE / "browser.html").as_uri())
        lines += page.evaluate("([url, values, names]) => hold(url, values, names)", [url, values, names])
        browser.close()
    print("\n".join(lines))
    sys.exit(0 if all(line.startswith("ok ") for line in lines) else 1)


main()
