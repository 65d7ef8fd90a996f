"""ovcd and ovrd as processes, over the loopback, with a chain.db as chainwatch writes it."""

import contextlib
import glob
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pytest  # noqa: E402

import testlib as lib  # noqa: E402

SOURCE = os.environ.get("top_srcdir", os.path.join(os.path.dirname(__file__), "../.."))
CHAINDB = os.path.join(SOURCE, "tests/netns/chaindb.py")
MEMBER = "02" + "11" * 32
KINDS = ["ovc", "ovr"]


def free_udp_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Helper:
    """One daemon with its state, its chain and one dnet that it serves."""

    def __init__(self, kind, folder):
        self.kind, self.folder = kind, folder
        self.db = os.path.join(folder, "chain.db")
        self.control = os.path.join(folder, "control")
        self.port = free_udp_port()
        self.process = None
        self.key = self.run("--show-key").stdout.strip()
        self.chain("init")
        self.dnet = self.chain("dnet", "office")
        self.id = self.chain(kind, "helper", self.key)
        self.chain("node", self.dnet, MEMBER, "alice")
        self.chain("link", self.dnet, self.id)

    def chain(self, *words):
        return subprocess.run([sys.executable, CHAINDB, self.db, *words], check=True, text=True,
                              stdout=subprocess.PIPE).stdout.strip()

    def argv(self, *extra):
        return [lib.program(self.kind + "d"), "-c", "/dev/null", "--state",
                os.path.join(self.folder, "state"), *extra]

    def run(self, *extra):
        return subprocess.run(self.argv(*extra), capture_output=True, text=True, timeout=20)

    def options(self):
        return ["--id", self.id, "--port", str(self.port), "--chain-db", self.db, "--control",
                self.control, "--chainwatch", "", "--confirm", "1"]

    def start(self, *by):
        self.process = lib.Process([*by, *self.argv(*self.options())], os.path.join(self.folder, "log"))
        lib.wait_for(self.status, "%sd answers" % self.kind)

    def stop(self, number=signal.SIGTERM):
        if self.process:
            status = self.process.stop(number)
            self.process = None
            return status

    def call(self, method):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            s.connect(self.control)
            s.sendall(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method}).encode() + b"\n")
            return json.loads(s.makefile().readline())["result"]

    def status(self):
        try:
            return self.call("status")
        except (OSError, ValueError):
            assert self.process.alive(), self.process.log()
            return None

    def tenants(self):
        return self.call("status")["tenants"]


@pytest.fixture(params=KINDS)
def helper(request):
    with tempfile.TemporaryDirectory(prefix="dnet-test-") as folder:
        h = Helper(request.param, folder)
        try:
            yield h
        finally:
            h.stop(signal.SIGKILL)


def test_the_service_key_is_made_once_and_is_secret(helper):
    path = os.path.join(helper.folder, "state/service.key")
    assert re.fullmatch("0[23][0-9a-f]{64}", helper.key)
    assert helper.run("--show-key").stdout.strip() == helper.key
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert os.stat(os.path.dirname(path)).st_mode & 0o777 == 0o700
    with open(path, "w") as f:
        f.write("nonsense\n")
    broken = helper.run("--show-key")
    assert broken.returncode == 1
    assert "service.key" in broken.stderr and "64 hexadecimal digits" in broken.stderr
    assert broken.stdout == ""


def test_a_bad_configuration_names_the_next_step(helper):
    other = helper.chain("ovr" if helper.kind == "ovc" else "ovc", "other", helper.key)
    for words, what in ((["--id", ""], "%s create" % helper.kind), (["--id", "dnet1x"], "dnet1x"),
                        (["--id", other], other), (["--port", "0"], "port"),
                        (["--prot", "1"], "port")):
        refused = helper.run("-n", *words)
        assert refused.returncode == 2
        assert what in refused.stderr, refused.stderr
    assert helper.run("-n", *helper.options()).returncode == 0


def test_a_grant_serves_and_its_end_ends_it(helper):
    helper.start()
    status = helper.call("status")
    assert (status["id"], status["key"], status["tenants"]) == (helper.id, helper.key, [])
    assert status["chain"]["height"] == 100
    helper.chain("grant", helper.id, helper.dnet)
    tenant = lib.wait_for(helper.tenants, "the grant is seen", 5)[0]
    assert (tenant["dnet"], tenant["name"], tenant["members"]) == (helper.dnet, "office", 1)
    helper.chain("del", helper.dnet, MEMBER)
    lib.wait_for(lambda: helper.tenants()[0]["members"] == 0, "the removal is seen", 2)
    helper.chain("close", helper.dnet)
    lib.wait_for(lambda: helper.tenants() == [], "the end of the dnet is seen", 2)


def test_a_killed_daemon_comes_back(helper):
    helper.chain("grant", helper.id, helper.dnet)
    helper.start()
    helper.stop(signal.SIGKILL)
    helper.start()
    assert helper.call("status")["key"] == helper.key
    assert len(lib.wait_for(helper.tenants, "it serves again", 5)) == 1
    assert helper.stop() == 0
    assert not os.path.exists(helper.control)


def test_two_at_once_in_one_state_folder_are_refused(helper):
    helper.start()
    second = helper.run(*helper.options())
    assert second.returncode == 1
    assert str(helper.process.pid) in second.stderr


def test_strangers_get_no_answer_and_are_counted(helper):
    helper.start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect(("127.0.0.1", helper.port))
        s.settimeout(0.2)
        s.send(b"\xd1\x01\0\0" + os.urandom(170))  # an initiation to nobody's key
        s.send(b"\xd4" + os.urandom(5))
        s.send(b"\x17hello")
        s.send(b"\xd5\0\0\0" + os.urandom(8) + b"\xd4" + bytes(40))
        lib.wait_for(lambda: helper.call("counters")["udp_read_datagrams"] >= 4, "they came", 5)
        with pytest.raises(TimeoutError):
            s.recv(2000)
    counters = helper.call("counters")
    assert counters["handshake_mac1_wrong"] == 1
    assert counters["datagram_truncated"] == 1
    if helper.kind == "ovr":
        assert counters["dropped_unknown_lane"] == 1
        assert counters["datagram_unknown"] == 1
    else:
        assert counters["datagram_unknown"] == 2
    assert counters["udp_sends"] == 0


@pytest.mark.parametrize("family,host", [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_ovcd_answers_stun(family, host):
    with tempfile.TemporaryDirectory(prefix="dnet-test-") as folder:
        helper = Helper("ovc", folder)
        helper.start()
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as s:
                try:
                    s.connect((host, helper.port))
                except OSError:
                    pytest.skip("no %s here" % host)
                s.settimeout(5)
                ask = struct.pack(">HHI", 1, 0, 0x2112A442) + os.urandom(12)
                s.send(ask)
                answer = s.recv(2000)
                assert answer[:2] == b"\x01\x01" and answer[4:20] == ask[4:20]
                kind, length, _, fam, port = struct.unpack(">HHBBH", answer[20:28])
                assert (kind, fam) == (0x20, 1 if family == socket.AF_INET else 2)
                assert port ^ 0x2112 == s.getsockname()[1]
                packed = bytes(a ^ b for a, b in zip(answer[28:24 + length], ask[4:20]))
                assert packed == socket.inet_pton(family, host)
        finally:
            helper.stop(signal.SIGKILL)


@pytest.mark.parametrize("kind", KINDS)
def test_the_manual_has_what_the_daemon_has(kind):
    with open(os.path.join(SOURCE, "doc/%sd.8.md" % kind)) as f:
        manual = f.read()
    assert "\n@OPTIONS@\n" in manual
    with tempfile.TemporaryDirectory(prefix="dnet-test-") as folder:
        helper = Helper(kind, folder)
        helper.chain("grant", helper.id, helper.dnet)
        helper.start()
        try:
            tenant = lib.wait_for(helper.tenants, "the grant is seen", 5)[0]
            for name in [*helper.call("status"), *tenant]:
                assert re.search(r"\b%s\b" % name, manual), name
            own = [n for n in helper.call("counters")
                   if re.match("register|introduce|stun|lane|forwarded|dropped|frame", n)]
            assert len(own) > 8
            for name in own:
                assert "*%s*" % name in manual, name
        finally:
            helper.stop(signal.SIGKILL)


def keep_copy(helper):
    """chain.db as it is now, in one file."""
    old = helper.db + ".old"
    with sqlite3.connect(helper.db) as source, sqlite3.connect(old) as copy:
        source.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")
    return old


def put_back(helper, old):
    for end in ("-wal", "-shm"):
        if os.path.exists(helper.db + end):
            os.unlink(helper.db + end)
    shutil.copy(old, old + ".copy")
    os.replace(old + ".copy", helper.db)


def members(helper):
    found = helper.tenants()
    return found[0]["members"] if found else None


def stays(helper, count):
    """Through two looks at chain.db, which is read once a second."""
    looks = []
    lib.wait_for(lambda: looks.append(members(helper)) or len(looks) > 30, "looks", 10, 0.05)
    return set(looks) == {count}


def test_what_was_revoked_stays_when_chain_db_is_an_older_one_or_gone(helper):
    helper.chain("grant", helper.id, helper.dnet)
    helper.start()
    lib.wait_for(lambda: members(helper) == 1, "the member is served", 5)
    old = keep_copy(helper)
    helper.chain("del", helper.dnet, MEMBER)
    lib.wait_for(lambda: members(helper) == 0, "the removal is seen", 2)
    put_back(helper, old)
    assert stays(helper, 0)
    helper.stop(signal.SIGKILL)
    helper.start()
    assert stays(helper, 0)
    helper.stop(signal.SIGKILL)
    os.unlink(helper.db)
    helper.start()
    assert stays(helper, 0), "without a chain.db it serves what it knew"
    put_back(helper, old)
    helper.chain("height", "101")
    assert stays(helper, 0)
    helper.chain("node", helper.dnet, MEMBER, "alice")  # of the removal's sequence
    assert stays(helper, 0)
    helper.chain("node", helper.dnet, MEMBER, "alice")  # of a higher one
    lib.wait_for(lambda: members(helper) == 1, "the owner's new record counts", 5)


def rebuild(helper):
    """chain.db as of a chainwatch that was set up afresh and is at the beginning; what it was."""
    old = keep_copy(helper)
    for end in ("", "-wal", "-shm"):
        if os.path.exists(helper.db + end):
            os.unlink(helper.db + end)
    helper.chain("init")
    helper.chain("height", "50")
    with sqlite3.connect(helper.db) as db:
        db.execute("DELETE FROM block WHERE height > 50")
    return old


def test_tenants_stay_while_a_rebuilt_chain_db_is_behind(helper):
    helper.chain("grant", helper.id, helper.dnet)
    helper.start()
    lib.wait_for(lambda: members(helper) == 1, "the member is served", 5)
    old = rebuild(helper)
    assert stays(helper, 1)
    assert "is at height 50, behind 100" in helper.process.log()
    helper.stop(signal.SIGKILL)
    helper.start()
    assert stays(helper, 1), "also after a kill"
    put_back(helper, old)
    helper.chain("del", helper.dnet, MEMBER)
    lib.wait_for(lambda: members(helper) == 0, "it has read the chain again", 5)


@pytest.mark.parametrize("name,damage", [("copy", "flip"), ("copy", "gone"), ("revoked", "cut")])
def test_a_damaged_copy_brings_nobody_back(helper, name, damage):
    helper.chain("grant", helper.id, helper.dnet)
    helper.start()
    lib.wait_for(lambda: members(helper) == 1, "the member is served", 5)
    old = keep_copy(helper)
    helper.chain("del", helper.dnet, MEMBER)
    lib.wait_for(lambda: members(helper) == 0, "the removal is seen", 2)
    helper.stop(signal.SIGKILL)
    put_back(helper, old)
    path, = glob.glob(os.path.join(helper.folder, "state", name + "-*.json"))
    with open(path, "r+b") as f:
        data = f.read()
        at = data.index(MEMBER[2:].encode())  # the key: its row, and what revokes it
        if damage == "flip":
            f.seek(at)
            f.write(b"3")
        elif damage == "cut":
            f.truncate(at)
        else:
            os.unlink(path)
    helper.start()
    assert stays(helper, 0)
    assert damage == "gone" or path + " is damaged" in helper.process.log()
    with open(path, "rb") as f:
        assert len(f.read()) >= len(data), "whole again"


class Locked:
    """Another program has chain.db to itself."""

    def __init__(self, path, *pragmas):
        self.db = sqlite3.connect(path, isolation_level=None, timeout=10)
        for pragma in pragmas:
            self.db.execute("PRAGMA " + pragma)

    def __enter__(self):
        self.db.execute("BEGIN EXCLUSIVE")

    def __exit__(self, *exc):
        self.db.execute("ROLLBACK")
        self.db.close()


def chain_error(helper):
    return helper.call("status")["chain"]["error"] or ""


def longest_answer(helper, seconds):
    """Packets wait as long as a control client: both are the loop's."""
    end, longest = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        begin = time.monotonic()
        helper.call("status")
        longest = max(longest, time.monotonic() - begin)
    return longest


@pytest.mark.parametrize("pragma", ["locking_mode = EXCLUSIVE", "journal_mode = DELETE"])
def test_a_locked_chain_db_is_said_and_nothing_waits_for_it(helper, pragma):
    helper.chain("grant", helper.id, helper.dnet)
    helper.start()
    lib.wait_for(lambda: members(helper) == 1, "the member is served", 5)
    helper.stop()
    with Locked(helper.db, pragma):
        helper.start()
        lib.wait_for(lambda: "chain.db: database is locked" in chain_error(helper), "it is said", 5)
        assert longest_answer(helper, 2.5) < 0.3 * lib.PATIENCE
        assert members(helper) == 1
    lib.wait_for(lambda: not chain_error(helper), "it goes on", 5)
    helper.chain("del", helper.dnet, MEMBER)  # as chainwatch: back to WAL
    lib.wait_for(lambda: members(helper) == 0, "it follows again", 5)


def test_a_checkpoint_that_empties_the_log_changes_nothing(helper):
    helper.chain("grant", helper.id, helper.dnet)
    helper.start()
    lib.wait_for(lambda: members(helper) == 1, "the member is served", 5)
    with contextlib.closing(sqlite3.connect(helper.db, isolation_level=None, timeout=10)) as db:
        for _ in range(20):
            db.execute("UPDATE meta SET value = value + 1 WHERE name = 'change'")
            assert db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
        assert os.path.getsize(helper.db + "-wal") == 0
        assert stays(helper, 1) and not chain_error(helper)
        helper.chain("del", helper.dnet, MEMBER)
        lib.wait_for(lambda: members(helper) == 0, "it follows", 5)


def test_a_chain_db_that_another_user_closed_is_waited_for(helper):
    """The last one to close it, another program than chainwatch, has taken -wal and -shm away."""
    if os.geteuid():
        pytest.skip("needs root, to be another user")
    helper.chain("grant", helper.id, helper.dnet)
    state = os.path.join(helper.folder, "state")
    helper.control = os.path.join(state, "control")
    os.chmod(helper.folder, 0o755)
    for path in [state, *glob.glob(state + "/*")]:
        os.chown(path, 65534, 65534)
    assert not os.path.exists(helper.db + "-shm")
    helper.start("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--")
    lib.wait_for(lambda: "start chainwatch" in chain_error(helper), "it says what to do", 5)
    with contextlib.closing(sqlite3.connect(helper.db, isolation_level=None)) as db:
        db.execute("UPDATE meta SET value = value + 1 WHERE name = 'change'")
        lib.wait_for(lambda: members(helper) == 1, "it is served", 5)
        assert not chain_error(helper)


def test_usage_survives_a_restart():
    with tempfile.TemporaryDirectory(prefix="dnet-test-") as folder:
        helper = Helper("ovr", folder)
        helper.chain("grant", helper.id, helper.dnet)
        with open(os.path.join(folder, "state/usage.json"), "w") as f:
            json.dump({helper.dnet: 12345}, f)
        try:
            for _ in range(2):
                helper.start()
                tenant = lib.wait_for(helper.tenants, "the grant is seen", 5)[0]
                assert tenant["forwarded_bytes"] == 12345
                helper.stop()
            with open(os.path.join(folder, "state/usage.json"), "w") as f:
                f.write("{")
            helper.start()
            assert lib.wait_for(helper.tenants, "it serves", 5)[0]["forwarded_bytes"] == 0
            assert "usage.json.bad" in helper.process.log()
        finally:
            helper.stop(signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", __file__]))
