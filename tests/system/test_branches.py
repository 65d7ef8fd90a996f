"""Only the owner decides, whatever branch is the best one: litecoind, chainwatch, and what `dnet show`, the views of
chain.db and the netmap of a running dnetd say of it. All three have to say the same.

Branches are of 1 to 30 blocks, of 100 with DNET_ROUNDS=21 or more (contrib/long); in each of them somebody writes what
the other one does not have."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pytest  # noqa: E402

import live  # noqa: E402
import testlib as lib  # noqa: E402
from clilib import KEYS, Tool  # noqa: E402

lib.need_litecoind()
live.need_namespaces()

DEEPER = (100,) if int(os.environ.get("DNET_ROUNDS") or 0) > 20 else ()  # contrib/long

ALICE, BOB, CAROL, MALLORY, SELF = range(5)  # of KEYS; dnetd has a key of its own
OP_NODE = 0xb9


class World:
    def __init__(self, folder):
        self.folder, self.node = folder, lib.Litecoind(os.path.join(folder, "node"), ["-acceptnonstdtxn=1"])
        self.watch = self.namespace = self.dnetd = None

    def start(self):
        self.node.start()
        self.node.wallet(160)
        fields = os.path.join(self.folder, "chain.conf")
        with open(fields, "w") as f:
            f.write("op-node = %d\n" % OP_NODE)
        self.watch = lib.Chainwatch(self.folder, self.node, poll="50ms", chain_file=fields)
        self.watch.start()
        self.watch.wait_tip()
        self.tool = Tool(self.folder, self.node, self.watch)
        self.namespace = live.Namespace("n")
        self.dnetd = live.Restartable(self, "n-dnetd", self.namespace, "dnetd").start()

    def stop(self):
        if self.dnetd:
            self.dnetd.stop()
        if self.watch:
            self.watch.stop()
        self.node.stop()
        if self.namespace:
            self.namespace.remove()

    # ---- The chain ----

    def block(self, *hexes):
        """A block of exactly these transactions; its hash."""
        return self.node.generateblock(self.node.getnewaddress(), list(hexes))["hash"]

    def blocks(self, count, *hexes):
        """So many, the first one of these transactions; the first one's hash."""
        first = self.block(*hexes)
        for _ in range(count - 1):
            self.block()
        return first

    def height(self):
        return self.node.getblockcount()

    def instead(self, left, count, *hexes):
        """The branch that begins with the block `left` gives way to one of so many blocks; the first one's hash."""
        self.node.invalidateblock(left)
        return self.blocks(count, *hexes)

    def back(self, left, to):
        """From one branch to the other, which has to be the longer one then: by empty blocks."""
        before = self.height()
        self.node.invalidateblock(left)
        self.node.reconsiderblock(to)
        while self.height() <= before:
            self.block()

    def read(self):
        """Everybody has read the tip."""
        self.watch.wait_tip()
        height = self.height()
        lib.wait_for(lambda: (self.dnetd.try_status() or {}).get("chain", {}).get("height") == height, "dnetd is there", 10)


@pytest.fixture(scope="module")
def world():
    with lib.started(World) as w:
        yield w


def put(key, name, ipv4=None):
    key = key if isinstance(key, bytes) else bytes.fromhex(KEYS[key])
    whole = lib.node_put(0, name, ipv4)
    return whole[:2] + key + whole[35:]


def remove(key):
    return lib.record(lib.NODE_DEL, bytes.fromhex(KEYS[key]))


class Dnet:
    """A dnet that dnetd is a member of, with alice."""

    def __init__(self, world, name):
        self.world, self.node = world, world.node
        self.owner = lib.Owner(self.node)
        self.owner.send(lib.dnet_create(name, ("10.9.0.0", 24)))
        self.node.mine()
        world.watch.wait_tip()
        (self.id,), = world.watch.query("SELECT id FROM object WHERE name = ?", name)
        self.raw = lib.bech32m_data(self.id)
        self.key = bytes.fromhex(world.dnetd.call("id", dnet=self.id)["key"])
        self.owner.send(put(self.key, "self"))
        self.owner.send(put(ALICE, "alice"))
        self.node.mine()
        world.dnetd.call("join", id=self.id)
        self.members("alice")

    def gone(self):
        self.world.dnetd.call("leave", id=self.id)
        self.node.lockunspent(True)

    def update(self, *records, fee=20_000, **options):
        """Signed and not sent, of the seal as it is now."""
        return self.owner.build(lib.payload(*records), fee=fee, vin=[self.owner.seal], **options)

    def took(self, update):
        self.owner.took(self.node.decoderawtransaction(update[0])["txid"], update[1], {})

    # ---- What is in force ----

    def said(self):
        """By dnet show, by chain.db, by dnetd."""
        shown = self.world.tool.ok("show", self.id)["nodes"]
        rows = self.world.watch.query("SELECT name FROM node_in_force WHERE dnet = ?", self.id)
        peers = [p["name"] for p in self.world.dnetd.call("peers", dnet=self.id)]
        return (sorted(n.get("name", "") for n in shown if n["in_force"] and n.get("name") != "self"),
                sorted(n for n, in rows if n != "self"), sorted(peers))

    def members(self, *names):
        """All say, at the tip and with the mempool as it is, that these are in force and nobody else."""
        want = (sorted(names),) * 3
        self.world.read()
        try:
            lib.wait_for(lambda: self.said() == want, "all say %s" % (names,), 4)
        except AssertionError as e:
            raise AssertionError("%s; said is %s" % (e, self.said()))

    def helpers(self):
        status, = (d for d in self.world.dnetd.call("status")["dnets"] if d["id"] == self.id)
        return ([h for h, in self.world.watch.query("SELECT helper FROM helper_in_use WHERE dnet = ?", self.id)],
                [h["id"] for h in status["helpers"]])

    def uses(self, *ids):
        self.world.read()
        try:
            lib.wait_for(lambda: self.helpers() == (list(ids), list(ids)), "helpers %s" % (ids,), 4)
        except AssertionError as e:
            raise AssertionError("%s; they are %s" % (e, self.helpers()))


@pytest.fixture
def dnet(world, request):
    made = Dnet(world, "d%d" % abs(hash(request.node.name)))
    yield made
    made.gone()


class Ovc:
    def __init__(self, world, name):
        self.world = world
        self.owner = lib.Owner(world.node)
        key = bytes.fromhex(KEYS[SELF])
        self.owner.send(lib.record(lib.OVC_CREATE, key + b"\0" + name.encode()), lib.endpoint_put("192.0.2.1", 4242))
        world.node.mine()
        world.watch.wait_tip()
        (self.id,), = world.watch.query("SELECT id FROM object WHERE name = ?", name)
        self.raw = lib.bech32m_data(self.id)

    def shown(self):
        return [g["in_force"] for g in self.world.tool.ok("show", self.id)["grants"]]


@pytest.fixture
def ovc(world, request):
    return Ovc(world, "o%d" % abs(hash(request.node.name)))


# ---- Two that exclude each other ----

@pytest.mark.parametrize("depth", (1, 3, 10, 30) + DEEPER)
def test_of_two_updates_the_branch_decides_and_what_was_revoked_stays(world, dnet, depth):
    one, two = dnet.update(put(BOB, "bob")), dnet.update(put(CAROL, "carol"), remove(ALICE))
    a = world.blocks(depth, one[0])
    dnet.members("alice", "bob")
    b = world.instead(a, depth + 1, two[0])
    dnet.members("carol")
    world.back(b, a)
    dnet.members("bob")  # alice's removal was seen; nothing of carol is left
    dnet.took(one)
    dnet.owner.send(put(ALICE, "alice"))
    dnet.members("bob")
    world.node.mine()
    dnet.members("alice", "bob")


def test_two_updates_of_one_seal_are_no_block(world, dnet):
    one, two = dnet.update(put(BOB, "bob")), dnet.update(put(CAROL, "carol"))
    with pytest.raises(lib.RpcError):
        world.block(one[0], two[0])
    dnet.members("alice")


@pytest.mark.parametrize("order", ["put, del", "del, put"])
def test_in_one_block_the_later_one_has_the_last_word(world, dnet, order):
    hexes = []
    for number, word in enumerate(order.split(", ")):
        record = put(BOB, "bob%d" % number) if word == "put" else remove(BOB)
        update = dnet.update(record)
        world.node.sendrawtransaction(update[0])
        dnet.took(update)
        hexes.append(update[0])
    first = world.block(*hexes)
    dnet.members(*(["alice"] if order == "put, del" else ["alice", "bob1"]))
    # Without its block it is all in the mempool, and a revocation counts there as well.
    world.node.invalidateblock(first)
    world.block()
    world.block()
    dnet.members("alice")
    world.node.mine()
    dnet.members(*(["alice"] if order == "put, del" else ["alice", "bob1"]))


@pytest.mark.parametrize("depth", (1, 30) + DEEPER)
def test_removed_in_one_branch_and_added_in_the_other(world, dnet, depth):
    out, again = dnet.update(remove(ALICE)), dnet.update(put(ALICE, "alice", "10.9.0.7"))
    b = world.blocks(depth, again[0])
    dnet.members("alice")
    a = world.instead(b, depth + 1, out[0])
    dnet.members()
    world.back(a, b)
    dnet.members()  # added by the same sequence as she was removed by
    dnet.took(again)
    dnet.owner.send(put(BOB, "bob"))
    world.node.mine()
    dnet.members("bob")
    dnet.owner.send(put(ALICE, "alice"))
    world.node.mine()
    dnet.members("alice", "bob")


def test_closed_in_one_branch_it_is_closed_in_all(world, dnet):
    close, more = dnet.update(lib.record(lib.CLOSE)), dnet.update(put(BOB, "bob"))
    a = world.blocks(1, close[0])
    world.read()
    world.instead(a, 2, more[0])
    dnet.took(more)
    dnet.owner.send(put(CAROL, "carol"))
    world.node.mine()
    world.read()
    dnet.members()
    assert world.tool.ok("show", dnet.id)["closed"] is True
    assert dnet.id not in [o["id"] for o in world.tool.ok("list")["objects"]]
    mine = world.tool.write_ok("ovc", "create", "mine", "--key", KEYS[SELF])
    assert "is closed" in world.tool.run("--yes", "ovc", "grant", mine["id"], dnet.id).stderr


# ---- The seal moves to another script ----

@pytest.mark.parametrize("depth", (1, 10) + DEEPER)
def test_an_update_of_the_old_owner_counts_in_his_branch_only(world, dnet, depth):
    transfer = dnet.update(lib.record(lib.TRANSFER))
    late = dnet.update(put(MALLORY, "mallory"))
    a = world.blocks(depth, transfer[0])
    dnet.members("alice")
    old, dnet.owner = dnet.owner, lib.Owner(world.node)
    dnet.took(transfer)
    with pytest.raises(lib.RpcError):
        world.node.sendrawtransaction(late[0])
    dnet.owner.send(put(BOB, "bob"))
    world.node.mine()
    dnet.members("alice", "bob")
    b = world.instead(a, depth + 2, late[0])
    dnet.members("alice", "mallory")
    world.back(b, a)
    world.node.mine()
    dnet.members("alice", "bob")
    # What he makes of the seal of his branch is nobody's here.
    old.seal = None
    old.send(put(MALLORY, "mallory"))
    world.node.mine()
    dnet.members("alice", "bob")


@pytest.mark.parametrize("depth", (1, 10) + DEEPER)
def test_a_removal_by_the_old_owner_in_another_branch_stays_until_the_new_one_adds(world, dnet, depth):
    transfer, out = dnet.update(lib.record(lib.TRANSFER)), dnet.update(remove(ALICE))
    b = world.blocks(depth, out[0])
    dnet.members()
    world.instead(b, depth + 1, transfer[0])
    dnet.members()
    dnet.owner = lib.Owner(world.node)
    dnet.took(transfer)
    dnet.owner.send(put(ALICE, "alice"))
    world.node.mine()
    dnet.members("alice")


# ---- Grants ----

def test_a_grant_is_in_force_to_its_height_and_again_below_it(world, dnet, ovc):
    expiry = world.height() + 4
    ovc.owner.send(lib.grant(dnet.raw, expiry=expiry))
    dnet.owner.send(lib.link(ovc.raw))
    world.node.mine()
    dnet.uses(ovc.id)
    while world.height() < expiry:
        world.block()
    dnet.uses(ovc.id)
    assert ovc.shown() == [True]
    last = world.block()
    dnet.uses()
    assert ovc.shown() == [False]
    assert "expired" in world.tool.run("show", ovc.id).stdout
    world.node.invalidateblock(last)
    world.watch.wait_tip()
    assert ovc.shown() == [True]
    assert dnet.helpers()[0] == [ovc.id]
    # dnetd does not go back to a lower height, and so does not use it again.
    assert dnet.helpers()[1] == []
    world.block()
    dnet.uses()
    ovc.owner.send(lib.grant(dnet.raw, expiry=expiry + 3))
    dnet.uses()
    world.node.mine()
    dnet.uses(ovc.id)
    world.block()
    dnet.uses(ovc.id)
    world.block()
    dnet.uses()
    assert ovc.shown() == [False]


@pytest.mark.parametrize("depth", (1, 10) + DEEPER)
def test_a_grant_that_only_another_branch_has_is_none(world, dnet, ovc, depth):
    dnet.owner.send(lib.link(ovc.raw))
    world.node.mine()
    dnet.uses()
    grant, _ = ovc.owner.build(lib.payload(lib.grant(dnet.raw)))
    other, _ = ovc.owner.build(lib.payload(lib.revoke(dnet.raw)), vin=[ovc.owner.seal])
    a = world.blocks(depth, grant)
    dnet.uses(ovc.id)
    b = world.instead(a, depth + 1, other)
    dnet.uses()
    # To revoke what is not there is refused and revokes nothing.
    world.back(b, a)
    dnet.uses(ovc.id)


def test_grants_by_others_are_none_in_the_mempool_either(world, dnet, ovc):
    thief, stranger = Ovc(world, "thief"), lib.Owner(world.node)
    dnet.owner.send(lib.link(ovc.raw), lib.grant(dnet.raw))
    thief.owner.send(lib.grant(dnet.raw))
    stranger.send(lib.grant(dnet.raw))
    lib.wait_for(lambda: len(world.watch.query("SELECT 1 FROM pending_log WHERE type = 'GRANT'")) == 3, "all are seen", 5)
    refused = [r for r, in world.watch.query("SELECT refused FROM pending_log WHERE type = 'GRANT'") if r]
    assert len(refused) == 2  # the thief's counts, for his own OVC
    dnet.uses()
    world.node.mine()
    dnet.uses()
    ovc.owner.send(lib.grant(dnet.raw))
    dnet.uses()
    world.node.mine()
    dnet.uses(ovc.id)
    # And nobody else takes it back.
    thief.owner.send(lib.revoke(dnet.raw))
    stranger.send(lib.revoke(dnet.raw))
    dnet.owner.send(lib.revoke(dnet.raw))
    lib.wait_for(lambda: len(world.watch.query("SELECT 1 FROM pending_log WHERE type = 'REVOKE'")) == 3, "all are seen", 5)
    dnet.uses(ovc.id)
    world.node.mine()
    dnet.uses(ovc.id)


# ---- The original form ----

def original(dnet, key, ip):
    """Carrier (b'), in front of a script that anybody can spend."""
    return (bytes([OP_NODE, 20]) + dnet + b"\4" + bytes(map(int, ip.split("."))) + b"\x21" +
            bytes.fromhex(KEYS[key]) + b"\x6d\x75\x51")


def send_original(world, owner, script):
    """By the owner's seal when he has one. It is sent, and mined; the new seal is his."""
    coin = owner.coin()
    raw = lib.raw_tx(([owner.seal] if owner.seal else []) + [(coin["txid"], coin["vout"])],
                     [(lib.SEAL, script), (coin["sat"] - lib.COIN // 100, owner.script())])
    signed = world.node.signrawtransactionwithwallet(raw)
    assert signed["complete"]
    txid = world.node.sendrawtransaction(signed["hex"])
    owner.seal = (txid, 0)
    return txid


def test_the_original_form_adds_to_no_dnet_of_another_owner(world, dnet):
    victim, attacker = dnet, Dnet(world, "attacker")
    try:
        txid = send_original(world, attacker.owner, original(victim.raw, MALLORY, "10.9.0.66"))
        lib.wait_for(lambda: world.watch.query("SELECT 1 FROM pending_log WHERE txid = ?", txid), "it is seen", 5)
        victim.members("alice")
        attacker.members("alice")
        world.node.mine()
        victim.members("alice")
        attacker.members("alice")
        (refused, object_id), = world.watch.query("SELECT refused, object FROM record_log WHERE txid = ?", txid)
        assert "another dnet" in refused and object_id == attacker.id
        # Without a seal, and with one of an OVC.
        ovc = Ovc(world, "attacker-ovc")
        txids = [send_original(world, owner, original(victim.raw, MALLORY, "10.9.0.66"))
                 for owner in (lib.Owner(world.node), ovc.owner)]
        world.node.mine()
        victim.members("alice")
        for txid in txids:
            (refused,), = world.watch.query("SELECT refused FROM record_log WHERE txid = ?", txid)
            assert refused
        # That seal moved on all the same, and the owner himself is read in this form.
        assert world.watch.query("SELECT txid, vout FROM seal WHERE object = ? AND to_height IS NULL",
                                 attacker.id) == [attacker.owner.seal]
        send_original(world, victim.owner, original(victim.raw, BOB, "10.9.0.8"))
        world.node.mine()
        victim.members("", "alice")
        assert world.watch.query("SELECT ipv4 FROM node_in_force WHERE dnet = ? AND key = ?", victim.id,
                                 KEYS[BOB]) == [("10.9.0.8",)]
    finally:
        attacker.gone()


if __name__ == "__main__":
    sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", __file__]))
