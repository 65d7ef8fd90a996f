"""chainwatch with source = light, and real litecoinds as peers."""

import os
import signal
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pytest  # noqa: E402

import testlib as lib  # noqa: E402
from lightlib import Dnet, Light, both_at_tip, dnet, folder, make_node, nodes  # noqa: E402,F401

lib.need_litecoind()

@pytest.fixture
def light(nodes, folder, dnet):
    """A light chainwatch at the tip of both nodes, following the dnet."""
    watch = Light(folder, nodes[0], nodes, [dnet.follow])
    try:
        watch.start()
        watch.wait_tip()
        yield watch
    finally:
        watch.stop()


def test_a_dnet_is_followed_by_its_seal(nodes, folder, dnet):
    dnet.put(1, "alice")
    nodes[0].mine(30)
    dnet.put(2, "bob")
    both_at_tip(nodes)
    watch = Light(folder, nodes[0], nodes, [dnet.follow])
    try:
        watch.start()
        watch.wait_tip()
        watch.wait_names("alice", "bob")
        counters = watch.light()["counters"]
        assert counters["blocks"] < 12 and counters["passed"] > 100, counters
        dnet.put(3, "carol")
        watch.wait_names("alice", "bob", "carol")
        assert watch.process.rss_kib() < 200 << 10
    finally:
        watch.stop()


def test_a_revocation_counts_from_the_mempool_on(nodes, light, dnet):
    dnet.put(1, "alice")
    light.wait_names("alice")
    begun = time.monotonic()
    dnet.owner.send(lib.node_del(1))
    light.wait_names(seconds=2)
    took = time.monotonic() - begun
    assert light.query("SELECT source, height FROM revocation") == [("mempool", None)]
    print("# revoked %.0f ms after it was sent" % (took * 1000))
    nodes[0].mine()
    light.wait_tip()
    light.wait_names()


def test_a_reorganisation_is_followed(nodes, light, dnet):
    a, b = nodes
    dnet.put(1, "alice")
    light.wait_names("alice")
    block = dnet.put(2, "bob")
    light.wait_names("alice", "bob")
    # both nodes undo it and go on without: bob's transaction is left out
    for node in nodes:
        node.invalidateblock(block)
    for _ in range(3):
        a.generateblock(a.getnewaddress(), [])
    both_at_tip(nodes)
    light.wait_tip()
    light.wait_names("alice")
    assert light.status()["counters"]["reorgs"] == 1
    # mined again in another block, it is found again
    a.mine()
    light.wait_names("alice", "bob")


def test_a_restart_reads_headers_and_peers_from_disk(nodes, light, dnet):
    dnet.put(1, "alice")
    light.wait_names("alice")
    before = light.light()["headers"]
    light.stop(signal.SIGKILL)
    nodes[0].mine(3)
    both_at_tip(nodes)
    dnet.put(2, "bob")
    light.start()
    light.wait_names("alice", "bob")
    size = os.path.getsize(os.path.join(light.options["state"], "headers"))
    assert size < 80 * (before + 20) + 12 * (before + 20) + 100, size
    requests = light.status()["counters"]["requests"]
    assert requests < 60, requests


def test_peers_away_are_waited_for(nodes, folder, dnet):
    other = make_node(os.path.join(folder, "c"), nodes[0])
    watch = Light(folder, nodes[0], [nodes[0], other], [dnet.follow])
    try:
        both_at_tip([nodes[0], other])
        watch.start()
        watch.wait_tip()
        other.stop()
        watch.wait_state("waiting", "1 of 2 peers that serve block filters")
        dnet.put(1, "alice")
        other.start()
        both_at_tip([nodes[0], other])
        watch.wait_tip(seconds=30)
        watch.wait_names("alice")
    finally:
        watch.stop()
        other.stop()


def test_what_is_followed_later_is_read_from_its_block_on(nodes, light, folder, dnet):
    dnet.put(1, "alice")
    light.wait_names("alice")
    nodes[0].mine(6)
    second = Dnet(nodes[0], folder, "second")
    second.put(7, "zoe")
    nodes[0].mine(10)
    light.wait_tip()
    light.wait_names("alice")
    assert light.call("follow", {"id": second.id, "height": second.height}) == {"new": True}
    light.wait_names("alice", "zoe")
    assert light.call("follow", {"id": second.id, "height": second.height}) == {"new": False}
    # it is kept over a restart
    light.stop()
    second.put(8, "yan")
    light.start()
    light.wait_names("alice", "yan", "zoe")


def test_wrong_settings_are_named(folder):
    for line, words in (("source = light\nfollow = dnet1xyz@7\n", "not the id"),
                        ("source = light\nfollow = nonsense\n", "dnet1…@HEIGHT"),
                        ("source = light, rpc://127.0.0.1:1\n", "stands alone"),
                        ("source = light\nproxy = http://127.0.0.1:1\n", "socks5://"),
                        ("source = light\nfilter-peers = 0\n", "filter-peers")):
        conf = os.path.join(folder, "wrong.conf")
        with open(conf, "w") as f:
            f.write("chain = litecoin-regtest\nstate = %s\n%s" % (folder, line))
        out = lib.subprocess.run([lib.program("chainwatch/chainwatch"), "-n", "-c", conf], stdout=lib.subprocess.PIPE,
                                 stderr=lib.subprocess.STDOUT, text=True)
        assert out.returncode == 2 and words in out.stdout, (line, out.stdout)


def test_a_transaction_is_handed_in(nodes, light, dnet):
    raw, vout = dnet.owner.build(lib.payload(lib.node_put(5, "eve", "10.9.0.5")))
    txid = light.call("submit", {"tx": raw}, timeout=30)["txid"]
    dnet.owner.took(txid, vout, {})
    took = lib.wait_for(lambda: [n for n in nodes if txid in n.getrawmempool()], "a node has it")
    took[0].generatetoaddress(1, nodes[0].getnewaddress())
    light.wait_names("eve")


if __name__ == "__main__":
    sys.exit(pytest.main([__file__, "-q"]))
