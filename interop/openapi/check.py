"""Proves what docs/openapi.json and /metrics say: `check.py BINARY [PYTHON]`.

The validator and the fuzzer of OpenAPI that others wrote read the document and use a running server by it; Prometheus'
own parser reads what the admin listener says. Each check prints `ok NAME` or `FAIL NAME: why`.
"""

import json
import re
import subprocess
import sys
import tempfile
import threading
import urllib.request
from pathlib import Path

from openapi_spec_validator import OpenAPIV31SpecValidator
from prometheus_client.openmetrics.parser import text_string_to_metric_families

HERE = Path(__file__).resolve().parent
DOCUMENT = HERE.parent.parent / "docs/openapi.json"
KEY = "open-sesame"
EXAMPLES_MAX = 15
SECONDS_MAX = 180
START_S = 15


class Served:
    """`taiwa serve` with an API and an admin listener, on ports that are free."""

    def __init__(self, binary: str):
        settings = ["--set", f"api.keys={KEY}", "--set", "admin.listen=127.0.0.1:0"]
        self.child = subprocess.Popen(
            [binary, "serve", "--listen", "127.0.0.1:0", *settings],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        self.log, self.heard = [], threading.Condition()
        for pipe in (self.child.stdout, self.child.stderr):
            threading.Thread(target=self._read, args=(pipe,), daemon=True).start()
        try:
            self.api = f"http://{self._find(r'^http://(127[.]0[.]0[.]1:[0-9]+)/$')}/api/v1"
            self.admin = f"http://{self._find(r'admin listener listens.*addr=(127[.]0[.]0[.]1:[0-9]+)')}"
        except BaseException:
            self.stop()
            raise

    def _read(self, pipe):
        for line in pipe:
            with self.heard:
                # Colours would stand between a word and its value.
                self.log.append(re.sub("\x1b\\[[0-9;]*m", "", line.rstrip("\n")))
                self.heard.notify_all()

    def _find(self, pattern: str) -> str:
        def found():
            return next((match[1] for line in self.log if (match := re.search(pattern, line))), None)

        with self.heard:
            result = self.heard.wait_for(found, START_S)
        assert result, f"no {pattern} in {self.log[-3:]}"
        return result

    def stop(self):
        self.child.terminate()
        try:
            self.child.wait(10)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait(5)


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as response:
        return response.read().decode()


def valid():
    OpenAPIV31SpecValidator(json.loads(DOCUMENT.read_text())).validate()


def served_as_committed(server: Served):
    assert json.loads(get(f"{server.api}/openapi.json")) == json.loads(DOCUMENT.read_text()), "another document is served"


def exercised(server: Served):
    """schemathesis sends what the document allows and what it does not, and holds the answers against it."""
    with tempfile.TemporaryDirectory(prefix="taiwa-openapi-") as scratch:
        config = Path(scratch) / "schemathesis.toml"
        config.write_text(f'[auth.openapi.key]\napi_key = "{KEY}"\n')
        command = [
            str(Path(sys.executable).parent / "schemathesis"), "--config-file", str(config), "run",
            f"{server.api}/openapi.json", "--url", server.api, "--max-examples", str(EXAMPLES_MAX),
            "--seed", "20", "--checks", "all", "--no-color", "--suppress-health-check", "all",
        ]
        done = subprocess.run(
            command, cwd=scratch, capture_output=True, text=True, timeout=SECONDS_MAX, check=False,
        )
    # The document's own path is not one of those that are tested.
    paths = sum("post" in path for path in json.loads(DOCUMENT.read_text())["paths"].values())
    tail = " | ".join(done.stdout.strip().splitlines()[-40:])
    assert done.returncode == 0, f"{tail} {done.stderr[-300:]}"
    tested = re.search(r"Tested: (\d+)", done.stdout)
    assert tested and int(tested[1]) == paths, f"not all of {paths} commands were tested: {tail}"
    generated = re.search(r"(\d+) generated", done.stdout)
    assert generated and int(generated[1]) > 5 * paths, f"too few requests: {tail}"


def measured(server: Served):
    """Behind the fuzzer there is much to measure; the parser is strict about OpenMetrics."""
    families = {it.name: it for it in text_string_to_metric_families(get(f"{server.admin}/metrics"))}
    kinds = {
        "taiwa_build": "info", "taiwa_connections": "gauge", "taiwa_publications": "counter", "taiwa_api_requests": "counter",
        "taiwa_slow_consumers": "counter", "taiwa_webhook_requests": "counter", "process_resident_memory_bytes": "gauge",
    }
    for name, kind in kinds.items():
        assert name in families and families[name].type == kind, f"{name} is no {kind}: {sorted(families)}"
    for family in families.values():
        assert family.documentation and family.samples, f"{family.name} says nothing"
    requests = {(it.labels["command"], it.labels["status"]): it.value for it in families["taiwa_api_requests"].samples}
    assert requests.get(("publish", "200"), 0) > 0 and requests.get(("publish", "422"), 0) > 0, requests
    assert not any(status.startswith("50") for _, status in requests), f"the server failed: {requests}"


def alive(server: Served):
    assert get(f"{server.admin}/health") == "alive\n" and get(f"{server.admin}/ready") == "ready\n"


def main() -> int:
    failed = False
    server = Served(sys.argv[1])
    try:
        for name, check in (
            ("valid", valid),
            ("served", lambda: served_as_committed(server)),
            ("schemathesis", lambda: exercised(server)),
            ("metrics", lambda: measured(server)),
            ("alive", lambda: alive(server)),
        ):
            try:
                check()
                print(f"ok {name}", flush=True)
            except Exception as failure:  # What the validator raises is many things.
                failed = True
                why = (str(failure) or type(failure).__name__).replace("\n", " | ")
                print(f"FAIL {name}: {why}", flush=True)
    finally:
        server.stop()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
