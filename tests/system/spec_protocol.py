"""A second speaker of the native protocol, written from doc/protocol.md alone: a member that begins handshakes.

Nothing of lib is used; the curve's arithmetic is that of tests/vectors/make_handshake.py. What it needs and the document
does not say is a fault of the document."""

import os
import socket
import struct
import sys
import time

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../vectors"))
import make_handshake as curve  # noqa: E402

INITIATION, RESPONSE, COOKIE, DATA, LANE, PUNCH = range(0xD1, 0xD7)
PING, PONG, CANDIDATES, BYE = 1, 2, 3, 4


def nonce(counter):
    return bytes(4) + struct.pack("<Q", counter)


def open_x(key, nonce24, aad, sealed):
    """XChaCha20-Poly1305."""
    return ChaCha20Poly1305(curve.hchacha20(key, nonce24[:16])).decrypt(bytes(4) + nonce24[16:], sealed, aad)


def tai64n(seconds):
    whole = int(seconds)
    return struct.pack(">QL", (1 << 62) + 10 + whole, int((seconds - whole) * 10**9))


class Noise(curve.Noise):
    """Section 3, with a cipher of a library, and the other direction."""

    def encrypt(self, plain):
        sealed = ChaCha20Poly1305(self.key).encrypt(nonce(self.n), plain, self.h)
        self.n += 1
        self.mix_hash(sealed)
        return sealed

    def decrypt(self, sealed):
        plain = ChaCha20Poly1305(self.key).decrypt(nonce(self.n), sealed, self.h)
        self.n += 1
        self.mix_hash(sealed)
        return plain


class Initiator:
    """One end of a handshake and of the session that it makes. No sockets in it."""

    def __init__(self, secret, responder, dnet, kind=1):
        self.secret, self.key, self.responder, self.dnet, self.kind = secret, curve.pub(secret), responder, dnet, kind
        self.cookie = None
        self.index = os.urandom(4)
        self.send_key = self.receive_key = None

    def initiation(self, timestamp=None, aead=1, mtu=1400, flags=0, dnet=None):
        message = bytes([INITIATION, 1, 0, 0]) + self.index
        self.noise = Noise(b"dnet/1" + bytes([self.kind]) + self.dnet + bytes(4) + message, self.responder)
        self.ephemeral = os.urandom(32)
        message += self.noise.ephemeral(curve.pub(self.ephemeral))
        self.noise.mix_key(curve.dh(self.ephemeral, self.responder))
        message += self.noise.encrypt(self.key)
        self.noise.mix_key(curve.dh(self.secret, self.responder))
        payload = (timestamp or tai64n(time.time())) + struct.pack("<BBH", aead, flags, mtu) + (dnet or self.dnet)
        message += self.noise.encrypt(payload)
        return self.with_macs(message)

    def with_macs(self, message):
        """Section 4.1, for the receiver of the message."""
        self.mac1 = curve.mac(curve.mac1_key(self.responder), message)
        message += self.mac1
        return message + (curve.mac(self.cookie, message) if self.cookie else bytes(16))

    def take_cookie(self, reply):
        """Section 4.3; the next initiation carries it."""
        if len(reply) != 64 or reply[:4] != bytes([COOKIE, 0, 0, 0]) or reply[4:8] != self.index:
            return False
        self.cookie = open_x(curve.sha256(b"dnet/cookie/1" + self.responder), reply[8:32], self.mac1, reply[32:])
        return True

    def take_response(self, message):
        if len(message) != 97 or message[:4] != bytes([RESPONSE, 1, 0, 0]) or message[8:12] != self.index:
            return False
        if message[65:81] != curve.mac(curve.mac1_key(self.key), message[:65]):
            return False
        self.receiver, ephemeral = message[4:8], message[12:45]
        self.noise.mix_hash(message[:12])
        self.noise.ephemeral(ephemeral)
        self.noise.mix_key(curve.dh(self.ephemeral, ephemeral))
        self.noise.mix_key(curve.dh(self.secret, ephemeral))
        self.noise.mix_key_and_hash(bytes(32))
        self.aead, flags, self.mtu = struct.unpack("<BBH", self.noise.decrypt(message[45:65]))
        assert self.aead == 1 and not flags
        self.send_key, self.receive_key = curve.hkdf(self.noise.ck, b"", 2)
        self.counter = 0
        return True

    def seal(self, content, flags=0, counter=None):
        if counter is None:
            counter, self.counter = self.counter, self.counter + 1
        header = bytes([DATA, flags, 0, 0]) + self.receiver + struct.pack("<Q", counter)
        return header + ChaCha20Poly1305(self.send_key).encrypt(nonce(counter), content, header)

    def open(self, message):
        """The content of a data message of this session; None: it is another message."""
        if len(message) < 32 or message[0] != DATA or message[4:8] != self.index or not self.receive_key:
            return None
        try:
            return ChaCha20Poly1305(self.receive_key).decrypt(nonce(*struct.unpack("<Q", message[8:16])),
                                                              message[16:], message[:16])
        except InvalidTag:
            return None


class Member(Initiator):
    """An initiator with a UDP socket that is connected to the other side."""

    def __init__(self, sock, *args):
        super().__init__(*args)
        self.socket = sock
        self.packets, self.frames, self.others = [], [], []

    def receive(self, seconds=5.0):
        self.socket.settimeout(seconds)
        message = self.socket.recv(65535)
        content = self.open(message)
        if content is None:
            self.others.append(message)
        elif content and content[0] >> 4 in (4, 6):
            self.packets.append(content)
        elif content:
            self.frames.append(content)
        return message

    def until(self, fact, seconds=5.0):
        """Receives until fact() is true; its value."""
        end = time.monotonic() + seconds
        while not fact():
            self.receive(max(end - time.monotonic(), 0.001))
        return fact()

    def connect(self):
        """PROTOCOL 3 and 4, and the first data message (3.5)."""
        self.socket.send(self.initiation())
        while True:
            message = self.receive()
            if self.take_cookie(message):
                self.socket.send(self.initiation())
            elif self.take_response(message):
                break
        self.others.clear()
        self.socket.send(self.seal(b""))

    def ping(self, seconds=5.0):
        """What was sent before has been looked at when the PONG is here: datagrams of one socket keep their order."""
        number = os.urandom(8)
        self.socket.send(self.seal(bytes([PING]) + number))
        pong = self.until(lambda: next((f for f in self.frames if f[0] == PONG and f[1:9] == number), None), seconds)
        self.frames.remove(pong)
        return pong


# IP packets by hand.

def checksum(data):
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(">%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def ip6(src, dst, upper, proto, hops=64):
    return struct.pack(">LHBB", 6 << 28, len(upper), proto, hops) + src + dst + upper


def ip4(src, dst, upper, proto, fragment=0, number=1, options=b""):
    head = struct.pack(">BBHHHBBH", 0x45 + len(options) // 4, 0, 20 + len(options) + len(upper), number, fragment, 64,
                       proto, 0) + src + dst + options
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + upper


def pseudo6(src, dst, upper, proto):
    return src + dst + struct.pack(">LL", len(upper), proto)


def icmp6(src, dst, kind, code, rest):
    upper = bytes([kind, code, 0, 0]) + rest
    total = checksum(pseudo6(src, dst, upper, 58) + upper)
    return ip6(src, dst, upper[:2] + struct.pack(">H", total) + rest, 58)


def icmp4(src, dst, kind, code, rest):
    upper = bytes([kind, code, 0, 0]) + rest
    return ip4(src, dst, upper[:2] + struct.pack(">H", checksum(upper)) + rest, 1)


def udp(src_port, dst_port, data):
    return struct.pack(">HHHH", src_port, dst_port, 8 + len(data), 0) + data
