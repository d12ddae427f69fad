"""PyPI `centrifuge-python`, in JSON and in Protocol Buffers, against a server and a proxy that somebody else started.

    python3 centrifuge/python.py NEAR FAR json|protobuf

NEAR and FAR are ws:// origins, of the proxy and of the server. What is to be done to them is asked for on stdout as
`do {"name": …, "given": […]}` and answered on stdin. Verdicts are `ok NAME` and `FAIL NAME: why`, one line a check.
"""

import asyncio
import json
import logging
import sys
import time

from centrifuge import (
    CentrifugeError, Client, ClientEventHandler, ClientState, DeltaType, Filter, ReplyError, SubscriptionEventHandler,
)

# What goes wrong is told by verdicts.
logging.disable(logging.CRITICAL)

NEAR, FAR, FORM = sys.argv[1:]
IS_BINARY = FORM == "protobuf"
STEP_S = 10
CHECK_S = 30
VALUES = [{"対話": ["a\"b\\", None, -1.5e-7, {"": []}]}, "only a text\nwith two lines", 0, [], {"long": "対話" * 20_000}]


def wrap(value):
    return json.dumps(value, ensure_ascii=False).encode() if IS_BINARY else value


def unwrap(data):
    return json.loads(data) if IS_BINARY else data


async def until(what, probe):
    end = time.monotonic() + STEP_S
    while not probe():
        assert time.monotonic() < end, f"{what}: not after {STEP_S} s"
        await asyncio.sleep(0.01)


def same(seen, due, what="seen"):
    assert seen == due, f"{what}: {str(seen)[:300]} where {str(due)[:300]} was due"


class Story(ClientEventHandler, SubscriptionEventHandler):
    """What a client or a subscription was told: its word, and what came along."""

    def __init__(self):
        self.told = []

    def all(self, word):
        return [ctx for it, ctx in self.told if it == word]

    def values(self):
        return [unwrap(ctx.pub.data) for ctx in self.all("publication")]

    def heard(self, count):
        return until(f"{count} publications", lambda: len(self.all("publication")) >= count)


def remember(word):
    async def told(self, ctx):
        self.told.append((word, ctx))

    return told


for each in "connecting connected disconnected subscribing subscribed unsubscribed publication join leave error".split():
    setattr(Story, f"on_{each}", remember(each))


class Room:
    """The clients of one check."""

    def __init__(self):
        self.made = []

    async def connect(self, origin, **options):
        story = Story()
        client = Client(
            f"{origin}/connection/websocket", events=story, use_protobuf=IS_BINARY,
            min_reconnect_delay=0.02, max_reconnect_delay=0.2, timeout=STEP_S, **options,
        )
        client.story = story
        self.made.append(client)
        await client.connect()
        return client

    async def ready(self, origin, **options):
        client = await self.connect(origin, **options)
        await client.ready(timeout=STEP_S)
        return client

    @staticmethod
    async def prepare(client, channel, **options):
        story = Story()
        it = client.new_subscription(channel, events=story, **options)
        it.story = story
        await it.subscribe()
        return it

    async def subscribe(self, client, channel, **options):
        it = await self.prepare(client, channel, **options)
        await it.ready(timeout=STEP_S)
        return it

    async def leave(self):
        for client in self.made:
            await client.disconnect()


asking = asyncio.Lock()


async def control(name, *given):
    """Has something done to the server or the proxy."""
    # Two may be wanted at the same time, and answers have no names.
    async with asking:
        print("do " + json.dumps({"name": name, "given": given}), flush=True)
        line = await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        return json.loads(line).get("result")


async def away(client, meanwhile):
    """Cuts the line of a client, does something meanwhile, and lets it come back."""
    before = len(client.story.all("connected"))
    await control("shut")
    await until("it notices", lambda: client.state != ClientState.CONNECTED)
    await meanwhile()
    await control("open")
    await until("it is back", lambda: len(client.story.all("connected")) > before)


async def check_publish(room):
    said, heard = await room.ready(NEAR), await room.ready(FAR)
    own, other = await room.subscribe(said, "py-publish"), await room.subscribe(heard, "py-publish")
    for value in VALUES:
        await own.publish(wrap(value))
    for it in (own, other):
        await it.story.heard(len(VALUES))
        same(it.story.values(), VALUES)
        same([ctx.pub.offset for ctx in it.story.all("publication")], [1, 2, 3, 4, 5], "offsets")
        client = said.story.all("connected")[0].client
        same({ctx.pub.info.client for ctx in it.story.all("publication")}, {client}, "who said it")


async def check_history(room):
    it = await room.subscribe(await room.ready(NEAR), "py-history")
    for n in range(1, 6):
        await it.publish(wrap(n))
    found = await it.history(limit=10)
    same([(pub.offset, unwrap(pub.data)) for pub in found.publications], [(n, n) for n in range(1, 6)])
    same(found.offset, 5)
    found = await it.history(limit=2, reverse=True)
    same([pub.offset for pub in found.publications], [5, 4])
    same((await it.history()).publications, [])


async def check_presence(room):
    two = [await room.ready(NEAR), await room.ready(FAR)]
    all_of = [await room.subscribe(client, "py-presence") for client in two]
    names = sorted(client.story.all("connected")[0].client for client in two)
    same(sorted((await all_of[0].presence()).clients), names)
    same((await all_of[0].presence_stats()).num_clients, 2)


async def check_join_leave(room):
    a, b = await room.ready(NEAR), await room.ready(FAR)
    it = await room.subscribe(a, "py-join-leave", join_leave=True)
    other = await room.subscribe(b, "py-join-leave")
    client = b.story.all("connected")[0].client
    await until("the other comes", lambda: client in [ctx.info.client for ctx in it.story.all("join")])
    await other.unsubscribe()
    await until("the other goes", lambda: client in [ctx.info.client for ctx in it.story.all("leave")])


async def check_recovery(room):
    client, other = await room.ready(NEAR), await room.ready(FAR)
    it = await room.subscribe(client, "watched:py", recoverable=True, positioned=True)
    for n in (1, 4, 7):
        await other.publish("watched:py", wrap(n))
        await it.story.heard(n)

        async def meanwhile(first=n + 1):
            for one in (first, first + 1):
                await other.publish("watched:py", wrap(one))

        await away(client, meanwhile)
        await it.story.heard(n + 2)
        last = it.story.all("subscribed")[-1]
        same((last.was_recovering, last.recovered), (True, True))
    same(it.story.values(), list(range(1, 10)))


async def check_gap(room):
    client, other = await room.ready(NEAR), await room.ready(FAR)
    it = await room.subscribe(client, "short:py", recoverable=True)

    async def meanwhile():
        for n in range(1, 6):
            await other.publish("short:py", wrap(n))

    await away(client, meanwhile)
    await it.story.heard(2)
    last = it.story.all("subscribed")[-1]
    same((last.was_recovering, last.recovered, it.story.values()), (True, False, [4, 5]))


async def check_delta(room):
    def value(n):
        return {"text": "対話" * 200, "n": n, "end": f"é{n}"}

    client, other = await room.ready(NEAR), await room.ready(FAR)
    it = await room.subscribe(client, "delta:py", delta=DeltaType.FOSSIL, recoverable=True)
    for n in range(5):
        await other.publish("delta:py", wrap(value(n)))
    await it.story.heard(5)
    same(it.story.values(), [value(n) for n in range(5)])
    assert sum(ctx.pub.delta for ctx in it.story.all("publication")) >= 4, "they came whole"


async def check_filter(room):
    client, other = await room.ready(NEAR), await room.ready(FAR)
    it = await room.subscribe(client, "asked:py", tags_filter=Filter.eq("team", "red"))
    for n, team in enumerate(("red", "blue", "red")):
        await other.publish("asked:py", wrap({"team": team, "n": n}))
    await it.story.heard(2)
    same(it.story.values(), [{"team": "red", "n": 0}, {"team": "red", "n": 2}])


async def check_tokens(room):
    calls = {"connection": 0, "subscription": 0}

    async def fresh(word, claims):
        calls[word] += 1
        return await control("token", {**claims, "exp": int(time.time()) + 2})

    client = await room.ready(FAR, get_token=lambda *_: fresh("connection", {"sub": "ada", "channels": ["news:py"]}))
    served = [ctx.channel for ctx in client.story.all("subscribed")]
    same(served, ["news:py"], "server-side subscriptions")
    it = await room.subscribe(
        client, "mine:py", get_token=lambda *_: fresh("subscription", {"sub": "ada", "channel": "mine:py"})
    )
    await until("two refreshes", lambda: min(calls.values()) >= 3)
    same((client.state, len(client.story.all("connecting")), len(it.story.all("subscribing"))), (ClientState.CONNECTED, 1, 1))
    other = await room.connect(NEAR, token=await control("token", {"sub": "ada"}, "another secret of thirty-two bytes!"))
    await until("it is sent away", lambda: other.story.all("disconnected"))
    same(other.story.all("disconnected")[0].code, 3500)


async def check_calls(room):
    client = await room.ready(NEAR)
    same(unwrap((await client.rpc("echo", wrap({"対話": [1, None]}))).data), {"対話": [1, None]})
    for method, code in (("nothing", 104), ("trial", 1402)):
        same(await code_of(client.rpc(method, wrap(1))), code, method)


async def code_of(asked):
    try:
        await asked
    except ReplyError as error:
        return error.code
    raise AssertionError("it succeeded")


async def check_no_answer(room):
    client = await room.ready(NEAR)
    same(await code_of(client.publish("closed:py", wrap(1))), 103)
    same(await code_of(client.publish("nowhere:py", wrap(1))), 102)
    same(await code_of(client.history("bare:py", limit=1)), 108)
    it = await room.prepare(client, "closed:py")
    await until("unsubscribed", lambda: it.story.all("unsubscribed"))
    same(it.story.all("unsubscribed")[0].code, 103)


async def check_sent_away(room):
    client = await room.ready(NEAR)
    try:
        await client.publish("asked:py-away", wrap({"away": 4999}))
    except CentrifugeError:
        pass  # The answer may have been overtaken.
    await until("it is sent away", lambda: client.story.all("disconnected"))
    end = client.story.all("disconnected")[0]
    same((end.code, end.reason), (4999, "as it wished"))


async def main():
    checks = [(name[6:].replace("_", "-"), it) for name, it in globals().items() if name.startswith("check_")]
    for name, check in checks:
        room = Room()
        try:
            await asyncio.wait_for(check(room), CHECK_S)
            print(f"ok {name}", flush=True)
        except Exception as error:  # Whatever it is, the other checks go on.
            why = str(error).replace("\n", " | ") or type(error).__name__
            print(f"FAIL {name}: {why}", flush=True)
        await control("open")
        await room.leave()


asyncio.run(main())
