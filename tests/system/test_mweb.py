"""chainwatch follows a litecoind with MWEB active: blocks end with an extension block, the block's last transaction
moves coins across, and the mempool holds transactions that are of MWEB alone."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pytest  # noqa: E402

import testlib as lib  # noqa: E402
from clilib import Tool  # noqa: E402

lib.need_litecoind()

ACTIVE = 432  # the first block with an extension block on regtest


@pytest.fixture
def world():
    with lib.Folder() as folder:
        node = lib.Litecoind(os.path.join(folder, "node"), mweb=True)
        watch = lib.Chainwatch(folder, node)
        try:
            node.start()
            node.wallet(ACTIVE - 1)
            yield folder, node, watch
        finally:
            watch.stop()
            node.stop()


def follows_anew(node, watch):
    with lib.Folder() as folder:
        fresh = lib.Chainwatch(folder, node)
        try:
            fresh.start()
            fresh.wait_tip()
            return fresh.dump() == watch.dump()
        finally:
            fresh.stop()


def test_records_between_mweb_transactions_are_found(world):
    _, node, watch = world
    watch.start()
    watch.wait_tip()
    owner = lib.Owner(node)
    inside = node.getnewaddress("", "mweb")
    # without a peg-in the first block with MWEB cannot be mined
    peg_in = node.sendtoaddress(inside, 5)
    owner.send(lib.dnet_create("mweb"))
    first = node.mine()[0]
    watch.wait_tip()
    assert node.getblock(first)["height"] == ACTIVE
    assert peg_in in node.getblock(first)["tx"]
    assert len(node.getblock(first)["tx"]) == 4  # with the one that holds the MWEB's coins
    for n in range(3):
        # from MWEB to MWEB, into MWEB, and out of it, around a record
        node.sendtoaddress(node.getnewaddress("", "mweb"), 0.5)
        node.sendtoaddress(inside, 1)
        record = owner.send(lib.node_put(n, "member%d" % n))
        lib.wait_for(lambda: watch.query("SELECT 1 FROM pending WHERE txid = ?", record),
                     "the record in the mempool")
        node.sendtoaddress(node.getnewaddress(), 0.25)
        block = node.mine()[0]
        assert record in node.getblock(block)["tx"] and node.getblock(block, 2)["mweb"]
    watch.wait_tip()
    txid = owner.send(lib.node_del(1))
    lib.wait_for(lambda: watch.query("SELECT 1 FROM revocation WHERE txid = ?", txid),
                 "the revocation", 2)
    node.mine()
    watch.wait_tip()
    assert {n for n, in watch.query("SELECT name FROM node_in_force")} == {"member0", "member2"}
    assert watch.query("SELECT count(*) FROM record_log WHERE refused IS NOT NULL") == [(0,)]
    assert follows_anew(node, watch)


def test_the_wallet_pays_records_after_coins_came_out_of_mweb(world):
    folder, node, watch = world
    watch.start()
    node.sendtoaddress(node.getnewaddress("", "mweb"), 5)
    node.mine()
    watch.wait_tip()
    tool = Tool(folder, node, watch)
    made = tool.write_ok("create", "office")
    node.mine()
    watch.wait_tip()
    assert tool.ok("show", made["id"])["name"] == "office"


if __name__ == "__main__":
    sys.exit(pytest.main([os.path.abspath(__file__), "-q", "-p", "no:cacheprovider"] +
                         sys.argv[1:]))
