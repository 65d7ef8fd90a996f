"""dnet on a machine that fails: full and read-only disks, few descriptors, little memory. It says what is wrong and whether
anything was sent, no key is lost, and it works as ever when the machine does. (A chain.db that is damaged, empty, newer or
locked: test_cli_wrong.py.)"""

import json
import os
import re
import resource
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pytest  # noqa: E402

import testlib as lib  # noqa: E402
from clilib import FAILED, KEYS, OK, Tool, clean_environment, mine, world  # noqa: E402,F401

lib.need_litecoind()

MIB = 1 << 20


class Owner(Tool):
    """Its keystore is in a folder of its own."""

    def __init__(self, folder, node, watch, name):
        super().__init__(folder, node, watch, name, wait="0ms")
        self.node, self.state = node, os.path.join(folder, name + "-state")
        os.mkdir(self.state)
        self.options["keystore"] = os.path.join(self.state, "keystore")
        self.write()

    def limited(self, *argv, **limits):
        """With these resource limits; how it ended, and what was sent."""
        def limit():
            for name, value in limits.items():
                resource.setrlimit(getattr(resource, "RLIMIT_" + name), (value, value))

        before = set(self.node.getrawmempool())
        done = subprocess.run([lib.program("dnet"), "-c", self.conf, "--json", "--yes", *argv], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=60, env=clean_environment(), preexec_fn=limit)
        return done, set(self.node.getrawmempool()) - before

    def keystore(self):
        try:
            with open(self.options["keystore"], "rb") as f:
                return f.read()
        except FileNotFoundError:
            return None


@pytest.fixture
def owner(world, request):
    folder, node, watch = world
    return Owner(folder, node, watch, re.sub(r"\W", "-", request.node.name))


@pytest.fixture
def disk(owner):
    """The keystore's folder is a small file system; what fills it, and makes it read-only."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "none", owner.state]
    if os.geteuid() or subprocess.run(mount, check=False).returncode:
        pytest.skip("needs root and the right to mount")
    try:
        yield owner.state
    finally:
        subprocess.run(["umount", "-l", owner.state], check=True)


def fill(disk):
    with open(os.path.join(disk, "filler"), "wb", buffering=0) as f:
        try:
            while f.write(bytes(4096)):
                pass
        except OSError:
            pass


def refused(done, sent, words):
    """Nothing was sent, and it says why not."""
    assert done.returncode == FAILED and not sent, (done, sent)
    error = json.loads(done.stdout)["error"]
    assert words in error["message"] and "keystore" in error["message"], error
    assert error["next"], error


def keys_are_there(world, owner, prefix):
    mine(world)
    found = [o["id"] for o in owner.ok("list")["objects"] if o["name"].startswith(prefix)]
    for ident in found:
        done = owner.run("--json", "node", "add", ident, KEYS[1], "--dry-run")
        assert done.returncode == OK, (ident, done.stdout)
    return len(found)


def test_on_a_full_disk_nothing_is_sent_and_nothing_lost(world, owner, disk):
    fill(disk)
    refused(*owner.limited("create", "full"), "No space left on device")
    assert owner.keystore() is None
    os.unlink(os.path.join(disk, "filler"))
    assert owner.limited("create", "full-before")[0].returncode == OK
    before = owner.keystore()
    fill(disk)
    refused(*owner.limited("create", "full-more"), "No space left on device")
    # An update needs no new key, but what it made has to be written down.
    refused(*owner.limited("node", "add", "full-before", KEYS[1]), "No space left on device")
    assert owner.keystore() == before
    os.unlink(os.path.join(disk, "filler"))
    mine(world)
    assert owner.limited("node", "add", "full-before", KEYS[2])[0].returncode == OK
    assert owner.limited("create", "full-after")[0].returncode == OK
    assert keys_are_there(world, owner, "full") == 2
    assert sorted(os.listdir(disk)) == ["keystore", "keystore.lock", "keystore.outbox", "keystore.seals"]


def test_on_a_read_only_disk_nothing_is_sent_and_nothing_lost(world, owner, disk):
    assert owner.limited("create", "ro-before")[0].returncode == OK
    mine(world)
    before = owner.keystore()
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    for argv in (("create", "ro-more"), ("node", "add", "ro-before", KEYS[1])):
        refused(*owner.limited(*argv), "Read-only file system")
    # What only looks, looks.
    assert owner.run("--json", "show", "ro-before").returncode == OK
    assert owner.run("node", "add", "ro-before", KEYS[2], "--dry-run").returncode == OK
    assert owner.keystore() == before
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    mine(world)
    assert owner.limited("create", "ro-after")[0].returncode == OK
    assert keys_are_there(world, owner, "ro") == 2


def test_with_few_descriptors_it_says_so_or_works(world, owner):
    assert owner.limited("create", "fd-before")[0].returncode == OK
    total, worked = 1, False
    for number in range(3, 24):
        done, sent = owner.limited("create", "fd-%d" % number, NOFILE=number)
        total += len(sent)
        if done.returncode == OK:
            assert len(sent) == 1
            worked = True
            break
        if done.returncode == 127:  # of the loader
            assert "shared libraries" in done.stderr
            continue
        assert done.returncode > 0, done
        error = json.loads(done.stdout)["error"]
        assert bool(sent) == ("was sent" in error["message"]), error
    assert worked, done
    assert keys_are_there(world, owner, "fd") == total


def test_with_little_memory_it_says_so_or_works(world, owner):
    assert owner.limited("create", "mem-before")[0].returncode == OK
    total, worked = 1, False
    for size in range(8, 400, 8):
        done, sent = owner.limited("create", "mem-%d" % size, AS=size * MIB)
        total += len(sent)
        if done.returncode == OK:
            worked = True
            break
        # Before main() it is the loader that speaks; out of small memory it is an end with a word, by abort().
        said = done.stdout + done.stderr
        assert re.search("memory|allocat|shared librar|mmap|stack", said, re.I), (size, done)
        assert not sent or "was sent" in said, (size, done)
    assert worked, done
    assert keys_are_there(world, owner, "mem") == total


if __name__ == "__main__":
    sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", __file__]))
