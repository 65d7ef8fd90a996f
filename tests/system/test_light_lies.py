"""Peers of a light chainwatch that lie, each in its own way: caught, named, and nothing changes."""

import hashlib
import os
import struct
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pytest  # noqa: E402

import lying_peer as peers  # noqa: E402
import testlib as lib  # noqa: E402
from lightlib import Light, both_at_tip, dnet, folder, make_node, nodes  # noqa: E402,F401

lib.need_litecoind()

class Honest(peers.Lie):
    """Lies about blocks after this one only."""

    since = 1 << 30

    def lies_about(self, block):
        """block: hash as on the wire."""
        return self.node.getblockheader(block[::-1].hex())["height"] > self.since

    def ours(self, block):
        """Scripts that are no coinbase's: those of the owner, and of his coins."""
        return [s for s in peers.scripts_of(self.node, block[::-1].hex()) if len(s) == 22]


class FalseFilter(Honest):
    """filter_of() in place of the block's, with filter headers that say the same."""

    def filter_of(self, block):
        raise NotImplementedError

    def answered(self, command, payload):
        if command == "cfilter" and self.lies_about(payload[1:33]):
            false = self.filter_of(payload[1:33])
            return [peers.frame(command, payload[:33] + peers.compact(len(false)) + false)]
        if command == "cfheaders":
            count, at = peers.read_compact(payload, 65)
            block = payload[1:33][::-1].hex()
            payload = bytearray(payload)
            for i in reversed(range(count)):
                wire = bytes.fromhex(block)[::-1]
                if not self.lies_about(wire):
                    break
                payload[at + 32 * i:at + 32 * i + 32] = peers.sha256d(self.filter_of(wire))
                block = self.node.getblockheader(block)["previousblockhash"]
            return [peers.frame(command, bytes(payload))]


class Omits(FalseFilter):
    def filter_of(self, block):
        ours = self.ours(block)
        return peers.make_filter(block, [s for s in peers.scripts_of(self.node, block[::-1].hex()) if s not in ours])


class Stuffed(FalseFilter):
    def filter_of(self, block):
        scripts = peers.scripts_of(self.node, block[::-1].hex())
        return peers.make_filter(block, scripts + [b"\x51" + bytes([i]) for i in range(200)])


class FalseFilterHash(Honest):
    """Filter headers that are not of its filters."""

    def answered(self, command, payload):
        if command == "cfheaders" and self.lies_about(payload[1:33]):
            return [peers.frame(command, payload[:-1] + bytes([payload[-1] ^ 1]))]


class FalsePast(Honest):
    """The filter header before the range is another one."""

    def answered(self, command, payload):
        if command == "cfheaders" and self.lies_about(payload[1:33]):
            return [peers.frame(command, payload[:33] + bytes([payload[33] ^ 1]) + payload[34:])]


class OtherFilters(Honest):
    """An answer to something else."""

    def answered(self, command, payload):
        if command == "cfheaders" and self.lies_about(payload[1:33]):
            return [peers.frame(command, payload[:1] + bytes(32) + payload[33:])]


class FalsePow(Honest):
    """A header of the right form without work."""

    def answered(self, command, payload):
        if command == "headers" and len(payload) > 1:
            head = bytearray(payload[-81:-1])
            if self.lies_about(bytes(head[4:36])):
                while int.from_bytes(hashlib.scrypt(bytes(head), salt=bytes(head), n=1024, r=1, p=1, dklen=32),
                                     "little") < 0x7fffff << 232:
                    head[76:80] = struct.pack("<I", (struct.unpack("<I", head[76:80])[0] + 1) % 2**32)
                return [peers.frame(command, payload[:-81] + bytes(head) + b"\0")]


class FalseBits(Honest):
    def answered(self, command, payload):
        if command == "headers" and len(payload) > 1 and self.lies_about(payload[-77:-45]):
            return [peers.frame(command, payload[:-9] + struct.pack("<I", 0x207ffffe) + payload[-5:])]


def block_lie(change):
    class BlockLie(Honest):
        def answered(self, command, payload):
            if command == "block" and self.lies_about(payload[4:36]):
                return [peers.frame(command, change(self, payload))]
    return BlockLie


def other_block(lie, payload):
    return bytes.fromhex(lie.node.getblock(lie.node.getblockhash(5), 0))


CoinbaseWitness = b"\x01\x20" + bytes(32)

BLOCK_LIES = {
    "its header's": (lambda lie, block: block[:-1] + bytes([block[-1] ^ 1]), "merkle root"),
    "another one": (other_block, "another block than it was asked for"),
    "other witnesses": (lambda lie, block: block.replace(CoinbaseWitness, b"\x01\x20" + b"\x07" * 32), "witnesses"),
    "cut": (lambda lie, block: block[:-7], "malformed block"),
    "stretched": (lambda lie, block: block + b"\0", "malformed block"),
}


def greeting(*frames):
    class Greets(Honest):
        def greets(self):
            return list(frames)
    return Greets


FRAME_LIES = {
    "too long": (greeting(peers.frame("headers", length=100_000_000)), "longer than messages of its kind"),
    "too long and unknown": (greeting(peers.frame("nonsense", length=100_000_000)), "longer than messages"),
    "a wrong sum": (greeting(peers.frame("inv", b"\0", checksum=b"nope")), "checksum"),
    "another network's": (greeting(peers.frame("inv", b"\0", magic=b"\xf9\xbe\xb4\xd9")), "another network"),
    "malformed": (greeting(peers.frame("inv", b"\xff")), "malformed inv"),
    "no headers": (greeting(peers.frame("headers", b"\x01" + bytes(7))), "malformed headers"),
    "a second version": (greeting(peers.frame("version", bytes(86))), "version"),
}


@pytest.fixture
def liar(nodes, folder, dnet):
    """Starts a light chainwatch with a liar among its peers, which lies from now on."""
    made = []

    def start(lie, **options):
        nodes[0].mine(6)  # what comes now is not near the block that made the dnet
        both_at_tip(nodes)
        lie.since = nodes[0].getblockcount()
        peer = peers.LyingPeer(nodes[1], lie)
        made.append(peer)
        watch = Light(folder, nodes[0], list(nodes) + [peer], [dnet.follow], **options)
        made.append(watch)
        watch.start()
        watch.wait_tip()
        return peer, watch

    try:
        yield start
    finally:
        for thing in reversed(made):
            thing.stop()


def records_until(watch, dnet, caught, most=40):
    """New records until the peer is caught: which peer is asked for what is chance."""
    names = []
    while not caught(watch.light()):
        assert len(names) < most, watch.status()
        names.append("n%d" % len(names))
        dnet.put(1 + len(names), names[-1])
        watch.wait_names(*names)
        both_at_tip([watch.node])
    return names


def is_banned(peer, words):
    return lambda light: [b for b in light["bans"] if b["peer"] == peer.name and words in b["reason"]]


def caught_by_records(liar, dnet, lie, words):
    peer, watch = liar(lie)
    lib.wait_for(lambda: len(watch.light()["peers"]) == 3, "the liar is a peer")
    names = records_until(watch, dnet, is_banned(peer, words))
    names.append("after")
    dnet.put(99, "after")
    watch.wait_names(*names)
    assert [b["peer"] for b in watch.light()["bans"]] == [peer.name]
    assert watch.light()["counters"]["lies"] == 1
    return peer, watch


def test_a_filter_that_omits_a_record(liar, dnet):
    caught_by_records(liar, dnet, Omits(), "omits a script that is in the block")


def test_a_filter_with_scripts_that_are_not_in_the_block(liar, dnet):
    caught_by_records(liar, dnet, Stuffed(), "more scripts than the block")


def test_filter_headers_that_are_not_of_the_filters(liar, dnet):
    caught_by_records(liar, dnet, FalseFilterHash(), "not the one of its filter header")


def test_filter_headers_that_contradict_those_before(liar, dnet):
    caught_by_records(liar, dnet, FalsePast(), "contradict themselves")


def test_filter_headers_of_something_else(liar, dnet):
    caught_by_records(liar, dnet, OtherFilters(), "other filter headers than it was asked for")


def test_blocks_that_are_not_the_ones(nodes, folder, dnet):
    """Only liars, each of another kind: one after the other is caught, and what they say changes nothing."""
    nodes[0].mine(6)
    dnet.put(1, "alice")
    both_at_tip(nodes)
    liars = [(peers.LyingPeer(nodes[1], block_lie(change)()), words) for change, words in BLOCK_LIES.values()]
    for peer, _ in liars:
        peer.lie.since = nodes[0].getblockcount() - 2  # the parent tells the height
    watch = Light(folder, nodes[0], [peer for peer, _ in liars], [dnet.follow], filter_peers=1)
    try:
        watch.start()
        for peer, words in liars:
            watch.wait_ban(peer, words)
        watch.wait_state("waiting", "no peer of the chain answers")
        watch.wait_names()
        watch.stop()
        watch.peers += nodes
        watch.start()
        watch.wait_tip()
        watch.wait_names("alice")
    finally:
        watch.stop()
        for peer, _ in liars:
            peer.stop()


def test_a_header_without_work(liar, dnet):
    caught_by_records(liar, dnet, FalsePow(), "no work was done for it")


def test_a_header_of_another_difficulty(liar, dnet):
    caught_by_records(liar, dnet, FalseBits(), "another difficulty")


def test_a_ban_outlives_a_restart(liar, dnet):
    peer, watch = caught_by_records(liar, dnet, FalseBits(), "another difficulty")
    before = peer.connections
    watch.stop()
    watch.start()
    watch.wait_tip()
    assert is_banned(peer, "another difficulty")(watch.light())
    assert peer.connections == before


def test_messages_that_no_node_sends(nodes, folder):
    liars = [(peers.LyingPeer(nodes[1], lie()), words) for lie, words in FRAME_LIES.values()]
    watch = Light(folder, nodes[0], list(nodes) + [peer for peer, _ in liars])
    try:
        watch.start()
        for peer, words in liars:
            watch.wait_ban(peer, words)
        watch.wait_tip()
        assert len(watch.light()["bans"]) == len(liars)
    finally:
        watch.stop()
        for peer, _ in liars:
            peer.stop()


def test_a_chain_with_less_work(nodes, folder, dnet):
    other = make_node(os.path.join(folder, "c"))
    watch = Light(folder, nodes[0], list(nodes) + [other], [dnet.follow])
    try:
        other.createwallet("w")
        other.mine(50)
        watch.start()
        watch.wait_tip()
        lib.wait_for(lambda: [b for b in watch.light()["bans"] if b["peer"] == "127.0.0.1:%d" % other.p2p and
                              "less work" in b["reason"] and "block 0" in b["reason"]], "it is banned")
        dnet.put(1, "alice")
        watch.wait_names("alice")
    finally:
        watch.stop()
        other.stop()


def test_alone_a_chain_with_less_work_is_left_for_the_better_one(nodes, folder, dnet):
    """An eclipse that ends: what was believed meanwhile is undone."""
    one = make_node(os.path.join(folder, "c"))
    watch = Light(folder, nodes[0], [one, nodes[0]], [dnet.follow], filter_peers=1)
    dnet.put(1, "alice")
    try:
        one.createwallet("w")
        one.mine(50)
        hidden = watch.peers.pop()
        watch.start()
        lib.wait_for(lambda: watch.status()["height"] == 50, "the chain of 50 blocks is followed")
        watch.stop()
        watch.peers.append(hidden)
        watch.start()
        watch.wait_tip()
        watch.wait_names("alice")
        assert watch.status()["counters"]["reorgs"] == 1
    finally:
        watch.stop()
        one.stop()


class Stalls(Honest):
    """Answers nothing that matters; pings it does."""

    quiet = ("cfheaders", "cfilter", "block", "headers")

    def answered(self, command, payload):
        return [] if command in self.quiet else None


class StaysBehind(Honest):
    """As if no block came after the first."""

    def answered(self, command, payload):
        if command == "headers" and len(payload) > 1 and self.is_after(payload[-77:-45]):
            return [peers.frame("headers", b"\0")] if self.asking else []
        self.asking = False
        return [] if command == "inv" else None

    asking = False

    def is_after(self, parent):
        return self.node.getblockheader(parent[::-1].hex())["height"] >= self.since

    def asked(self, command, payload):
        self.asking |= command == "getheaders"


def slowly(data):
    pause = lib.threading.Event()
    for i in range(len(data)):
        pause.wait(0.2)
        yield data[i:i + 1]


class Slow(Honest):
    def answered(self, command, payload):
        if command in ("cfheaders", "cfilter", "block"):
            return slowly(peers.frame(command, payload))


@pytest.mark.parametrize("lie,words", [(Stalls, "it stalls: no answer to"), (Slow, "it stalls: no answer to"),
                                       (StaysBehind, "it stays behind")])
def test_a_peer_that_is_of_no_use_is_left_and_named(liar, dnet, lie, words):
    peer, watch = liar(lie(), peer_timeout="1s")
    dnet.put(1, "alice")
    watch.wait_names("alice")
    watch.wait_left(peer.name, words)
    dnet.put(2, "bob")
    watch.wait_names("alice", "bob")
    assert watch.light()["bans"] == []


class ForgedTransaction(Honest):
    armed = False

    def __init__(self, raw, txid):
        self.raw, self.txid = bytes.fromhex(raw), bytes.fromhex(txid)[::-1]

    def answered(self, command, payload):
        if command == "headers" and self.armed:
            return [peers.frame("headers", payload),
                    peers.frame("inv", b"\x01" + struct.pack("<I", 1) + self.txid)]

    def asked(self, command, payload):
        if command == "getdata" and self.txid in payload:
            return [peers.frame("tx", self.raw)]


def test_a_removal_that_the_owner_did_not_sign(nodes, liar, dnet):
    dnet.put(1, "alice")
    raw, _ = dnet.owner.build(lib.payload(lib.node_del(1)))
    txid = nodes[0].decoderawtransaction(raw)["txid"]
    # the seal is vin[0]; its witness comes first: two items, the signature of 71 or 72 bytes
    data = bytearray.fromhex(raw)
    at = max(data.find(bytes([2, n, 0x30])) for n in (70, 71, 72))
    data[at + 20] ^= 1
    peer, watch = liar(ForgedTransaction(data.hex(), txid))
    watch.wait_names("alice")
    peer.lie.armed = True
    nodes[0].mine()
    watch.wait_ban(peer, "without its owner's signature")
    watch.wait_names("alice")
    assert watch.query("SELECT count(*) FROM revocation") == [(0,)]
    assert watch.light()["counters"]["forged"] == 1
    # the same transaction with its signature counts
    nodes[0].sendrawtransaction(raw)
    watch.wait_names()


if __name__ == "__main__":
    sys.exit(pytest.main([__file__, "-q"]))
