#!/usr/bin/env python3
"""The server part of the telemetry: serves the page, knows which devices are there and since when, passes orders on to them.

    python3 server.py [PORT]

It needs nothing but Python. In the environment are TAIWA_AUTH__JWT__SECRETS, by which it signs tokens, TAIWA_API__KEYS, by which it
speaks to taiwa, TAIWA_WEBHOOKS__SECRETS, by which taiwa signs what it tells, and OPERATOR_PASSWORD, for the page; TAIWA_URL if taiwa is
not at http://127.0.0.1:8000, and FLEET_FILE if fleet.json is not the place to remember the devices.
"""

import base64
import hmac
import json
import os
import sys
import threading
import time
from http.client import HTTPException
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import Request, urlopen

BODY_MAX, DEVICES_MAX, EVERY_MAX_S = 64 * 1024, 1000, 3600  # taiwa.toml says how many a page may hear; a batch has 1000 commands
COOKIE_S, AGE_MAX_S, LOOK_EVERY_S = 12 * 60 * 60, 5 * 60, 10
ORDERS, NOTICES, OPERATOR = "order:#", "fleet:#operator", "operator"
TAIWA = os.environ.get("TAIWA_URL", "http://127.0.0.1:8000")
TOKENS, KEY = os.environ["TAIWA_AUTH__JWT__SECRETS"].encode(), os.environ["TAIWA_API__KEYS"]
WEBHOOKS, PASSWORD = os.environ["TAIWA_WEBHOOKS__SECRETS"].encode(), os.environ["OPERATOR_PASSWORD"].encode()
FLEET = Path(os.environ.get("FLEET_FILE", "fleet.json"))
PAGE = Path(__file__).resolve().parent / "page"
FILES = {"/": ("index.html", "text/html"), "/page.css": ("page.css", "text/css"), "/page.js": ("page.js", "text/javascript")}
POLICY = f"default-src 'self'; connect-src 'self' {TAIWA}; img-src data:"


def sign(text):
    return base64.urlsafe_b64encode(hmac.digest(TOKENS, text.encode(), "sha256")).rstrip(b"=").decode()


def make_token(user):
    """Makes a JSON Web Token (HS256): the page's cookie, which taiwa takes, too."""
    claims = {"sub": user, "aud": "telemetry", "exp": int(time.time()) + COOKIE_S}
    parts = (base64.urlsafe_b64encode(json.dumps(it).encode()).rstrip(b"=").decode() for it in ({"alg": "HS256"}, claims))
    text = ".".join(parts)
    return f"{text}.{sign(text)}"


def user_of(cookies):
    """Returns whose the cookie is that make_token has made; None if there is no good one."""
    try:
        text, _, signature = SimpleCookie(cookies)["telemetry"].value.rpartition(".")
        if not hmac.compare_digest(sign(text).encode(), signature.encode()):
            return None
        part = text.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (CookieError, KeyError):
        return None
    return claims["sub"] if claims["exp"] > time.time() else None


def is_from_taiwa(headers, body):
    """Tells whether taiwa has signed a request, and just now (docs/webhooks.md)."""
    sent = headers.get("webhook-timestamp", "")
    if not sent.isdecimal() or abs(time.time() - int(sent)) > AGE_MAX_S:
        return False
    signed = f"{headers.get('webhook-id', '')}.{sent}.".encode() + body
    due = b"v1," + base64.b64encode(hmac.digest(WEBHOOKS, signed, "sha256"))
    return any(hmac.compare_digest(due, it.encode()) for it in headers.get("webhook-signature", "").split(" "))


def order(command, **what):
    """Gives taiwa an order over its HTTP API (docs/api.md). An OSError is all that can go wrong."""
    headers = {"x-api-key": KEY, "content-type": "application/json"}
    try:
        with urlopen(Request(f"{TAIWA}/api/v1/{command}", json.dumps(what).encode(), headers), timeout=5) as answer:
            return json.load(answer)
    except (HTTPException, ValueError) as error:  # it ended in the middle of its answer
        raise OSError(error) from error


def show(devices):
    """Subscribes all pages to devices: each page hears the last values first. A page that hears a device already stays as it is."""
    subscribe = [{"subscribe": {"user": OPERATOR, "channel": f"device:#{it}"}} for it in devices]
    order("batch", commands=subscribe)


fleet = json.loads(FLEET.read_text()) if FLEET.exists() else {}  # {"pump7": {"online": false, "since": 1790000000.0}}
woken = threading.Event()


def look():
    """Sees which devices are there, and tells the pages what is new. A webhook only says that there is something to see: so what was
    missed while this program or taiwa was not running is made up for by the next look."""
    there = {it["channel"].removeprefix(ORDERS) for it in order("channels", prefix=ORDERS, limit=10_000)["channels"]}
    for device in sorted(there | fleet.keys()):
        known, state = fleet.get(device), {"online": device in there, "since": time.time()}
        if known and known["online"] == state["online"] or not known and len(fleet) >= DEVICES_MAX:
            continue
        if not known:
            show([device])
        order("publish", channel=NOTICES, data={"device": device, **state})
        fleet[device] = state
        FLEET.with_suffix(".new").write_text(json.dumps(fleet))
        FLEET.with_suffix(".new").replace(FLEET)


def keep_looking():
    while True:
        woken.clear()
        try:
            look()
        except OSError as error:
            print(f"taiwa: {error}", flush=True)
        woken.wait(LOOK_EVERY_S)


class Telemetry(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self):
        if self.path not in FILES:
            return self.answer(404)
        name, kind = FILES[self.path]
        self.answer(200, (PAGE / name).read_bytes(), f"{kind}; charset=utf-8")

    def do_POST(self):
        length = self.headers.get("content-length", "")
        if not length.isdecimal() or int(length) > BODY_MAX:
            self.close_connection = True
            return self.answer(413)
        body = self.rfile.read(int(length))
        if self.path == "/taiwa":
            if not is_from_taiwa(self.headers, body):
                return self.answer(401)
            woken.set()
            return self.answer(204)
        # Another site's page can't send JSON here without asking first, which nobody answers.
        if self.headers.get("content-type") != "application/json":
            return self.answer(415)
        try:
            self.said(dict(json.loads(body)))
        except (ValueError, TypeError):
            self.answer(400)
        except OSError:
            self.answer(503)  # taiwa does not answer

    def said(self, said):
        if self.path == "/login":
            if not hmac.compare_digest(str(said.get("password")).encode(), PASSWORD):
                return self.answer(403)
            cookie = f"telemetry={make_token(OPERATOR)}; Path=/; Max-Age={COOKIE_S}; HttpOnly; SameSite=Strict"
            return self.answer(204, headers={"set-cookie": cookie})
        if user_of(self.headers.get("cookie", "")) != OPERATOR:
            return self.answer(401)
        if self.path == "/session":
            return self.answer(200, {"url": f"{TAIWA}/sse", "notices": NOTICES})
        if self.path == "/devices":
            show(list(fleet))
            return self.answer(200, dict(fleet))
        device, every = said.get("device"), said.get("every")
        if self.path != "/orders" or device not in fleet or type(every) is not int or not 1 <= every <= EVERY_MAX_S:
            return self.answer(422)
        order("publish", channel=ORDERS + device, data={"every": every})
        self.answer(204)

    def answer(self, status, what=b"", kind="application/json", headers=None):
        body = what if isinstance(what, bytes) else json.dumps(what).encode()
        always = {"cache-control": "no-store", "content-security-policy": POLICY, "x-content-type-options": "nosniff"}
        self.send_response(status)
        for name, value in {"content-type": kind, "content-length": len(body), **always, **(headers or {})}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    def handle_error(self, request, address):
        # A page that went before it had its answer is nothing to complain about.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, address)


if __name__ == "__main__":
    server = Server(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 3000), Telemetry)
    print(f"http://127.0.0.1:{server.server_port}/", flush=True)
    threading.Thread(target=keep_looking, daemon=True).start()
    server.serve_forever()
