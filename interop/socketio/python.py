"""PyPI `python-socketio` against a server and a proxy that somebody else started.

    python3 socketio/python.py NEAR FAR (sync|async)-(polling|upgrade|websocket)

NEAR and FAR are http:// origins, of the proxy and of the server. What is to be done to them is asked for on stdout as
`do {"name": …, "given": […]}` and answered on stdin. Verdicts are `ok NAME` and `FAIL NAME: why`, one line a check.
"""

import asyncio
import json
import logging
import sys
import time

import socketio

# What goes wrong is told by verdicts.
logging.disable(logging.CRITICAL)

NEAR, FAR, KIND = sys.argv[1:]
FORM, TRANSPORT = KIND.split("-")
TRANSPORTS = {"polling": ["polling"], "upgrade": ["polling", "websocket"], "websocket": ["websocket"]}[TRANSPORT]
STEP_S = 10
CHECK_S = 30
ARGUMENTS = [
    (),
    ({"対話": ["a\"b\\", None, -1.5e-7, {"": []}]},),
    ("only a text\nwith two lines",),
    (0, "two", {"three": [3]}, [4, [5]], None),
    (b"\x00\xff\x10",),
    (b"\x01", {"deep": [b"\x02\x02", "beside"]}, "last"),
]


async def until(what, probe):
    end = time.monotonic() + STEP_S
    while not probe():
        assert time.monotonic() < end, f"{what}: not after {STEP_S} s"
        await asyncio.sleep(0.01)


def same(seen, due, what="seen"):
    assert seen == due, f"{what}: {str(seen)[:300]} where {str(due)[:300]} was due"


class One:
    """A client with threads or with asyncio, and what it was told: namespace, event, arguments."""

    def __init__(self):
        made = socketio.AsyncClient if FORM == "async" else socketio.Client
        self.client = made(reconnection_delay=0.05, reconnection_delay_max=0.2, randomization_factor=0)
        self.told = []
        self.answers = {}

    def listen(self, namespaces):
        for namespace in namespaces:
            for event in ("connect", "connect_error", "disconnect"):
                self.client.on(event, self.tell(namespace, event), namespace=namespace)
            self.client.on("*", self.hear(namespace), namespace=namespace)

    def tell(self, namespace, event):
        return lambda *args: self.told.append((namespace, event, args))

    def hear(self, namespace):
        def heard(event, *args):
            self.told.append((namespace, event, args))
            return self.answers[event](*args) if event in self.answers else None

        return heard

    async def do(self, method, *args, **options):
        call = getattr(self.client, method)
        if FORM == "async":
            return await call(*args, **options)
        return await asyncio.get_running_loop().run_in_executor(None, lambda: call(*args, **options))

    async def connect(self, origin, namespaces=("/",), **options):
        self.listen(namespaces)
        await self.do("connect", origin, transports=TRANSPORTS, namespaces=list(namespaces), wait_timeout=STEP_S, **options)
        # It moves before it says so.
        same(self.client.transport(), TRANSPORTS[-1], "transport")

    async def rest(self):
        """Lets what it sends be answered. With threads, one that leaves while a POST is under way does not say so to the server, and
        waits for the next ping."""
        end = time.monotonic() + 1
        while getattr(self.client.eio.queue, "unfinished_tasks", 0) and time.monotonic() < end:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.02)

    def all(self, event, namespace="/"):
        return [args for where, it, args in self.told if (where, it) == (namespace, event)]


class Room:
    """The clients of one check."""

    def __init__(self):
        self.made = []

    def one(self):
        self.made.append(One())
        return self.made[-1]

    async def connect(self, origin, *args, **options):
        one = self.one()
        await one.connect(origin, *args, **options)
        return one

    async def leave(self):
        for one in self.made:
            await one.rest()
            await one.do("shutdown" if hasattr(one.client, "shutdown") else "disconnect")


asking = asyncio.Lock()


async def control(name, *given):
    """Has something done to the server or the proxy."""
    # Two may be wanted at the same time, and answers have no names.
    async with asking:
        print("do " + json.dumps({"name": name, "given": given}), flush=True)
        line = await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        return json.loads(line).get("result")


async def check_connect(room):
    one = await room.connect(NEAR, auth={"token": "user-ada"})
    same(await one.do("call", "who"), {"user": "ada", "scope": None})
    same(await one.do("call", "session"), one.client.get_sid(), "the identifier of the session")
    await one.do("disconnect")
    await until("it is told", lambda: one.all("disconnect"))


async def check_refused(room):
    one = room.one()
    try:
        await one.connect(NEAR, auth={"token": "stolen"})
    except socketio.exceptions.ConnectionError:
        same(one.all("connect_error")[0][0]["message"], "not one of our tokens")
        return
    raise AssertionError("it was let in")


async def check_events(room):
    said, heard = await room.connect(NEAR), await room.connect(FAR)
    for args in ARGUMENTS:
        await said.do("emit", "said", args)
    for one in (said, heard):
        await until("all events", lambda one=one: len(one.all("said")) >= len(ARGUMENTS))
        same(one.all("said"), ARGUMENTS)


async def check_acks(room):
    one = await room.connect(NEAR)
    for args in ARGUMENTS:
        due = args[0] if len(args) == 1 else list(args)
        same(await one.do("call", "echo", args), due)
    assert "error" in await one.do("call", "nothing"), "a method that nobody answers"
    try:
        await one.do("call", "slow", 1, timeout=0.1)
    except socketio.exceptions.TimeoutError:
        pass
    else:
        raise AssertionError("it came in time")
    same(await one.do("call", "slow", 2, timeout=5), 2)


async def check_call(room):
    one = await room.connect(NEAR)
    one.answers = {"double": lambda n: 2 * n, "several": lambda _: (1, "two"), "binary": lambda _: b"\x09\x08"}
    session = one.client.get_sid()
    for method, data, due in (("double", 21, {"data": 42}), ("several", 0, {"data": [1, "two"]}), ("binary", 0, {"base64": "CQg="})):
        same(await control("api", "call", {"session": session, "method": method, "data": data}), due)


async def check_namespaces(room):
    one = await room.connect(NEAR, ("/", "/chat"), auth={"token": "user-ada"})
    other = await room.connect(FAR, ("/chat",))
    await other.do("emit", "said", "in the chat", namespace="/chat")
    await until("the chat hears", lambda: one.all("said", "/chat"))
    same(one.all("said"), [])
    same(await one.do("call", "who", namespace="/chat"), {"user": "ada", "scope": "/chat"})
    refused = room.one()
    try:
        await refused.connect(NEAR, ("/nowhere",))
    except socketio.exceptions.ConnectionError:
        same(refused.all("connect_error", "/nowhere")[0][0]["message"], "Invalid namespace")
        return
    raise AssertionError("there is such a namespace")


async def check_rooms(room):
    one, two = await room.connect(NEAR), await room.connect(FAR)
    for n, who in enumerate((one, two)):
        await control("api", "subscribe", {"session": who.client.get_sid(), "channel": "room"})
        await control("api", "publish", {"channel": "room", "event": "news", "data": n})
    except_one = {"channel": "room", "event": "news", "data": 2, "except": [one.client.get_sid()]}
    await control("api", "publish", except_one)
    await control("api", "publish", {"channel": "/", "event": "news", "data": "last"})
    for who in (one, two):
        await until("the last", lambda who=who: ("last",) in who.all("news"))
    same([one.all("news"), two.all("news")], [[(0,), (1,), ("last",)], [(1,), (2,), ("last",)]])


async def check_sent_away(room):
    one = await room.connect(NEAR)
    await control("api", "disconnect", {"session": one.client.get_sid(), "code": 4001, "reason": "enough", "may_return": False})
    await until("it goes", lambda: one.all("disconnect"))
    same(one.client.connected, False)


async def check_big(room):
    said, heard = await room.connect(NEAR), await room.connect(FAR)
    for it in (b"\x07" * 200_000, "対話" * 30_000):
        await said.do("emit", "said", (it,))
    await until("both", lambda: len(heard.all("said")) == 2)
    same(heard.all("said"), [(b"\x07" * 200_000,), ("対話" * 30_000,)])


async def check_reconnect(room):
    one = await room.connect(NEAR)
    for times in (2, 3):
        await control("shut")
        await until("it notices", lambda times=times: len(one.all("disconnect")) >= times - 1)
        await control("open")
        await until("it is back", lambda times=times: len(one.all("connect")) >= times)
    same(await one.do("call", "echo", "still there"), "still there")


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
        await asyncio.wait_for(room.leave(), STEP_S)


asyncio.run(main())
