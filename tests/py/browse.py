"""Opens a link in Debian's Chromium and tells in one line of JSON what a person would find there.

Stays on loopback. Nothing here judges: the Rust tests do.
"""

import argparse
import json
import socket
import threading

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # A name that is no loopback address: pages under it are no secure context over plain HTTP.
    "--host-resolver-rules=MAP page.test 127.0.0.1",
]
PHONE = {"width": 360, "height": 740}
DESK = {"width": 1200, "height": 900}


class Seen:
    """What pages asked for, said and tried."""

    def __init__(self, page):
        self.requests = []
        self.errors = []
        self.dialogs = []
        self.ranges = []
        self.bytes = 0
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self.console)
        page.on("dialog", self.dialog)
        page.on("response", self.response)
        page.on("requestfinished", self.finished)

    def console(self, message):
        if message.type == "error":
            self.errors.append(message.text)

    def dialog(self, dialog):
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def response(self, response):
        asked = response.request.headers.get("range")
        if asked:
            self.ranges.append([asked, response.status])

    def finished(self, request):
        sizes = request.sizes()
        self.bytes += sizes["responseBodySize"] + sizes["responseHeadersSize"]


def look(browser, options):
    """Widths, colours, accessibility, requests of the link's own page and of those named."""
    pages = []
    for colours in ("light", "dark"):
        for size in (DESK, PHONE):
            context = browser.new_context(color_scheme=colours, viewport=size)
            for rest in ["", *options.also]:
                page = context.new_page()
                seen = Seen(page)
                page.goto(options.url + rest, wait_until="networkidle")
                found = Axe().run(page).response["violations"]
                pages.append(
                    {
                        "rest": rest,
                        "colours": colours,
                        "width": size["width"],
                        "status": page.title(),
                        "overflows": page.evaluate("document.documentElement.scrollWidth - innerWidth"),
                        "ground": page.evaluate("getComputedStyle(document.body).backgroundColor"),
                        "heading": page.locator("h1").first.inner_text(),
                        "violations": [
                            {"id": v["id"], "impact": v["impact"], "nodes": [n["html"] for n in v["nodes"]][:3]}
                            for v in found
                        ],
                        "requests": seen.requests,
                        "errors": seen.errors,
                        "dialogs": seen.dialogs,
                        "bytes": seen.bytes,
                    }
                )
                page.close()
            context.close()
    return {"pages": pages}


def keys(browser, options):
    """Where the Tab key leads, one label after the other, and what the copy button copies, also without a secure context."""
    context = browser.new_context(viewport=DESK)
    page = context.new_page()
    page.goto(options.url, wait_until="networkidle")
    labels = []
    for _ in range(options.count):
        page.keyboard.press("Tab")
        labels.append(
            page.evaluate(
                "(e => e.getAttribute('aria-label') ?? (e.labels?.[0] ?? e).textContent.trim())(document.activeElement)"
            )
        )
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy link").click()
    page.get_by_text("Copied").first.wait_for()
    told = {"labels": labels, "copied": page.evaluate("navigator.clipboard.readText()")}
    plain = context.new_page()
    plain.goto(options.url.replace("127.0.0.1", "page.test"), wait_until="networkidle")
    told["secure"] = plain.evaluate("isSecureContext")
    plain.get_by_role("button", name="Copy link").click()
    plain.get_by_text("Copied").first.wait_for()
    page.bring_to_front()
    told["copied_plain"] = page.evaluate("navigator.clipboard.readText()")
    return told


def unlock(browser, options):
    """A link with a password: what is seen before it, after a wrong one, and after the right one, without JavaScript."""
    context = browser.new_context(java_script_enabled=False, viewport=PHONE)
    page = context.new_page()
    page.goto(options.url)
    told = {"before": page.locator("body").inner_text()}
    for password in ("wrong", options.password):
        page.get_by_label("Password", exact=True).fill(password)
        page.get_by_role("button", name="Open").click()
        told[password] = page.locator("main").inner_text()
    told["cookies"] = context.cookies()
    page.get_by_role("link", name=options.name, exact=True).click()
    told["preview"] = page.locator("main").inner_text()
    told["elsewhere"] = browser.new_page().goto(options.url).status
    page = browser.new_page()
    page.goto(options.url)
    found = Axe().run(page).response["violations"]
    told["violations"] = [{"id": v["id"], "impact": v["impact"]} for v in found]
    return told


def plain(browser, options):
    """Without JavaScript: from the link to a file's preview, and all of it downloaded."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(options.url)
    page.locator("summary", has_text="Pass it on").click()
    told = {"code_is_seen": page.locator(".qr svg").is_visible()}
    told["idle_buttons"] = page.locator("button:visible").count()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download all").click()
    download.value.save_as(options.into)
    told["suggested"] = download.value.suggested_filename
    wanted = page.locator("a.name", has_text=options.name)
    while wanted.count() == 0:
        page.get_by_role("link", name="Next").click()
    wanted.first.click()
    told["preview"] = page.locator("main").inner_text()
    return told


def wait(browser, options):
    """The page of a link that is still counted, until it has a magnet; then a download that is cut off once.

    The link is read from standard input when the browser is open, because counting does not wait for one.
    """
    page = browser.new_page()
    print(json.dumps({"type": "open"}), flush=True)
    url = input()
    page.goto(url)
    counted = page.locator("[data-state]").count() > 0
    relay = Relay(url)
    magnet = page.wait_for_selector('a[href^="magnet:"]', timeout=60_000).get_attribute("href")
    told = {"was_counted": counted, "magnet": magnet}
    page.goto(relay.url)
    with page.expect_download(timeout=60_000) as download:
        page.get_by_role("link", name="Download (").click()
    told["failure"] = download.value.failure()
    download.value.save_as(options.into)
    told["ranges"] = relay.ranges
    return told


def play(browser, options):
    """A film and a sound: each is set to a later moment, and shows or reaches it."""
    page = browser.new_page()
    seen = Seen(page)
    page.goto(f"{options.url}/v/film.webm", wait_until="networkidle")
    told = page.evaluate(
        """async () => {
            const film = document.querySelector("video");
            film.muted = true;
            const colour = async at => {
                const there = new Promise(done => film.addEventListener("seeked", done, { once: true }));
                film.currentTime = at;
                await there;
                const canvas = document.createElement("canvas");
                [canvas.width, canvas.height] = [film.videoWidth, film.videoHeight];
                const context = canvas.getContext("2d");
                context.drawImage(film, 0, 0);
                return Array.from(context.getImageData(10, 10, 1, 1).data);
            };
            return { seconds: film.duration, early: await colour(2), late: await colour(8) };
        }"""
    )
    page.goto(f"{options.url}/v/sound.wav", wait_until="networkidle")
    seen.ranges.clear()
    told["reached"] = page.evaluate(
        """async () => {
            const sound = document.querySelector("audio");
            const there = new Promise(done => sound.addEventListener("seeked", done, { once: true }));
            sound.currentTime = sound.duration * 0.9;
            await there;
            return sound.currentTime / sound.duration;
        }"""
    )
    told["ranges"] = seen.ranges
    page.goto(f"{options.url}/v/picture.png", wait_until="networkidle")
    told["picture"] = page.evaluate("document.querySelector('img.show').naturalWidth")
    told["errors"] = seen.errors
    return told


class Relay:
    """Passes bytes between a browser and a node, and cuts the first large answer off after 64 MiB."""

    CUT_BYTES = 64 << 20

    def __init__(self, url):
        host = url.split("/")[2]
        self.node = (host.rsplit(":", 1)[0], int(host.rsplit(":", 1)[1]))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = url.replace(host, f"127.0.0.1:{self.listener.getsockname()[1]}")
        self.ranges = []
        self.cut = False
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            browser, _ = self.listener.accept()
            node = socket.create_connection(self.node)
            threading.Thread(target=self.up, args=(browser, node), daemon=True).start()
            threading.Thread(target=self.down, args=(node, browser), daemon=True).start()

    def up(self, browser, node):
        for part in parts(browser):
            for line in part.split(b"\r\n"):
                if line.lower().startswith(b"range:"):
                    self.ranges.append(line.decode())
            node.sendall(part)
        end(node)

    def down(self, node, browser):
        passed = 0
        for part in parts(node):
            passed += len(part)
            try:
                browser.sendall(part)
            except OSError:
                break
            if passed > self.CUT_BYTES and not self.cut:
                self.cut = True
                break
        end(node)
        end(browser)


def parts(source):
    while True:
        try:
            part = source.recv(1 << 18)
        except OSError:
            return
        if not part:
            return
        yield part


def end(side):
    try:
        side.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["look", "keys", "plain", "wait", "play", "unlock"])
    parser.add_argument("--url")
    parser.add_argument("--also", action="append", default=[])
    parser.add_argument("--into")
    parser.add_argument("--name")
    parser.add_argument("--password")
    parser.add_argument("--count", type=int, default=8)
    options = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        told = globals()[options.what](browser, options)
        browser.close()
    print(json.dumps(told), flush=True)


main()
