"""ovcd and ovrd on a machine that fails: full and read-only disks, no descriptors, no memory, a chain.db that is cut, empty,
newer, noise or gone. Each says so, serves its tenants on, also after a kill, and takes up again what it could not do."""

import concurrent.futures
import contextlib
import glob
import os
import resource
import shutil
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pytest  # noqa: E402

import testlib as lib  # noqa: E402
from test_helpers import KINDS, MEMBER, Helper, chain_error, keep_copy, members, put_back, stays  # noqa: E402

lib.end_in_order()
OTHER = "02" + "22" * 32


@contextlib.contextmanager
def made(kind, small_disk=False):
    """A daemon whose state folder is, if wanted, a file system of a mebibyte."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="dnet-test-"))
        if small_disk:
            disk = os.path.join(folder, "state")
            os.mkdir(disk)
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "none", disk], check=True)
            stack.callback(subprocess.run, ["umount", "-l", disk], check=True)
        helper = Helper(kind, folder)
        helper.disk = os.path.join(folder, "state")
        stack.callback(helper.stop, signal.SIGKILL)
        yield helper


def may_mount():
    with tempfile.TemporaryDirectory(prefix="dnet-test-") as folder:
        if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "none", folder], check=False).returncode:
            return False
        subprocess.run(["umount", "-l", folder], check=True)
        return True


def of_both(body, *cases, small_disk=False):
    """Each case with an ovcd and an ovrd of its own, side by side: most of it is waiting for what is tried again."""
    if small_disk and not may_mount():
        pytest.skip("needs root and the right to mount")

    def one(kind, case):
        with made(kind, small_disk) as helper:
            body(helper, *case)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        for future in [pool.submit(one, kind, case) for kind in KINDS for case in cases or [()]]:
            future.result()


def serve(helper):
    helper.chain("grant", helper.id, helper.dnet)
    helper.start()
    lib.wait_for(lambda: members(helper) == 1, "the member is served", 5)


def again(helper):
    helper.stop(signal.SIGKILL)
    helper.start()


def said(helper, words, begin=0):
    return lib.wait_for(lambda: words in helper.process.log()[begin:], "it says: " + words, 5)


def copies(helper):
    text = ""
    for path in glob.glob(os.path.join(helper.folder, "state/copy-*.json")):
        with open(path) as f:
            text += f.read()
    return text


def check_names(helper):
    """Nothing half is left."""
    names = set(os.listdir(os.path.join(helper.folder, "state"))) - {"lost+found"}
    assert not [n for n in names if ".new-" in n or n.endswith(".bad")], names


def fill(disk):
    with open(os.path.join(disk, "filler"), "wb", buffering=0) as f:
        for size in (4096, 1):
            with contextlib.suppress(OSError):
                while f.write(bytes(size)):
                    pass


def test_a_full_disk_is_said_it_serves_on_and_writes_when_there_is_room():
    of_both(a_full_disk_is_said_it_serves_on_and_writes_when_there_is_room, small_disk=True)


def a_full_disk_is_said_it_serves_on_and_writes_when_there_is_room(on_disk):
    serve(on_disk)
    fill(on_disk.disk)
    on_disk.chain("node", on_disk.dnet, OTHER, "bob")
    lib.wait_for(lambda: members(on_disk) == 2, "the records are followed", 5)
    said(on_disk, "No space left on device; it is tried again")
    again(on_disk)
    lib.wait_for(lambda: members(on_disk) == 2, "also after a kill, on a full disk", 5)
    assert OTHER not in copies(on_disk)
    os.unlink(os.path.join(on_disk.disk, "filler"))
    lib.wait_for(lambda: OTHER in copies(on_disk), "the copy is written when there is room", 10)
    on_disk.stop(signal.SIGKILL)
    old = keep_copy(on_disk)
    for end in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(on_disk.db + end)
    on_disk.start()
    assert stays(on_disk, 2), "nothing was lost"
    put_back(on_disk, old)
    check_names(on_disk)


def test_a_first_start_on_a_full_disk_makes_no_half_key():
    of_both(a_first_start_on_a_full_disk_makes_no_half_key, small_disk=True)


def a_first_start_on_a_full_disk_makes_no_half_key(on_disk):
    """And none is shown that would not be there the next time."""
    key = os.path.join(on_disk.disk, "service.key")
    os.unlink(key)
    fill(on_disk.disk)
    for words in (["--show-key"], on_disk.options()):
        refused = on_disk.run(*words)
        assert refused.returncode == 1 and refused.stdout == ""
        assert "service.key" in refused.stderr and "No space left on device" in refused.stderr, refused.stderr
        assert not os.path.exists(key)
    os.unlink(os.path.join(on_disk.disk, "filler"))
    shown = on_disk.run("--show-key").stdout
    assert len(shown) == 67 and on_disk.run("--show-key").stdout == shown
    check_names(on_disk)


def test_a_read_only_disk_is_said_and_it_serves_from_what_it_has():
    of_both(a_read_only_disk_is_said_and_it_serves_from_what_it_has, small_disk=True)


def a_read_only_disk_is_said_and_it_serves_from_what_it_has(on_disk):
    serve(on_disk)
    on_disk.stop(signal.SIGKILL)
    subprocess.run(["mount", "-o", "remount,ro", on_disk.disk], check=True)
    on_disk.start()
    assert members(on_disk) == 1
    on_disk.chain("node", on_disk.dnet, OTHER, "bob")
    lib.wait_for(lambda: members(on_disk) == 2, "the records are followed", 5)
    said(on_disk, "Read-only file system; it is tried again")
    assert on_disk.run("--show-key").stdout.strip() == on_disk.key
    subprocess.run(["mount", "-o", "remount,rw", on_disk.disk], check=True)
    lib.wait_for(lambda: OTHER in copies(on_disk), "the copy is written when it may be", 10)
    assert on_disk.stop() == 0
    os.unlink(os.path.join(on_disk.disk, "service.key"))
    subprocess.run(["mount", "-o", "remount,ro", on_disk.disk], check=True)
    refused = on_disk.run(*on_disk.options())
    assert refused.returncode == 1
    assert "service.key" in refused.stderr and "Read-only file system" in refused.stderr, refused.stderr


def answers_strangers(helper):
    """Packets come in and are counted; an ovcd answers STUN."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect(("127.0.0.1", helper.port))
        s.settimeout(0.5)
        s.send(struct.pack(">HHI", 1, 0, 0x2112A442) + os.urandom(12))
        if helper.kind == "ovr":
            return True
        try:
            return s.recv(100)[:2] == b"\x01\x01"
        except TimeoutError:
            return False


def test_without_descriptors_what_is_open_goes_on():
    of_both(without_descriptors_what_is_open_goes_on)


def without_descriptors_what_is_open_goes_on(helper):
    serve(helper)
    pid = helper.process.pid
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    before = helper.call("counters")["udp_read_datagrams"]
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, limits[1]))
    helper.chain("node", helper.dnet, OTHER, "bob")
    put_back(helper, keep_copy(helper))  # another file: it has to be opened
    lib.wait_for(lambda: answers_strangers(helper), "packets are answered", 5)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    lib.wait_for(lambda: helper.status() and members(helper) == 2, "it reads again", 10)
    lib.wait_for(lambda: not chain_error(helper), "and says nothing is wrong", 5)
    assert helper.process.pid == pid and helper.call("counters")["udp_read_datagrams"] > before
    lib.wait_for(lambda: OTHER in copies(helper), "the copy is written", 10)
    check_names(helper)


def start_with(helper, descriptors):
    """What it said when it ended; None: it serves."""
    def limit():
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

    log = os.path.join(helper.folder, "log")
    begin = os.path.getsize(log) if os.path.exists(log) else 0
    helper.process = lib.Process(helper.argv(*helper.options()), log, limit)
    lib.wait_for(lambda: not helper.process.alive() or "serving" in helper.process.log()[begin:], "it serves or ends", 10)
    if helper.process.alive():
        return None
    assert helper.process.child.wait() in (1, 127), helper.process.log()[begin:]  # 127: of the loader
    return helper.process.log()[begin:]


def test_a_start_with_few_descriptors_ends_with_the_reason_or_serves():
    of_both(a_start_with_few_descriptors_ends_with_the_reason_or_serves)


def a_start_with_few_descriptors_ends_with_the_reason_or_serves(helper):
    helper.chain("grant", helper.id, helper.dnet)
    ended = served = 0
    for descriptors in range(3, 30):
        words = start_with(helper, descriptors)
        if words is None:
            served += 1
        else:
            ended += 1
            assert any(w in words.lower() for w in ("too many open files", "cannot open shared object")), words
        helper.stop(signal.SIGKILL)
        check_names(helper)
    assert ended and served
    helper.start()
    lib.wait_for(lambda: members(helper) == 1, "it serves as ever", 5)
    assert helper.call("status")["key"] == helper.key


def test_without_memory_it_goes_on_or_ends_with_the_reason():
    of_both(without_memory_it_goes_on_or_ends_with_the_reason)


def without_memory_it_goes_on_or_ends_with_the_reason(helper):
    serve(helper)
    pid = helper.process.pid
    limits = resource.prlimit(pid, resource.RLIMIT_AS)
    resource.prlimit(pid, resource.RLIMIT_AS, (1 << 20, limits[1]))
    for n in range(5):
        helper.chain("node", helper.dnet, "02" + "%064x" % (4096 + n), "m%d" % n)
        with contextlib.suppress(OSError, ValueError, KeyError):
            helper.call("status")
    if helper.process.alive():
        resource.prlimit(pid, resource.RLIMIT_AS, limits)
    else:
        assert "memory" in helper.process.log()
        helper.process.child.wait()
        helper.start()
    lib.wait_for(lambda: helper.status() and members(helper) == 6, "all is there", 10)
    check_names(helper)


def damage(helper, how):
    """The content of chain.db then."""
    with open(keep_copy(helper), "rb") as f:
        good = f.read()
    if how == "cut":
        return good[:len(good) // 2 + 100]
    if how == "empty":
        return b""
    if how == "noise":
        return os.urandom(40000)
    path = helper.db + ".newer"
    shutil.copy(helper.db + ".old", path)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("UPDATE meta SET value = 99 WHERE name = 'schema'")
    with open(path, "rb") as f:
        return f.read()


def place(helper, content):
    path = helper.db + ".next"
    with open(path, "wb") as f:
        f.write(content)
    for end in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(helper.db + end)
    os.replace(path, helper.db)


def test_a_damaged_or_newer_chain_db_is_said_and_the_last_known_state_serves_on():
    of_both(a_damaged_or_newer_chain_db, ("cut", "chain.db"), ("empty", "chain.db"), ("noise", "not a database"),
            ("newer", "schema"))


def a_damaged_or_newer_chain_db(helper, how, words):
    serve(helper)
    content = damage(helper, how)
    old = helper.db + ".good"
    os.replace(helper.db + ".old", old)
    place(helper, content)
    lib.wait_for(lambda: words in chain_error(helper), "it is said: %s" % chain_error(helper), 5)
    assert members(helper) == 1
    again(helper)
    lib.wait_for(lambda: words in chain_error(helper), "also after a kill", 5)
    assert members(helper) == 1, "the last known state"
    put_back(helper, old)
    lib.wait_for(lambda: not chain_error(helper), "the good one is read", 5)
    helper.chain("del", helper.dnet, MEMBER)
    lib.wait_for(lambda: members(helper) == 0, "and followed", 5)
    check_names(helper)


if __name__ == "__main__":
    sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", __file__]))
