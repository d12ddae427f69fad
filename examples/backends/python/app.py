#!/usr/bin/env python3
"""A program behind taiwa's webhooks: who may come in, hear and say what. It needs nothing but Python.

    WEBHOOK_SECRET='shared with taiwa, 24 bytes or more' python3 app.py 3000

docs/webhooks.md explains what comes and what may be answered.
"""

import base64
import hashlib
import hmac
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BODY_MAX = 16 * 1024 * 1024
AGE_MAX = 5 * 60  # seconds
TOKENS = {"ada's token": "ada", "bob's token": "bob"}  # yours come from a database


def key(secret):
    if secret.startswith("whsec_"):
        return base64.b64decode(secret.removeprefix("whsec_"))
    return secret.encode()


def is_signed(secret, headers, body):
    """Tells whether a request comes from whoever has the secret, and just now."""
    id, sent = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not sent.isdecimal() or abs(time.time() - int(sent)) > AGE_MAX:
        return False
    digest = hmac.new(key(secret), f"{id}.{sent}.".encode() + body, hashlib.sha256).digest()
    expected = b"v1," + base64.b64encode(digest)
    given = headers.get("webhook-signature", "").encode().split(b" ")
    return any(hmac.compare_digest(expected, it) for it in given)


def connect(data):
    user = TOKENS.get(data.get("token"))
    if user is None:
        return {"error": {"message": "who are you?", "kind": "unauthorized"}}
    if user == "bob":
        return {"disconnect": {"code": 4001, "reason": "bob is banned"}}
    channels = {f"news:{user}": {}}
    return {"result": {"user": user, "info": {"name": user.title()}, "channels": channels, "expires_in": 3600}}


def refresh(data):
    return {"result": {"user": data["client"].get("user", ""), "expires_in": 3600}}


def subscribe(data):
    if data["channel"].startswith("secret:") and data["client"].get("user") != "ada":
        return {"error": {"message": "not for you", "kind": "forbidden"}}
    return {"result": {}}


def publish(data):
    if "json" not in data["payload"]:
        return {"result": {}}  # text and bytes, as they are
    said = data["payload"]["json"]
    if not isinstance(said, dict):
        return {"error": {"code": 1000, "message": "say it as an object"}}
    return {"result": {"payload": {"json": {**said, "by": data["client"].get("user")}}}}


def call(data):
    if data["method"] != "add":
        return {"error": {"message": "no such method", "kind": "not_found"}}
    return {"result": {"payload": {"json": sum(data["payload"]["json"])}}}


DECIDES = {"connect": connect, "refresh": refresh, "subscribe": subscribe, "publish": publish, "call": call}


class Webhooks(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are kept

    def do_POST(self):
        length = int(self.headers.get("content-length", 0))
        if length > BODY_MAX:
            self.close_connection = True
            return self.answer(413, {})
        body = self.rfile.read(length)
        if not is_signed(os.environ["WEBHOOK_SECRET"], self.headers, body):
            return self.answer(401, {})
        event = json.loads(body)
        kind = event["type"].split(".")[2]
        if kind in DECIDES:
            return self.answer(200, DECIDES[kind](event["data"]))
        print(kind, json.dumps(event["data"]), flush=True)
        self.answer(200, {})

    def answer(self, status, what):
        body = json.dumps(what).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    key(os.environ["WEBHOOK_SECRET"])
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 3000), Webhooks)
    print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
