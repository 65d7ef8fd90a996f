"""Nobody is sent more than came in his name: spoofed datagrams of every kind to dnetd, ovcd and ovrd, from the addresses of
victims, and each byte that comes back is counted with its IP and UDP headers. See stage.py for the world."""

import os
import random
import socket
import struct
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pytest  # noqa: E402

import live  # noqa: E402
import spec_protocol as spec  # noqa: E402
import testlib as lib  # noqa: E402
from stage import DAEMONS, STUN, Stage, key_of, packet6  # noqa: E402

live.need_namespaces()

SO_RCVBUFFORCE = 33  # socket(7); not in the module
VICTIMS = ["203.0.113.%d" % i for i in range(1, 9)]


class Wire(Stage):
    """Sends in anybody's name, and counts what comes back to him."""

    def start(self):
        super().start()
        out = self.namespaces[0]
        self.raw = out.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        self.tap = out.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.ntohs(0x800))
        self.tap.bind(("eth0", 0x800))
        self.tap.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 24)
        self.tap.setblocking(False)
        self.sockets += [self.raw, self.tap]

    def port(self, daemon):
        return self.daemons[daemon].port if daemon != "dnetd" else self.member.socket.getpeername()[1]

    def send_as(self, victim, daemon, message):
        """Its length on the wire."""
        datagram = struct.pack(">HHHH", 4000, self.port(daemon), 8 + len(message), 0) + message
        packet = spec.ip4(socket.inet_aton(victim), socket.inet_aton("198.51.100.2"), datagram, 17)
        self.raw.sendto(packet, ("198.51.100.2", 0))
        return len(packet)

    def came_back(self, daemon, found):
        """Adds to found, by victim, what the tap has of that daemon."""
        while True:
            try:
                packet, address = self.tap.recvfrom(65535)
            except BlockingIOError:
                return found
            victim = socket.inet_ntoa(packet[16:20])
            if address[2] != socket.PACKET_OUTGOING and victim in VICTIMS and packet[9] == 17:
                if struct.unpack(">H", packet[20:22])[0] == self.port(daemon):
                    found[victim] = found.get(victim, 0) + len(packet)


@pytest.fixture(scope="module")
def wire():
    made = Wire()
    try:
        made.start()
        yield made
    finally:
        made.stop()


def material(wire, daemon):
    """What a stranger may have seen or make: of a member's past and present, altered or not, and his own."""
    name = {"dnetd": "member", "ovcd": "ovcd/0", "ovrd": "ovrd/0"}[daemon]
    end = wire.session(name)
    frames = {"dnetd": [packet6(wire)], "ovcd": [b"\x10\0", b"\x12" + key_of(wire, 1)], "ovrd": [b"\x20" + key_of(wire, 1)]}
    seen = [end.seal(content) for content in [b"", b"\1" + bytes(8)] + frames[daemon]]
    old = wire.initiator(daemon).initiation(timestamp=spec.tai64n(1))
    seen += [old, spec.Initiator(os.urandom(32), wire.initiator(daemon).responder, wire.raw_id).initiation()]
    seen += [spec.with_macs(bytes([spec.RESPONSE, 1, 0, 0]) + os.urandom(61), wire.initiator(daemon).responder),
             bytes([spec.COOKIE, 0, 0, 0]) + os.urandom(60), bytes([spec.PUNCH, 0, 0, 0])]
    if daemon == "ovrd":
        wire.session("ovrd/1")
        given = end.ask(b"\x20" + key_of(wire, 1), spec.LANE_GIVEN)
        seen += [bytes([spec.LANE, 0, 0, 0]) + given[34:] + inside for inside in seen[:6]]
    # What was seen was taken before: its second copy is what a victim's name is on.
    for message in seen:
        end.socket.send(message)
    end.ping()
    return seen


def everything(wire, daemon, seed, count):
    chance, seen = random.Random(seed), material(wire, daemon)
    if daemon != "ovcd":
        seen.append(STUN)
    for _ in range(count):
        message = bytearray(chance.choice(seen) if chance.random() < 0.8 else chance.randbytes(chance.randrange(400)))
        for _ in range(chance.randrange(3)):
            if message:
                message[chance.randrange(len(message))] ^= 1 << chance.randrange(8)
        yield bytes(message[:chance.randrange(len(message) + 1)] if chance.random() < 0.1 else message)


@pytest.mark.parametrize("daemon", DAEMONS)
def test_nobody_is_sent_more_than_came_in_his_name(wire, daemon):
    seed = random.randrange(1 << 32)
    print("seed", seed)
    sent, back, before = {}, {}, wire.daemons[daemon].counters()["udp_read_datagrams"]
    initiation = wire.initiator(daemon).initiation(timestamp=spec.tai64n(1))
    # The second half is a flood of old initiations under right macs: cookies are asked for.
    messages = list(everything(wire, daemon, seed, 4000)) + [initiation] * 1000
    for i, message in enumerate(messages):
        victim = VICTIMS[i % len(VICTIMS)]
        sent[victim] = sent.get(victim, 0) + wire.send_as(victim, daemon, message)
        if i % 64 == 63:
            lib.wait_for(lambda: wire.daemons[daemon].counters()["udp_read_datagrams"] >= before + i * 0.9, "it keeps up", 5, 0.001)
            wire.came_back(daemon, back)
    (wire.session({"dnetd": "member", "ovcd": "ovcd/0", "ovrd": "ovrd/0"}[daemon])).ping()
    wire.came_back(daemon, back)
    print("%s: %d bytes in, %d answered" % (daemon, sum(sent.values()), sum(back.values())))
    assert wire.daemons[daemon].counters()["cookie_sent"] > 100 and sum(back.values()) > 10000, "the flood was answered by cookies"
    for victim in VICTIMS:
        assert back.get(victim, 0) <= sent[victim], (victim, back, sent)
    assert sum(back.values()) < sum(sent.values()) / 2


def test_an_ovc_answers_stun_so_seldom_that_it_is_no_use(wire):
    """60 bytes for 48 with all headers, so the number is what is bounded: 5 a second and source, burst 10."""
    sent, back, began = 0, {}, time.monotonic()
    victim = VICTIMS[0]
    for i in range(2000):
        sent += wire.send_as(victim, "ovcd", STUN)
        wire.came_back("ovcd", back)
    wire.session("ovcd/0").ping()
    wire.came_back("ovcd", back)
    most = 60 * (10 + 5 * (time.monotonic() - began) + 1)
    print("ovcd, STUN: %d bytes in, %d answered" % (sent, back.get(victim, 0)))
    assert 60 * 10 <= back[victim] <= most and back[victim] < sent


if __name__ == "__main__":
    sys.exit(pytest.main([os.path.abspath(__file__), "-q", "-p", "no:cacheprovider"] + sys.argv[1:]))
