"""The capsules by which a session of WebTransport is closed (draft-ietf-webtrans-http3): aioquic leaves them to its users."""

from aioquic.buffer import Buffer, encode_uint_var

CLOSE = 0x2843


def close(code, reason):
    value = code.to_bytes(4, "big") + reason.encode()
    return encode_uint_var(CLOSE) + encode_uint_var(len(value)) + value


def closed(said):
    """Returns code and reason, if a session's stream said them; None if not."""
    buffer = Buffer(data=said)
    while not buffer.eof():
        kind, length = buffer.pull_uint_var(), buffer.pull_uint_var()
        value = buffer.pull_bytes(length)
        if kind == CLOSE:
            return int.from_bytes(value[:4], "big"), value[4:].decode()
    return None
