"""The rules of header chains, written again from BIPs 34, 65, 66, 94, 113 and the two nodes' documentation: every header
kept, everything worked out from scratch. Slow, and without any of core/headers' own ways."""

import hashlib
import struct

BIG = 1 << 256
FUTURE = 7200


def sha256d(data):
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def target_of(bits):
    """None: negative, zero, or too large."""
    size, word = bits >> 24, bits & 0x7fffff
    value = word >> 8 * (3 - size) if size <= 3 else word << 8 * (size - 3)
    if value == 0 or bits & 0x800000 or value >= BIG:
        return None
    return value


def bits_of(target):
    size = (target.bit_length() + 7) // 8
    word = target << 8 * (3 - size) if size <= 3 else target >> 8 * (size - 3)
    if word & 0x800000:
        word >>= 8
        size += 1
    return word | size << 24


class Header:
    def __init__(self, raw):
        self.raw = raw
        self.version, self.prev, self.root, self.time, self.bits, self.nonce = struct.unpack("<i32s32sIII", raw)
        self.hash = sha256d(raw)
        self.height = None
        self.parent = None
        self.work = None

    def back(self, count):
        header = self
        for _ in range(count):
            header = header.parent
        return header

    def ancestor(self, height):
        return self.back(self.height - height)

    def median(self):
        times, header = [], self
        while header is not None and len(times) < 11:
            times.append(header.time)
            header = header.parent
        return sorted(times)[len(times) // 2]


class Model:
    def __init__(self, rules):
        self.rules = rules
        genesis = Header(rules["genesis"])
        genesis.height, genesis.work = 0, self.work_of(genesis.bits)
        self.known = {genesis.hash: genesis}
        self.best = genesis

    @staticmethod
    def work_of(bits):
        return BIG // (target_of(bits) + 1)

    def next_bits(self, last, time):
        rules = self.rules
        limit, interval = rules["limit"], rules["timespan"] // rules["spacing"]
        height = last.height + 1
        if height % interval:
            if not rules["easy"]:
                return last.bits
            if time > last.time + 2 * rules["spacing"]:
                return bits_of(limit)
            header = last
            while header.parent is not None and header.height % interval and header.bits == bits_of(limit):
                header = header.parent
            return header.bits
        if rules["retarget"] == "none":
            return last.bits
        back = interval - 1
        if rules["retarget"] == "litecoin" and height != interval:
            back = interval
        first = last.back(back)
        took = max(rules["timespan"] // 4, min(rules["timespan"] * 4, last.time - first.time))
        target = target_of(first.bits if rules["retarget"] == "bip94" else last.bits)
        if rules["retarget"] == "litecoin" and target.bit_length() > limit.bit_length() - 1:
            target = (target >> 1) * took // rules["timespan"] << 1
        else:
            target = target * took // rules["timespan"]
        return bits_of(min(target, limit))

    def on_best(self, header):
        return header.height <= self.best.height and self.best.ancestor(header.height) is header

    def fork_height(self, header):
        while not self.on_best(header):
            header = header.parent
        return header.height

    def last_checkpoint(self):
        return max([h for h, _ in self.rules["checkpoints"] if h <= self.best.height], default=0)

    def pow_hash(self, raw):
        if self.rules["pow"] == "scrypt":
            return hashlib.scrypt(raw, salt=raw, n=1024, r=1, p=1, dklen=32)
        return sha256d(raw)

    def check(self, header, parent, now):
        rules, height = self.rules, parent.height + 1
        interval = rules["timespan"] // rules["spacing"]
        if self.fork_height(parent) < self.last_checkpoint():
            return "HEADER_FORK"
        target = target_of(header.bits)
        if target is None or target > rules["limit"]:
            return "HEADER_TARGET"
        if header.bits != self.next_bits(parent, header.time):
            return "HEADER_BITS"
        if header.time <= parent.median():
            return "HEADER_TIME_OLD"
        if rules["retarget"] == "bip94" and height % interval == 0 and header.time < parent.time - 600:
            return "HEADER_TIMEWARP"
        if header.time > now + FUTURE:
            return "HEADER_TIME_NEW"
        for least, since in ((2, "bip34"), (3, "bip66"), (4, "bip65")):
            if header.version < least and height >= rules[since]:
                return "HEADER_VERSION"
        if rules["versionbits"] and height >= rules["versionbits"] and header.version < 0x20000000:
            return "HEADER_VERSION"
        for at, want in rules["checkpoints"]:
            if at == height and header.hash != want:
                return "HEADER_CHECKPOINT"
        if int.from_bytes(self.pow_hash(header.raw), "little") > target:
            return "HEADER_POW"
        return None

    def accept(self, header, parent):
        header.parent, header.height = parent, parent.height + 1
        header.work = parent.work + self.work_of(header.bits)
        self.known[header.hash] = header
        before = self.last_checkpoint()
        if header.work > self.best.work:
            self.best = header
        passed = self.last_checkpoint()
        if passed != before:
            self.known = {k: h for k, h in self.known.items() if self.fork_height(h) >= passed or self.on_best(h)}

    def add(self, raws, now):
        """What headers_add() answers, as headers_drive prints it."""
        known = accepted = 0
        reason, last, old = "HEADER_OK", None, self.best
        for raw in raws:
            header = Header(raw)
            if last is not None and header.prev != last.hash:
                reason = "HEADER_UNLINKED"
                break
            if header.hash in self.known and (last is None or self.known[header.hash].parent is last):
                last = self.known[header.hash]
                known += 1
                continue
            parent = self.known.get(header.prev)
            if parent is None:
                reason = "HEADER_ORPHAN"
                break
            wrong = self.check(header, parent, now)
            if wrong:
                reason = wrong
                break
            self.accept(header, parent)
            last = header
            accepted += 1
        moved = self.best is not old
        fork = 0
        if moved:
            both, new = old, self.best
            while both is not new:
                both, new = (both.parent, new) if both.height >= new.height else (both, new.parent)
            fork = both.height
        return [reason, str(known), str(accepted), str(int(moved)), str(fork),
                (last.hash if last else bytes(32))[::-1].hex(), str(self.best.height), "%064x" % (self.best.work % BIG),
                str(int(self.enough())), self.best.hash[::-1].hex()]

    def enough(self):
        points = self.rules["checkpoints"]
        return self.best.work >= self.rules["least"] and (not points or points[-1][0] <= self.best.height)
