#!/usr/bin/env python3
"""Random traffic between two network namespaces, which has to come over byte for byte.

exact.py carry NS_A NS_B ADDRESS4_A ADDRESS4_B ADDRESS6_A ADDRESS6_B INTERFACE [OPTION...]
    Flows both ways in both families: TCP with odd writes, urgent and pushed bytes, many flows at once; UDP of 0 bytes to
    many fragments, alone and as super-packets; echoes; protocols that nobody knows; options and extension headers; class, ECN and TTL of each
    datagram. What the interface hands to the kernel is captured, and each checksum in it worked out here. --lossy:
    datagrams may be missing, or in another order; none may be changed or doubled. --halfway FIFO: prints "halfway" when half
    of TCP has come, and reads the FIFO to its end before it goes on. --one-way: TCP from A to B alone. --kinds narrow --mtu N: packets that must not be
    fragmented pass up to N bytes, and whoever sends longer ones learns it.
exact.py proxy LISTEN_ADDRESS LISTEN_PORT TARGET_ADDRESS TARGET_PORT LOSS
    Passes datagrams on in both directions; of 1000 loses, doubles, delays and changes LOSS each.

The seed is printed; DNET_SEED runs the same again. DNET_LONG makes the rounds twenty times as many.
"""
import argparse
import ctypes
import errno
import heapq
import os
import random
import select
import selectors
import socket
import struct
import sys
import time

SEED = int(os.environ.get("DNET_SEED", time.time_ns() % 10**9))
PATIENCE = float(os.environ.get("DNET_PATIENCE", "5"))
CLONE_NEWNET = 0x40000000
SO_NO_CHECK = 11
SO_SNDBUFFORCE, SO_RCVBUFFORCE, UDP_SEGMENT = 32, 33, 103
IP_RECVTTL, IP_RECVTOS, IP_TTL = 12, 13, 2
IP_MTU_DISCOVER, IP_MTU, IPV6_MTU_DISCOVER, IPV6_MTU, PMTUDISC_DO = 10, 14, 23, 24, 2
SOL_PACKET, PACKET_VNET_HDR, ETH_P_ALL, PACKET_OUTGOING = 263, 15, 3, 4
NEEDS_CSUM = 1
TCP, UDP, ICMP, ICMP6, HOP, ROUTING, FRAGMENT, DESTINATION, UNKNOWN = 6, 17, 1, 58, 0, 43, 44, 60, 253
HEADERS = {4: 20, 6: 40}
PADDING4 = b"\x01\x01\x01\x00"          # three times "no operation", end
RECORD_ROUTE = b"\x07\x0f\x04" + bytes(13)
PADDING6 = b"\x00\x00\x01\x04" + bytes(4)  # PadN of 6

rng = random.Random(SEED)
libc = ctypes.CDLL(None, use_errno=True)


class Side:
    """A namespace, and the overlay's addresses there."""

    def __init__(self, name, address4, address6):
        self.name, self.address = name, {4: address4, 6: address6}
        self.fd = os.open("/run/netns/" + name, os.O_RDONLY)

    def enter(self):
        if libc.setns(self.fd, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns " + self.name)

    def socket(self, version, kind, protocol=0):
        self.enter()
        s = socket.socket(family(version), kind, protocol)
        s.setblocking(False)
        s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 4 << 20)
        return s

    def bound(self, version, kind, protocol=0):
        s = self.socket(version, kind, protocol)
        s.bind((self.address[version], 0))
        return s

    def counts(self):
        """Refusals of the kernel: checksums and headers that were wrong."""
        self.enter()
        found = {}
        with open("/proc/net/snmp", encoding="ascii") as f:
            lines = f.read().splitlines()
        for names, values in zip(lines[::2], lines[1::2]):
            kind, *names = names.split()
            found.update({kind + name: int(n) for name, n in zip(names, values.split()[1:])})
        with open("/proc/net/snmp6", encoding="ascii") as f:
            found.update({name: int(n) for name, n in map(str.split, f)})
        return {name: n for name, n in found.items() if "CsumErrors" in name or "InHdrErrors" in name}


def family(version):
    return socket.AF_INET if version == 4 else socket.AF_INET6


def fail(text):
    sys.exit("exact.py: %s (seed %d)" % (text, SEED))


def wait(sockets, deadline, what):
    """Until one of them can be read."""
    left = deadline - time.monotonic()
    if left <= 0 or not select.select(sockets, [], [], left)[0]:
        fail("nothing more came: " + what)


def difference(got, wanted):
    at = next((i for i, (a, b) in enumerate(zip(got, wanted)) if a != b), min(len(got), len(wanted)))
    return "%d bytes instead of %d, the first that differs at %d" % (len(got), len(wanted), at)


# ---------------------------------------------------------------------------------------------- TCP

class Stream:
    """One TCP connection that sends random bytes one way."""

    def __init__(self, src, dst, version, size, extra):
        self.name = "TCP%d %s to %s" % (version, src.name, dst.name)
        self.data, self.sent, self.got = rng.randbytes(size), 0, 0
        self.listener = dst.bound(version, socket.SOCK_STREAM)
        self.listener.listen()
        self.out = src.bound(version, socket.SOCK_STREAM)
        if extra:
            self.name += " with options"
            set_options(self.out, version)
        if rng.random() < 0.5:
            self.out.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if rng.random() < 0.3:
            self.out.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, rng.randrange(100, 1300))
        self.out.connect_ex(self.listener.getsockname())
        self.into = None

    def register(self, selector):
        selector.register(self.listener, selectors.EVENT_READ, (self, Stream.accept))
        selector.register(self.out, selectors.EVENT_WRITE, (self, Stream.write))

    def accept(self, selector):
        self.into, _ = self.listener.accept()
        self.into.setblocking(False)
        self.into.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
        selector.unregister(self.listener)
        selector.register(self.into, selectors.EVENT_READ, (self, Stream.read))
        return False

    def write(self, selector):
        error = self.out.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            fail("%s: %s" % (self.name, os.strerror(error)))
        size = rng.choice((1, rng.randrange(2, 100), rng.randrange(100, 3000), rng.randrange(3000, 65536)))
        flags = rng.choices((0, socket.MSG_MORE, socket.MSG_OOB), (12, 3, 1))[0]
        try:
            self.sent += self.out.send(self.data[self.sent:self.sent + size], flags | socket.MSG_DONTWAIT)
        except BlockingIOError:
            pass
        if self.sent == len(self.data):
            self.out.shutdown(socket.SHUT_WR)
            selector.unregister(self.out)
        return False

    def read(self, selector):
        """True at the end."""
        bytes_ = self.into.recv(rng.randrange(1, 1 << 18))
        wanted = self.data[self.got:self.got + len(bytes_)]
        if bytes_ != wanted:
            fail("%s: changed after %d bytes: %s" % (self.name, self.got, difference(bytes_, wanted)))
        self.got += len(bytes_)
        if bytes_:
            return False
        if self.got != len(self.data):
            fail("%s: ended after %d of %d bytes" % (self.name, self.got, len(self.data)))
        selector.unregister(self.into)
        for s in (self.listener, self.out, self.into):
            s.close()
        return True


def carry_tcp(sides, args):
    size = 60_000 if args.lossy else 500_000
    streams = [Stream(src, dst, version, rng.randrange(1, size), extra)
               for src, dst in (sides, sides[::-1])[:1 if args.one_way else 2]
               for version in (4, 6) for extra in (0, 0, 1)]
    deadline = time.monotonic() + (30 if args.lossy else 10) * PATIENCE
    with selectors.DefaultSelector() as selector:
        for stream in streams:
            stream.register(selector)
        left, half = len(streams), sum(len(s.data) for s in streams) // 2 if args.halfway else None
        while left:
            if half is not None and sum(s.got for s in streams) >= half:
                half = None
                halfway(args.halfway)
            events = selector.select(max(0, deadline - time.monotonic()))
            if not events:
                fail("TCP stands still: " + ", ".join("%s %d of %d" % (s.name, s.got, len(s.data)) for s in streams))
            for key, _ in events:
                stream, act = key.data
                left -= act(stream, selector)


def halfway(fifo):
    print("halfway", flush=True)
    with open(fifo, encoding="ascii") as f:
        f.read()


def set_options(s, version):
    if version == 4:
        s.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, PADDING4)
    else:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_DSTOPTS, PADDING6)


# ---------------------------------------------------------------------------------------------- UDP

def marks(version, tos=None, hops=None):
    """Class with ECN, and hops, of one send; random where they are not given."""
    tos, hops = rng.randrange(256) if tos is None else tos, hops or rng.randrange(1, 256)
    if version == 4:
        return (tos, hops), [(socket.IPPROTO_IP, socket.IP_TOS, struct.pack("i", tos)),
                             (socket.IPPROTO_IP, IP_TTL, struct.pack("i", hops))]
    return (tos, hops), [(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, struct.pack("i", tos)),
                         (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT, struct.pack("i", hops))]


def marks_of(control):
    found = {kind: value for _, kind, value in control}
    if socket.IPV6_TCLASS in found:
        tos, hops = found[socket.IPV6_TCLASS], found[socket.IPV6_HOPLIMIT]
    else:
        tos, hops = found[socket.IP_TOS], found[IP_TTL]
    return tos[0], struct.unpack("i", hops)[0]


class Datagrams:
    """A UDP flow: bursts of one send call or several, each compared before the next one."""

    def __init__(self, src, dst, version, mtu, extra):
        self.name = "UDP%d %s to %s%s" % (version, src.name, dst.name, extra and " with " + extra)
        self.version, self.payload = version, mtu - HEADERS[version] - 8 - (16 if extra else 0)
        self.out, self.into = src.bound(version, socket.SOCK_DGRAM), dst.bound(version, socket.SOCK_DGRAM)
        self.out.connect(self.into.getsockname())
        self.extra, self.number, self.missing = extra, 0, {}
        if version == 4:
            options = [(socket.IPPROTO_IP, IP_RECVTOS), (socket.IPPROTO_IP, IP_RECVTTL)]
        else:
            options = [(socket.IPPROTO_IPV6, o) for o in (socket.IPV6_RECVTCLASS, socket.IPV6_RECVHOPLIMIT)]
        for level, option in options:
            self.into.setsockopt(level, option, 1)
        self.set_extra()

    def set_extra(self):
        kinds = {"options": (socket.IPPROTO_IP, socket.IP_OPTIONS, RECORD_ROUTE),
                 "hop": (socket.IPPROTO_IPV6, socket.IPV6_HOPOPTS, PADDING6),
                 "destination": (socket.IPPROTO_IPV6, socket.IPV6_DSTOPTS, PADDING6),
                 "no checksum": (socket.SOL_SOCKET, SO_NO_CHECK, 1)}
        if self.extra:
            self.out.setsockopt(*kinds[self.extra])

    def bytes_of(self, size):
        """Random, with a number in front where it has room for one."""
        self.number += 1
        return (struct.pack("!I", self.number) + rng.randbytes(max(0, size - 4)))[:size]

    def send(self, lossy):
        """One call. Returns [(bytes, marks)] as they have to arrive."""
        least = 8 if lossy else 0
        mark, control = marks(self.version)
        kind = rng.random()
        if kind < 0.4 and self.extra != "no checksum":  # a super-packet
            size = rng.choice((rng.randrange(max(1, least), 50), rng.randrange(50, self.payload + 1), self.payload))
            count = rng.randrange(1, min(64, 60000 // size) + 1)
            parts = [self.bytes_of(size) for _ in range(count)]
            parts[-1] = parts[-1][:rng.randrange(max(1, least), size + 1)]
            control = control + [(socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("H", size))]
        elif kind < 0.5:  # fragments
            parts = [self.bytes_of(rng.randrange(self.payload + 1, 20000))]
        else:
            sizes = rng.choice((0, 1, 2, 3, self.payload, rng.randrange(self.payload + 1)))
            parts = [self.bytes_of(max(least, sizes))]
        self.out.sendmsg([b"".join(parts)], control)
        return [(part, mark) for part in parts]

    def send_row(self):
        """Datagrams of one size in a row, which may be joined only where they are marked alike."""
        size, sent = rng.choice((rng.randrange(1, 100), self.payload)), []
        tos, hops = rng.randrange(256), rng.randrange(1, 256)
        for _ in range(40):
            mark, control = marks(self.version, *rng.choices(((tos, hops), (tos, None), (None, hops)), (4, 1, 1))[0])
            part = self.bytes_of(size)
            self.out.sendmsg([part], control)
            sent.append((part, mark))
        return sent

    def receive(self):
        bytes_, control, flags, _ = self.into.recvmsg(65536, 256)
        if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
            fail(self.name + ": truncated")
        return bytes_, marks_of(control)

    def burst(self):
        sent = self.send_row() if rng.random() < 0.3 else []
        while len(sent) < 40 and (not sent or rng.random() < 0.8):
            sent += self.send(False)
        deadline = time.monotonic() + 4 * PATIENCE
        for i, (wanted, mark) in enumerate(sent):
            wait([self.into], deadline, "%s, %d of %d, which has %d bytes" % (self.name, i, len(sent), len(wanted)))
            got, mark_got = self.receive()
            if got != wanted:
                fail("%s: datagram %d of %d: %s" % (self.name, i, len(sent), difference(got, wanted)))
            if mark != mark_got:
                fail("%s: class %02x, hops %d became %02x, %d" % ((self.name,) + mark + mark_got))

    def lossy_burst(self):
        """What comes was sent at some time, and came not yet. Returns how many came and how many were sent."""
        sent = dict(part for _ in range(5) for part in self.send(True))
        self.missing.update(sent)
        came, left = 0, time.monotonic() + 0.1
        while select.select([self.into], [], [], max(0, left - time.monotonic()))[0]:
            got, mark = self.receive()
            wanted = self.missing.pop(got, None)
            if wanted != mark:
                fail("%s: one of %d bytes, class %02x, hops %d, %s" % (
                    (self.name, len(got)) + mark + ("was sent otherwise" if wanted else "was changed or came twice",)))
            came += 1
        return came, len(sent)


def carry_udp(sides, args):
    came = total = 0
    for src, dst in (sides, sides[::-1]):
        for version, extra in ((4, ""), (6, ""), (4, "no checksum"), (4, "options"), (6, "hop"), (6, "destination")):
            flow = Datagrams(src, dst, version, args.mtu, extra)
            for _ in range(4 if extra else 20):
                if args.lossy and not extra:
                    some, many = flow.lossy_burst()
                    came, total = came + some, total + many
                elif not args.lossy:
                    flow.burst()
            if not args.lossy and select.select([flow.into], [], [], 0)[0]:
                fail(flow.name + ": something came that nobody sent")
    if args.lossy and came * 2 < total:
        fail("of %d datagrams only %d came" % (total, came))


# ---------------------------------------------------------------------------------------------- ICMP

def carry_icmp(sides, args):
    for src, dst in (sides, sides[::-1]):
        for version in (4, 6):
            s = src.bound(version, socket.SOCK_RAW, ICMP if version == 4 else ICMP6)
            if version == 6:
                s.setsockopt(ICMP6, 1, struct.pack("8I", *[0xffffffff] * 4, 0xfffffffd, *[0xffffffff] * 3))
            for number in range(20):
                echo(s, version, dst.address[version], number, rng.choice((
                    rng.randrange(100), rng.randrange(args.mtu - HEADERS[version] - 7), rng.randrange(20000))))


def echo(s, version, address, number, size):
    """A ping; the answer has to have the same bytes behind the same identifier."""
    wanted = struct.pack("!HH", 4711, number) + rng.randbytes(size)
    packet = bytes((8 if version == 4 else 128, 0, 0, 0)) + wanted
    if version == 4:
        packet = packet[:2] + struct.pack("!H", ~ones(packet) & 0xffff) + packet[4:]
    s.sendto(packet, (address, 0))
    deadline = time.monotonic() + 4 * PATIENCE
    while True:
        wait([s], deadline, "echo of %d bytes of %s" % (size, address))
        got = s.recv(65536)
        if version == 4:
            got = got[(got[0] & 15) * 4:]
        if got[0] in (0, 129) and got[4:8] == wanted[:4]:
            break
    if got[4:] != wanted:
        fail("echo of %s: %s" % (address, difference(got[4:], wanted)))


# ---------------------------------------------------------------------------------------------- protocols that nobody knows

def carry_raw(sides, args):
    for src, dst in (sides, sides[::-1]):
        for version in (4, 6):
            out, into = (side.bound(version, socket.SOCK_RAW, UNKNOWN) for side in (src, dst))
            for _ in range(20):
                wanted = rng.randbytes(rng.choice((1, rng.randrange(1, args.mtu - HEADERS[version]), rng.randrange(1, 20000))))
                out.sendto(wanted, (dst.address[version], 0))
                wait([into], time.monotonic() + 4 * PATIENCE, "a packet of protocol %d, %d bytes" % (UNKNOWN, len(wanted)))
                got = into.recv(65536)
                if version == 4:
                    got = got[(got[0] & 15) * 4:]
                if got != wanted:
                    fail("protocol %d over IPv%d: %s" % (UNKNOWN, version, difference(got, wanted)))


# ---------------------------------------------------------------------------------------------- path MTU

def carry_narrow(sides, args):
    for src, dst, version in ((*s, v) for s in (sides, sides[::-1]) for v in (4, 6)):
        level, discover, mtu = ((socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_MTU) if version == 4 else
                                (socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_MTU))
        into = dst.bound(version, socket.SOCK_DGRAM)
        # An ICMP error is an error of the socket that it is about: what follows takes another one.
        early, out = (src.bound(version, socket.SOCK_DGRAM) for _ in range(2))
        for s in (early, out):
            s.connect(into.getsockname())
            s.setsockopt(level, discover, PMTUDISC_DO)
        longest = args.mtu - HEADERS[version] - 8
        deadline = time.monotonic() + 4 * PATIENCE
        while True:  # for a second they may pass as fragments below the tunnel
            try:
                early.send(bytes(longest + 1))
            except OSError as e:
                if e.errno != errno.EMSGSIZE:
                    raise
                break
            if select.select([into], [], [], 0.02)[0]:
                into.recv(65536)
            if time.monotonic() > deadline:
                fail("IPv%d: %d bytes pass" % (version, args.mtu + 1))
        try:
            out.send(bytes(longest + 1))
            fail("IPv%d: %d bytes are sent" % (version, args.mtu + 1))
        except OSError as e:
            assert e.errno == errno.EMSGSIZE, e
        if out.getsockopt(level, mtu) != args.mtu:
            fail("IPv%d: the path's MTU is said to be %d" % (version, out.getsockopt(level, mtu)))
        while select.select([into], [], [], 0)[0]:
            into.recv(65536)
        for size in (longest, longest - 1):
            wanted = rng.randbytes(size)
            out.send(wanted)
            wait([into], deadline, "IPv%d, %d bytes" % (version, size))
            if into.recv(65536) != wanted:
                fail("IPv%d: %d bytes came changed" % (version, size))


# ---------------------------------------------------------------------------------------------- what the kernel is given

def ones(data, total=0):
    """RFC 1071: the sum of 16-bit words, carries added back."""
    if len(data) % 2:
        data = data + b"\0"
    total += sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total


class Capture:
    """Every packet that dnetd writes into the interface, with the header that says what is left to be done."""

    def __init__(self, side, interface):
        self.name, self.checked, self.partial, self.joined = side.name, 0, 0, 0
        self.side, self.interface = side, interface
        self.open()

    def open(self):
        self.side.enter()
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
        self.socket.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        self.socket.bind((self.interface, ETH_P_ALL))
        self.socket.setblocking(False)

    def check_all(self):
        while select.select([self.socket], [], [], 0)[0]:
            try:
                packet, address = self.socket.recvfrom(70000)
            except OSError:  # the interface went; there may be another one of its name
                self.open()
                continue
            if address[2] == PACKET_OUTGOING:
                continue
            wrong = self.check(struct.unpack("BBHHHH", packet[:10]), packet[10:])
            if wrong:
                fail("%s was given a packet with %s: %s" % (self.name, wrong, packet[:100].hex()))
            self.checked += 1

    def check(self, virtio, ip):
        """What is wrong with it, or None."""
        flags, gso, _, gso_size, start, offset = virtio
        version = ip[0] >> 4
        if version == 4:
            at, protocol, whole = (ip[0] & 15) * 4, ip[9], not struct.unpack("!H", ip[6:8])[0] & 0x3fff
            length, pseudo = struct.unpack("!H", ip[2:4])[0], ip[12:20]
            if ones(ip[:at]) != 0xffff:
                return "a wrong IPv4 header checksum"
        else:
            at, protocol, whole = self.behind_extensions(ip)
            length, pseudo = 40 + struct.unpack("!H", ip[4:6])[0], ip[8:40]
        if length != len(ip):
            return "a length of %d instead of %d" % (length, len(ip))
        if not whole or protocol not in (TCP, UDP, ICMP, ICMP6):
            return "offload of a fragment" if flags & NEEDS_CSUM or gso else None
        if protocol == ICMP:
            pseudo = b""
        else:
            pseudo += struct.pack("!II", len(ip) - at, protocol)
        if gso and (not gso_size or len(ip) - at < gso_size):
            return "segments of %d bytes" % gso_size
        self.joined += bool(gso)
        if version == 4 and protocol == UDP and ip[at + 6:at + 8] == bytes(2) and not flags & NEEDS_CSUM:
            return None  # its sender worked none out
        if not flags & NEEDS_CSUM:
            return None if ones(ip[at:], ones(pseudo)) == 0xffff else "a wrong checksum"
        self.partial += 1
        if start != at or offset != {TCP: 16, UDP: 6}.get(protocol):
            return "its checksum at %d + %d" % (start, offset)
        field = struct.unpack("!H", ip[start + offset:start + offset + 2])[0]
        return None if field == ones(pseudo) else "the pseudo header's sum wrong"

    @staticmethod
    def behind_extensions(ip):
        at, protocol, whole = 40, ip[6], True
        while protocol in (HOP, ROUTING, FRAGMENT, DESTINATION) and whole:
            if protocol == FRAGMENT:
                whole = False
            else:
                protocol, at = ip[at], at + (ip[at + 1] + 1) * 8
        return at, protocol, whole


KINDS = {"tcp": carry_tcp, "udp": carry_udp, "icmp": carry_icmp, "raw": carry_raw, "narrow": carry_narrow}


def carry(args):
    sides = (Side(args.ns[0], *args.addresses[0::2]), Side(args.ns[1], *args.addresses[1::2]))
    captures = [Capture(side, args.interface) for side in sides]
    before = [side.counts() for side in sides]
    rounds = args.rounds * (20 if os.environ.get("DNET_LONG") else 1)
    for _ in range(rounds):
        for kind in args.kinds.split(","):
            KINDS[kind](sides, args)
            for capture in captures:
                capture.check_all()
    for side, counts in zip(sides, before):
        grown = {name: n - counts[name] for name, n in side.counts().items() if n != counts[name]}
        if grown:
            fail("the kernel of %s refused packets: %s" % (side.name, grown))
    print("; ".join("%s: %d packets checked, %d partial, %d joined" % (c.name, c.checked, c.partial, c.joined)
                    for c in captures))


# ---------------------------------------------------------------------------------------------- a bad network

def proxy(args):
    """Until it is killed. Who spoke last to the listening side is whom the other side's datagrams go to."""
    near, far = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    for s in (near, far):
        s.setblocking(False)
        s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
        s.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 8 << 20)
    near.bind((args.listen, args.listen_port))
    target, client, waiting, number = (args.target, args.target_port), None, [], 0
    while True:
        now = time.monotonic()
        while waiting and waiting[0][0] <= now:
            _, _, out, bytes_, where = heapq.heappop(waiting)
            try:
                out.sendto(bytes_, where)
            except OSError:  # a port that is closed while a daemon starts, or a full socket: lost, as others are
                pass
        readable, _, _ = select.select([near, far], [], [], waiting[0][0] - now if waiting else None)
        for s in readable:
            bytes_, source = s.recvfrom(65536)
            client = source if s is near else client
            out, where = (far, target) if s is near else (near, client)
            if where is None or rng.randrange(1000) < args.loss:
                continue
            for _ in range(1 + (rng.randrange(1000) < args.loss)):
                late = rng.uniform(0.001, 0.01) if rng.randrange(1000) < args.loss else 0.0005
                number += 1
                heapq.heappush(waiting, (now + late, number, out, spoil(bytes_, args.loss), where))


def spoil(bytes_, loss):
    if not bytes_ or rng.randrange(1000) >= loss:
        return bytes_
    at = rng.randrange(len(bytes_))
    return bytes_[:at] + bytes((bytes_[at] ^ 1 << rng.randrange(8),)) + bytes_[at + 1:]


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = p.add_subparsers(required=True)
    c = commands.add_parser("carry")
    c.add_argument("ns", nargs=2)
    c.add_argument("addresses", nargs=4)
    c.add_argument("interface")
    c.add_argument("--kinds", default="tcp,udp,icmp,raw")
    c.add_argument("--mtu", type=int, default=1400)
    c.add_argument("--lossy", action="store_true")
    c.add_argument("--halfway")
    c.add_argument("--one-way", action="store_true")
    c.add_argument("--rounds", type=int, default=1)
    c.set_defaults(act=carry)
    c = commands.add_parser("proxy")
    c.add_argument("listen")
    c.add_argument("listen_port", type=int)
    c.add_argument("target")
    c.add_argument("target_port", type=int)
    c.add_argument("loss", type=int)
    c.set_defaults(act=proxy)
    args = p.parse_args()
    print("seed %d" % SEED, flush=True)
    args.act(args)


if __name__ == "__main__":
    main()
