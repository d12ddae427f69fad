"""PyPI curl_cffi, which is libcurl, as the client of a taiwa server: requests over HTTP/3 and nothing else.

    curl_.py HOST PORT      prints `ok NAME` or `FAIL NAME: why`, one line a check
"""

import sys

from curl_cffi import CurlHttpVersion, requests

HOST, PORT = sys.argv[1], int(sys.argv[2])


def ask(method, path, **options):
    answer = requests.request(
        method, f"https://{HOST}:{PORT}{path}", http_version="v3only", verify=False, timeout=10, **options
    )
    assert answer.http_version == CurlHttpVersion.V3, f"by version {answer.http_version}"
    return answer


def page():
    answer = ask("GET", "/")
    assert answer.status_code == 200 and answer.content.startswith(b"<!doctype html"), answer
    assert len(answer.content) == int(answer.headers["content-length"]), answer.headers


def post():
    answer = ask("POST", "/nowhere", data=b"x" * 300_000)
    assert answer.status_code in (404, 405, 413, 426), answer


def events():
    session = requests.Session()
    answer = session.get(
        f"https://{HOST}:{PORT}/sse/room", http_version="v3only", verify=False, timeout=10, stream=True
    )
    assert answer.headers["content-type"].startswith("text/event-stream"), answer.headers
    first = next(answer.iter_content())
    assert first, "the beginning of a stream that does not end"
    answer.close()


for check in (page, post, events):
    try:
        check()
        print(f"ok {check.__name__}", flush=True)
    except Exception as why:  # What goes wrong in the peer's libraries is a failed check, too.
        print(f"FAIL {check.__name__}: {type(why).__name__} {why}", flush=True)
