#!/usr/bin/env python3
"""The chat's own program: serves the page, says who is who, who may enter which room and what may be said there.

    npm install && python3 server.py [PORT]

It needs nothing but Python. In the environment are TAIWA_AUTH__JWT__SECRETS, by which it signs tokens, and
TAIWA_WEBHOOKS__SECRETS, by which taiwa signs what it asks; TAIWA_URL if taiwa is not at http://127.0.0.1:8000.
"""

import base64
import hmac
import json
import os
import re
import sys
import time
from contextlib import suppress
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOMS = {"lobby": None, "kitchen": None, "staff": {"ada"}}  # who may enter; None is everyone
TEXT_MAX = 500
BODY_MAX = 64 * 1024
TOKEN_S, COOKIE_S, AGE_MAX_S = 10 * 60, 7 * 24 * 60 * 60, 5 * 60
TAIWA = os.environ.get("TAIWA_URL", "http://127.0.0.1:8000")
TOKENS = os.environ["TAIWA_AUTH__JWT__SECRETS"].encode()
WEBHOOKS = os.environ["TAIWA_WEBHOOKS__SECRETS"].encode()
HERE = Path(__file__).resolve().parent
FILES = {
    "/": ("page/index.html", "text/html"),
    "/page.css": ("page/page.css", "text/css"),
    "/page.js": ("page/page.js", "text/javascript"),
    "/centrifuge.mjs": ("node_modules/centrifuge/build/index.mjs", "text/javascript"),
}
POLICY = f"default-src 'self'; connect-src 'self' {TAIWA.replace('http', 'ws', 1)}; img-src data:"


def sign(text):
    return base64.urlsafe_b64encode(hmac.digest(TOKENS, text.encode(), "sha256")).rstrip(b"=").decode()


def make_token(user, audience, seconds):
    """Makes a JSON Web Token (HS256): for taiwa, and as this program's own cookie."""
    claims = {"sub": user, "aud": audience, "exp": int(time.time()) + seconds}
    parts = (base64.urlsafe_b64encode(json.dumps(it).encode()).rstrip(b"=").decode() for it in ({"alg": "HS256"}, claims))
    text = ".".join(parts)
    return f"{text}.{sign(text)}"


def user_of(cookies):
    """Returns whose the cookie is that make_token has made; None if there is no good one."""
    try:
        text, _, signature = SimpleCookie(cookies)["chat"].value.rpartition(".")
        if not hmac.compare_digest(sign(text).encode(), signature.encode()):
            return None
        part = text.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (CookieError, KeyError):
        return None
    return claims["sub"] if claims["aud"] == "page" and claims["exp"] > time.time() else None


def is_from_taiwa(headers, body):
    """Tells whether taiwa has signed a request, and just now (docs/webhooks.md)."""
    sent = headers.get("webhook-timestamp", "")
    if not sent.isdecimal() or abs(time.time() - int(sent)) > AGE_MAX_S:
        return False
    signed = f"{headers.get('webhook-id', '')}.{sent}.".encode() + body
    due = b"v1," + base64.b64encode(hmac.digest(WEBHOOKS, signed, "sha256"))
    return any(hmac.compare_digest(due, it.encode()) for it in headers.get("webhook-signature", "").split(" "))


def rooms_of(user):
    return [room for room, users in ROOMS.items() if users is None or user in users]


def decide(kind, data):
    """Answers what taiwa asks: may this user enter this room, and say this there?"""
    if data["channel"].removeprefix("room:") not in rooms_of(data["client"]["user"]):
        return {"error": {"message": "this room is not for you", "kind": "forbidden"}}
    if kind == "subscribe":
        return {"result": {}}
    said = data["payload"]["json"]
    text = said.get("text") if isinstance(said, dict) else None
    if not isinstance(text, str) or not text.strip():
        return {"error": {"code": 1000, "message": "say something"}}
    if len(text) > TEXT_MAX:
        return {"error": {"code": 1001, "message": f"{TEXT_MAX} characters at most"}}
    return {"result": {"payload": {"json": {"text": text.strip(), "at": int(time.time() * 1000)}}}}


class Chat(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self):
        if self.path in FILES:
            name, kind = FILES[self.path]
            return self.answer(200, (HERE / name).read_bytes(), f"{kind}; charset=utf-8")
        if self.path != "/session":
            return self.answer(404)
        user = user_of(self.headers.get("cookie", ""))
        if user is None:
            return self.answer(401)
        url = TAIWA.replace("http", "ws", 1) + "/connection/websocket"
        self.answer(200, {"user": user, "rooms": rooms_of(user), "url": url, "token": make_token(user, "chat", TOKEN_S)})

    def do_POST(self):
        length = self.headers.get("content-length", "")
        if not length.isdecimal() or int(length) > BODY_MAX:
            self.close_connection = True
            return self.answer(413)
        body = self.rfile.read(int(length))
        if self.path == "/taiwa":
            if not is_from_taiwa(self.headers, body):
                return self.answer(401)
            event = json.loads(body)
            return self.answer(200, decide(event["type"].split(".")[2], event["data"]))
        # Another site's page can't send JSON here without asking first, which nobody answers.
        if self.path != "/login" or self.headers.get("content-type") != "application/json":
            return self.answer(404)
        try:
            name = json.loads(body)["name"]
            if not re.fullmatch(r"[\w-]{1,24}", name):
                return self.answer(422)
        except (ValueError, KeyError, TypeError):
            return self.answer(400)
        # Yours asks for a password here.
        cookie = f"chat={make_token(name, 'page', COOKIE_S)}; Path=/; Max-Age={COOKIE_S}; HttpOnly; SameSite=Strict"
        self.answer(204, headers={"set-cookie": cookie})

    def answer(self, status, what=b"", kind="application/json", headers=None):
        body = what if isinstance(what, bytes) else json.dumps(what).encode()
        self.send_response(status)
        always = {"cache-control": "no-store", "content-security-policy": POLICY}
        for name, value in {"content-type": kind, "content-length": len(body), **always, **(headers or {})}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 3000), Chat)
    print(f"http://127.0.0.1:{server.server_port}/", flush=True)
    with suppress(KeyboardInterrupt):
        server.serve_forever()
