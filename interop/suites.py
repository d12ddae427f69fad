"""The checks of run.py in which clients of the hub meet: which there are, what runs them, what each needs.

A suite is a program that starts `taiwa serve` by itself, as often and with whatever settings it likes.
"""

import shutil
from dataclasses import dataclass

NODE = shutil.which("node") or "node"
NPM = ("node_modules/centrifuge", "node_modules/eventsource")

KINDS = "json-websocket json-stream json-sse protobuf-websocket protobuf-stream".split()
KINDS_OF_BROWSERS = ["json-webtransport", "protobuf-webtransport"]
# What a client of each kind proves; interop/centrifuge/checks.mjs and admitted.mjs and ordered.mjs have them.
OF_A_KIND = (
    "connect publish many-at-once history presence join-leave no-answer recovery positioned in-mid-flow gap cache delta "
    "token wrong-token expired-token refresh sub-refresh sub-token server-side rpc send filter sent-away "
    "api-publish api-unsubscribe api-subscribe api-tell api-disconnect pings restart ends-well"
).split()
OF_EVENTS = "hears named several resume several-resume in-mid-flow gap last refused restart ends-well".split()
OF_CURL = "curl-events curl-lines curl-polls curl-refused".split()
OF_PYTHON = (
    "publish history presence join-leave recovery gap delta filter tokens calls no-answer sent-away ends-well"
).split()
OF_STORMS = "nothing-lost honest-gaps ends-well".split()
OF_SLOW = "slow-disconnect slow-drop-oldest slow-keep-latest slow-pause slow-memory slow-counted ends-well".split()
OF_EXCHANGE = (
    "they-come each-is-told-at-a-moment-of-its-own all-come-back-by-themselves they-are-told-that-history-ended "
    "what-is-said-then-reaches-all-once-and-in-order ends-well"
).split()
OF_CHAT = "come-in presence talk refused history cut-and-resume honest-about-a-gap leaving ends-well".split()
OF_GAME = "come-in refused ticks lag moves catches-the-coin leaving ends-well".split()
OF_TELEMETRY = (
    "come-in devices-come live orders last-value-at-once for-nobody-else goes-by-itself killed silent order-waits restart "
    "ends-well"
).split()
OF_TICKER = (
    "come-in stops-reading has-the-newest-of-each reads-on fast-sees-every-quote without-streams ends-well"
).split()
OF_NOTIFICATIONS = (
    "come-in live read-marks cut closed-and-opened nothing-new away-too-long begun-anew a-hole-is-seen for-ada-alone "
    "sent-away ends-well broker-remembers"
).split()
OF_NODES = (
    "one-order volatile resumed-elsewhere node-killed dead-leave-presence all-killed broker-restarted broker-slow broker-forgets "
    "ends-well"
).split()
OF_PARTITIONS = (
    "they-come publishing-is-refused-in-time it-notices who-moves-resumes its-members-are-gone its-clients-stay it-is-back "
    "nothing-is-lost a-gap-is-told its-members-are-there-again both-at-once ends-well"
).split()
PHOENIX = "websocket longpoll fallback".split()
# What npm `phoenix` proves over each transport; interop/phoenix/checks.mjs has them.
OF_PHOENIX = (
    "connect join refused-join broadcast broadcast-from binary calls refused-push leave joins-twice pushes-before-joined "
    "many-at-once 101-channels presence presence-after-rejoin token refused-connect api-publish api-tell api-unsubscribe "
    "joins-again-when-rights-end sent-away-for-good sent-away-to-come-back resume gap last-value in-mid-flow comes-back heartbeats "
    "restart killed ends-well"
).split()
OF_PYTHON_OF_PHOENIX = "refused closed-by-the-server rejoins-when-rights-end comes-back heartbeats ends-well".split()
SOCKETIO = "polling upgrade websocket msgpack old-polling old-upgrade old-websocket".split()
# What npm `socket.io-client` proves over each transport, and what its version 4 alone can; interop/socketio/checks.mjs has them.
OF_SOCKETIO = (
    "connect refused namespaces own-auth events ordered big acks acks-refused call call-all told rooms several-args "
    "volatile by-itself sent-away leaves-presence reconnect restart ends-well"
).split()
OF_RECOVERY = (
    "timeout recovery recovery-untold recovery-idle recovery-in-mid-flow recovery-rooms recovery-unknown"
).split()
SOCKETIO_CHECKS = tuple(
    [f"{kind}/{check}" for kind in SOCKETIO for check in OF_SOCKETIO]
    + [f"{kind}/{check}" for kind in SOCKETIO if not kind.startswith("old-") for check in OF_RECOVERY]
    + ["blocked/stays-on-polling", "blocked/falls-back"]
)
# What it proves over WebTransport, where a browser may drop the farewell of who leaves.
OF_SOCKETIO_SESSIONS = [
    it for it in OF_SOCKETIO + OF_RECOVERY if it not in ("recovery-unknown", "leaves-presence")
]
OF_SOCKETIO_CHOOSING = (
    "announced everything without-datagrams off together leaves unknown other-origin ends-well"
).split()
SOCKETIO_SESSIONS = tuple(
    [f"choosing/{check}" for check in OF_SOCKETIO_CHOOSING]
    + [
        f"{kind}/{check}"
        for kind in ("webtransport", "upgrade-webtransport", "msgpack-webtransport")
        for check in OF_SOCKETIO_SESSIONS
    ]
)
SOCKETIO_PYTHON = [f"{form}-{it}" for form in ("sync", "async") for it in ("polling", "upgrade", "websocket")]
OF_SOCKETIO_PYTHON = (
    "connect refused events acks call namespaces rooms sent-away big reconnect ends-well"
).split()
OF_SOCKETIO_NODES = "any-node told-at-any-node resumed-elsewhere node-killed ends-well".split()
# WebSockets that share a connection of HTTP/2.
OF_HTTP2 = (
    "announced version-seen handshake requests-beside events-beside end-stream reset half-closed refused paused many "
    "switched-off websockets-off going-away ends-well"
).split()
OF_HYPER = "announced messages compression fragments ping close beside oversize".split()
OF_NIQUESTS = "messages beside refused".split()
# What `taiwa connect` proves with Node's http2 as its server.
OF_SERVER = "chosen messages lines close refused reset falls-back forced cleartext".split()
OF_AIOQUIC = (
    "announced page post version-seen messages compression fragments ping close beside many reset refused oversize"
).split()
OF_SERVER_H3 = "opened messages lines close refused reset".split()
OF_CURL_CFFI = "page post events".split()
# What a browser proves over one version of HTTP.
OF_VERSION = "page chat socket seen leaves".split()
# What a browser proves of WebTransport.
OF_TRANSPORT = "streams datagrams channel volatile document leaves nonsense refused vanishes going-away dev-snippet".split()
# What a foreign client proves of it with `taiwa serve` and the library's server, and the library's client with a foreign server.
OF_SESSIONS = "bidirectional unidirectional opened-by-the-server datagrams many closes closes-seen closed refused".split()
OF_PLAIN_SESSIONS = "plain plain-datagrams plain-nonsense plain-origin".split()
MEMBERS = ["plain", "events", "objects"] + KINDS + ["phoenix-websocket", "socketio-websocket"]


@dataclass(frozen=True)
class Suite:
    """A program that prints a verdict on each of its checks; it is given the paths of `taiwa` and of a Python."""

    prefix: str
    needs: tuple[str, ...]
    command: tuple[str, ...]
    checks: tuple[str, ...]
    seconds: float

    def names(self) -> list[str]:
        return [self.prefix + check for check in self.checks]


SUITES = (
    Suite(
        "centrifuge/node/", NPM, (NODE, "centrifuge/node.mjs"),
        tuple(f"{kind}/{check}" for kind in KINDS for check in OF_A_KIND), 180,
    ),
    Suite(
        "centrifuge/chromium/", NPM + ("/usr/bin/chromium",), (NODE, "centrifuge/chromium.mjs"),
        (*(f"{kind}/{check}" for kind in KINDS + KINDS_OF_BROWSERS for check in OF_A_KIND), "webtransport/falls-back"), 300,
    ),
    Suite(
        "centrifuge/python/", NPM + ("py:centrifuge",), (NODE, "centrifuge/python.mjs"),
        tuple(f"{form}/{check}" for form in ("json", "protobuf") for check in OF_PYTHON), 120,
    ),
    Suite(
        "eventsource/node/", NPM + ("curl",), (NODE, "eventsource/node.mjs"), tuple(OF_CURL + OF_EVENTS), 180,
    ),
    Suite(
        "eventsource/chromium/", NPM + ("/usr/bin/chromium",), (NODE, "eventsource/chromium.mjs"), tuple(OF_EVENTS), 240,
    ),
    Suite(
        "socketio/node/", ("node_modules/socket.io-client",), (NODE, "socketio/node.mjs"), SOCKETIO_CHECKS, 180,
    ),
    Suite(
        "socketio/chromium/", ("node_modules/socket.io-client", "/usr/bin/chromium"), (NODE, "socketio/chromium.mjs"),
        SOCKETIO_CHECKS, 240,
    ),
    Suite(
        "socketio/webtransport/", ("node_modules/socket.io-client", "/usr/bin/chromium"), (NODE, "socketio/webtransport.mjs"),
        SOCKETIO_SESSIONS, 300,
    ),
    Suite(
        "socketio/python/", ("py:socketio", "py:aiohttp"), (NODE, "socketio/python.mjs"),
        tuple(f"{kind}/{check}" for kind in SOCKETIO_PYTHON for check in OF_SOCKETIO_PYTHON), 180,
    ),
    Suite(
        "socketio/documents/", ("node_modules/socket.io-client",), (NODE, "socketio/documents.mjs"),
        ("starts", "chat", "ends-well"), 60,
    ),
    Suite("http/node/", NPM, (NODE, "http/node.mjs"), tuple(OF_HTTP2), 120),
    Suite("http/server/", NPM, (NODE, "http/server.mjs"), tuple(OF_SERVER), 120),
    Suite(
        "http/server-h3/", NPM + ("py:aioquic", "py:wsproto"), (NODE, "http/server_h3.mjs"), tuple(OF_SERVER_H3), 120,
    ),
    Suite(
        "http/python/", NPM + ("py:h2", "py:wsproto", "py:aioquic", "py:curl_cffi"), (NODE, "http/python.mjs"),
        (*(f"hyper/{check}" for check in OF_HYPER), *(f"niquests/{check}" for check in OF_NIQUESTS))
        + (*(f"aioquic/{check}" for check in OF_AIOQUIC), *(f"curl/{check}" for check in OF_CURL_CFFI), "ends-well"), 120,
    ),
    Suite(
        "http/chromium/", NPM + ("/usr/bin/chromium",), (NODE, "http/chromium.mjs"),
        tuple(f"{version}/{check}" for version in ("h1", "h2", "h3") for check in (*OF_VERSION, "stream")), 180,
    ),
    Suite(
        "http/firefox/", NPM + ("/usr/bin/firefox-esr",), (NODE, "http/firefox.mjs"),
        tuple(f"{version}/{check}" for version in ("h1", "h2") for check in OF_VERSION), 120,
    ),
    Suite(
        "http/transport-chromium/", NPM + ("/usr/bin/chromium",), (NODE, "http/transport_chromium.mjs"), tuple(OF_TRANSPORT), 120,
    ),
    Suite(
        "http/transport-firefox/", NPM + ("/usr/bin/firefox-esr",), (NODE, "http/transport_firefox.mjs"), tuple(OF_TRANSPORT), 120,
    ),
    *(
        Suite(
            f"http/transport-{kind}/", needs, (NODE, "http/transport_foreign.mjs", kind),
            (*(f"client/{check}" for check in (*OF_PLAIN_SESSIONS, *OF_SESSIONS, *more)),)
            + (*(f"server/{check}" for check in (*OF_SESSIONS, "untrusted")), "ends-well"), 240,
        )
        for kind, needs, more in (("aioquic", NPM + ("py:aioquic",), ()), ("deno", ("node_modules/deno",), ("untrusted",)))
    ),
    Suite("crowd/storm/", NPM, (NODE, "crowd/storm.mjs"), tuple(OF_STORMS), 300),
    Suite("crowd/slow/", NPM, (NODE, "crowd/slow.mjs"), tuple(OF_SLOW), 300),
    Suite("crowd/exchange/", NPM, (NODE, "crowd/exchange.mjs"), tuple(OF_EXCHANGE), 200),
    Suite(
        "cluster/redis/", NPM + ("/usr/bin/redis-server",), (NODE, "cluster/nodes.mjs", "redis"), tuple(OF_NODES), 300,
    ),
    Suite(
        "cluster/redis-cluster/", NPM + ("/usr/bin/redis-server",), (NODE, "cluster/nodes.mjs", "redis-cluster"),
        tuple(OF_NODES), 360,
    ),
    Suite(
        "cluster/nats/", NPM + ("/usr/sbin/nats-server",), (NODE, "cluster/nodes.mjs", "nats"), tuple(OF_NODES), 300,
    ),
    Suite(
        "cluster/socketio/", ("node_modules/socket.io-client", "/usr/bin/redis-server"), (NODE, "cluster/socketio.mjs"),
        tuple(OF_SOCKETIO_NODES), 200,
    ),
    Suite(
        "cluster/redis-apart/", NPM + ("/usr/bin/redis-server",), (NODE, "cluster/partition.mjs", "redis"),
        tuple(OF_PARTITIONS), 180,
    ),
    Suite(
        "cluster/nats-apart/", NPM + ("/usr/sbin/nats-server",), (NODE, "cluster/partition.mjs", "nats"),
        tuple(OF_PARTITIONS), 180,
    ),
    Suite(
        "phoenix/node/", ("node_modules/phoenix",), (NODE, "phoenix/node.mjs"),
        tuple(f"{kind}/{check}" for kind in PHOENIX for check in OF_PHOENIX), 180,
    ),
    Suite(
        "phoenix/python/", ("py:phoenix_channels_python_client",), (NODE, "phoenix/python.mjs"),
        tuple(f"v1/{check}" for check in ("hears", "with-positions", "leave", *OF_PYTHON_OF_PHOENIX))
        + tuple(f"v2/{check}" for check in OF_PYTHON_OF_PHOENIX), 120,
    ),
    Suite(
        "phoenix/nodes/", ("node_modules/phoenix", "/usr/bin/redis-server"), (NODE, "phoenix/nodes.mjs"),
        ("polls-at-any-node", "presence", "nodes-killed-one-by-one", "all-killed", "ends-well"), 180,
    ),
    Suite(
        "phoenix/chromium/", ("node_modules/phoenix", "/usr/bin/chromium"), (NODE, "phoenix/chromium.mjs"),
        tuple(f"{kind}/{check}" for kind in PHOENIX for check in OF_PHOENIX), 240,
    ),
    Suite(
        "together/", NPM + ("curl", "/usr/bin/chromium", "/usr/bin/firefox-esr", "py:centrifuge", "py:socketio"),
        (NODE, "together/run.mjs"),
        ("table", *(f"{where}-{member}" for where in ("node", "chromium", "firefox") for member in MEMBERS))
        + ("node-phoenix-longpoll", "node-socketio-polling", "node-socketio-msgpack", "node-socketio-old")
        + ("curl-events", "curl-objects", "curl-lines", "python-json", "python-protobuf", "python-socketio", "ends-well"), 240,
    ),
    Suite(
        "openapi/", ("py:openapi_spec_validator", "py:schemathesis", "py:prometheus_client"),
        ("PYTHON", "openapi/check.py"), ("valid", "served", "schemathesis", "metrics", "alive"), 240,
    ),
    Suite(
        "examples/chat/", ("../examples/chat/node_modules/centrifuge", "/usr/bin/chromium"),
        (NODE, "../examples/chat/test.mjs"), tuple(OF_CHAT), 120,
    ),
    Suite(
        "examples/telemetry/", ("node_modules/playwright-core", "/usr/bin/chromium", "py:websockets"),
        (NODE, "../examples/telemetry/test.mjs"), tuple(OF_TELEMETRY), 180,
    ),
    Suite(
        "examples/game/", ("node_modules/playwright-core", "/usr/bin/chromium"),
        (NODE, "../examples/game/test.mjs"), tuple(OF_GAME), 120,
    ),
    Suite(
        "examples/ticker/", ("node_modules/playwright-core", "/usr/bin/chromium"),
        (NODE, "../examples/ticker/test.mjs"), tuple(OF_TICKER), 120,
    ),
    Suite(
        "examples/notifications/", ("node_modules/playwright-core", "/usr/bin/chromium", "redis-server"),
        (NODE, "../examples/notifications/test.mjs"), tuple(OF_NOTIFICATIONS), 120,
    ),
)


def names() -> list[str]:
    return [name for suite in SUITES for name in suite.names()]


def check(run):
    """Runs the suites that are wanted. There is no control: nothing else has such a hub."""
    for suite in SUITES:
        if run.options.control or not any(run.wanted(name) for name in suite.names()):
            continue
        if missing := run.lacks(suite):
            for name in suite.names():
                run.report("FAIL", name, missing)
        else:
            program = tuple(run.options.python if it == "PYTHON" else it for it in suite.command)
            command = program + (run.options.taiwa, run.options.python)
            run.script(suite.prefix, list(suite.checks), command, suite.seconds)
