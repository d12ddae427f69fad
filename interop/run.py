"""Proves that taiwa talks with WebSocket software that others wrote, in both directions.

    python3 interop/run.py [--taiwa BINARY] [--library BINARY] [--python VENV_PYTHON] [--only NAME]... [--list] [--control]

Without --taiwa, cargo builds `taiwa`, the `game` of examples/ and two examples of the library. Each check prints `ok NAME`, `FAIL NAME: why`
or `skip NAME: why`; the exit code is 1 if anything failed, 2 for wrong arguments. --only takes a name or the beginning
of one (`bun`, `bun/client`). --control runs the peers' clients against npm ws instead of taiwa: what fails there is
the peer's or the check's fault.

Needs, besides a Rust toolchain: `npm ci` in this folder; a Python with requirements.txt; Debian's golang-go,
golang-github-gorilla-websocket-dev, libuv1 (socketify's loop), chromium, curl, firefox-esr, openssl.
"""

import argparse
import json
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import suites

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
START_S = 15
STEP_S = 10

# What a client proves against `taiwa serve`; a script that stays silent about one of them fails it.
CLIENT_CHECKS = (
    "text japanese empty binary lengths mebibyte fragments pipelined ping close close-without-code compression oversize "
    "chat tls origin going-away"
).split()
# What the library proves against a server; crates/taiwa/examples/interop_client.rs prints these names.
LIBRARY_CHECKS = (
    "text japanese empty binary lengths mebibyte pipelined ping pong close server-close oversize "
    "deflate-no-takeover deflate-takeover deflate-window tls tls-untrusted"
).split()
# What the server saw of the library's ends, and what the program `taiwa connect` proves in pipes.
SEEN_CHECKS = "close-seen oversize-seen".split()
CLI_CHECKS = "lines ping server-close killed tls tls-untrusted".split()
PAGE_CHECKS = (
    "connected two-tabs live-list terminal echo deflate close-code stream wrong-origin offline "
    "console-clean comes-back".split()
)


@dataclass(frozen=True)
class Peer:
    """One foreign program; `client` and `server` are commands, None where it has no such side."""

    name: str
    needs: tuple[str, ...]
    client: tuple[str, ...] | None = None
    server: tuple[str, ...] | None = None
    page: tuple[str, ...] | None = None
    # The offers of permessage-deflate that the server takes.
    deflates: str = ""
    # The code with which the peer's server answers 4001: the same one, but for npm websocket, which always says 1000.
    close_answer: int = 4001
    # The server speaks HTTP/2 and nothing else.
    http2: bool = False
    # The server can ping, and learns of the answer.
    pings: bool = True


def peers(python: str, built: Path) -> list[Peer]:
    node = shutil.which("node") or "node"
    bun = str(HERE / "node_modules/.bin/bun")
    # It trusts by flags for the whole program alone.
    flags = "-A --no-config --unstable-net --unsafely-ignore-certificate-errors=127.0.0.1".split()
    deno = (str(HERE / "node_modules/.bin/deno"), "run", *flags)
    npm = ("node_modules",)
    return [
        Peer("ws", npm, (node, "ws/client.mjs"), (node, "ws/server.mjs"), deflates="no-takeover,takeover,window"),
        Peer("undici", npm, (node, "undici/client.mjs")),
        Peer(
            "websocket", npm, (node, "websocket/client.mjs"), (node, "websocket/server.mjs"), close_answer=1000,
        ),
        Peer("bun", npm, (bun, "bun/client.mjs"), (bun, "bun/server.mjs"), deflates="no-takeover,takeover,window"),
        # Its WebSockets have no permessage-deflate and no ping.
        Peer("deno", npm, (*deno, "deno/client.mjs"), (*deno, "deno/server.mjs"), pings=False),
        Peer("deno-stream", npm, (*deno, "deno/stream.mjs")),
        Peer(
            "websockets", ("py:websockets",), (python, "websockets/client.py"), (python, "websockets/server.py"),
            deflates="no-takeover,takeover,window",
        ),
        Peer("socketify", ("py:socketify",), None, (python, "socketify/server.py"), deflates="no-takeover,takeover,window"),
        Peer(
            "gorilla", ("go", "/usr/share/gocode/src/github.com/gorilla/websocket"),
            (str(built / "gorilla-client"),), (str(built / "gorilla-server"),), deflates="no-takeover,takeover,window",
        ),
        Peer(
            "http2", npm, (node, "http/client.mjs"), (node, "http/peer.mjs"), deflates="no-takeover,takeover,window",
            http2=True,
        ),
        Peer("chromium", npm + ("/usr/bin/chromium",), page=(node, "chromium/test.mjs")),
        Peer("firefox", npm + ("/usr/bin/firefox-esr",), page=(node, "firefox/test.mjs")),
    ]


def names(peer: Peer) -> list[str]:
    found = []
    if peer.client:
        found += [f"{peer.name}/client/{check}" for check in CLIENT_CHECKS]
    if peer.server:
        found += [f"{peer.name}/server/{check}" for check in LIBRARY_CHECKS + SEEN_CHECKS]
        found += [f"{peer.name}/server/cli-{check}" for check in CLI_CHECKS]
    if peer.page:
        found += [f"{peer.name}/page/{check}" for check in PAGE_CHECKS]
    return found


class Failure(Exception):
    """Why a check failed."""


class Process:
    """A child with its output as lines; ended by its own id."""

    def __init__(self, command, **options):
        self.child = subprocess.Popen(
            command, cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
        )
        self.out, self.err = [], []
        self.arrived = queue.Queue()
        self.readers = [
            threading.Thread(target=self._read, args=pipe, daemon=True)
            for pipe in ((self.child.stdout, self.out), (self.child.stderr, self.err))
        ]
        for reader in self.readers:
            reader.start()

    def _read(self, pipe, lines):
        for raw in pipe:
            lines.append(raw.decode(errors="replace").rstrip("\n"))
            self.arrived.put(None)

    def find(self, pattern: str, seconds: float, lines=None) -> re.Match:
        """Waits for a line of stdout (or of `lines`) in which `pattern` occurs."""
        lines = self.out if lines is None else lines
        until = time.monotonic() + seconds
        while True:
            for line in list(lines):
                if match := re.search(pattern, line):
                    return match
            left = until - time.monotonic()
            over = self.child.poll() is not None and not any(reader.is_alive() for reader in self.readers)
            if left <= 0 or (over and self.arrived.empty()):
                raise Failure(f"no {pattern!r} in {self.tail()}")
            try:
                self.arrived.get(timeout=min(left, 0.1))
            except queue.Empty:
                pass

    def write(self, text: str):
        try:
            self.child.stdin.write(text.encode())
            self.child.stdin.flush()
        except BrokenPipeError:
            pass  # The exit code and stderr tell more.

    def end_input(self):
        try:
            self.child.stdin.close()
        except BrokenPipeError:
            pass

    def exit_code(self, seconds: float) -> int:
        try:
            code = self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failure(f"still running after {seconds} s: {self.tail()}") from None
        for reader in self.readers:
            reader.join(2)
        return code

    def tail(self) -> str:
        state = self.child.poll()
        last = " | ".join((self.out + self.err)[-4:])
        return f"{'a running process' if state is None else f'a process that ended with {state}'}: {last[-300:]}"

    def stop(self):
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(3)
            except subprocess.TimeoutExpired:
                pass
        self.kill()

    def kill(self):
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait(5)


class Serving(Process):
    """`taiwa serve` (or its stand-in) on a free port; `origin` is ws:// or wss:// and the port."""

    def __init__(self, command):
        super().__init__(command)
        try:
            found = self.find(r"(http|https)://(127\.0\.0\.1:\d+)", START_S)
        except Failure:
            self.stop()
            raise
        self.http = f"{found[1]}://{found[2]}"
        self.origin = self.http.replace("http", "ws", 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Listening(Process):
    """A peer's server; prints `listening PORT`, then `closed PATH CODE REASON` for each connection."""

    def __init__(self, command, certificate=()):
        super().__init__(command + certificate)
        scheme = "wss" if certificate else "ws"
        try:
            self.origin = f"{scheme}://127.0.0.1:" + self.find(r"^listening (\d+)", START_S)[1]
        except Failure:
            self.stop()
            raise

    __enter__, __exit__ = Serving.__enter__, Serving.__exit__


class Run:
    """One run: what is under test, what was asked for, what came out."""

    def __init__(self, options, scratch: Path):
        self.options = options
        self.scratch = scratch
        # Of `taiwa connect`, for the server of this peer.
        self.flags = ()
        self.counts = {"ok": 0, "FAIL": 0, "skip": 0}
        self.authority = str(scratch / "authority.pem")
        self.certificate = self.certify()
        if options.control:
            self.serve = (shutil.which("node"), "control/server.mjs")
            self.serve_tls = self.serve + self.certificate
        else:
            cert, key = self.certificate
            self.serve = (options.taiwa, "serve", "--listen", "127.0.0.1:0")
            self.serve_tls = self.serve + ("--tls-cert", cert, "--tls-key", key)

    def certify(self) -> tuple[str, str]:
        """Makes an authority, and a certificate of 127.0.0.1 signed by it: rustls takes no self-signed one for both."""
        cert, key, request = (str(self.scratch / name) for name in ("cert.pem", "key.pem", "request.pem"))
        authority_key, names = str(self.scratch / "authority-key.pem"), self.scratch / "names"
        names.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=critical,CA:FALSE\n")
        new = "openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
        for command in (
            f"{new} -x509 -days 10 -subj /CN=taiwa-interop -keyout {authority_key} -out {self.authority}",
            f"{new} -subj /CN=localhost -keyout {key} -out {request}",
            f"openssl x509 -req -days 10 -in {request} -CA {self.authority} -CAkey {authority_key} -CAcreateserial "
            f"-extfile {names} -out {cert}",
        ):
            subprocess.run(command.split(), check=True, capture_output=True, timeout=30)
        return cert, key

    def wanted(self, name: str) -> bool:
        only = self.options.only
        return not only or any(name == o or name.startswith(o.rstrip("/") + "/") for o in only)

    def report(self, verdict: str, name: str, why: str = ""):
        if self.wanted(name):
            self.counts[verdict] += 1
            print(f"{verdict} {name}: {why}" if why else f"{verdict} {name}", flush=True)

    def check(self, name: str, body):
        """Runs one check of this file; `body` returns None, or why it does not apply."""
        if not self.wanted(name):
            return
        try:
            why = body()
            self.report("skip" if why else "ok", name, why or "")
        except (Failure, AssertionError, OSError, subprocess.TimeoutExpired) as failure:
            self.report("FAIL", name, str(failure) or type(failure).__name__)

    def script(self, prefix: str, expected: list[str], command, seconds: float):
        """Runs a program that prints verdicts itself and passes them on under `prefix`."""
        if not any(self.wanted(prefix + name) for name in expected):
            return
        program = Process(command)
        why = "not reported"
        try:
            code = program.exit_code(seconds)
            if code != 0:
                why = program.tail()
        except Failure as failure:
            why = str(failure)
        finally:
            program.kill()
        reported = set()
        for line in program.out:
            if match := re.fullmatch(r"(ok|FAIL|skip) ([a-z0-9/-]+)(?:: (.*))?", line):
                reported.add(match[2])
                self.report(match[1], prefix + match[2], match[3] or "")
        for name in expected:
            if name not in reported:
                self.report("FAIL", prefix + name, why)

    def client_of(self, peer: Peer):
        prefix = f"{peer.name}/client/"
        if not any(self.wanted(prefix + name) for name in CLIENT_CHECKS):
            return
        with Serving(self.serve) as plain, Serving(self.serve_tls) as tls, Serving(self.serve) as doomed:
            origins = (plain.origin, tls.origin, doomed.origin, str(doomed.child.pid))
            self.script(prefix, CLIENT_CHECKS, peer.client + origins, 120)

    def page_of(self, peer: Peer):
        prefix = f"{peer.name}/page/"
        if not any(self.wanted(prefix + name) for name in PAGE_CHECKS):
            return
        with Serving(self.serve) as plain:
            terminal = self.options.taiwa or ""
            self.script(prefix, PAGE_CHECKS, peer.page + (plain.http, terminal), 150)

    def server_of(self, peer: Peer):
        prefix = f"{peer.name}/server/"
        with Listening(peer.server) as server, Listening(peer.server, self.certificate) as secure:
            library = (self.options.library, server.origin, peer.deflates, str(peer.close_answer), secure.origin)
            library += (self.authority,) + ("http2",) * peer.http2 + ("no-pings",) * (not peer.pings)
            self.flags = ("--http2",) if peer.http2 else ()
            self.script(prefix, LIBRARY_CHECKS, library, 120)
            self.check(prefix + "close-seen", lambda: self.seen(server, "/echo 4001 またね"))
            self.check(prefix + "oversize-seen", lambda: self.seen(server, "/big 1009"))
            self.check(prefix + "cli-lines", lambda: self.lines(server))
            ping = self.answers_ping if peer.pings else lambda _: "the server has no ping"
            self.check(prefix + "cli-ping", lambda: ping(server))
            self.check(prefix + "cli-server-close", lambda: self.server_closes(server))
            self.check(prefix + "cli-killed", lambda: self.killed(server))
            self.check(prefix + "cli-tls", lambda: self.trusted(secure))
            self.check(prefix + "cli-tls-untrusted", lambda: self.untrusted(secure))

    @staticmethod
    def seen(server: Listening, end: str):
        server.find("^closed " + re.escape(end), 3)

    def connect(self, server: Listening, path: str, *flags: str) -> Process:
        return Process((self.options.taiwa, "connect", *self.flags, *flags, server.origin + path))

    def lines(self, server: Listening):
        """All lines of a pipe come back, in order, before the program ends with 0."""
        sent = ["dialogue", "対話は、二人から始まる。𠮷野家", ""] + [f"message {n}" for n in range(100)] + ["x" * 70_000]
        program = self.connect(server, "/echo")
        try:
            program.write("\n".join(sent) + "\n")
            program.end_input()
            code = program.exit_code(STEP_S)
            if program.out != sent:
                raise Failure(f"{len(program.out)} lines of {len(sent)} on stdout; {program.tail()}")
            if code != 0:
                raise Failure(f"exit code {code}: {program.tail()}")
        finally:
            program.kill()
        self.seen(server, "/echo 1000")

    def answers_ping(self, server: Listening):
        program = self.connect(server, "/ping")
        try:
            program.find("^pong taiwa$", STEP_S)
            program.end_input()
            code = program.exit_code(STEP_S)
            if code != 0:
                raise Failure(f"exit code {code}: {program.tail()}")
        finally:
            program.kill()

    def server_closes(self, server: Listening):
        program = self.connect(server, "/close")
        try:
            code = program.exit_code(STEP_S)
            if code != 9 or program.out:
                raise Failure(f"exit code {code} where 9 was due: {program.tail()}")
            program.find("4002.*またね", 1, program.err)
        finally:
            program.kill()
        self.seen(server, "/close 4002")

    def killed(self, server: Listening):
        program = self.connect(server, "/echo")
        try:
            program.write("still here\n")
            program.find("^still here$", STEP_S)
            server.kill()
            code = program.exit_code(STEP_S)
            if code != 8 or program.out != ["still here"]:
                raise Failure(f"exit code {code} where 8 was due: {program.tail()}")
        finally:
            program.kill()

    def trusted(self, secure: Listening):
        program = self.connect(secure, "/echo", "--cacert", self.authority, "-m", "over TLS", "-m", "対話")
        try:
            code = program.exit_code(STEP_S)
            if code != 0 or program.out != ["over TLS", "対話"]:
                raise Failure(f"exit code {code} where 0 was due: {program.tail()}")
        finally:
            program.kill()

    def untrusted(self, secure: Listening):
        program = self.connect(secure, "/echo", "-m", "for nobody's eyes")
        try:
            code = program.exit_code(STEP_S)
            if code != 4 or program.out:
                raise Failure(f"exit code {code} where 4 was due: {program.tail()}")
        finally:
            program.kill()

    def lacks(self, peer: Peer) -> str:
        """Says what of the peer is not installed."""
        for need in peer.needs:
            if need.startswith("py:"):
                probe = [self.options.python, "-c", f"import {need[3:]}"]
                probed = subprocess.run(probe, capture_output=True, text=True, timeout=30, check=False)
                if probed.returncode != 0:
                    return f"no Python package {need[3:]}: {probed.stderr.strip()[-200:]}"
            elif not (shutil.which(need) or (HERE / need).exists()):
                return f"{need} is not installed"
        return ""

    def peer(self, peer: Peer):
        if not any(self.wanted(name) for name in names(peer)):
            return
        missing = self.lacks(peer)
        if not missing and peer.name == "gorilla":
            missing = self.build_gorilla()
        sides = ((peer.client, self.client_of, "client"), (peer.page, self.page_of, "page"), (peer.server, self.server_of, "server"))
        for command, side, word in sides:
            if command is None or (self.options.control and word == "server"):
                continue
            try:
                if missing:
                    raise Failure(missing)
                side(peer)
            except (Failure, OSError) as failure:
                for name in names(peer):
                    if name.startswith(f"{peer.name}/{word}/"):
                        self.report("FAIL", name, str(failure))

    def build_gorilla(self) -> str:
        """Builds both Go programs from Debian's sources; says why not."""
        for side in ("client", "server"):
            built = subprocess.run(
                ("go", "build", "-o", str(self.scratch / f"gorilla-{side}"), f"./gorilla/{side}"),
                cwd=HERE, capture_output=True, text=True, timeout=180, check=False,
                env={
                    **os.environ, "GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOFLAGS": "",
                    "GOCACHE": str(ROOT / "target/go-cache"),
                },
            )
            if built.returncode != 0:
                return f"go build: {built.stderr.strip()[-300:]}"
        return ""


def build() -> tuple[str, str]:
    """Builds the program, the game beside it, and the library's examples; returns the paths of the program and of interop_client."""
    command = (
        "cargo build --locked --message-format=json -p taiwa-cli --bin taiwa -p taiwa-examples --bin game "
        "-p taiwa --example interop_client --example interop_session"
    )
    done = subprocess.run(command.split(), cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"failed: {command}")
    paths = {}
    for line in done.stdout.splitlines():
        artifact = json.loads(line)
        if artifact.get("executable"):
            paths[artifact["target"]["name"]] = artifact["executable"]
    return paths["taiwa"], paths["interop_client"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--taiwa", help="the program; built by cargo if not given")
    parser.add_argument("--library", help="the example interop_client; by default in examples/ beside --taiwa")
    parser.add_argument("--python", help="a Python with requirements.txt; by default target/venv, else this one")
    parser.add_argument("--only", action="append", default=[], metavar="NAME")
    parser.add_argument("--list", action="store_true", help="print the names of all checks")
    parser.add_argument("--control", action="store_true", help="npm ws takes the place of taiwa")
    options = parser.parse_args()
    venv = ROOT / "target/venv/bin/python"
    options.python = options.python or (str(venv) if venv.exists() else sys.executable)
    with tempfile.TemporaryDirectory(prefix="taiwa-interop-") as scratch:
        all_peers = peers(options.python, Path(scratch))
        all_names = [name for peer in all_peers for name in names(peer)] + suites.names()
        if options.list:
            print("\n".join(all_names))
            return 0
        for only in options.only:
            if not any(name == only or name.startswith(only.rstrip("/") + "/") for name in all_names):
                parser.error(f"no check begins with {only!r} (see --list)")
        if options.taiwa:
            options.taiwa = str(Path(options.taiwa).resolve())
            options.library = options.library or str(Path(options.taiwa).parent / "examples/interop_client")
        elif not options.control:
            options.taiwa, options.library = build()
        run = Run(options, Path(scratch))
        for peer in all_peers:
            run.peer(peer)
        suites.check(run)
    print(", ".join(f"{count} {verdict}" for verdict, count in run.counts.items()), file=sys.stderr)
    return 1 if run.counts["FAIL"] or not run.counts["ok"] else 0


if __name__ == "__main__":
    sys.exit(main())
