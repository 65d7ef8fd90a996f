"""chainwatch with source = light, and real litecoinds as peers."""

import contextlib
import os
import signal
import socket
import struct
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pytest  # noqa: E402

import lying_peer as peers  # noqa: E402
import testlib as lib  # noqa: E402
from clilib import UNREACHABLE, Tool  # noqa: E402
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


class Socks:
    """A SOCKS5 proxy (RFC 1928) that knows names of its own."""

    def __init__(self, names):
        self.names, self.asked, self.open = names, [], []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.thread(self.accept)

    @staticmethod
    def thread(target, *args):
        threading.Thread(target=target, args=args, daemon=True).start()

    def stop(self):
        for s in [self.socket] + self.open:
            s.close()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.socket.accept()
                self.open.append(client)
                self.thread(self.serve, client)

    def serve(self, client):
        with contextlib.suppress(OSError, EOFError):
            read = peers.LyingPeer.read
            assert read(client, 3) == b"\5\1\0"
            client.sendall(b"\5\0")
            assert read(client, 4) == b"\5\1\0\3"
            host = read(client, read(client, 1)[0]).decode()
            port, = struct.unpack(">H", read(client, 2))
            self.asked.append(host)
            if host not in self.names:
                client.sendall(b"\5\4\0\1" + bytes(6))
                client.close()
                return
            node = socket.create_connection(("127.0.0.1", self.names[host]))
            self.open.append(node)
            client.sendall(b"\5\0\0\3\4host" + struct.pack(">H", port))
            self.thread(self.carry, node, client)
            self.carry(client, node)

    @staticmethod
    def carry(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)


def test_through_a_proxy_that_resolves_names(nodes, folder, dnet):
    proxy = Socks({"one.onion": nodes[0].p2p, "two.example": nodes[1].p2p})
    watch = Light(folder, nodes[0], ["one.onion", "two.example:7", "nowhere.example"], [dnet.follow],
                  proxy="socks5://127.0.0.1:%d" % proxy.port)
    dnet.put(1, "alice")
    both_at_tip(nodes)
    try:
        watch.start()
        watch.wait_names("alice")
        watch.wait_left("nowhere.example:19444", "the proxy: the host cannot be reached")
        assert set(proxy.asked) == {"one.onion", "two.example", "nowhere.example"}
    finally:
        watch.stop()
        proxy.stop()


def test_names_of_peers_are_looked_up(nodes, folder, dnet):
    watch = Light(folder, nodes[0], ["localhost:%d" % n.p2p for n in nodes], [dnet.follow])
    try:
        watch.start()
        watch.wait_tip()
        assert {p["peer"] for p in watch.light()["peers"]} == {"localhost:%d" % n.p2p for n in nodes}
    finally:
        watch.stop()


def test_peers_of_the_profile_are_found_and_kept(nodes, folder, dnet):
    profile = os.path.join(folder, "profile")
    with open(profile, "w") as f:
        f.write("peers = %s\n" % " ".join("127.0.0.1:%d" % n.p2p for n in nodes))
    watch = Light(folder, nodes[0], [], [dnet.follow], chain_file=profile)
    try:
        watch.start()
        watch.wait_tip()
        assert watch.light()["known_tried"] == 2
        watch.stop()
        with open(profile, "w") as f:
            f.write("peers = 127.0.0.1:%d\n" % nodes[0].p2p)
        dnet.put(1, "alice")
        watch.start()
        # the other one is in the book
        lib.wait_for(lambda: watch.light() and watch.light()["known_tried"] == 2, "it is known")
    finally:
        watch.stop()


def test_a_join_hands_the_height_over(nodes, folder, dnet):
    watch = Light(folder, nodes[0], nodes)
    tool = Tool(folder, nodes[0], watch)
    try:
        # without chainwatch it says what has to be done by hand
        done = tool.run("--socket", "/nowhere.sock", "join", dnet.follow)
        assert done.returncode == UNREACHABLE and "follow = " + dnet.follow in done.stderr, done
        watch.start()
        watch.wait_tip()
        assert watch.query("SELECT count(*) FROM object") == [(0,)]
        # no dnetd is there to join, but what it would read is followed
        done = tool.run("--socket", "/nowhere.sock", "join", "dnet:%s?c=litecoin-regtest&h=%d&x=1" % (dnet.id, dnet.height))
        assert done.returncode == UNREACHABLE, done
        lib.wait_for(lambda: watch.query("SELECT id FROM object") == [(dnet.id,)], "it is followed")
        assert [f["id"] for f in watch.light()["follow"]] == [dnet.id]
    finally:
        watch.stop()


def test_dnet_chain_and_another_source(nodes, light, folder):
    tool = Tool(folder, nodes[0], light)
    done = tool.run("chain")
    assert done.returncode == 0 and "peers       2, 2 with filters" in done.stdout, done
    light.stop()
    # what knows only what was followed is not gone on with by one that reads everything
    full = lib.Chainwatch(folder, nodes[0])
    full.process = lib.Process(full.argv(), os.path.join(folder, "full.log"))
    assert full.process.child.wait(20) == 1
    assert "filled by source = light" in full.process.log()


def test_a_wrong_height_is_said(nodes, folder, dnet):
    nodes[0].mine(10)
    both_at_tip(nodes)
    ident, height = dnet.follow.split("@")
    watch = Light(folder, nodes[0], nodes, ["%s@%d" % (ident, int(height) + 1)])
    try:
        watch.start()
        watch.wait_tip()
        lib.wait_for(lambda: "nothing made %s in the blocks %d to %d" % (ident, int(height) + 1, int(height) + 6)
                     in watch.process.log(), "it is said")
        assert watch.call("follow", {"id": ident, "height": int(height)}) == {"new": True}
        lib.wait_for(lambda: watch.query("SELECT id FROM object") == [(ident,)], "it is followed")
    finally:
        watch.stop()


def test_wrong_settings_are_named(folder):
    for line, words in (("source = light\nfollow = dnet1xyz@7\n", "not the id"),
                        ("source = light\nfollow = nonsense\n", "dnet1…@HEIGHT"),
                        ("source = light, rpc://127.0.0.1:1\n", "stands alone"),
                        ("source = light\npeer = [::1\n", "not HOST or HOST:PORT"),
                        ("source = light\npeer = 127.0.0.1:99999\n", "not HOST or HOST:PORT"),
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
