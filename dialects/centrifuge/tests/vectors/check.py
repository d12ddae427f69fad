"""Checks commands.txt, replies.txt and emulation.txt against the schema in PyPI's centrifuge-python 0.7.0.

In a virtual environment: `pip install centrifuge-python==0.7.0`, then `python check.py` beside the three files. Every
message must be read, have no field that the schema does not know (but those that only newer clients send), and be
written again byte by byte as npm's package wrote it.
"""

import pathlib
import sys

from centrifuge.codecs import _varint_decode, _varint_encode
from centrifuge.protocol import client_pb2

NEWER = {"subscribe_map", "publish_map", "track"}
FOLDER = pathlib.Path(__file__).parent


def check(file, kind, delimited):
    count = 0
    for line in (FOLDER / file).read_text().splitlines():
        name, _, digits = line.split("\t")
        data = bytes.fromhex(digits)
        length, start = _varint_decode(data, 0) if delimited else (len(data), 0)
        if start + length != len(data):
            sys.exit(f"{file}: {name}: wrong length")
        message = kind()
        message.ParseFromString(data[start:])
        written = message.SerializeToString(deterministic=True)
        written = _varint_encode(len(written)) + written if delimited else written
        if written != data and name not in NEWER:
            sys.exit(f"{file}: {name}: {written.hex()} is not {data.hex()}")
        if name not in NEWER:
            message.DiscardUnknownFields()
            if message.SerializeToString(deterministic=True) != data[start:]:
                sys.exit(f"{file}: {name}: fields that the schema does not know")
        count += 1
    print(f"{file}: {count} messages")


check("commands.txt", client_pb2.Command, True)
check("replies.txt", client_pb2.Reply, True)
check("emulation.txt", client_pb2.EmulationRequest, False)
