"""Only the owner decides, from end to end: litecoind, chainwatch, and what dnet shows of it."""

import os
import sqlite3
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pytest  # noqa: E402

import testlib as lib  # noqa: E402
from clilib import Tool, mine, tool, world  # noqa: E402,F401

lib.need_litecoind()


class Dnet:
    """A dnet of testlib's owner, as the tool sees it."""

    def __init__(self, world, tool, name):
        self.world, self.tool = world, tool
        self.node = world[1]
        self.owner = lib.Owner(self.node)
        self.owner.send(lib.dnet_create(name, ("10.9.0.0", 24)))
        mine(world)
        self.id, = (o["id"] for o in tool.ok("list", name)["objects"])
        self.raw = lib.bech32m_data(self.id)

    def show(self):
        return self.tool.ok("show", self.id)

    def names(self):
        return {n["name"] for n in self.show()["nodes"] if n["in_force"]}

    def history(self):
        """The newest first."""
        return self.tool.ok("history", self.id)["events"][::-1]


@pytest.fixture
def dnet(world, tool, request):
    made = Dnet(world, tool, "d" + request.node.name.replace("_", "-")[-30:].strip("-"))
    made.owner.send(lib.node_put(1, "alice"))
    mine(world)
    assert made.names() == {"alice"}
    return made


def branch(dnet, *hexes):
    """A block of exactly these transactions."""
    dnet.node.generateblock(dnet.node.getnewaddress(), list(hexes))


def test_however_many_were_removed_none_of_them_is_shown(world, dnet):
    dnet.owner.send(lib.node_del(1))
    mine(world)
    dnet.owner.send(lib.node_put(2, "bob"))
    mine(world)
    # The owner removed two thousand more, and alice was put again by a branch that came in between.
    copy = os.path.join(dnet.tool.folder, "copy.db")
    with sqlite3.connect(world[2].db) as source, sqlite3.connect(copy) as db:
        source.backup(db)
        db.executemany("INSERT INTO revocation SELECT object, type, ?, sequence, txid, vout, pos, seen, height, source,"
                       " text FROM revocation WHERE object = ? LIMIT 1",
                       [(n.to_bytes(33, "big"), dnet.id) for n in range(2000)])
        db.execute("UPDATE node SET to_height = NULL WHERE object = ?", (dnet.id,))
    shown = {n["name"]: n["revoked"] for n in dnet.tool.ok("--chain-db", copy, "show", dnet.id)["nodes"]}
    assert shown == {"alice": True, "bob": False}


def test_a_forged_update_changes_nothing(world, dnet):
    before, stranger = dnet.history(), lib.Owner(dnet.node)
    stranger.send(lib.node_put(66, "mallory"))
    stranger.send(lib.node_del(1))
    stranger.send(lib.record(lib.CLOSE))
    mine(world)
    assert dnet.names() == {"alice"}
    assert dnet.history() == before


def test_the_seal_of_another_dnet_says_nothing_of_this_one(world, tool, dnet):
    other = Dnet(world, tool, "other-owner")
    other.owner.send(lib.node_put(67, "mallory"))
    other.owner.send(lib.node_del(1))
    mine(world)
    assert dnet.names() == {"alice"}
    assert other.names() == {"mallory"}
    refused = [e for e in other.history() if e["refused"]]
    assert len(refused) == 1 and "not there" in refused[0]["refused"]


def test_a_seal_spent_without_a_record_ends_the_dnet(world, tool, dnet):
    txid, vout = dnet.owner.seal
    node = dnet.node
    coin = dnet.owner.coin()
    raw = lib.raw_tx([(txid, vout), (coin["txid"], coin["vout"])], [(coin["sat"] - 50_000, dnet.owner.script())])
    node.sendrawtransaction(node.signrawtransactionwithwallet(raw)["hex"])
    lib.wait_for(lambda: dnet.names() == set(), "nobody is in force before a block", 5)
    mine(world)
    assert dnet.names() == set()
    assert dnet.history()[0]["type"] == "SEAL_LOST"
    # What the one who spent it makes next is no update of the dnet.
    dnet.owner.seal = None
    dnet.owner.send(lib.node_put(2, "late"))
    mine(world)
    assert dnet.names() == set()
    assert dnet.history()[0]["type"] == "SEAL_LOST"


def test_of_two_updates_that_exclude_each_other_the_chain_decides(world, dnet):
    node, seal = dnet.node, dnet.owner.seal
    one, one_vout = dnet.owner.build(lib.payload(lib.node_put(2, "bob")))
    two, two_vout = dnet.owner.build(lib.payload(lib.node_put(3, "carol")), vin=[seal])
    branch(dnet, one)
    world[2].wait_tip()
    assert dnet.names() == {"alice", "bob"}
    assert [e["type"] for e in dnet.history()] == ["NODE_PUT", "NODE_PUT", "DNET_CREATE"]
    node.invalidateblock(node.getbestblockhash())
    branch(dnet, two)
    branch(dnet)
    world[2].wait_tip()
    assert dnet.names() == {"alice", "carol"}
    events = dnet.history()
    assert len(events) == 3 and "carol" in events[0]["text"]
    dnet.owner.took(node.decoderawtransaction(two)["txid"], two_vout, {})
    dnet.owner.send(lib.node_put(4, "dave"))
    mine(world)
    assert dnet.names() == {"alice", "carol", "dave"}


def test_a_grant_by_another_owner_is_none(world, tool, dnet):
    ovc, thief = lib.Owner(dnet.node), lib.Owner(dnet.node)
    ovc.send(lib.ovc_create("meet-%d" % os.getpid()))
    thief.send(lib.ovc_create("thief-%d" % os.getpid()))
    mine(world)
    meet, = (o["id"] for o in tool.ok("list", "meet-%d" % os.getpid())["objects"])
    thief.send(lib.grant(dnet.raw))
    dnet.owner.send(lib.link(lib.bech32m_data(meet)), lib.grant(dnet.raw))
    mine(world)
    assert tool.ok("show", meet)["grants"] == []
    assert [bool(e["refused"]) for e in dnet.history()[:2]].count(True) == 1
    ovc.send(lib.grant(dnet.raw))
    mine(world)
    assert [g["dnet"] for g in tool.ok("show", meet)["grants"]] == [dnet.id]


def test_after_a_transfer_the_old_owner_is_refused(world, tool):
    folder, node, watch = world
    new = Tool(folder, node, watch, name="new-owner")
    made = tool.write_ok("create", "sold")
    mine(world)
    address = new.ok("receive", made["id"])["address"]
    tool.write_ok("transfer", made["id"], address)
    mine(world)
    done = tool.run("--json", "--yes", "node", "add", made["id"], "02" + "79be667ef9dcbbac55a06295ce870b07"
                    "029bfcdb2dce28d959f2815b16f81798", "--name", "mine-still")
    assert done.returncode != 0, done.stdout
    assert new.ok("show", made["id"])["nodes"] == []
    new.write_ok("node", "add", made["id"], "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
                 "--name", "alice")
    mine(world)
    assert [n["name"] for n in tool.ok("show", made["id"])["nodes"]] == ["alice"]
    assert [e["type"] for e in tool.ok("history", made["id"])["events"]] == [
        "DNET_CREATE", "TRANSFER", "NODE_PUT"]


def test_a_closed_dnet_takes_nothing_more(world, dnet):
    dnet.owner.send(lib.record(lib.CLOSE), lib.node_put(2, "late"))
    lib.wait_for(lambda: dnet.names() == set(), "nobody is in force before a block", 5)
    mine(world)
    assert dnet.names() == set()
    late = next(e for e in dnet.history() if "late" in e["text"])
    assert "closed" in late["refused"]
    dnet.owner.send(lib.node_put(3, "later"))  # with what would have been the seal
    mine(world)
    assert dnet.names() == set()
    assert not any("later" in e["text"] for e in dnet.history())


if __name__ == "__main__":
    sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", __file__]))
