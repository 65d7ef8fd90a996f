"""A second speaker of the native protocol, written from doc/protocol.md alone: it begins handshakes, and answers them.

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
import make_statements  # noqa: E402

INITIATION, RESPONSE, COOKIE, DATA, LANE, PUNCH = range(0xD1, 0xD7)
PING, PONG, CANDIDATES, BYE, OFFER, OFFER_ACK, CARRY = range(1, 8)
NATIVE, WIREGUARD, TINC, EXEC = range(1, 5)
REGISTER, REGISTERED, INTRODUCE, INTRODUCTION, NOT_HERE = range(0x10, 0x15)
LANE_OPEN, LANE_GIVEN, LANE_REFUSED, LANE_CLOSED = range(0x20, 0x24)
DNET, OVC, OVR = 1, 2, 3  # kinds of realms


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


class End:
    """One end of a session. No sockets in it."""

    index = send_key = receive_key = None
    counter = 0

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


def with_macs(message, receiver, cookie=None):
    """Section 4.1."""
    message += curve.mac(curve.mac1_key(receiver), message)
    return message + (curve.mac(cookie, message) if cookie else bytes(16))


def again_with_macs(message, receiver):
    """As above, for one that has macs and was altered."""
    return with_macs(message[:-32], receiver)


class Initiator(End):
    """realm: the id of the OVC or OVR, where it is not the dnet itself (kind 1)."""

    def __init__(self, secret, responder, dnet, kind=DNET, realm=None):
        self.secret, self.key, self.responder, self.dnet, self.kind = secret, curve.pub(secret), responder, dnet, kind
        self.realm = realm or dnet
        self.cookie = None
        self.index = os.urandom(4)

    def initiation(self, timestamp=None, aead=1, mtu=1400, flags=0, dnet=None):
        message = bytes([INITIATION, 1, 0, 0]) + self.index
        self.noise = Noise(b"dnet/1" + bytes([self.kind]) + self.realm + bytes(4) + message, self.responder)
        self.ephemeral = os.urandom(32)
        message += self.noise.ephemeral(curve.pub(self.ephemeral))
        self.noise.mix_key(curve.dh(self.ephemeral, self.responder))
        message += self.noise.encrypt(self.key)
        self.noise.mix_key(curve.dh(self.secret, self.responder))
        payload = (timestamp or tai64n(time.time())) + struct.pack("<BBH", aead, flags, mtu) + (dnet or self.dnet)
        message += self.noise.encrypt(payload)
        message = with_macs(message, self.responder, self.cookie)
        self.mac1 = message[-32:-16]
        return message

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


class Responder(End):
    """Answers initiations: another member, or an OVC or OVR."""

    def __init__(self, secret, realm, kind=DNET):
        self.secret, self.key, self.realm, self.kind = secret, curve.pub(secret), realm, kind

    def take_initiation(self, message):
        """False: it is none, or not for this key and realm."""
        if len(message) != 174 or message[:4] != bytes([INITIATION, 1, 0, 0]):
            return False
        if message[142:158] != curve.mac(curve.mac1_key(self.key), message[:142]):
            return False
        noise = Noise(b"dnet/1" + bytes([self.kind]) + self.realm + bytes(4) + message[:8], self.key)
        self.remote_ephemeral = noise.ephemeral(message[8:41])
        noise.mix_key(curve.dh(self.secret, self.remote_ephemeral))
        try:
            self.initiator = noise.decrypt(message[41:90])
            noise.mix_key(curve.dh(self.secret, self.initiator))
            payload = noise.decrypt(message[90:142])
        except InvalidTag:
            return False
        self.offered, _, self.mtu = struct.unpack("<BBH", payload[12:16])
        self.dnet, self.receiver, self.mac1, self.noise = payload[16:], message[4:8], message[142:158], noise
        return True

    def response(self, aead=1, flags=0, mtu=1400, psk=bytes(32), receiver=None):
        """To the initiation taken last; a new session each time, which counts when the other side takes it."""
        noise = Noise.__new__(Noise)
        noise.h, noise.ck = self.noise.h, self.noise.ck
        self.index, ephemeral = os.urandom(4), os.urandom(32)
        message = bytes([RESPONSE, 1, 0, 0]) + self.index + (receiver or self.receiver)
        noise.mix_hash(message)
        message += noise.ephemeral(curve.pub(ephemeral))
        noise.mix_key(curve.dh(ephemeral, self.remote_ephemeral))
        noise.mix_key(curve.dh(ephemeral, self.initiator))
        noise.mix_key_and_hash(psk)
        message += noise.encrypt(struct.pack("<BBH", aead, flags, mtu))
        self.receive_key, self.send_key = curve.hkdf(noise.ck, b"", 2)
        self.counter = 0
        return with_macs(message, self.initiator)

    def cookie_reply(self, cookie, mac1=None, key=None):
        """Section 4.3."""
        number = os.urandom(24)
        reply = bytes([COOKIE, 0, 0, 0]) + self.receiver + number
        return reply + curve.seal_x(curve.sha256(b"dnet/cookie/1" + (key or self.key)), number, mac1 or self.mac1, cookie)


class Speaker:
    """An end with a UDP socket that is connected to the other side."""

    def attach(self, sock):
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

    def ping(self, seconds=5.0):
        """What was sent before has been looked at when the PONG is here: datagrams of one socket keep their order."""
        number = os.urandom(8)
        self.socket.send(self.seal(bytes([PING]) + number))
        pong = self.until(lambda: next((f for f in self.frames if f[0] == PONG and f[1:9] == number), None), seconds)
        self.frames.remove(pong)
        return pong

    def ask(self, content, *kinds, seconds=5.0):
        """Sends it, and returns the next frame of one of these kinds."""
        self.frames = [f for f in self.frames if f[0] not in kinds]
        self.socket.send(self.seal(content))
        return self.until(lambda: next((f for f in self.frames if f[0] in kinds), None), seconds)


class Member(Speaker, Initiator):
    def __init__(self, sock, *args):
        Initiator.__init__(self, *args)
        self.attach(sock)

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


class Answerer(Speaker, Responder):
    def __init__(self, sock, *args):
        Responder.__init__(self, *args)
        self.attach(sock)

    def initiations(self, seconds=10.0):
        """Waits for one that is right, and takes the newest that is there."""
        self.until(lambda: any(self.take_initiation(m) for m in self.others), seconds)
        while True:
            self.others.clear()
            try:
                self.receive(0.001)
            except (TimeoutError, BlockingIOError):
                return
            for message in self.others:
                self.take_initiation(message)

    def answer(self):
        """Until there is a session, and the other side has shown that it has its keys (3.5)."""
        while True:
            self.initiations()
            self.socket.send(self.response())
            try:
                while True:
                    message = self.receive(0.2)
                    if message[0] == DATA and message[4:8] == self.index:
                        return
            except TimeoutError:
                continue


# Key statements and offers, section 9.

class Statement:
    """9.1; ValueError: it is malformed."""

    def __init__(self, data):
        if len(data) < 66 or data[0] != 1:
            raise ValueError("no statement of version 1")
        self.backend, self.kind, self.object, self.signer = data[1], data[2], data[3:23], data[23:56]
        self.date, length = struct.unpack("<QH", data[56:66])
        self.key, self.signature, self.signed = data[66:66 + length], data[66 + length:], data[:66 + length]
        if self.backend < WIREGUARD or self.kind not in (1, 2) or self.signer[0] not in (2, 3):
            raise ValueError("backend, kind or signer")
        if not 1 <= length <= 800 or (self.backend == WIREGUARD and length != 32) or len(data) != 66 + length + 64:
            raise ValueError("length")

    def is_signed(self):
        tag = curve.sha256(b"dnet/statement/1")
        digest = curve.sha256(tag + tag + self.signed)
        return make_statements.verify(self.signer[1:], digest, self.signature)

    def counts(self, dnet, node, now, known=None):
        """9.2, for a node of a dnet; known: the one that counts so far."""
        return (self.kind == 1 and self.object == dnet and self.signer == node and self.date <= now + 86400
                and (known is None or self.date > known.date) and self.is_signed())


def make_statement(secret, dnet, backend, key, date):
    return make_statements.statement(secret, backend, 1, dnet, date, key)


def offer_digest(parts):
    return curve.sha256(b"".join(curve.sha256(part) for part in parts))[:8]


def offer_frames(backends):
    """9.3: backend, port, endpoints (19 bytes each), statement."""
    parts = [struct.pack("<BHB", backend, port, len(endpoints)) + b"".join(endpoints)
             + struct.pack("<H", len(statement)) + statement for backend, port, endpoints, statement in backends]
    return [bytes([OFFER]) + offer_digest(parts) + bytes([i, len(parts)]) + part for i, part in enumerate(parts)]


def read_offer(frames):
    """The backends of an offer, when all of its frames are there: as offer_frames() takes them."""
    count = frames[0][10]
    parts = {f[9]: f[11:] for f in frames if f[1:9] == frames[0][1:9]}
    if sorted(parts) != list(range(count)) or offer_digest([parts[i] for i in range(count)]) != frames[0][1:9]:
        return None
    backends = []
    for i in range(count):
        backend, port, n = struct.unpack("<BHB", parts[i][:4])
        endpoints = [parts[i][4 + 19 * k:23 + 19 * k] for k in range(n)]
        statement = parts[i][6 + 19 * n:]
        assert struct.unpack("<H", parts[i][4 + 19 * n:6 + 19 * n])[0] == len(statement)
        backends.append((backend, port, endpoints, statement))
    return backends


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
