"""Both ends check: what a member may not say is refused by a real dnetd when a process of its own machine writes it into the
TUN, and when a peer that checks nothing seals it. One table for both; fragments are most of it. See test_author.py."""

import os
import socket
import struct
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pytest  # noqa: E402

import spec_protocol as spec  # noqa: E402
import testlib as lib  # noqa: E402
from test_author import Attack, headers, ip  # noqa: E402

TCP, UDP, FRAGMENT = 6, 17, 44
TCP_HEADER = struct.pack(">HHLLBBHHH", 4000, 22, 1, 0, 5 << 4, 2, 1000, 0, 0)


class BothEnds(Attack):
    def start(self):
        super().start()
        self.tun = self.namespaces[1].socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)

    def stop(self):
        try:
            super().stop()
        finally:
            self.tun.close()

    def write(self, packet):
        self.tun.sendto(packet, ("dnet0", 0x86DD if packet[0] >> 4 == 6 else 0x800))

    def write_refused(self, packet, counter, what):
        """As packet_refused(), at the sender: nothing goes to the peer."""
        before = self.refusals()
        self.member.packets.clear()
        self.write(packet)
        lib.wait_for(lambda: self.risen(before), "it is counted: %s" % (what,))
        self.fence()
        assert self.risen(before) == {counter: 1}, (what, self.risen(before))
        assert self.member.packets == [], what
        self.delivered()  # what its own host was told (ICMP)

    def write_passes(self, packet, what):
        before = self.refusals()
        self.write(packet)
        self.member.until(lambda: packet in self.member.packets)
        assert self.risen(before) == {}, (what, self.risen(before))
        self.member.packets.clear()

    def addresses(self, version, sending):
        """Of the one that sends, the other one, and a third member."""
        ours, theirs, carol = ((self.our4, self.their4, self.carol4) if version == 4 else
                               (self.ours, self.theirs, self.carol))
        return (theirs, ours, carol) if sending else (ours, theirs, carol)


@pytest.fixture(scope="module")
def world():
    made = BothEnds()
    try:
        made.start()
        yield made
    finally:
        made.stop()


def fragment(src, dst, proto, data, offset, more, number=77):
    """offset in units of 8 bytes."""
    if len(src) == 4:
        return spec.ip4(src, dst, data, proto, fragment=more << 13 | offset, number=number)
    return spec.ip6(src, dst, struct.pack(">BBHL", proto, 0, offset << 3 | more, number) + data, FRAGMENT)


def refused_fragments(me, you, other):
    """What, the packet, and what it is refused for at the receiver and at the sender."""
    def row(what, *args):
        return what, fragment(me, you, *args), "in_malformed", "out_malformed"
    yield row("a first one with 8 bytes of TCP", TCP, TCP_HEADER[:8], 0, 1)
    yield row("a first one with 16 bytes of TCP, without the flags", TCP, TCP_HEADER[:16], 0, 1)
    yield row("a first one whose TCP header says more than is there", TCP, TCP_HEADER[:12] + b"\xf0" + bytes(11), 0, 1)
    yield row("a later one over TCP's ports and flags", TCP, bytes(16), 1, 1)
    yield row("a later one over TCP's flags", TCP, bytes(16), 2, 0)
    yield row("one that is no multiple of 8", UDP, bytes(12), 3, 1)
    yield row("an empty first one", UDP, b"", 0, 1)
    yield row("an empty later one", UDP, b"", 4, 0)
    yield row("one past 65535", UDP, bytes(64), 0x1FFF, 0)
    for what, data, offset, more in (("a first", TCP_HEADER + bytes(4), 0, 1), ("a later", bytes(16), 3, 1), ("a last", bytes(9), 5, 0)):
        yield what + " one of another member's", fragment(other, you, TCP, data, offset, more), "in_source_foreign", "out_source_not_ours"
        yield what + " one to nobody", fragment(me, nobody_beside(you), TCP, data, offset, more), "in_destination_foreign", "out_no_route"


def nobody_beside(address):
    return address[:-1] + bytes([address[-1] ^ 0x60])


def refused_fragments6(me, you, other):
    def row(what, kind, data):
        return what, spec.ip6(me, you, data, kind), "in_malformed", "out_malformed"
    atomic = struct.pack(">BBHL", TCP, 0, 0, 9)
    yield row("an atomic one with 16 bytes of TCP", FRAGMENT, atomic + TCP_HEADER[:16])
    yield row("an atomic one in a fragment", FRAGMENT, struct.pack(">BBHL", FRAGMENT, 0, 1, 9) + atomic + TCP_HEADER)
    yield row("a fragment in an atomic one", FRAGMENT, struct.pack(">BBHL", FRAGMENT, 0, 0, 9) + struct.pack(">BBHL", TCP, 0, 1, 9) +
              TCP_HEADER + bytes(4))
    yield row("a first one that ends in its chain", FRAGMENT, struct.pack(">BBHL", 60, 0, 1, 9) + bytes([TCP, 1]) + bytes(6))
    yield row("a first one whose chain is cut", FRAGMENT, struct.pack(">BBHL", 60, 0, 1, 9) + bytes([60, 0, 1, 4]) + bytes(4))
    yield row("hop-by-hop behind it", FRAGMENT, struct.pack(">BBHL", 0, 0, 1, 9) + bytes([TCP, 0, 1, 4]) + bytes(4) + TCP_HEADER + bytes(4))
    yield "an atomic one of another member's", spec.ip6(other, you, atomic + TCP_HEADER, FRAGMENT), "in_source_foreign", "out_source_not_ours"
    yield "an atomic one to nobody", spec.ip6(me, nobody_beside(you), atomic + TCP_HEADER, FRAGMENT), "in_destination_foreign", "out_no_route"


def legal_fragments(me, you):
    def row(what, *args):
        return what, fragment(me, you, *args)
    yield row("a first one with all of TCP's header", TCP, TCP_HEADER + bytes(4), 0, 1)
    yield row("a later one behind it", TCP, bytes(16), 3, 1)
    yield row("a last one of odd length", TCP, bytes(5), 5, 0)
    yield row("a first one of UDP, 8 bytes", UDP, spec.udp(9, 9, bytes(64))[:8], 0, 1)
    yield row("a later one of UDP", UDP, bytes(64), 1, 0)
    yield row("one that ends at 65535", UDP, bytes(7), 0x1FFF, 0)
    yield row("a first one of SCTP", 132, bytes(8), 0, 1)
    if len(me) == 16:
        yield row("an atomic one", TCP, TCP_HEADER, 0, 0)
        first, data = headers(0, 60)(FRAGMENT, struct.pack(">BBHL", UDP, 0, 1, 3) + spec.udp(9, 9, bytes(64))[:16])
        yield "a first one behind other headers", spec.ip6(me, you, data, first)


@pytest.mark.parametrize("version", (4, 6))
def test_fragments_are_refused_at_both_ends(world, version):
    for make in (refused_fragments, refused_fragments6)[:2 if version == 6 else 1]:
        for what, packet, counter, _ in make(*world.addresses(version, False)):
            world.packet_refused(packet, counter, what)
        for what, packet, _, counter in make(*world.addresses(version, True)):
            world.write_refused(packet, counter, what)


@pytest.mark.parametrize("version", (4, 6))
def test_legal_fragments_pass_both_ends(world, version):
    for what, packet in legal_fragments(*world.addresses(version, False)[:2]):
        world.passes(packet, what)
    for what, packet in legal_fragments(*world.addresses(version, True)[:2]):
        world.write_passes(packet, what)


def with_checksum(src, dst, datagram):
    pseudo = spec.pseudo6(src, dst, datagram, UDP) if len(src) == 16 else src + dst + struct.pack(">HH", UDP, len(datagram))
    return datagram[:6] + struct.pack(">H", spec.checksum(pseudo + datagram) or 0xFFFF) + datagram[8:]


def pieces(src, dst, datagram, cuts, number):
    """The fragments from each cut to where the next one ends, in units of 8 bytes: (from, to) each."""
    return [fragment(src, dst, UDP, datagram[8 * a:8 * b], a, int(8 * b < len(datagram)), number) for a, b in cuts]


@pytest.mark.parametrize("version", (4, 6))
def test_a_fragmented_datagram_arrives_whole_and_an_overlapping_one_not_at_all(world, version):
    """Overlaps are legal one by one, so dnetd, which reassembles nothing, lets them pass; the kernel behind it throws the
    whole datagram away (RFC 5722, and the same for IPv4)."""
    me, you, _ = world.addresses(version, False)
    inside = world.namespaces[1].socket(socket.AF_INET6 if version == 6 else socket.AF_INET, socket.SOCK_DGRAM)
    with inside:
        inside.bind((socket.inet_ntop(inside.family, you), 0))
        port = inside.getsockname()[1]

        def send(text, cuts, number):
            datagram = with_checksum(me, you, spec.udp(9, port, text.ljust(4000 - 8, b".")))
            for packet in pieces(me, you, datagram, cuts, number):
                world.passes(packet, (text, cuts))

        inside.settimeout(5)
        send(b"in order", ((0, 150), (150, 300), (300, 500)), 1)
        assert inside.recv(65535).startswith(b"in order")
        send(b"out of order", ((300, 500), (0, 150), (150, 300)), 2)
        assert inside.recv(65535).startswith(b"out of order")
        send(b"overlapping", ((0, 150), (140, 300), (300, 500)), 3)
        send(b"whole again", ((0, 250), (250, 500)), 4)
        assert inside.recv(65535).startswith(b"whole again"), "an overlapping datagram was delivered"
        # And out: the kernel cuts it, all of it arrives.
        world.member.packets.clear()
        inside.sendto(bytes(i * 7 & 255 for i in range(3992)), (socket.inet_ntop(inside.family, me), 9))

        def whole():
            data = {}
            for packet in world.member.packets:
                if version == 6 and packet[6] == FRAGMENT:
                    data[struct.unpack(">H", packet[42:44])[0] & 0xFFF8] = packet[48:]
                elif version == 4 and packet[9] == UDP:
                    data[8 * (struct.unpack(">H", packet[6:8])[0] & 0x1FFF)] = packet[20:]
            joined = b"".join(data[at] for at in sorted(data))
            return joined if len(joined) == 4000 else None
        assert world.member.until(whole)[8:] == bytes(i * 7 & 255 for i in range(3992))
        assert len(world.member.packets) >= 3


def refused_packets(me, you, other):
    """Everything else that test_author.py has at one end, at both."""
    v6 = len(me) == 16
    plain = spec.udp(9, 9, bytes(12))

    def build(src, dst, data=plain, proto=UDP, **more):
        return (spec.ip6 if v6 else spec.ip4)(src, dst, data, proto, **more)
    yield "another member's source", build(other, you), "in_source_foreign", "out_source_not_ours"
    yield "the other one's own source", build(you, you), "in_source_foreign", "out_source_not_ours"
    yield "to itself", build(me, me), "in_destination_foreign", "out_no_route"
    for text in (("ff02::1", "::1", "2001:db8::1", "fe80::1") if v6 else ("224.0.0.1", "127.0.0.1", "8.8.8.8", "255.255.255.255")):
        yield "to " + text, build(me, ip(text)), "in_destination_foreign", "out_no_route"
    yield "to an address of the dnet that nobody has", build(me, nobody_beside(you)), "in_destination_foreign", "out_no_route"
    yield "cut", build(me, you)[:-1], "data_malformed", "out_malformed"
    yield "longer", build(me, you) + b"\0", "data_malformed", "out_malformed"
    if v6:
        yield "a source route", build(me, you, bytes([UDP, 0, 0, 1, 0, 0, 0, 0]) + plain, 43), "in_malformed", "out_malformed"
        first, data = headers(*[60] * 9)(UDP, plain)
        yield "nine headers", build(me, you, data, first), "in_malformed", "out_malformed"
        for kind in (130, 133, 134, 135, 136, 137, 143):
            yield "ICMPv6 %d, of a link" % kind, spec.icmp6(me, you, kind, 0, bytes(36)), "in_icmp_foreign", "out_icmp_foreign"
    else:
        for kind in (0x83, 0x89):
            yield "a source route", build(me, you, options=bytes([kind, 7, 4, 1, 2, 3, 4, 0])), "in_malformed", "out_malformed"
    outside = ip("2001:db8::1") if v6 else ip("8.8.8.8")
    quotes = {"of the other one's to a third": (you, other), "of the other one's to the outside": (you, outside),
              "of a third's": (other, me), "of its own": (me, you), "of the outside": (outside, me)}
    for kind in ((1, 2, 3, 4, 127) if v6 else (3, 4, 5, 11, 12)):
        for what, (src, dst) in quotes.items():
            error = (spec.icmp6 if v6 else spec.icmp4)(me, you, kind, 0, bytes(4) + build(src, dst))
            yield "an ICMP error %d about a packet %s" % (kind, what), error, "in_icmp_foreign", "out_icmp_foreign"
        error = (spec.icmp6 if v6 else spec.icmp4)(me, you, kind, 0, bytes(4) + build(you, me)[:12])
        yield "an ICMP error %d with a cut quote" % kind, error, "in_icmp_foreign", "out_icmp_foreign"


@pytest.mark.parametrize("version", (4, 6))
def test_what_is_refused_at_one_end_is_refused_at_the_other(world, version):
    """Bug table: egress limits enforced at one side only (netmaker #1762)."""
    for what, packet, counter, _ in refused_packets(*world.addresses(version, False)):
        world.packet_refused(packet, counter, what)
    for what, packet, _, counter in refused_packets(*world.addresses(version, True)):
        world.write_refused(packet, counter, what)
    # And what they are made from passes at both.
    for sending, passes in ((False, world.passes), (True, world.write_passes)):
        me, you, _ = world.addresses(version, sending)
        build, error = (spec.ip6, spec.icmp6) if version == 6 else (spec.ip4, spec.icmp4)
        passes(build(me, you, spec.udp(9, 9, bytes(12)), UDP), "its own")
        passes(error(me, you, 1 if version == 6 else 3, 1, bytes(4) + build(you, me, spec.udp(9, 9, bytes(12)), UDP)), "an error")


if __name__ == "__main__":
    sys.exit(pytest.main([os.path.abspath(__file__), "-q", "-p", "no:cacheprovider"] + sys.argv[1:]))
