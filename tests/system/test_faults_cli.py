"""dnet publishes, and writes its keystore, on a disk that fails at each single call, or is killed there. Nothing is sent
whose key is not kept, and the files are those of before or of after.

Some of the calls, drawn from the seed that is printed; DNET_SEED=N draws the same. DNET_ROUNDS=1 (contrib/long): each
one; a full disk, and a keystore that is there already, too."""

import errno
import json
import os
import random
import re
import signal
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pytest  # noqa: E402

import faultlib  # noqa: E402
import testlib as lib  # noqa: E402
from clilib import FAILED, KEYS, OK, Tool, mine, world  # noqa: E402,F401

lib.need_litecoind()
faultlib.need_library()

LONG = bool(os.environ.get("DNET_ROUNDS"))
SEED = int(os.environ.get("DNET_SEED") or random.randrange(1 << 32))
RNG = random.Random(SEED)
print("DNET_SEED=%d" % SEED, flush=True)
ERRORS = [errno.EIO] + ([errno.ENOSPC] if LONG else [])


class Owner(Tool):
    """With a disk that fails when it is told to."""

    def __init__(self, folder, node, watch, name):
        super().__init__(folder, node, watch, name, wait="0ms")
        # The passphrase and the configuration are not on it.
        self.state = os.path.join(folder, name + "-state")
        os.mkdir(self.state)
        self.options["keystore"] = os.path.join(self.state, "keystore")
        self.write()
        self.faults = faultlib.Faults(os.path.join(folder, name + "-plan"), self.state)
        self.node = node

    def publish(self, *argv):
        return self.run("--json", "--yes", *argv, env=self.faults.env)

    def files(self):
        found = {}
        for name in os.listdir(self.state):
            with open(os.path.join(self.state, name), "rb") as f:
                found[name] = f.read()
        return found

    def seals(self):
        """The ids that it knows of by itself."""
        try:
            with open(self.options["keystore"] + ".seals") as f:
                return set(json.load(f).get(self.options["chain"], {}))
        except FileNotFoundError:
            return set()


@pytest.fixture
def owner(world, request):
    folder, node, watch = world
    return Owner(folder, node, watch, re.sub(r"\W", "-", request.node.name))


def keys_are_there(world, owner, prefix):
    """Whatever the chain has of these names can be spent. How many there are."""
    mine(world)
    found = [o["id"] for o in owner.ok("list")["objects"] if o["name"].startswith(prefix)]
    for ident in found:
        done = owner.run("--json", "node", "add", ident, KEYS[1], "--dry-run")
        assert done.returncode == OK, (ident, done.stdout)
    return len(found)


def sent_by(owner, *argv):
    """How it ended, and what the node has since."""
    before = set(owner.node.getrawmempool())
    done = owner.publish(*argv)
    return done, set(owner.node.getrawmempool()) - before


def test_each_file_is_synced_before_it_is_relied_on(owner):
    for argv, files in ((("create", "a"), 3), (("create", "b"), 3), (("node", "add", "a", KEYS[1]), 2)):
        with owner.faults.logged() as faults:
            assert owner.publish(*argv).returncode == OK
        assert faultlib.check_replaced(faults.entries()) == files
    # The sync of the keystore's folder fails: the key might be gone after a loss of power, so nothing is sent.
    entries = faults_of(owner, "create", "c")
    renamed = [n for n, words in enumerate(entries) if words[0] == "rename" and words[2] == "keystore"][0]
    last = renamed + 3
    assert entries[last - 1] == ["sync", "."]
    with owner.faults.at(errno.EIO, last):
        done, sent = sent_by(owner, "create", "d")
    assert done.returncode == FAILED and not sent
    assert "nothing was sent" in json.loads(done.stdout)["error"]["next"]


def faults_of(owner, *argv):
    with owner.faults.logged() as faults:
        assert owner.publish(*argv).returncode == OK
    return faults.entries()


def step():
    """To the next call that fails."""
    return 1 if LONG else RNG.randint(1, 6)


def check_error(done, sent):
    """It says what failed, and whether it was sent."""
    error = json.loads(done.stdout)["error"]
    assert done.returncode == FAILED and "keystore" in error["message"], error
    assert "next" in error, error
    assert ("was sent" in error["message"]) == bool(sent), error
    assert os.strerror(errno.EIO) in error["message"] or os.strerror(errno.ENOSPC) in error["message"], error


def check_files(owner, before):
    """No half file: the ones that were there read as they did, or as they should."""
    names = set(owner.files())
    assert names <= {"keystore", "keystore.lock", "keystore.outbox", "keystore.seals"}, names
    assert owner.seals() >= before


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("first", [True, False] if LONG else [True])
def test_an_io_error_at_any_call_of_create_is_said_and_loses_nothing(world, owner, first, error):
    """first: there is no keystore yet."""
    number = failed = 0
    prefix = "e%d%d" % (first, error)
    if not first:
        assert owner.publish("create", prefix).returncode == OK
    while True:
        number += step()
        if first:
            for name in owner.files():
                os.unlink(os.path.join(owner.state, name))
        before = owner.seals()
        with owner.faults.at(error, number) as faults:
            done, sent = sent_by(owner, "create", "%s-%d" % (prefix, number))
            if not faults.hits:
                break
        assert len(sent) <= 1
        if done.returncode != OK:
            failed += 1
            check_error(done, sent)
        check_files(owner, before)
        if first and sent:
            assert keys_are_there(world, owner, "%s-%d" % (prefix, number)) == 1
    assert number > 15 and failed >= (12 if LONG else 2), (number, failed)
    if not first:
        # the sixth of them failed after the transaction was sent, and those that succeeded
        assert keys_are_there(world, owner, prefix) >= 6


def test_an_io_error_at_any_call_of_an_update_is_said_and_the_next_one_goes_on(world, owner):
    made = json.loads(owner.publish("create", "updated").stdout)["id"]
    mine(world)
    number, sequence = 0, 0
    while True:
        number += step()
        with owner.faults.at(errno.EIO, number) as faults:
            done, sent = sent_by(owner, "node", "add", made, KEYS[1], "--name", "n%d" % number)
            if not faults.hits:
                break
        if done.returncode != OK:
            check_error(done, sent)
        check_files(owner, {made})
        sequence += len(sent)
        mine(world)
    assert number > 9
    mine(world)
    assert owner.ok("show", made)["sequence"] == sequence + 1


@pytest.mark.parametrize("what", ["create", "node"])
def test_killed_at_any_call_no_key_is_lost_that_a_sent_transaction_needs(world, owner, what):
    """Half of a write, and then SIGKILL; or SIGKILL in the place of the call."""
    number = total = 0
    first = json.loads(owner.publish("create", "killed").stdout)["id"]
    mine(world)
    while True:
        number += step()
        argv = ("create", "killed%d" % number) if what == "create" else ("node", "add", first, KEYS[number % 5])
        before = owner.seals()
        with owner.faults.at(faultlib.TEAR, number) as faults:
            done, sent = sent_by(owner, *argv)
            if not faults.hits:
                break
        assert done.returncode == -signal.SIGKILL
        assert owner.seals() >= before
        total += len(sent)
        if what == "node":
            mine(world)
    assert number > 9 and (total >= 5 or not LONG), (number, total)
    # The next one, which was not killed, took away what they left.
    check_files(owner, before)
    if what == "create":
        assert keys_are_there(world, owner, "killed") == total + 2
    else:
        mine(world)
        assert owner.ok("show", first)["sequence"] == total + 1


def test_what_cannot_be_read_is_no_new_keystore(world, owner):
    assert owner.publish("create", "read").returncode == OK
    number, total = 0, 1
    while True:
        number += step()
        before = owner.files()
        with owner.faults.at(errno.EIO, number, kinds=faultlib.READS) as faults:
            done, sent = sent_by(owner, "create", "unread%d" % number)
            if not faults.hits:
                break
        check_error(done, sent)
        total += len(sent)
        after = owner.files()
        for name in ("keystore", "keystore.seals"):
            assert after[name] == before[name] or (sent and name == "keystore")
    assert number > 4 and done.returncode == OK
    assert keys_are_there(world, owner, ("read", "unread")) == total + 1


if __name__ == "__main__":
    sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", __file__]))
