"""Revocation at once and for ever: two members, an OVC and an OVR as processes, on a real chain.

    a 198.51.100.1 ══╗           ╔══ 198.51.100.10 h: ovcd, ovrd
                   switch ═══════╝   (a and b reach each other through the relay only)
    b 198.51.100.2 ══╝

b is revoked, and then everything is tried to bring it back but a new record by the owner."""

import json
import os
import shutil
import signal
import sqlite3
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pytest  # noqa: E402

import live  # noqa: E402
import testlib as lib  # noqa: E402

lib.need_litecoind()
live.need_namespaces()

AT_ONCE = 2.0  # seconds from broadcast


class World:
    DAEMON = live.Restartable

    def __init__(self, folder):
        self.folder = folder
        self.namespaces, self.daemons = [], []
        self.node = lib.Litecoind(os.path.join(folder, "node"), ["-mempoolreplacement=1"])
        self.watch = None

    # ---- Up and down ----

    def start(self):
        self.node.start()
        self.node.wallet(150)
        self.watch = self.chainwatch()
        self.watch.start()
        self.watch.wait_tip()
        self.networks()
        self.owners()
        self.members()

    def chainwatch(self):
        return lib.Chainwatch(self.folder, self.node, poll="100ms")

    def networks(self):
        self.switch, self.na, self.nb, self.nh = self.namespaces = [live.Namespace(n) for n in ("s", "a", "b", "h")]
        live.join_by_switch(self.switch, {1: self.na, 2: self.nb, 10: self.nh})
        for namespace in (self.na, self.nb, self.nh):
            namespace.run("sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=1")
        self.na.run("ip", "route", "add", "blackhole", "198.51.100.2/32")
        self.nb.run("ip", "route", "add", "blackhole", "198.51.100.1/32")

    def owners(self):
        self.owner, ovc, ovr = (lib.Owner(self.node) for _ in range(3))
        keys = [self.service_key(p) for p in ("ovcd", "ovrd")]
        self.owner.send(lib.dnet_create("office", ("10.77.0.0", 24)))
        ovc.send(lib.record(lib.OVC_CREATE, keys[0] + b"\0meet"), lib.endpoint_put("198.51.100.10", 4242))
        ovr.send(lib.record(lib.OVR_CREATE, keys[1] + b"\0relay"), lib.endpoint_put("198.51.100.10", 4343))
        self.mine()
        self.id, ovc_id, ovr_id = (self.watch.query("SELECT id FROM object WHERE name = ?", n)[0][0]
                                   for n in ("office", "meet", "relay"))
        for owner in (ovc, ovr):
            owner.send(lib.grant(lib.bech32m_data(self.id)))
        self.owner.send(lib.link(lib.bech32m_data(ovc_id)), lib.link(lib.bech32m_data(ovr_id), kind=3))
        self.mine()
        self.ovc = self.add(self.nh, "ovcd", "--id", ovc_id, "--port", "4242")
        self.ovr = self.add(self.nh, "ovrd", "--id", ovr_id, "--port", "4343")

    def service_key(self, program):
        text = live.run(lib.program(program), "-c", "/dev/null", "--state",
                        os.path.join(self.folder, "h-" + program), "--show-key")
        return bytes.fromhex(text.strip())

    def add(self, namespace, program, *options):
        name = "%s-%s" % (namespace.name.split("-")[1], program)
        daemon = self.DAEMON(self, name, namespace, program, *options).start()
        self.daemons.append(daemon)
        return daemon

    def members(self):
        self.a, self.b = self.add(self.na, "dnetd"), self.add(self.nb, "dnetd")
        self.key_a, self.key_b = (bytes.fromhex(d.call("id", dnet=self.id)["key"]) for d in (self.a, self.b))
        self.owner.send(self.put(self.key_a, b"alice"))
        self.owner.send(self.put(self.key_b, b"bob"))
        self.mine()
        for daemon in (self.a, self.b):
            daemon.call("join", id=self.id)
        self.wait_in()

    def stop(self):
        for daemon in self.daemons:
            daemon.stop()
        if self.watch:
            self.watch.stop()
        self.node.stop()
        for namespace in self.namespaces:
            namespace.remove()

    # ---- The owner ----

    @staticmethod
    def put(key, name):
        return lib.record(lib.NODE_PUT, key + b"\0" + name)

    def mine(self, count=1):
        self.node.mine(count)
        self.watch.wait_tip()

    def revoke(self, **options):
        return self.owner.send(lib.record(lib.NODE_DEL, self.key_b), **options)

    def bring_in(self):
        """The owner's new record."""
        self.owner.send(self.put(self.key_b, b"bob"))
        self.mine()
        self.wait_in()

    # ---- Facts ----

    def peer(self, daemon, name):
        return next((p for p in daemon.call("peers") if p["name"] == name), None)

    def is_in(self):
        bob = self.peer(self.a, "bob")
        ovc, ovr = self.ovc.call("status")["tenants"], self.ovr.call("status")["tenants"]
        return (bob and bob["path"] == "relay" and bob["state"] == "connected" and ovc and ovr and
                ovc[0]["registered"] == 2 and ovr[0]["lanes"] >= 1)

    def facts(self):
        return {"peers": self.a.call("peers"), "ovc": self.ovc.call("status")["tenants"],
                "ovr": self.ovr.call("status")["tenants"], "b": self.b.call("status")["dnets"]}

    def wait_in(self):
        # A packet opens the lane.
        def there():
            self.ping()
            return self.is_in()
        try:
            lib.wait_for(there, "bob is in", 20, 0.1)
        except AssertionError as e:
            raise AssertionError("%s: %s" % (e, json.dumps(self.facts(), indent=1)))

    def ping(self):
        address = next((n for n in self.b.call("id", dnet=self.id)["ipv6"].split("/")), None)
        try:
            self.na.run("ping", "-6", "-qc1", "-W1", address)
            return True
        except AssertionError:
            return False

    def who_has_bob(self):
        """Those that still know him; nobody, when he is out everywhere."""
        ovc, ovr = self.ovc.call("status")["tenants"], self.ovr.call("status")["tenants"]
        own = self.b.call("status")["dnets"][0]
        found = {"a": self.peer(self.a, "bob") is not None,
                 "b": own["state"] == "up",
                 "ovc": bool(ovc) and (ovc[0]["members"] > 1 or ovc[0]["registered"] > 1),
                 "ovr": bool(ovr) and (ovr[0]["members"] > 1 or ovr[0]["connected"] > 1 or ovr[0]["lanes"] > 0)}
        return [name for name, has in found.items() if has]

    def wait_out(self, since):
        lib.wait_for(lambda: not self.who_has_bob(), "bob is out", AT_ONCE + 5)
        took = time.monotonic() - since
        assert took < AT_ONCE, "out everywhere only after %.2f s" % took
        return took

    def stays_out(self):
        """All have read the newest state, and have looked again since."""
        self.watch.wait_tip()
        height = self.node.getblockcount()
        for daemon in self.daemons:
            lib.wait_for(lambda: self.height_of(daemon) == height, "it has read block %d" % height, 10)
        looks = []
        lib.wait_for(lambda: looks.append(self.who_has_bob()) or len(looks) == 25, "looks", 20, 0.06)
        assert not any(looks), (looks, self.facts())
        assert not self.ping()

    def height_of(self, daemon):
        status = daemon.try_status() or {}
        return status.get("chain", {}).get("height")


@pytest.fixture(scope="module")
def world():
    with lib.started(World) as w:
        yield w


@pytest.fixture
def bob(world):
    if not world.is_in():
        world.bring_in()
    return world


def test_it_counts_at_once_and_before_a_block(bob):
    height = bob.node.getblockcount()
    since = time.monotonic()
    bob.revoke()
    print("out everywhere after %.2f s" % bob.wait_out(since))
    assert bob.node.getblockcount() == height
    bob.stays_out()


def replacement(world, *records):
    """The revocation is in the mempool; another transaction of the owner spends the same seal."""
    seal = world.owner.seal
    first, _ = world.owner.build(lib.payload(lib.record(lib.NODE_DEL, world.key_b)), fee=20_000)
    second, vout = world.owner.build(lib.payload(*records), fee=90_000, vin=[seal])
    return first, second, vout


def replaced(world):
    first, second, vout = replacement(world, world.put(world.key_b, b"bob"))
    since = time.monotonic()
    world.node.sendrawtransaction(first)
    world.wait_out(since)
    world.owner.took(world.node.sendrawtransaction(second), vout, {})
    world.mine(2)


def test_a_replaced_transaction_does_not_undo_it(bob):
    replaced(bob)
    bob.stays_out()


@pytest.mark.parametrize("depth", [1, 10])
def test_a_reorganisation_does_not_undo_it(bob, depth):
    first, second, vout = replacement(bob, bob.put(bob.key_b, b"bob"))
    since = time.monotonic()
    txid = bob.node.sendrawtransaction(first)
    bob.wait_out(since)
    blocks = bob.node.mine(depth)
    bob.watch.wait_tip()
    bob.node.invalidateblock(blocks[0])
    bob.node.generateblock(bob.node.getnewaddress(), [second])
    assert txid not in bob.node.getrawmempool()
    bob.owner.took(bob.node.decoderawtransaction(second)["txid"], vout, {})
    bob.mine(depth)
    bob.stays_out()


def test_restarts_do_not_undo_it(bob):
    replaced(bob)
    for daemon in bob.daemons:
        daemon.stop()
    bob.watch.stop(signal.SIGKILL)
    bob.watch.start()
    for daemon in bob.daemons:
        daemon.start()
    bob.stays_out()


def keep(world):
    old = world.watch.db + ".old"
    source, copy = sqlite3.connect(world.watch.db), sqlite3.connect(old)
    source.backup(copy)
    copy.execute("PRAGMA journal_mode = DELETE")
    source.close()
    copy.close()
    return old


def forget(world):
    for end in ("", "-wal", "-shm"):
        if os.path.exists(world.watch.db + end):
            os.unlink(world.watch.db + end)


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("stale", [False, True])
def test_a_chain_db_made_anew_or_an_older_one_does_not_undo_it(bob, stale, restart):
    old = keep(bob)
    replaced(bob)
    bob.watch.stop()
    if restart:
        for daemon in bob.daemons:
            daemon.stop()
    forget(bob)
    if stale:
        shutil.move(old, bob.watch.db)
    bob.watch.start()
    bob.watch.wait_tip()
    assert not bob.watch.query("SELECT 1 FROM revocation WHERE object = ?1 AND sequence ="
                               " (SELECT max(sequence) FROM seal WHERE object = ?1)", bob.id), "chain.db cannot know it"
    for daemon in bob.daemons if restart else []:
        daemon.start()
    bob.stays_out()


def test_only_the_owners_new_record_undoes_it(bob):
    bob.revoke()
    bob.mine()
    bob.stays_out()
    bob.bring_in()
    assert bob.ping()


if __name__ == "__main__":
    sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "-x", __file__]))
