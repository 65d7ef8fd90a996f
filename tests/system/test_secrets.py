"""Where the secrets of a running dnetd are: in memory that is neither swapped nor dumped, as long as they are of use, and nowhere else."""

import hashlib
import hmac
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import live  # noqa: E402
import testlib as lib  # noqa: E402

live.need_namespaces()


class Watched(live.World):
    def memory(self):
        return lib.Memory(self.dnetd.call("status")["pid"])

    def master(self):
        with open(os.path.join(os.path.dirname(self.dnetd.socket), "state", "master.key"), "rb") as f:
            return f.read()

    def node_secret(self):
        """PROTOCOL 1.2"""
        return hmac.new(self.master(), b"dnet/node/1" + self.raw_id + b"\0", hashlib.sha256).digest()


@pytest.fixture(scope="module")
def world():
    w = Watched()
    try:
        w.start()
        w.member.connect()
        w.member.ping()
        yield w
    finally:
        w.stop()


def test_secrets_in_use_are_never_swapped_or_dumped(world):
    memory, member = world.memory(), world.member
    lib.protected(memory, "the master secret", world.master())
    lib.protected(memory, "the secret of the node", world.node_secret())
    lib.protected(memory, "a session key", member.send_key)
    lib.protected(memory, "a session key", member.receive_key)


def test_nothing_of_a_handshake_is_left(world):
    memory, member = world.memory(), world.member
    for what, secret in (("chaining key", member.noise.ck), ("key", member.noise.key)):
        assert not memory.find(secret), "the %s of the handshake is still in %s" % (what, memory.find(secret))


def test_no_secret_is_to_be_seen_outside(world):
    pid = world.dnetd.call("status")["pid"]
    for name in ("cmdline", "environ"):
        with open("/proc/%d/%s" % (pid, name), "rb") as f:
            data = f.read()
        for secret in (world.master(), world.node_secret()):
            assert secret not in data and secret.hex().encode() not in data, name
    with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
        helpers = [int(child) for child in f.read().split()]
    assert helpers
    for helper in helpers:
        memory = lib.Memory(helper)
        assert memory.areas
        for secret in (world.master(), world.node_secret(), world.member.send_key, world.member.receive_key):
            assert not memory.find(secret), "process %d has a key" % helper


def test_keys_of_a_removed_member_are_gone(world):
    keys = world.member.send_key, world.member.receive_key
    world.chain.call("del", world.id, world.member.key.hex())
    lib.wait_for(lambda: world.dnetd.call("status")["dnets"][0].get("peers_total") == 0, "the member is out")
    lib.wait_for(lambda: not any(world.memory().find(key) for key in keys), "no key of the session")


def test_the_secret_of_a_dnet_is_gone_when_it_is_left(world):
    secret = world.node_secret()
    world.dnetd.call("leave", id=world.id)
    lib.wait_for(lambda: not world.memory().find(secret), "no secret of the node in that dnet")
    lib.protected(world.memory(), "the master secret", world.master())


if __name__ == "__main__":
    sys.exit(pytest.main([os.path.abspath(__file__), "-q", "-p", "no:cacheprovider"] + sys.argv[1:]))
