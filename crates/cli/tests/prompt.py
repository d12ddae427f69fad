"""Types into `taiwa connect` on a pseudo-terminal and looks at what it shows.

    python3 prompt.py TAIWA WS_URL_OF_THE_SERVER

Prints `ok` when all went as it should; otherwise it raises. Every wait has an end.
"""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import tempfile
import termios
import time

TAIWA, SERVER = sys.argv[1:]
PATIENCE = 30
STATE = tempfile.mkdtemp()


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, *args):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            environ = dict(os.environ, TERM="xterm", XDG_STATE_HOME=STATE)
            os.execve(TAIWA, [TAIWA, *args], environ)
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
    terminal = Terminal("connect", f"{SERVER}/talk")
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
    terminal = Terminal("connect", f"{SERVER}/echo")
    terminal.expect(r"> ")
    terminal.type("\x12pin")  # Ctrl-R: search
    terminal.expect(r"//?ping")
    terminal.type("\r")
    time.sleep(0.3)
    terminal.type("/close 4001 so long\r")
    terminal.expect(r"closed by us with 4001: so long")
    assert terminal.finish() == 9


def interrupts():
    terminal = Terminal("connect", f"{SERVER}/echo")
    terminal.expect(r"> ")
    terminal.type("\x03")  # Ctrl-C
    terminal.expect(r"closed by us with 1000")
    assert terminal.finish() == 0


def the_server_closes():
    terminal = Terminal("connect", f"{SERVER}/echo")
    terminal.expect(r"> ")
    before = termios.tcgetattr(terminal.fd)[3]
    assert not before & termios.ECHO
    # A message over the server's limit.
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("x" * 2_000_000)
        file.flush()
        terminal.type(f"/file {file.name}\r")
        terminal.expect(r"text, 2000000 bytes")
        terminal.expect(r"closed by the server with 1009")
    # The slave side is gone with its program; its modes are read while it lives, above, and as escapes.
    assert terminal.finish() == 9
    assert terminal.all.rstrip().count("\x1b[?2004l") >= 1, "bracketed paste was left on"


typing_and_receiving()
history()
interrupts()
the_server_closes()
print("ok")
