"""The keystore when several write at once, and when one is killed; what dnet asks on a terminal."""

import ctypes
import fcntl
import json
import os
import pty
import random
import select
import signal
import subprocess
import sys
import termios
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pytest  # noqa: E402

import testlib as lib  # noqa: E402
from clilib import (ABORTED, DENIED, KEYS, OK, clean_environment, mine,  # noqa: E402
                    tool, world)  # noqa: E402,F401

lib.need_litecoind()

GREEN, RED, BOLD = "\033[32m", "\033[31m", "\033[1m"


# ---- several at once

def begin(tool, *argv):
    return subprocess.Popen([lib.program("dnet"), "-c", tool.conf, "--json", "--yes", *argv],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, env=clean_environment())


def has_key(tool, ident):
    """The keystore can spend the object's seal."""
    return tool.run("--json", "node", "add", ident, KEYS[1], "--dry-run") if ident.startswith(
        "dnet1") else tool.run("--json", "close", ident, "--dry-run")


def test_ten_at_once_lose_no_key(world, tool):
    running = [begin(tool, "ovc", "create", "c%d" % n, "--key", KEYS[0]) for n in range(10)]
    made = []
    for process in running:
        out, err = process.communicate(timeout=120)
        assert process.returncode == OK, (out, err)
        made.append(json.loads(out)["id"])
    assert len(set(made)) == 10
    with open(tool.options["keystore"] + ".seals") as f:
        assert set(made) <= set(json.load(f)["litecoin-regtest"])
    mine(world)
    for ident in made:
        done = has_key(tool, ident)
        assert done.returncode == OK, done.stdout


def test_updates_of_one_object_at_once_are_a_chain(world, tool):
    made = tool.write_ok("create", "busy")
    keys = KEYS[1:5]
    running = [begin(tool, "node", "add", made["id"], key) for key in keys]
    for process in running:
        out, err = process.communicate(timeout=120)
        assert process.returncode == OK, (out, err)
    mine(world)
    assert tool.ok("show", made["id"])["sequence"] == 4
    assert len(tool.ok("show", made["id"])["nodes"]) == 4


def test_the_second_says_whom_it_waits_for(world, tool):
    path = tool.options["keystore"] + ".lock"
    with open(path, "w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        f.write("4711\n")
        f.flush()
        second = subprocess.Popen([lib.program("dnet"), "-c", tool.conf, "--yes", "create",
                                   "second"],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True, env=clean_environment())
        line = second.stderr.readline()
        assert "waiting for another dnet (process 4711)" in line, line
        assert tool.options["keystore"] in line
        assert second.poll() is None
        # what sends nothing does not wait
        assert tool.run("create", "third", "--dry-run").returncode == OK
    out, err = second.communicate(timeout=30)
    assert second.returncode == OK, err


# ---- killed

def keys_are_there(world, tool, prefix):
    mine(world)
    found = [o["id"] for o in tool.ok("list")["objects"] if o["name"].startswith(prefix)]
    for ident in found:
        done = has_key(tool, ident)
        assert done.returncode == OK, (ident, done.stdout)
    return found


def test_a_kill_at_any_moment_loses_no_key(world, tool):
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)
    tool.options["wait"] = "0ms"
    tool.write()
    start = time.monotonic()
    tool.ok("--yes", "create", "first")
    whole = time.monotonic() - start
    rounds = 16
    for n in range(rounds):
        process = begin(tool, "create", "kill%d" % n)
        try:
            process.wait(whole * (n + chance.random()) / rounds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        process.communicate()
    assert tool.write_ok("--wait", "10s", "create", "after")["id"]
    keys_are_there(world, tool, "kill")


def test_a_kill_the_moment_the_node_has_the_transaction_loses_no_key(world, tool):
    _, node, _ = world
    for n in range(4):
        before = set(node.getrawmempool())
        process = begin(tool, "create", "sent%d" % n)
        lib.wait_for(lambda: set(node.getrawmempool()) - before, "the transaction is sent",
                     interval=0.001)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert len(keys_are_there(world, tool, "sent")) == 4


# ---- on a terminal

class Terminal:
    """dnet with a terminal of its own on all three; typed text comes back only if it is echoed."""

    running = []

    def __init__(self, tool, *argv, env=None):
        self.seen = ""
        self.pid, self.fd = pty.fork()
        Terminal.running.append(self.pid)
        if not self.pid:
            # A run in the background ignores it, and children inherit that.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.execve(lib.program("dnet"), [lib.program("dnet"), "-c", tool.conf, *argv],
                      {**clean_environment(), "TERM": "xterm", **(env or {})})

    def read(self):
        if not select.select([self.fd], [], [], 30)[0]:
            raise AssertionError("nothing for 30 s after: " + self.seen)
        try:
            data = os.read(self.fd, 4096)
        except OSError:  # EIO: it ended
            data = b""
        self.seen += data.decode()
        return data

    def until(self, words):
        while words not in self.seen:
            assert self.read(), "ended before \"%s\": %s" % (words, self.seen)
        before, self.seen = self.seen.split(words, 1)
        return before

    def type(self, text):
        os.write(self.fd, text.encode() + b"\n")

    def end(self):
        """Exit status, and what was shown since the last until()."""
        while self.read():
            pass
        os.close(self.fd)
        return self.wait(), self.seen

    def wait(self):
        status = os.waitpid(self.pid, 0)[1]
        Terminal.running.remove(self.pid)
        return os.waitstatus_to_exitcode(status)


@pytest.fixture(autouse=True)
def terminals():
    """One that a failed test left behind ends."""
    yield
    while Terminal.running:
        pid = Terminal.running.pop()
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@pytest.fixture
def typist(tool):
    """Has no keyfile."""
    del tool.options["keyfile"]
    tool.write()
    return tool


def test_a_new_keystore_asks_twice_and_shows_nothing(world, typist):
    t = Terminal(typist, "--yes", "create", "typed")
    t.until("New passphrase for the keystore: ")
    t.type("correct horse")
    assert "correct" not in t.until("The same again: ")
    t.type("correct horse")
    status, shown = t.end()
    assert status == OK and "correct" not in shown, shown
    t = Terminal(typist, "--yes", "node", "add", "typed", KEYS[1])
    t.until("Passphrase of the keystore: ")
    t.type("correct horse")
    status, shown = t.end()
    assert status == OK and "correct" not in shown and "again" not in shown, shown


def test_a_passphrase_is_never_swapped_or_dumped(world, typist):
    t = Terminal(typist, "--yes", "create", "locked")
    t.until("New passphrase for the keystore: ")
    t.type("correct horse battery")
    t.until("The same again: ")
    with open("/proc/%d/limits" % t.pid) as f:
        assert "Max core file size        0                    0 " in f.read()
    # Not even its own user looks in, only root.
    assert os.stat("/proc/%d/environ" % t.pid).st_uid == 0
    if os.getuid() == 0:
        lib.protected(lib.Memory(t.pid), "the passphrase", b"correct horse battery")
    with open("/proc/%d/cmdline" % t.pid, "rb") as f:
        assert b"correct" not in f.read()
    t.type("another")
    assert t.end()[0] == DENIED


def test_two_passphrases_that_differ_make_nothing(world, typist):
    _, node, _ = world
    before = set(node.getrawmempool())
    for first, again, words in (("one", "two", "passphrases differ"), ("", "", "is empty")):
        t = Terminal(typist, "--yes", "create", "typo")
        t.until("New passphrase for the keystore: ")
        t.type(first)
        t.until("The same again: ")
        t.type(again)
        status, shown = t.end()
        assert status == DENIED and words in shown, shown
    assert not os.path.exists(typist.options["keystore"])
    assert set(node.getrawmempool()) == before


def test_ctrl_c_at_the_passphrase_gives_the_terminal_its_echo_back(world, typist):
    t = Terminal(typist, "--yes", "create", "breaks")
    t.until("New passphrase for the keystore: ")
    # Not by /proc/PID/fd: it may not be dumped, and only root looks in there.
    ptsname = ctypes.CDLL(None).ptsname
    ptsname.restype = ctypes.c_char_p
    slave = os.open(ptsname(t.fd), os.O_RDWR | os.O_NOCTTY)
    os.write(t.fd, b"\x03")
    assert t.wait() == -signal.SIGINT
    assert termios.tcgetattr(slave)[3] & termios.ECHO
    os.close(slave)
    os.close(t.fd)


def test_no_at_the_question_sends_nothing(world, tool):
    _, node, _ = world
    tool.write_ok("create", "asked")
    before = set(node.getrawmempool())
    for answer in ("n", "", "no", "maybe"):
        t = Terminal(tool, "node", "add", "asked", KEYS[1] + "=bob")
        shown = t.until("? [y/N] ")
        assert "NODE_PUT bob" in shown and "fee" in shown and "the seal" in shown, shown
        assert "add 1 node to asked" in shown
        t.type(answer)
        status, shown = t.end()
        assert status == ABORTED and "nothing was sent" in shown, shown
    t = Terminal(tool, "create", "unasked")
    t.until("? [y/N] ")
    os.write(t.fd, b"\x04")
    status, shown = t.end()
    assert status == ABORTED and "nothing was sent" in shown, shown
    assert set(node.getrawmempool()) == before
    t = Terminal(tool, "node", "add", "asked", KEYS[1] + "=bob")
    t.until("? [y/N] ")
    t.type("y")
    status, shown = t.end()
    assert status == OK and "sent" in shown, shown
    assert len(set(node.getrawmempool()) - before) == 1


def test_colours_are_for_terminals_only(world, tool):
    status, shown = Terminal(tool, "create", "bright", "--dry-run").end()
    assert status == OK and BOLD in shown
    status, shown = Terminal(tool, "show", "nobody").end()
    assert RED in shown
    status, shown = Terminal(tool, "--yes", "create", "bright").end()
    assert status == OK and GREEN in shown
    for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        for command in (("create", "grey", "--dry-run"), ("show", "nobody"), ("show", "bright")):
            assert "\033" not in Terminal(tool, *command, env=env).end()[1]
    # an empty NO_COLOR is none (no-color.org)
    assert RED in Terminal(tool, "show", "nobody", env={"NO_COLOR": ""}).end()[1]
    done = tool.run("show", "nobody", env={"TERM": "xterm"})
    assert "\033" not in done.stdout + done.stderr
    status, shown = Terminal(tool, "--json", "show", "bright").end()
    assert status == OK and "\033" not in shown and json.loads(shown)["name"] == "bright"


if __name__ == "__main__":
    sys.exit(pytest.main([os.path.abspath(__file__), "-q", "-p", "no:cacheprovider"] +
                         sys.argv[1:]))
