"""A packet has one author: a member that breaks every rule, and strangers, against a real dnetd (see live.World).

Each refusal is one named counter that rises by exactly one, and nothing else happens: nothing leaves the TUN, nobody is
answered. The rows of other projects' bugs are named where they are tested."""

import ipaddress
import os
import random
import socket
import struct
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pytest  # noqa: E402

import live  # noqa: E402
import spec_protocol as spec  # noqa: E402
import spec_records as records  # noqa: E402
import testlib as lib  # noqa: E402

live.need_namespaces()


def ip(text):
    return ipaddress.ip_address(text).packed


class Attack(live.World):
    """Joined, connected, with carol in the records, and a tap on what leaves the TUN."""

    def start(self):
        super().start()
        self.carol_key = spec.curve.pub(os.urandom(32))
        self.chain.call("node", self.id, self.carol_key.hex(), "carol", "10.77.0.3")
        self.chain.call("height", "111")
        self.carol = records.address_of(self.raw_id, self.carol_key).packed
        lib.wait_for(lambda: self.dnetd.call("status")["dnets"][0].get("peers_total") == 2, "carol is known")
        self.tap = self.namespaces[1].socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.ntohs(3))
        self.tap.bind(("dnet0", 3))
        self.tap.setblocking(False)
        self.our4, self.their4, self.carol4 = (bytes([10, 77, 0, i]) for i in (2, 1, 3))
        self.member.connect()
        self.fence()

    def stop(self):
        try:
            super().stop()
        finally:
            self.tap.close()

    def fence(self):
        """Everything sent before was looked at; dnetd's own questions are answered."""
        self.member.ping()
        for frame in [f for f in self.member.frames if f[0] == spec.PING]:
            self.member.frames.remove(frame)
            self.member.socket.send(self.member.seal(bytes([spec.PONG]) + frame[1:] + bytes(19)))

    def refusals(self):
        return self.dnetd.refusals()

    def risen(self, before):
        return self.dnetd.risen(before)

    def delivered(self):
        """Packets that left the TUN since the last time, without what this machine itself sends."""
        found = []
        while True:
            try:
                data, address = self.tap.recvfrom(65535)
            except BlockingIOError:
                return found
            if address[2] != socket.PACKET_OUTGOING:
                found.append(data)

    def refused(self, datagram, counter, what, sock=None):
        """One datagram, one refusal."""
        before = self.refusals()
        (sock or self.member.socket).send(datagram)
        self.fence()
        assert self.risen(before) == {counter: 1}, (what, self.risen(before))
        assert self.delivered() == [], what

    def packet_refused(self, packet, counter, what):
        self.refused(self.member.seal(packet), counter, what)

    def passes(self, packet, what):
        before = self.refusals()
        self.delivered()
        self.member.socket.send(self.member.seal(packet))
        self.fence()
        assert self.risen(before) == {}, (what, self.risen(before))
        assert packet in self.delivered(), what


@pytest.fixture(scope="module")
def world():
    made = Attack()
    try:
        made.start()
        yield made
    finally:
        made.stop()


def foreign4(world):
    yield from (("another member", world.carol4), ("the receiver itself", world.their4))
    for text in ("10.77.0.0", "10.77.0.255", "10.77.0.99", "10.77.1.2", "8.8.8.8", "127.0.0.1", "0.0.0.0", "224.0.0.1",
                 "255.255.255.255", "169.254.0.1", "198.51.100.1", "198.51.100.2"):
        yield text, ip(text)


def foreign6(world):
    yield from (("another member", world.carol), ("the receiver itself", world.theirs))
    prefix = records.prefix_of(world.raw_id)
    yield from (("the prefix itself", prefix + bytes(8)), ("nobody of the dnet", prefix + bytes(7) + b"\1"),
                ("the same in another dnet", records.address_of(bytes(20), world.member.key).packed))
    for text in ("2001:db8::1", "::1", "::", "ff02::1", "fe80::1", "::ffff:10.77.0.2", "::10.77.0.2", "64:ff9b::a4d:2"):
        yield text, ip(text)
    for bit in range(0, 128, 9):
        flipped = bytearray(world.ours)
        flipped[bit // 8] ^= 1 << bit % 8
        yield "bit %d of its own" % bit, bytes(flipped)


def test_no_other_source_address_is_taken_from_a_member(world):
    data = spec.udp(9, 9, b"mine?")
    for what, source in foreign4(world):
        world.packet_refused(spec.ip4(source, world.their4, data, 17), "in_source_foreign", what)
    for what, source in foreign6(world):
        world.packet_refused(spec.ip6(source, world.theirs, data, 17), "in_source_foreign", what)
    # That the last good one is remembered does not open the door for the next.
    world.passes(spec.ip4(world.our4, world.their4, data, 17), "its own")
    world.packet_refused(spec.ip4(world.carol4, world.their4, data, 17), "in_source_foreign", "after a good one")


def test_no_other_destination_is_reached_by_a_member(world):
    data = spec.udp(9, 9, b"yours?")
    for what, destination in foreign4(world):
        if destination != world.their4:
            world.packet_refused(spec.ip4(world.our4, destination, data, 17), "in_destination_foreign", what)
    for what, destination in foreign6(world):
        if destination not in (world.theirs, world.ours):
            world.packet_refused(spec.ip6(world.ours, destination, data, 17), "in_destination_foreign", what)
    world.packet_refused(spec.ip4(world.our4, world.our4, data, 17), "in_destination_foreign", "back to itself")
    world.packet_refused(spec.ip6(world.ours, world.ours, data, 17), "in_destination_foreign", "back to itself")


def headers(*kinds):
    """A chain of extension headers; (type of the first, bytes up to the upper header, type that is last)."""
    bodies = {0: b"\0\1\4\0\0\0\0", 60: b"\0\1\4\0\0\0\0", 43: b"\0\2\0\0\0\0\0", 44: b"\0\0\0\0\0\0\1",
              51: b"\4\0\0" + bytes(20)}

    def build(upper_type, upper):
        out, after = upper, upper_type
        for kind in reversed(kinds):
            out, after = bytes([after]) + bodies[kind] + out, kind
        return after, out
    return build


def test_extension_headers_change_nothing_about_whose_packet_it_is(world):
    """Bug table: IPv6 packet with an unparsed next header was read as TCP/UDP (nebula #1840)."""
    port_22 = struct.pack(">HHLLBBHHH", 4000, 22, 1, 0, 5 << 4, 2, 1000, 0, 0)
    chains = ((), (0,), (60,), (43,), (44,), (51,), (0, 60), (0, 43, 60), (0, 60, 43, 44, 51, 60), (60,) * 8)
    for chain in chains:
        for upper in (6, 17, 132, 47, 4, 41, 50, 59, 253):
            body = spec.udp(9, 9, bytes(12)) if upper == 17 else port_22
            first, data = headers(*chain)(upper, body)
            world.packet_refused(spec.ip6(world.carol, world.theirs, data, first), "in_source_foreign", (chain, upper))
    world.passes(spec.ip6(world.ours, world.theirs, *reversed(headers(0, 60, 51)(132, port_22))), "its own, allowed")


def test_chains_that_lead_astray_are_refused(world):
    plain = spec.udp(9, 9, bytes(12))
    table = {
        "nine headers": headers(*[60] * 9)(17, plain),
        "hop-by-hop not first": headers(60, 0)(17, plain),
        "hop-by-hop twice": headers(0, 0)(17, plain),
        "two fragment headers": (44, bytes([44, 0, 0, 1, 0, 0, 0, 1, 17, 0, 0, 1, 0, 0, 0, 1]) + bytes(16)),
        "routing type 0": (43, bytes([17, 0, 0, 1, 0, 0, 0, 0]) + plain),
        "a header longer than the packet": (60, bytes([17, 200]) + bytes(6) + plain),
        "a header that is cut": (60, bytes([17, 0, 1])),
        "an authentication header of 8 bytes": (51, bytes([17, 0]) + bytes(6) + plain),
        "a first fragment that ends in the chain": (44, bytes([60, 0, 0, 1, 0, 0, 0, 1, 17, 1]) + bytes(6)),
        "a first fragment that ends in TCP": (44, bytes([6, 0, 0, 1, 0, 0, 0, 1]) + bytes(16)),
        "a later fragment over TCP's flags": (44, bytes([6, 0, 0, 8, 0, 0, 0, 1]) + bytes(8)),
        "a fragment past 65535": (44, bytes([17, 0, 0xFF, 0xF8, 0, 0, 0, 1]) + bytes(64)),
        "a UDP header that is cut": (17, bytes(7)),
    }
    for what, (first, data) in table.items():
        if what != "a UDP header that is cut":
            world.packet_refused(spec.ip6(world.ours, world.theirs, data, first), "in_malformed", what)
    for what, options in (("loose route", b"\x83\7\4\1\2\3\4\0"), ("strict route", b"\x89\7\4\1\2\3\4\0"),
                          ("an option past the header", b"\x44\x20\0\0"), ("an option of length 1", b"\x44\1\0\0")):
        world.packet_refused(spec.ip4(world.our4, world.their4, plain, 17, options=options), "in_malformed", what)


def test_icmp_errors_are_only_about_what_was_sent_to_that_member(world):
    """A member may not lower the path MTU, or end the flows, of this machine towards others: inside or outside."""
    data = spec.udp(9, 9, bytes(12))
    outside4, here4 = ip("8.8.8.8"), ip("198.51.100.2")
    quotes4 = {"of ours to another member": (world.their4, world.carol4), "of ours to the outside": (world.their4, outside4),
               "of this machine to the outside": (here4, outside4), "of another member": (world.carol4, world.our4),
               "of its own": (world.our4, world.their4)}
    outside6 = ip("2001:db8::1")
    quotes6 = {"of ours to another member": (world.theirs, world.carol), "of ours to the outside": (world.theirs, outside6),
               "of another member": (world.carol, world.ours), "of its own": (world.ours, world.theirs)}
    too_big = struct.pack(">L", 1280)
    for kind in (3, 4, 5, 11, 12):
        for what, (src, dst) in quotes4.items():
            quote = too_big + spec.ip4(src, dst, data, 17)
            world.packet_refused(spec.icmp4(world.our4, world.their4, kind, 4 if kind == 3 else 0, quote),
                                 "in_icmp_foreign", (kind, what))
    for kind in (1, 2, 3, 4, 100, 127):
        for what, (src, dst) in quotes6.items():
            quote = too_big + spec.ip6(src, dst, data, 17)
            world.packet_refused(spec.icmp6(world.ours, world.theirs, kind, 0, quote), "in_icmp_foreign", (kind, what))
    for kind in (130, 131, 132, 133, 134, 135, 136, 137, 143):  # of a link; a dnet is none
        world.packet_refused(spec.icmp6(world.ours, world.theirs, kind, 0, bytes(36)), "in_icmp_foreign", kind)
    good4, good6 = spec.ip4(world.their4, world.our4, data, 17), spec.ip6(world.theirs, world.ours, data, 17)
    for size in range(len(good4)):
        packet = spec.icmp4(world.our4, world.their4, 3, 1, bytes(4) + good4[:size])
        if size < 20:
            world.packet_refused(packet, "in_icmp_foreign", "a quote of %d" % size)
    # Behind extension headers, and cut into fragments so that the quote is not in sight.
    quote = too_big + spec.ip6(world.theirs, outside6, data, 17)
    error = spec.icmp6(world.ours, world.theirs, 2, 0, quote)[40:]
    for chain in ((0,), (60, 60), (44,), (51,)):
        first, upper = headers(*chain)(58, error)
        world.packet_refused(spec.ip6(world.ours, world.theirs, upper, first), "in_icmp_foreign", chain)
    first = bytes([58, 0, 0, 1, 0, 0, 0, 7]) + error[:16]
    world.packet_refused(spec.ip6(world.ours, world.theirs, first, 44), "in_icmp_foreign", "a tiny first fragment")
    error4 = spec.icmp4(world.our4, world.their4, 3, 4, too_big + spec.ip4(here4, outside4, data, 17))[20:]
    world.packet_refused(spec.ip4(world.our4, world.their4, error4[:8], 1, fragment=0x2000), "in_icmp_foreign", "tiny")
    world.passes(spec.icmp4(world.our4, world.their4, 3, 4, too_big + good4), "about what was sent to it")
    world.passes(spec.icmp6(world.ours, world.theirs, 2, 0, too_big + good6), "about what was sent to it")


def test_lengths_and_versions_that_lie_are_refused(world):
    good4 = spec.ip4(world.our4, world.their4, spec.udp(9, 9, bytes(12)), 17)
    good6 = spec.ip6(world.ours, world.theirs, spec.udp(9, 9, bytes(12)), 17)
    for good in (good4, good6):
        for size in range(1, len(good)):
            world.packet_refused(good[:size], "data_malformed", "cut to %d" % size)
        world.packet_refused(good + b"\0", "data_malformed", "longer")
    for first in (0x40, 0x44):
        world.packet_refused(bytes([first]) + good4[1:], "in_malformed", "IPv4 header of %d words" % (first & 15))
    for first in (0x50, 0x70, 0x80, 0xF0):
        world.packet_refused(bytes([first]) + good4[1:], "frame_malformed", "version %x" % (first >> 4))
    for flag in (1 << i for i in range(1, 8)):
        world.refused(world.member.seal(good4, flags=flag), "datagram_truncated", "flag %x" % flag)


def test_frames_that_a_member_may_not_send_are_refused(world):
    key = world.carol_key
    for kind, body in ((0x00, b""), (0x05, b""), (0x0F, b""), (0x10, b"\0"), (0x11, bytes(21)), (0x12, key), (0x13, key + b"\1\0"),
                       (0x14, key + b"\1"), (0x15, b""), (0x20, key), (0x21, key + bytes(8)), (0x22, key + b"\1"),
                       (0x23, bytes(8) + b"\1"), (0x24, b""), (0x3F, b"")):
        world.packet_refused(bytes([kind]) + body, "frame_malformed", "frame %02x" % kind)
    for kind, body in ((spec.PING, bytes(7)), (spec.PING, bytes(9)), (spec.PONG, bytes(26)), (spec.PONG, bytes(28)),
                       (spec.BYE, b""), (spec.BYE, b"\0"), (spec.BYE, b"\4"), (spec.BYE, b"\1\0")):
        world.packet_refused(bytes([kind]) + body, "data_malformed", "frame %02x of %d" % (kind, len(body)))
    end = b"\4\xc6\x33\x64\1" + bytes(12)
    for body in (b"", b"\1", b"\2" + end + b"\1\0", b"\1" + end + b"\0\0", b"\1" + bytes(19), b"\x09" + (end + b"\1\0") * 9):
        world.packet_refused(bytes([spec.CANDIDATES]) + body, "frame_malformed", body.hex())
    candidates = bytes([spec.CANDIDATES, 1]) + end + b"\1\0"
    world.member.socket.send(world.member.seal(candidates))
    world.packet_refused(candidates, "frame_too_often", "candidates at once again")


def test_data_is_taken_once_and_unaltered(world):
    good = spec.ip6(world.ours, world.theirs, spec.udp(9, 9, b"once"), 17)
    message = world.member.seal(good)
    for bit in range(16 * 8, len(message) * 8):
        altered = bytearray(message)
        altered[bit // 8] ^= 1 << bit % 8
        world.refused(bytes(altered), "data_invalid", "bit %d" % bit)
    for size in range(0, len(message)):
        before = world.refusals()
        world.member.socket.send(message[:size])
        world.fence()
        assert sum(world.risen(before).values()) == 1, (size, world.risen(before))
        assert world.delivered() == []
    for bit in range(0, 16 * 8):
        altered = bytearray(message)
        altered[bit // 8] ^= 1 << bit % 8
        before = world.refusals()
        world.member.socket.send(bytes(altered))
        world.fence()
        assert sum(world.risen(before).values()) == 1, (bit, world.risen(before))
        assert world.delivered() == []
    before = world.refusals()
    world.member.socket.send(message)
    world.fence()
    assert world.risen(before) == {} and world.delivered() == [good]
    world.refused(message, "data_replayed", "again")


def test_nothing_is_lost_when_4096_come_late(world):
    """Bug table: 256-packet replay window (tinc 1.1)."""
    member, seed = world.member, random.randrange(1 << 32)
    print("seed", seed)
    count = 4096 + 2048  # and the pings between stay inside of the window of 8,192
    start, member.counter = member.counter, member.counter + count
    packet = spec.ip6(world.ours, world.theirs, spec.udp(9, 9, b""), 17)
    late = list(range(start, start + 2048))
    order = list(range(start + 2048, start + count)) + random.Random(seed).sample(late, len(late))
    for again in (False, True):
        before, taken = world.refusals(), world.dnetd.counters()["in_packets"]
        for i, number in enumerate(order):
            member.socket.send(member.seal(packet, counter=number))
            if i % 64 == 63:
                member.ping()
        world.fence()
        world.delivered()
        taken = world.dnetd.counters()["in_packets"] - taken
        assert (taken, world.risen(before)) == ((0, {"data_replayed": count}) if again else (count, {}))


def silent(world, sock):
    """Nobody has answered this socket."""
    world.fence()
    sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        raise AssertionError("a stranger was answered: %s" % sock.recv(65535).hex())


@pytest.fixture
def stranger(world):
    sock = world.namespaces[0].socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("198.51.100.1", 0))
    sock.connect(world.member.socket.getpeername())
    yield sock
    sock.close()


def test_strangers_are_not_answered_whatever_they_say(world, stranger):
    unknown = spec.Initiator(os.urandom(32), world.key, world.raw_id)
    member = spec.Initiator(world.member.secret, world.key, world.raw_id)
    table = [("a key of nobody", unknown.initiation(), "handshake_not_member"),
             ("another dnet in the payload", member.initiation(dnet=bytes(20)), "handshake_invalid"),
             ("an old timestamp", member.initiation(timestamp=spec.tai64n(1)), "handshake_replayed"),
             ("a cipher that is not offered", member.initiation(aead=2), "handshake_invalid"),
             ("a reserved flag", member.initiation(flags=1), "handshake_invalid"),
             ("another realm", spec.Initiator(member.secret, world.key, bytes(20)).initiation(), "handshake_invalid"),
             ("another kind of realm", spec.Initiator(member.secret, world.key, world.raw_id, 2).initiation(),
              "handshake_invalid"),
             ("for another receiver", spec.Initiator(member.secret, world.carol_key, world.raw_id).initiation(),
              "handshake_mac1_wrong"),
             ("a response to nothing", bytes([spec.RESPONSE, 1, 0, 0]) + bytes(93), "handshake_invalid"),
             ("a cookie for nothing", bytes([spec.COOKIE, 0, 0, 0]) + bytes(60), "cookie_invalid"),
             ("data of no session", bytes([spec.DATA, 0, 0, 0]) + bytes(28), "data_no_session"),
             ("a lane of nobody", bytes([spec.LANE, 0, 0, 0]) + b"\1" * 8 + world.member.seal(b""), "lane_foreign"),
             ("a lane that is none", bytes([spec.LANE, 0, 0, 0]) + bytes(8) + world.member.seal(b""), "lane_malformed"),
             ("an empty lane", bytes([spec.LANE, 0, 0, 0]) + b"\1" * 8, "lane_malformed"),
             ("a lane in a lane", (bytes([spec.LANE, 0, 0, 0]) + b"\1" * 8) * 2, "lane_malformed"),
             ("STUN", bytes.fromhex("000100002112a442") + bytes(12), "datagram_unknown"),
             ("nothing at all", b"", "datagram_unknown"),
             ("a long punch", bytes([spec.PUNCH, 0, 0, 0, 0]), "datagram_truncated")]
    table += [("type %02x" % kind, bytes([kind]) * 64, "datagram_unknown") for kind in range(256)
              if not spec.INITIATION <= kind <= spec.PUNCH]
    for what, datagram, counter in table:
        world.refused(datagram, counter, what, stranger)
    before = world.refusals()
    stranger.send(bytes([spec.PUNCH, 0, 0, 0]))
    silent(world, stranger)
    assert world.risen(before) == {}


def test_a_recorded_handshake_is_of_no_use(world, stranger):
    """Replayed from elsewhere, as a whole and piece by piece; and a cookie reply or response that is reflected."""
    again = spec.Member(world.member.socket, world.member.secret, world.key, world.raw_id)
    recorded = again.initiation()
    again.socket.send(recorded)
    response = again.until(lambda: next((m for m in again.others if m[0] == spec.RESPONSE), None))
    world.refused(recorded, "handshake_replayed", "the initiation", stranger)
    world.refused(response, "handshake_invalid", "the response, sent back", stranger)
    assert again.take_response(response)
    first = again.seal(b"")
    again.socket.send(first)
    world.member = again  # dnetd speaks by the newest session
    world.fence()
    world.refused(first, "data_replayed", "the first data", stranger)
    world.refused(recorded, "handshake_replayed", "the initiation again", stranger)
    silent(world, stranger)


def test_an_altered_or_cut_initiation_is_not_answered(world, stranger):
    """Bug table: empty AAD in the handshake (each bit counts, wherever it stands)."""
    message = spec.Initiator(world.member.secret, world.key, world.raw_id).initiation()
    for bit in range(158 * 8):  # mac2 says nothing as long as there is no load
        altered = bytearray(message)
        altered[bit // 8] ^= 1 << bit % 8
        before = world.refusals()
        stranger.send(bytes(altered))
        if bit % 8 == 7:
            world.fence()
        lib.wait_for(lambda: world.risen(before), "bit %d is counted" % bit)
        assert sum(world.risen(before).values()) == 1, (bit, world.risen(before))
    for size in range(len(message)):
        before = world.refusals()
        stranger.send(message[:size])
        world.fence()
        assert sum(world.risen(before).values()) == 1, (size, world.risen(before))
    silent(world, stranger)


def test_the_sender_refuses_too(world):
    """Bug table: egress limits enforced at one side only (netmaker #1762): what leaves is looked at as what comes in."""
    inside = world.namespaces[1]
    raw = inside.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
    world.member.packets.clear()
    with raw:
        for version, sources, build, to in ((4, foreign4(world), spec.ip4, world.our4),
                                            (6, foreign6(world), spec.ip6, world.ours)):
            for what, source in sources:
                if source in (world.their4, world.theirs):
                    continue
                before = world.refusals()
                raw.sendto(build(source, to, spec.udp(9, 9, b"not mine"), 17),
                           ("dnet0", 0x800 if version == 4 else 0x86DD))
                lib.wait_for(lambda: world.risen(before), "it is counted: %s" % what)
                assert world.risen(before) == {"out_source_not_ours": 1}, (what, world.risen(before))
        for version, packet in (
                (4, spec.icmp4(world.their4, world.our4, 3, 4, bytes(4) + spec.ip4(world.our4, world.carol4, b"", 17))),
                (6, spec.icmp6(world.theirs, world.ours, 2, 0, bytes(4) + spec.ip6(world.ours, world.carol, b"", 17)))):
            before = world.refusals()
            raw.sendto(packet, ("dnet0", 0x800 if version == 4 else 0x86DD))
            lib.wait_for(lambda: world.risen(before), "it is counted")
            assert world.risen(before) == {"out_icmp_foreign": 1}, world.risen(before)
    # An ordinary process that binds an address of another.
    inside.run("ip", "addr", "add", "10.99.0.1/32", "dev", "lo")
    before = world.refusals()
    with inside.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("10.99.0.1", 0))
        bound.sendto(b"not mine", ("10.77.0.2", 9))
    lib.wait_for(lambda: world.risen(before), "it is counted")
    assert world.risen(before) == {"out_source_not_ours": 1}
    inside.run("ip", "addr", "del", "10.99.0.1/32", "dev", "lo")
    world.fence()
    assert world.member.packets == []


def test_it_is_still_there_and_well(world):
    """After all of this."""
    echo = struct.pack(">HH", 9, 9)
    world.member.packets.clear()
    world.member.socket.send(world.member.seal(spec.icmp6(world.ours, world.theirs, 128, 0, echo)))
    world.member.until(lambda: world.member.packets)
    assert world.dnetd.process.alive()


if __name__ == "__main__":
    sys.exit(pytest.main([os.path.abspath(__file__), "-q", "-p", "no:cacheprovider"] + sys.argv[1:]))
