"""PyPI niquests as the client of a taiwa server: WebSockets and requests of one session over HTTP/2.

    niquests_.py HOST PORT      prints `ok NAME` or `FAIL NAME: why`, one line a check

The package stands apart (requirements.txt says why): below the folder of the Python environment, or where PYTHONPATH says.
"""

import sys
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(sys.prefix).parent / "niquests"))
warnings.simplefilter("ignore")

import niquests  # noqa: E402

HOST, PORT = sys.argv[1], sys.argv[2]


def open_(session, path):
    response = session.get(f"wss+rfc8441://{HOST}:{PORT}{path}", verify=False, timeout=10)
    assert (response.status_code, response.http_version) == (200, 20), (response.status_code, response.http_version)
    return response.extension


def messages(session):
    socket = open_(session, "/echo")
    for message in ("dialogue", "対話", bytes(range(256)), bytes(100_000)):
        socket.send_payload(message)
        back = socket.next_payload()
        assert back == message, f"{str(back)[:60]} where {str(message)[:60]} was due"
    socket.close()


def beside(session):
    one, two = open_(session, "/beside"), open_(session, "/beside")
    page = session.get(f"https://{HOST}:{PORT}/", verify=False, timeout=10)
    assert (page.status_code, page.http_version) == (200, 20), (page.status_code, page.http_version)
    one.send_payload("to the other")
    assert two.next_payload() == "to the other"
    one.close()
    two.close()


def refused(session):
    response = session.get(f"wss+rfc8441://{HOST}:{PORT}/echo", headers={"Origin": "https://elsewhere.example"}, verify=False)
    assert response.status_code == 403, response.status_code


for check in (messages, beside, refused):
    try:
        with niquests.Session() as session:
            check(session)
        print(f"ok {check.__name__}", flush=True)
    except Exception as why:  # What goes wrong in the package is a failed check, too.
        print(f"FAIL {check.__name__}: {type(why).__name__} {why}", flush=True)
