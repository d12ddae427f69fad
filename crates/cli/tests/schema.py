"""Has the package jsonschema check files against `taiwa config schema`."""

import json
import re
import subprocess
import sys

import jsonschema

try:
    import tomllib
except ImportError:
    tomllib = None


def taiwa(*args):
    return subprocess.run(
        [sys.argv[1], "config", *args], check=True, capture_output=True, text=True, timeout=60
    ).stdout


schema = json.loads(taiwa("schema"))
jsonschema.Draft202012Validator.check_schema(schema)
validator = jsonschema.Draft202012Validator(schema)


def accepts(value):
    for error in validator.iter_errors(value):
        raise SystemExit(f"{list(error.path)}: {error.message}")


def refuses(value):
    if validator.is_valid(value):
        raise SystemExit(f"accepted: {value}")


if tomllib:
    # Every key of the file, with its default or its example.
    everything = re.sub(r"(?m)^#(?=[a-z\[])", "", taiwa("init", "-"))
    tree = tomllib.loads(everything)
    assert tree["namespace"][0]["history_size"] == 0 and tree["webhooks"]["url"]["connect"], tree
    accepts(tree)
    accepts(tomllib.loads(taiwa("show")))

accepts({})
accepts({"auth": {"anonymous": True}, "limits": {"connection": {"message_max": 65536}}})
accepts({"namespace": [{"name": "a", "rights": {"publish": "named", "history": "all"}}]})
refuses({"lissten": []})
refuses({"listen": "127.0.0.1:8000"})
refuses({"log": {"level": "loud"}})
refuses({"limits": {"connection": {"message_max": "1 elephant"}}})
refuses({"limits": {"connection": {"fragments_max": -1}}})
refuses({"times": {"ping_after": 30}})
refuses({"compression": {"level": 10}})
refuses({"namespace": {"name": "a"}})
refuses({"namespace": [{"rights": {"publish": "some"}}]})
refuses({"auth": {"anonymous": "yes"}})
refuses({"webhooks": {"url": {"connect": "ftp://a"}}})
print("ok")
