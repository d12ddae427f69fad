"""The checks of run.py in which clients of the hub meet: which there are, what runs them, what each needs.

A suite is a program that starts `taiwa serve` by itself, as often and with whatever settings it likes.
"""

import shutil
from dataclasses import dataclass

NODE = shutil.which("node") or "node"
NPM = ("node_modules/centrifuge", "node_modules/eventsource")

KINDS = "json-websocket json-stream json-sse protobuf-websocket protobuf-stream".split()
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
    "one-order resumed-elsewhere node-killed dead-leave-presence all-killed broker-restarted broker-slow broker-forgets "
    "ends-well"
).split()
OF_PARTITIONS = (
    "they-come publishing-is-refused-in-time it-notices who-moves-resumes its-members-are-gone its-clients-stay it-is-back "
    "nothing-is-lost a-gap-is-told its-members-are-there-again both-at-once ends-well"
).split()
MEMBERS = ["plain", "events", "objects"] + KINDS


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
        tuple(f"{kind}/{check}" for kind in KINDS for check in OF_A_KIND), 240,
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
    Suite("crowd/storm/", NPM, (NODE, "crowd/storm.mjs"), tuple(OF_STORMS), 300),
    Suite("crowd/slow/", NPM, (NODE, "crowd/slow.mjs"), tuple(OF_SLOW), 300),
    Suite("crowd/exchange/", NPM, (NODE, "crowd/exchange.mjs"), tuple(OF_EXCHANGE), 200),
    Suite(
        "cluster/redis/", NPM + ("/usr/bin/redis-server",), (NODE, "cluster/nodes.mjs", "redis"), tuple(OF_NODES), 300,
    ),
    Suite(
        "cluster/nats/", NPM + ("/usr/sbin/nats-server",), (NODE, "cluster/nodes.mjs", "nats"), tuple(OF_NODES), 300,
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
        "together/", NPM + ("curl", "/usr/bin/chromium", "/usr/bin/firefox-esr", "py:centrifuge"),
        (NODE, "together/run.mjs"),
        ("table", *(f"{where}-{member}" for where in ("node", "chromium", "firefox") for member in MEMBERS))
        + ("curl-events", "curl-objects", "curl-lines", "python-json", "python-protobuf", "ends-well"), 240,
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
