"""usage: page.py URL SCENARIO… [--screenshots FOLDER]   uses the page of `crossserver demo` in headless Chromium

Prints "ok SCENARIO" for each that went well, and "FAILED …" for the others. The page must not write an error to the
console, nor load anything from elsewhere.
"""

import argparse
import pathlib
import re
import sys
import traceback
import urllib.parse

from playwright.sync_api import expect, sync_playwright

WAIT = 20_000
NAMES = ("ada", "bob", "cleo")
expect.set_options(timeout=WAIT)


class Page:
    """The page with a client on each server: ada on the first, bob on the second, cleo on the third."""

    def __init__(self, browser, url, names=NAMES, **options):
        self.names = names
        self.context = browser.new_context(reduced_motion="reduce", **options)
        self.page = self.context.new_page()
        self.problems = []
        origin = urllib.parse.urlsplit(url).netloc
        self.page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        self.page.on("console", self.said)
        self.page.on("request", lambda request: self.requested(request, origin))
        self.page.goto(f"{url}?ids={','.join(names)}")

    def said(self, message):
        # The browser tells of connections and requests that fail while a server is away.
        if message.type == "error" and not re.search("WebSocket connection to|Failed to load resource", message.text):
            self.problems.append(f"console: {message.text}")

    def requested(self, request, origin):
        parts = urllib.parse.urlsplit(request.url)
        if parts.scheme not in ("data", "ws") and parts.netloc != origin:
            self.problems.append(f"loads {request.url}")

    def card(self, name):
        return self.page.locator(".node").nth(self.names.index(name))

    def status(self, name):
        return self.card(name).locator(".status-text")

    def all_connected(self):
        for name in self.names:
            expect(self.status(name)).to_have_text("connected")

    def join(self, name, room):
        self.card(name).get_by_label("Room", exact=True).fill(room)
        self.card(name).get_by_role("button", name="Join").click()
        expect(self.card(name).get_by_role("button", name=f"Leave {room}")).to_be_visible()

    def leave(self, name, room):
        self.card(name).get_by_role("button", name=f"Leave {room}").click()
        expect(self.card(name).locator(".chip")).to_have_count(0)

    def say(self, name, text, scope="everyone", target=None):
        composer = self.page.locator("#composer")
        composer.get_by_label(name, exact=True).check(force=True)
        composer.get_by_label(scope, exact=True).check(force=True)
        if target is not None:
            self.page.locator("#target").fill(target)
        self.page.get_by_label("Message", exact=True).fill(text)
        self.page.get_by_role("button", name="Send").click()

    def is_heard_by(self, text, *names):
        """Waits until the message has come to these; who else has got it is seen when a later one has come."""
        message = self.page.locator(".message").filter(has_text=text)
        expect(message).to_have_count(1)
        for name in names:
            expect(message.locator(".receipt.got").filter(has_text=name)).to_have_count(1)
        return message

    def was_heard_only_by(self, text, *names):
        self.say(self.names[0], f"fence after {text}")
        self.is_heard_by(f"fence after {text}", *self.names)
        message = self.page.locator(".message").filter(has=self.page.locator(".text").get_by_text(text, exact=True))
        expect(message.locator(".receipt.got")).to_have_count(len(names))

    def control(self, name, action):
        self.card(name).get_by_role("button", name=re.compile(f"^{action} ")).click()

    def find(self, who, button, expected):
        self.page.locator("#find-id").fill(who)
        self.page.locator("#find").get_by_role("button", name=button).click()
        expect(self.page.locator("#find-result")).to_contain_text(expected)

    def close(self):
        self.context.close()
        assert not self.problems, self.problems


def chat(page):
    """A message for all reaches the clients of all servers, and shows what it is, not what it says it is."""
    text = "Grüße <b>an</b> alle <img src=x onerror=alert(1)> 👋"
    page.say("ada", text)
    page.is_heard_by(text, *page.names)
    assert page.page.locator(".message b, .message img").count() == 0, "a message was read as HTML"


def room(page):
    page.join("ada", "lobby")
    page.join("cleo", "lobby")
    page.say("bob", "to the lobby", "a room", "lobby")
    page.is_heard_by("to the lobby", "ada", "cleo")
    page.was_heard_only_by("to the lobby", "ada", "cleo")
    page.leave("cleo", "lobby")
    page.say("bob", "once more", "a room", "lobby")
    page.was_heard_only_by("once more", "ada")


def direct(page):
    page.say("ada", "for bob", "one", "bob")
    page.say("bob", "for two", "several", "ada, cleo")
    page.is_heard_by("for bob", "bob")
    page.is_heard_by("for two", "ada", "cleo")
    page.was_heard_only_by("for bob", "bob")
    page.was_heard_only_by("for two", "ada", "cleo")


def cluster(page):
    rows = page.page.locator("#servers tr")
    expect(rows).to_have_count(3)
    for index, name in enumerate(("serverA", "serverB", "serverC")):
        expect(rows.nth(index)).to_contain_text(name)
    for name in page.names:
        expect(page.card(name).locator(".rtt")).to_contain_text(" ms")


def whereIs(page):
    page.find("cleo", "Find", "cleo is on serverC")
    page.find("nobody", "Find", "nobody is nowhere")


def kick(page):
    page.find("bob", "Kick", "bob was disconnected")
    expect(page.status("bob")).to_contain_text("4010")
    page.card("bob").get_by_role("button", name="Log in").click()
    page.all_connected()


def presence(page):
    members = page.page.locator("#members .member")
    page.page.locator("#watch-room").fill("garden")
    page.page.get_by_role("button", name="Watch").click()
    expect(page.page.locator("#presence-count")).to_have_text("garden: 0")
    page.join("bob", "garden")
    expect(members).to_have_text(["bob serverB"])
    page.join("cleo", "garden")
    expect(members).to_have_text(["bob serverB", "cleo serverC"])
    page.page.get_by_role("button", name="Count").click()
    expect(page.page.locator("#watch-result")).to_contain_text("2 in garden")
    page.leave("bob", "garden")
    expect(members).to_have_text(["cleo serverC"])
    page.leave("cleo", "garden")
    expect(page.page.locator("#presence-count")).to_have_text("garden: 0")


def question(page):
    page.page.locator("#ask-id").fill("bob")
    page.page.locator("#ask-text").fill("Tea or coffee?")
    page.page.get_by_role("button", name="Ask").click()
    form = page.card("bob").locator(".question")
    expect(form).to_contain_text("Tea or coffee?")
    form.get_by_label("Tea or coffee?").fill("tea")
    form.get_by_role("button", name="Answer").click()
    expect(page.page.locator("#ask-result")).to_have_text("bob answers: tea")


def goes_and_comes(page, name, action, state):
    """Its client comes back by itself, into its room too; meanwhile the others talk."""
    page.join(name, "shelter")
    page.control(name, action)
    expect(page.card(name).locator(".node-state")).to_have_text(state)
    expect(page.status(name)).to_contain_text("reconnecting")
    others = [other for other in page.names if other != name]
    page.say(others[0], f"without {name} after {action}")
    page.is_heard_by(f"without {name} after {action}", *others)
    page.control(name, "Start")
    page.all_connected()
    expect(page.card(name).locator(".node-state")).to_have_text("running")
    expect(page.page.locator("#overall")).to_have_text("3 of 3 connected")
    page.say(others[1], f"welcome back after {action}", "a room", "shelter")
    page.is_heard_by(f"welcome back after {action}", name)
    page.leave(name, "shelter")


def killAndRestart(page):
    goes_and_comes(page, "cleo", "Kill", "killed")


def stopAndRestart(page):
    goes_and_comes(page, "bob", "Stop", "stopped")


def killThePagesOwnServer(page):
    """The page's port lives on when the server on it does not."""
    goes_and_comes(page, "ada", "Kill", "killed")


def keyboard(page):
    """All of it can be used without a mouse."""
    page.page.locator("body").press("Tab")
    expect(page.page.locator(".skip")).to_be_focused()
    page.page.locator("#text").focus()
    page.page.keyboard.type("typed only")
    page.page.keyboard.press("Enter")
    page.is_heard_by("typed only", *page.names)
    expect(page.page.locator("#text")).to_be_focused()
    page.page.locator("[name=scope]:checked").focus()
    page.page.keyboard.press("ArrowRight")
    expect(page.page.locator("[value=toRoom]")).to_be_checked()
    page.page.keyboard.press("ArrowLeft")


def single(page):
    """The page of `crossserver serve --page`."""
    expect(page.page.locator(".node")).to_have_count(1)
    assert page.page.locator(".actions button").count() == 0, "a server alone cannot be controlled"
    page.join("ada", "lobby")
    page.say("ada", "to myself", "a room", "lobby")
    page.is_heard_by("to myself", "ada")


def fits(page):
    """Nothing is wider than the window."""
    width = page.page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert width[0] <= width[1], f"{width[0]} px in a window of {width[1]} px"


def screenshots(browser, url, folder):
    folder.mkdir(parents=True, exist_ok=True)
    looks = {
        "light": {"color_scheme": "light", "viewport": {"width": 1280, "height": 900}},
        "dark": {"color_scheme": "dark", "viewport": {"width": 1280, "height": 900}},
        "phone": {"color_scheme": "light", "viewport": {"width": 390, "height": 844}, "device_scale_factor": 2},
        "phone-dark": {"color_scheme": "dark", "viewport": {"width": 390, "height": 844}, "device_scale_factor": 2},
    }
    for look, options in looks.items():
        page = Page(browser, url, **options)
        page.all_connected()
        fits(page)
        if look == "light":
            page.page.screenshot(path=folder / "empty.png", full_page=True)
        for name in ("ada", "cleo"):
            page.join(name, "lobby")
        page.say("ada", "Hello from serverA. Who hears me?")
        page.is_heard_by("Hello from serverA", *page.names)
        page.say("bob", "Only for the lobby", "a room", "lobby")
        page.is_heard_by("Only for the lobby", "ada", "cleo")
        page.say("cleo", "Psst, bob: a long message that has to be broken over more than one line to be read, " * 2, "one", "bob")
        page.page.locator("#find-id").fill("bob")
        page.page.get_by_role("button", name="Find").click()
        page.control("bob", "Kill")
        expect(page.status("bob")).to_contain_text("reconnecting")
        page.page.wait_for_timeout(4_500)
        page.page.screenshot(path=folder / f"{look}.png", full_page=True)
        fits(page)
        page.control("bob", "Start")
        page.all_connected()
        page.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("scenarios", nargs="*")
    parser.add_argument("--screenshots", type=pathlib.Path)
    arguments = parser.parse_args()
    failed = False
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        for name in arguments.scenarios:
            try:
                page = Page(browser, arguments.url, NAMES[:1] if name == "single" else NAMES)
                page.all_connected()
                globals()[name](page)
                fits(page)
                page.close()
                print(f"ok {name}", flush=True)
            except Exception:
                failed = True
                print(f"FAILED {name}", flush=True)
                traceback.print_exc()
        if arguments.screenshots:
            screenshots(browser, arguments.url, arguments.screenshots)
        browser.close()
    sys.exit(1 if failed else 0)


main()
