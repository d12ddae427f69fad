"""Types into `taiwa connect` on a pseudo-terminal and looks at what it shows.

    python3 prompt.py TAIWA WS_URL_OF_THE_SERVER

Prints `ok` when all went as it should; otherwise it raises. Every wait has an end.
"""

import base64
import fcntl
import hashlib
import os
import pty
import re
import select
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time

TAIWA, SERVER = sys.argv[1:]
PATIENCE = 30
FOLDER = tempfile.TemporaryDirectory()
STATE = FOLDER.name


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, *args):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            environ = dict(os.environ, TERM="xterm", XDG_STATE_HOME=STATE)
            os.execvpe(args[0], args, environ)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.shown = ""
        self.all = ""

    def read(self, seconds):
        if not select.select([self.fd], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self.fd, 65536)
        except OSError:  # the end of a terminal on Linux
            return False
        self.shown += data.decode(errors="replace")
        self.all += data.decode(errors="replace")
        return bool(data)

    def expect(self, pattern):
        """Waits for `pattern`, and forgets what came up to its end."""
        end = time.monotonic() + PATIENCE
        while True:
            plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.shown)
            found = re.search(pattern, plain)
            if found:
                self.shown = plain[found.end():]
                return found
            if time.monotonic() > end:
                raise AssertionError(f"no {pattern!r} in {plain!r}")
            self.read(0.1)

    def type(self, text):
        os.write(self.fd, text.encode())

    def finish(self):
        """Waits for the end; returns the exit code."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                while self.read(0.1):
                    pass
                os.close(self.fd)
                return os.waitstatus_to_exitcode(status)
            self.read(0.1)
        raise AssertionError("it still runs")

    def local_modes(self):
        return termios.tcgetattr(self.fd)[3]


def other(*args):
    """Another client, on pipes; returns what it received."""
    run = subprocess.run([TAIWA, "connect", "-q", *args], stdin=subprocess.DEVNULL,
                         capture_output=True, timeout=PATIENCE, check=True)
    return run.stdout.decode()


def typing_and_receiving():
    listener = subprocess.Popen([TAIWA, "connect", "-q", "--count", "4", "--format", "jsonl", f"{SERVER}/talk"],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    terminal = Terminal(TAIWA, "connect", f"{SERVER}/talk")
    terminal.expect(r"connected to .*/talk")
    terminal.expect(r"> ")
    cooked = terminal.local_modes()
    assert not cooked & termios.ICANON, "lines are edited"

    terminal.type("helo\x1b[Dl\r")  # one letter to the left, and the one that lacked
    terminal.expect(r"hello")
    terminal.type("//ping\r")
    terminal.type("/bin 00ff\r")
    terminal.type("\x1b[200~{\n1}\x1b[201~\r")  # a paste of two lines
    heard = listener.communicate(timeout=PATIENCE)[0].splitlines()
    assert heard == ['{"type":"text","data":"hello"}', '{"type":"text","data":"/ping"}',
                     '{"type":"binary","base64":"AP8="}', '{"type":"text","data":"{\\n1}"}'], heard

    # What comes while a line is typed stands above it, and the line stays.
    terminal.type("half a li")
    terminal.expect(r"half a li")
    other("-m", '{"a":1}', "-m", "\x1b[2Jboo", "--linger", "100ms", f"{SERVER}/talk")
    terminal.expect(r'< \{\r?\n  "a": 1\r?\n\}')
    terminal.expect(r"> half a li")
    terminal.expect(r"< \\u\{1b\}\[2Jboo")
    terminal.expect(r"> half a li")
    terminal.type("\x15")  # Ctrl-U: the line away

    terminal.type("/ping\r")
    terminal.expect(r"pong after [0-9.]+ ms")
    terminal.type("/ping are you there\r")
    terminal.expect(r"pong after [0-9.]+ ms")
    terminal.type("/pong\r")
    terminal.type("/info\r")
    terminal.expect(r"/talk at 127\.0\.0\.1:")
    terminal.expect(r"permessage-deflate")
    terminal.type("/help\r")
    terminal.expect(r"/close \[CODE \[REASON\]\]")
    terminal.type("/nonsense\r")
    terminal.expect(r"/nonsense is no command")
    terminal.type("/in\t\r")  # completed
    terminal.expect(r"/talk at 127\.0\.0\.1:")
    terminal.type(" not kept\r")
    terminal.type("\x04")  # Ctrl-D
    terminal.expect(r"closed by us with 1000")
    assert terminal.finish() == 0


def history():
    with open(f"{STATE}/taiwa/history", encoding="utf-8") as file:
        lines = file.read()
    assert "hello" in lines and "not kept" not in lines, lines
    assert os.stat(f"{STATE}/taiwa").st_mode & 0o077 == 0, "others may read it"
    terminal = Terminal(TAIWA, "connect", f"{SERVER}/echo")
    terminal.expect(r"> ")
    terminal.type("\x12pin")  # Ctrl-R: search
    terminal.expect(r"//?ping")
    terminal.type("\r")
    time.sleep(0.3)
    terminal.type("/close 4001 so long\r")
    terminal.expect(r"closed by us with 4001")
    assert terminal.finish() == 9


def interrupts():
    terminal = Terminal(TAIWA, "connect", f"{SERVER}/echo")
    terminal.expect(r"> ")
    terminal.type("\x03")  # Ctrl-C
    terminal.expect(r"closed by us with 1000")
    assert terminal.finish() == 0


def peer(frames, then):
    """A server for one client: accepts, sends `frames`, does `then` with the socket. Returns its URL."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        client, _ = listener.accept()
        client.settimeout(PATIENCE)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.recv(1)
        key = re.search(rb"sec-websocket-key: *(\S+)", head, re.I)[1]
        digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        client.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                       b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + base64.b64encode(digest) +
                       b"\r\n\r\n" + frames)
        then(client)

    threading.Thread(target=serve, daemon=True).start()
    return "ws://127.0.0.1:%d/" % listener.getsockname()[1]


def read_to_end(client):
    while client.recv(65536):
        pass


def a_second_interrupt_aborts():
    # Reads and never answers, so that the closing handshake lasts.
    terminal = Terminal(TAIWA, "connect", "--close-timeout", "60s", peer(b"", read_to_end))
    terminal.expect(r"> ")
    terminal.type("\x03")
    terminal.expect(r"> ")
    time.sleep(0.3)
    terminal.type("\x03")
    assert terminal.finish() == 130


def the_last_words_are_shown():
    frames = b"".join(b"\x81\x02%02d" % n for n in range(50)) + b"\x88\x02\x03\xe8"
    terminal = Terminal(TAIWA, "connect", peer(frames, read_to_end))
    for n in range(50):
        terminal.expect(r"< %02d\r?\n" % n)
    terminal.expect(r"closed by the server with 1000")
    assert terminal.finish() == 0


def the_terminal_is_as_it_was():
    command = f"stty -g; {TAIWA} connect {SERVER}/echo; echo code $?; stty -g"
    terminal = Terminal("sh", "-c", command)
    modes = terminal.expect(r"([0-9a-f]+:[0-9a-f:]+)\r?\n")[1]
    terminal.expect(r"> ")
    # A message over the server's limit ends it while a line is edited.
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("x" * 2_000_000)
        file.flush()
        terminal.type(f"/file {file.name}\r")
        terminal.expect(r"text, 2000000 bytes")
        terminal.type("half a line")
        terminal.expect(r"closed by the server with 1009")
    terminal.expect(r"code 9")
    assert terminal.expect(r"([0-9a-f]+:[0-9a-f:]+)\r?\n")[1] == modes
    assert terminal.finish() == 0
    on, off = (terminal.all.rfind(f"\x1b[?2004{it}") for it in "hl")
    assert 0 < on < off, "bracketed paste was left on"


typing_and_receiving()
history()
interrupts()
a_second_interrupt_aborts()
the_last_words_are_shown()
the_terminal_is_as_it_was()
print("ok")
