"""chainwatch on a machine that fails: full and read-only disks, no descriptors, no memory, a chain.db that is locked, taken
away, cut or damaged. It says so, what readers see stays good, and it goes on when the machine does."""

import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pytest  # noqa: E402

import testlib as lib  # noqa: E402

lib.need_litecoind()

SEED = int(os.environ.get("DNET_SEED") or random.randrange(1 << 32))
print("DNET_SEED=%d" % SEED, flush=True)


@pytest.fixture(scope="module")
def node():
    with lib.started(lib.Litecoind) as node:
        node.wallet(120)
        yield node


@pytest.fixture
def folder():
    with lib.Folder() as folder:
        yield folder


@pytest.fixture
def disk(folder):
    """A file system of 16 MiB for chain.db."""
    path = os.path.join(folder, "db")
    os.mkdir(path)
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "none", path], check=False).returncode:
        pytest.skip("needs root and the right to mount")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)


@pytest.fixture
def watch(node, folder):
    watch = lib.Chainwatch(folder, node, poll="20ms")
    try:
        yield watch
    finally:
        watch.stop(signal.SIGKILL)


def work(node, count=3):
    """An owner with nodes, each in a block of its own."""
    owner = lib.Owner(node)
    owner.send(lib.dnet_create("office"))
    for n in range(count):
        owner.send(lib.node_put(n, "n%d" % n))
        node.mine()
    return owner


def check_as_fresh(node, watch):
    watch.wait_tip()
    with lib.Folder() as other:
        fresh = lib.Chainwatch(other, node, poll="20ms")
        try:
            fresh.start()
            fresh.wait_tip()
            assert fresh.dump() == watch.dump()
        finally:
            fresh.stop()


def fill(path):
    with open(os.path.join(path, "filler"), "wb", buffering=0) as f:
        for size in (4096, 1):
            try:
                while f.write(bytes(size)):
                    pass
            except OSError:
                pass


def test_a_full_disk_is_said_and_it_goes_on_when_there_is_room(node, disk, watch):
    work(node)
    watch.start()
    watch.wait_tip()
    before = watch.dump()
    fill(disk)
    while watch.try_status()["state"] == "following":  # until the room in its log is used up, too
        work(node, 10)
        lib.wait_for(lambda: watch.try_status()["state"] != "following" or
                     watch.try_status()["hash"] == node.getbestblockhash(), "it has seen this")
        before = watch.dump()
    status = watch.wait_state("waiting", "full")
    assert "chain.db" in status["error"]
    assert watch.dump() == before or status["height"] > before["block"][-1][0]
    watch.stop(signal.SIGKILL)
    watch.start(wait=False)  # with no room at all it may start or refuse: both with the reason
    lib.wait_for(lambda: "full" in watch.process.log().split("following")[-1] or not watch.process.alive(), "it says so")
    watch.stop(signal.SIGKILL)
    os.unlink(os.path.join(disk, "filler"))
    watch.start()
    check_as_fresh(node, watch)


def test_a_read_only_disk_is_said_and_it_goes_on_when_it_is_writable(node, disk, watch):
    work(node)
    watch.start()
    watch.wait_tip()
    watch.stop()
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    watch.start(wait=False)
    assert watch.process.child.wait(10) == 1
    assert "chain.db" in watch.process.log() and "read-only" in watch.process.log()
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    work(node)
    watch.start()
    check_as_fresh(node, watch)


def test_without_descriptors_it_waits(node, watch):
    watch.start()
    watch.wait_tip()
    pid = watch.process.pid
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, limits[1]))
    work(node)
    # The open ones stay good; a new connection to the node and a new client are refused, and nothing else happens.
    assert watch.process.alive()
    resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    check_as_fresh(node, watch)
    assert watch.process.pid == pid


def test_without_memory_it_says_so_and_begins_again(node, watch):
    watch.start()
    watch.wait_tip()
    pid = watch.process.pid
    limits = resource.prlimit(pid, resource.RLIMIT_AS)
    resource.prlimit(pid, resource.RLIMIT_AS, (1 << 20, limits[1]))
    work(node, 20)
    resource.prlimit(pid, resource.RLIMIT_AS, limits)
    if not watch.process.alive():
        assert "memory" in watch.process.log()
        watch.stop(signal.SIGKILL)
        watch.start()
    check_as_fresh(node, watch)


def test_a_locked_database_is_waited_for(node, watch):
    watch.start()
    watch.wait_tip()
    db = sqlite3.connect(watch.db, isolation_level=None)
    db.execute("BEGIN EXCLUSIVE")
    work(node)
    status = watch.wait_state("waiting", "locked")
    assert "chain.db" in status["error"]
    db.execute("ROLLBACK")
    db.close()
    check_as_fresh(node, watch)


def test_a_database_that_is_taken_away_is_named_and_made_anew(node, watch):
    work(node)
    watch.start()
    watch.wait_tip()
    os.rename(watch.db, watch.db + ".away")
    work(node)
    status = watch.wait_state("waiting", "is not there any more")
    assert watch.db in status["error"]
    os.rename(watch.db + ".away", watch.db)
    check_as_fresh(node, watch)
    for end in ("", "-wal", "-shm"):
        os.unlink(watch.db + end)
    watch.wait_state("waiting", "is not there any more")
    watch.stop()
    watch.start()
    check_as_fresh(node, watch)


@pytest.mark.parametrize("damage", ["cut", "flip"])
def test_a_damaged_database_is_refused_or_good(node, watch, damage):
    """Never wrong rows without a word: for each damage it refuses, or it has what a fresh one has."""
    rng = random.Random(SEED)
    work(node, 10)
    watch.start()
    watch.wait_tip()
    watch.stop()
    db = sqlite3.connect(watch.db)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    shutil.copy(watch.db, watch.db + ".good")
    size = os.path.getsize(watch.db)
    refused = 0
    for _ in range(6):
        for end in ("-wal", "-shm"):
            if os.path.exists(watch.db + end):
                os.unlink(watch.db + end)
        shutil.copy(watch.db + ".good", watch.db)
        if damage == "cut":
            os.truncate(watch.db, rng.randrange(1, size))
        else:  # the beginning of a page: its kind, its cells
            with open(watch.db, "r+b") as f:
                f.seek(rng.randrange(1, size // 4096) * 4096)
                f.write(rng.randbytes(64))
        watch.start(wait=False)
        seen = lib.wait_for(lambda: not watch.process.alive() or watch.try_status(), "it starts or refuses")
        if seen is True:
            refused += 1
            assert watch.process.child.wait() == 1
            assert "chain.db" in watch.process.log()
        else:
            check_as_fresh(node, watch)
        watch.stop(signal.SIGKILL)
    assert refused > 0


def test_two_on_one_state_folder_or_database_are_told_apart(node, watch, folder):
    watch.start()
    watch.wait_tip()
    second = subprocess.run(watch.argv(), capture_output=True, text=True, timeout=10, check=False)
    assert second.returncode == 1 and str(watch.process.pid) in second.stderr
    other = os.path.join(folder, "other")
    second = subprocess.run(watch.argv("--state", other, "--control", other + ".sock"), capture_output=True, text=True,
                            timeout=10, check=False)
    assert second.returncode == 1 and str(watch.process.pid) in second.stderr, second.stderr
    check_as_fresh(node, watch)


if __name__ == "__main__":
    sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", __file__]))
