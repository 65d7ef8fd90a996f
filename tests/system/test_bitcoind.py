"""The record flow with real ZMQ, against a bitcoind: DNET_BITCOIND, or the one in PATH (contrib/knots makes one).

Without one the same flow runs against litecoind, whose ZMQ is then made here from its RPC."""

import hashlib
import os
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pytest  # noqa: E402
import zmq  # noqa: E402

import testlib as lib  # noqa: E402
from clilib import FAILED, FUNDS, KEYS, Tool  # noqa: E402

if not lib.bitcoind():
    lib.need_litecoind()
    print("no bitcoind: DNET_BITCOIND names none and PATH has none (contrib/knots makes one); "
          "the flow runs against litecoind, with ZMQ made from its RPC")


class Proxy:
    """Stands between the node's publisher and chainwatch: loses messages, goes away, comes back."""

    def __init__(self, upstream):
        self.upstream = upstream
        self.endpoint = "tcp://127.0.0.1:%d" % lib.free_port()
        self.losing = False
        self.lost_block = None  # the last one of which nothing came through
        self.start()

    def start(self):
        self.context = zmq.Context()
        self.source = self.context.socket(zmq.SUB)
        self.source.setsockopt(zmq.SUBSCRIBE, b"")
        self.source.connect(self.upstream)
        self.sink = self.context.socket(zmq.PUB)
        self.sink.bind(self.endpoint)
        self.ending = False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.ending:
            if self.source.poll(20):
                parts = self.source.recv_multipart()
                if not self.losing:
                    self.sink.send_multipart(parts)
                elif parts[0] == b"rawblock":  # the last message of a block
                    header = hashlib.sha256(parts[1][:80]).digest()
                    self.lost_block = hashlib.sha256(header).digest()[::-1].hex()

    def stop(self):
        self.ending = True
        self.thread.join()
        self.source.close(0)
        self.sink.close(0)
        self.context.term()


def make_node(folder):
    if lib.bitcoind():
        return lib.Bitcoind(folder)
    return lib.Litecoind(folder, extra=["-mempoolreplacement=1"])  # as Bitcoin's by default


@pytest.fixture(scope="module")
def node():
    with lib.Folder() as folder:
        node = make_node(folder)
        shim = None
        try:
            node.start()
            node.wallet(120)
            if not node.has_zmq():
                shim = lib.ZmqShim(node)
            node.wait_published = shim.wait_seen if shim else lambda: None
            yield node
        finally:
            if shim:
                shim.stop()
            node.stop()


@pytest.fixture
def folder():
    with lib.Folder() as folder:
        yield folder


@pytest.fixture
def proxy(node):
    proxy = Proxy(node.zmq)
    try:
        yield proxy
    finally:
        proxy.stop()


def started(watch):
    try:
        watch.start()
        watch.wait_tip()
        yield watch
    finally:
        watch.stop()


@pytest.fixture
def watch(node, folder):
    """With the node's own publisher; polls so rarely that only ZMQ can be fast."""
    for watch in started(lib.Chainwatch(folder, node, zmq=node.zmq, poll="1h", poll_zmq="1h")):
        wait_connected(node, watch)
        yield watch


def messages(watch):
    return watch.status()["zmq"]["messages"]


def wait_connected(node, watch):
    """Subscribing takes a moment; until then what is published reaches nobody."""
    for _ in range(20):
        node.sendtoaddress(node.getnewaddress(), 0.01)
        try:
            # then the mempool is asked for at the long pace
            lib.wait_for(lambda: watch.status()["zmq"]["transactions"], "a transaction", 0.5)
            break
        except AssertionError:
            pass
    assert watch.status()["zmq"]["transactions"], "nothing came by ZMQ"
    node.mine()
    watch.wait_tip()


def make_dnet(node, watch, name, *members):
    owner = lib.Owner(node)
    owner.send(lib.dnet_create(name, ("10.9.0.0", 24)))
    node.mine()
    for n in members:
        owner.send(lib.node_put(n, "%s%d" % (name, n)))
    node.mine()
    watch.wait_tip()
    return owner


def in_force(watch):
    return {name for name, in watch.query("SELECT name FROM node_in_force")}


def revoked(watch, txid):
    return watch.query("SELECT source, height FROM revocation WHERE txid = ?", txid)


def mine_elsewhere(node, blocks):
    """Blocks without the mempool's transactions."""
    for _ in range(blocks):
        node.generateblock(node.getnewaddress(), [])


def test_the_tool_creates_links_grants_and_revokes(node, watch, folder):
    tool = Tool(folder, node, watch)
    made = tool.write_ok("create", "office", "--ipv4", "10.77.0.0/24")
    meet = tool.write_ok("ovc", "create", "meet", "--key", KEYS[0])
    tool.write_ok("ovr", "create", "relay", "--key", KEYS[0])
    node.mine()
    watch.wait_tip()
    tool.write_ok("ovc", "endpoint", "add", "meet", "udp://198.51.100.10:4242")
    tool.write_ok("ovc", "grant", "meet", "office", "--rate", "1000")
    tool.write_ok("ovr", "grant", "relay", "office")
    tool.write_ok("link", "office", "meet")
    tool.write_ok("link", "office", "relay")
    tool.write_ok("node", "add", "office", KEYS[1] + "=alice", "--ipv4", "10.77.0.1")
    tool.write_ok("node", "add", "office", KEYS[2] + "=bob", "--ipv4", "10.77.0.2")
    node.mine()
    watch.wait_tip()
    assert {n["name"] for n in tool.ok("show", "office")["nodes"]} == {"alice", "bob"}
    assert len(tool.ok("show", "office")["links"]) == 2
    tool.write_ok("node", "del", "office", "bob")
    node.mine()
    watch.wait_tip()
    assert [n["name"] for n in tool.ok("show", "office")["nodes"] if n["in_force"]] == ["alice"]
    assert len(tool.ok("history", "office")["events"]) == 6
    assert tool.ok("show", meet["id"])["endpoints"]
    dry = tool.ok("node", "add", "office", KEYS[2], "--dry-run")
    assert dry["dry_run"] and not node.getrawmempool()
    assert made["id"] == tool.ok("show", "office")["id"]
    # what the node's own words have to say
    tool.fails(FUNDS, "create", "dear", "--fee-rate", "5000", words="fee")


def test_a_wallet_without_coins_or_locked_or_away_is_named(node, watch, folder):
    # several wallets: the one in the URL is asked
    node.createwallet("poor")
    try:
        poor = Tool(folder, node, watch, name="poor",
                        **{"rpc-url": node.url() + "wallet/poor"})
        poor.fails(FUNDS, "create", "office", words="not enough coins")
        away = Tool(folder, node, watch, name="away",
                        **{"rpc-url": node.url() + "wallet/none"})
        error = away.fails(FAILED, "create", "office", words="wallet")
        assert "loadwallet" in error["next"], error
    finally:
        node.post_to("wallet/poor", {"id": 1, "method": "unloadwallet", "params": []})


def test_a_revocation_is_seen_in_less_than_a_second(node, watch):
    owner = make_dnet(node, watch, "fast", 1, 2)
    assert {"fast1", "fast2"} <= in_force(watch)
    for n in (1, 2):  # both may not have met the long poll by chance
        start = time.monotonic()
        txid = owner.send(lib.node_del(n))
        lib.wait_for(lambda: revoked(watch, txid), "the revocation", 1)
        assert "fast%d" % n not in in_force(watch)
        assert time.monotonic() - start < 1
        assert revoked(watch, txid) == [("mempool", None)]


def test_a_block_is_seen_in_less_than_a_second(node, watch):
    for _ in range(2):
        node.mine(3)
        watch.wait_tip(1)


def test_a_revocation_that_was_replaced_stays(node, watch):
    owner = make_dnet(node, watch, "rbf", 3)
    node.mine()
    first, _ = owner.build(lib.payload(lib.node_del(3)))
    second, vout = owner.build(lib.payload(lib.node_put(4, "rbf4")), fee=80_000)
    txid = node.sendrawtransaction(first)
    lib.wait_for(lambda: revoked(watch, txid), "the revocation", 1)
    winner = node.sendrawtransaction(second)
    owner.took(winner, vout, {})
    assert node.getrawmempool() == [winner]
    lib.wait_for(lambda: watch.query("SELECT 1 FROM pending WHERE txid = ?", winner),
                 "the replacement", 1)
    assert not watch.query("SELECT 1 FROM pending WHERE txid = ?", txid)
    assert "rbf3" not in in_force(watch)
    node.mine()
    watch.wait_tip(1)
    # for ever: the owner has said it, even if no block does
    assert revoked(watch, txid) == [("mempool", None)]
    assert "rbf3" not in in_force(watch) and "rbf4" in in_force(watch)


def test_a_reorganisation_is_undone_and_done_again(node, watch):
    owner = make_dnet(node, watch, "reorg")
    before = watch.dump()
    base = node.getblockcount()
    owner.send(lib.node_put(7, "gus"))
    first = node.mine(3)[0]
    watch.wait_tip(1)
    assert "gus" in in_force(watch)
    # chainwatch may be here by an earlier message, ahead of a publisher that looks again and again
    node.wait_published()
    node.invalidateblock(first)
    watch.wait_tip(2)
    assert watch.status()["height"] == base
    assert watch.dump() == before
    mine_elsewhere(node, 4)
    watch.wait_tip(1)
    assert "gus" not in in_force(watch)
    # the longer branch of before, without telling that it is undone again
    node.reconsiderblock(first)
    node.mine()
    watch.wait_tip(1)
    assert "gus" in in_force(watch)
    with lib.Folder() as other:
        fresh = lib.Chainwatch(other, node)
        try:
            fresh.start()
            fresh.wait_tip()
            assert fresh.dump() == watch.dump()
        finally:
            fresh.stop()


def test_gaps_in_the_counters_are_counted_and_harmless(node, proxy, folder):
    for watch in started(lib.Chainwatch(folder, node, zmq=proxy.endpoint, poll="1h",
                                        poll_zmq="1h")):
        wait_connected(node, watch)
        before = watch.status()["zmq"]
        proxy.losing = True
        tip = node.mine(3)[-1]
        lib.wait_for(lambda: proxy.lost_block == tip, "the messages are lost")
        proxy.losing = False
        node.mine(1)
        watch.wait_tip(2)
        after = lib.wait_for(lambda: watch.status()["zmq"]["lost"] > before["lost"] and
                             watch.status()["zmq"], "the gap is counted", 2)
        assert after["odd"] == before["odd"]


def test_while_the_publisher_is_away_the_poll_goes_on(node, proxy, folder):
    for watch in started(lib.Chainwatch(folder, node, zmq=proxy.endpoint, poll="100ms",
                                        poll_zmq="1h")):
        wait_connected(node, watch)
        owner = make_dnet(node, watch, "pub", 1, 2)
        proxy.stop()
        try:
            lib.wait_for(lambda: not watch.status()["zmq"]["transactions"], "it is missed", 2)
            seen = messages(watch)
            txid = owner.send(lib.node_del(1))
            lib.wait_for(lambda: revoked(watch, txid), "the revocation, by polling", 1)
            assert messages(watch) == seen
        finally:
            proxy.start()
        wait_connected(node, watch)
        txid = owner.send(lib.node_del(2))
        lib.wait_for(lambda: revoked(watch, txid), "the revocation, by ZMQ", 1)


def test_a_restarted_node_is_followed_on(folder):
    """Its publisher begins to count at 0 again; nothing is taken for lost."""
    node = make_node(os.path.join(folder, "node"))
    watch = shim = None
    try:
        node.start()
        node.wallet(110)
        shim = None if node.has_zmq() else lib.ZmqShim(node)
        watch = lib.Chainwatch(folder, node, zmq=node.zmq, poll="100ms", poll_zmq="1h")
        watch.start()
        watch.wait_tip()
        wait_connected(node, watch)
        owner = make_dnet(node, watch, "again", 1)
        lost = watch.status()["zmq"]["lost"]
        if shim:
            shim.stop()
        node.stop()
        watch.wait_state("waiting", "cannot reach the chain node")
        node.start()
        if "w" not in node.listwallets():
            node.loadwallet("w")
        if shim:
            shim.start()
        watch.wait_tip()
        txid = owner.send(lib.node_del(1))
        lib.wait_for(lambda: revoked(watch, txid), "the revocation after the restart", 1)
        wait_connected(node, watch)
        assert watch.status()["zmq"]["lost"] == lost
    finally:
        if watch:
            watch.stop()
        if shim:
            shim.stop()
        node.stop()


if __name__ == "__main__":
    sys.exit(pytest.main([os.path.abspath(__file__), "-q", "-p", "no:cacheprovider"] +
                         sys.argv[1:]))
