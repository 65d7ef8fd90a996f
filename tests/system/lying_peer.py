"""A peer of the chain's network that stands before a real node and lies as it is told.

Every connection to it is one to the node; what goes through is the node's own words unless a lie changes them."""

import hashlib
import socket
import struct
import threading

MAGIC = bytes.fromhex("fabfb5da")
P, M = 19, 784931


def sha256d(data):
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def frame(command, payload=b"", length=None, checksum=None, magic=MAGIC):
    return (magic + command.encode().ljust(12, b"\0") + struct.pack("<I", len(payload) if length is None else length) +
            (sha256d(payload)[:4] if checksum is None else checksum) + payload)


def read_compact(data, at):
    first = data[at]
    if first < 0xfd:
        return first, at + 1
    size = {0xfd: 2, 0xfe: 4, 0xff: 8}[first]
    return int.from_bytes(data[at + 1:at + 1 + size], "little"), at + 1 + size


def compact(n):
    return bytes([n]) if n < 0xfd else b"\xfd" + struct.pack("<H", n)


# Filters (BIP158), to make those that lie.

def siphash(key, data):
    def rotate(x, b):
        return (x << b | x >> (64 - b)) & (2**64 - 1)

    k0, k1 = struct.unpack("<QQ", key)
    v = [0x736f6d6570736575 ^ k0, 0x646f72616e646f6d ^ k1, 0x6c7967656e657261 ^ k0, 0x7465646279746573 ^ k1]

    def rounds(count):
        for _ in range(count):
            v[0] = (v[0] + v[1]) % 2**64
            v[1] = rotate(v[1], 13) ^ v[0]
            v[0] = rotate(v[0], 32)
            v[2] = (v[2] + v[3]) % 2**64
            v[3] = rotate(v[3], 16) ^ v[2]
            v[0] = (v[0] + v[3]) % 2**64
            v[3] = rotate(v[3], 21) ^ v[0]
            v[2] = (v[2] + v[1]) % 2**64
            v[1] = rotate(v[1], 17) ^ v[2]
            v[2] = rotate(v[2], 32)

    padded = data + bytes(7 - len(data) % 8) + bytes([len(data) % 256])
    for i in range(0, len(padded), 8):
        word = struct.unpack("<Q", padded[i:i + 8])[0]
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 0xff
    rounds(4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def make_filter(block, scripts):
    """block: its hash, as on the wire."""
    scripts = sorted(set(scripts))
    values = sorted(siphash(block[:16], s) * len(scripts) * M >> 64 for s in scripts)
    bits, last = [], 0
    for value in values:
        delta, last = value - last, value
        bits += [1] * (delta >> P) + [0] + [delta >> i & 1 for i in reversed(range(P))]
    bits += [0] * (-len(bits) % 8)
    return compact(len(scripts)) + bytes(
        int("".join(map(str, bits[i:i + 8])), 2) for i in range(0, len(bits), 8))


def scripts_of(node, ident):
    """What the filter of a block holds, as the node tells it."""
    scripts = []
    for tx in node.getblock(ident, 2)["tx"]:
        scripts += [o["scriptPubKey"]["hex"] for o in tx["vout"]]
        for i in tx["vin"]:
            if "txid" in i:
                scripts.append(node.getrawtransaction(i["txid"], True)["vout"][i["vout"]]["scriptPubKey"]["hex"])
    return [s for s in map(bytes.fromhex, scripts) if s and s[0] != 0x6a]


class Lie:
    """Says the truth. Overridden: what the client asks, what the node answers; each returns frames to send to the client
    in place, or None to let it pass."""

    def asked(self, command, payload):
        return None

    def answered(self, command, payload):
        return None

    def greets(self):
        """After the handshake."""
        return []


class LyingPeer:
    """lie.node: the node, to be asked from other threads than the test's."""

    def __init__(self, node, lie):
        self.node, self.lie = node, lie
        lie.node = type(node)(node.folder)
        lie.node.port = node.port
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.socket.listen()
        self.port = self.socket.getsockname()[1]
        self.name = "127.0.0.1:%d" % self.port
        self.open = []
        self.ending = False
        self.connections = 0
        self.threads = [threading.Thread(target=self.accept, daemon=True)]
        self.threads[0].start()

    def stop(self):
        self.ending = True
        for s in [self.socket] + self.open:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()
        for thread in self.threads:
            thread.join()
        if self.lie.node.connection:  # an open one keeps the node from ending
            self.lie.node.connection.close()

    def accept(self):
        while not self.ending:
            try:
                client, _ = self.socket.accept()
                node = socket.create_connection(("127.0.0.1", self.node.p2p))
            except OSError:
                return
            self.connections += 1
            self.open += [client, node]
            lock = threading.Lock()
            for source, sink, lie in ((client, node, self.lie.asked), (node, client, self.lie.answered)):
                thread = threading.Thread(target=self.carry, args=(source, sink, lie, client, lock), daemon=True)
                self.threads.append(thread)
                thread.start()

    def carry(self, source, sink, lie, client, lock):
        try:
            while True:
                head = self.read(source, 24)
                command = head[4:16].rstrip(b"\0").decode()
                payload = self.read(source, struct.unpack("<I", head[16:20])[0])
                frames = lie(command, payload)
                with lock:
                    if frames is None:
                        sink.sendall(frame(command, payload))
                    for f in frames or []:
                        client.sendall(f)
                    if command == "verack" and sink is client:
                        for f in self.lie.greets():
                            client.sendall(f)
        except (OSError, EOFError):
            for s in (source, sink):
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    @staticmethod
    def read(source, size):
        data = b""
        while len(data) < size:
            got = source.recv(min(65536, size - len(data)))
            if not got:
                raise EOFError
            data += got
        return data
