"""core/headers against a second reading of the rules (headers_model): random trees of headers under the rules of each
profile, with reorgs, and headers that are wrong in every way. DNET_TEST_SEED repeats a run; DNET_TEST_STEPS makes it
longer."""

import os
import random
import struct
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pytest  # noqa: E402

import headers_model as model  # noqa: E402

BUILD = os.environ.get("top_builddir", ".")
STEPS = int(os.environ.get("DNET_TEST_STEPS", "120"))
NOW = 1_700_000_000
BRANCHES = 16
# name, settings; intervals are short so that targets change often
WORLDS = {
    "bitcoin": {"retarget": "bitcoin"},
    "easy": {"retarget": "bitcoin", "easy": True},
    "bip94": {"retarget": "bip94", "easy": True},
    "litecoin": {"retarget": "litecoin", "limit": (1 << 249) - 1, "versionbits": 30},
    "litecoin-easy": {"retarget": "litecoin", "easy": True, "limit": (1 << 249) - 1},
    "regtest": {"retarget": "none", "easy": True, "limit": (1 << 255) - 1},
    "scrypt": {"retarget": "none", "limit": (1 << 255) - 1, "pow": "scrypt"},
}


class Drive:
    def __init__(self):
        self.child = subprocess.Popen([os.path.join(BUILD, "tests/fixture/headers_drive")], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, text=True)

    def tell(self, *words):
        self.child.stdin.write(" ".join(str(w) for w in words) + "\n")
        self.child.stdin.flush()

    def ask(self, *words):
        self.tell(*words)
        return self.child.stdout.readline().split()

    def close(self):
        self.child.stdin.close()
        assert self.child.wait(20) == 0
        self.child.stdout.close()


def settle(drive, rules):
    """The drive under the model's rules."""
    drive.tell("base", "bitcoin-regtest")
    for field, value in (("genesis-header", rules["genesis"].hex()),
                         ("genesis", model.sha256d(rules["genesis"])[::-1].hex()),
                         ("pow-limit", "%x" % rules["limit"]), ("min-work", "%x" % rules["least"]),
                         ("spacing", rules["spacing"]), ("timespan", rules["timespan"]),
                         ("retarget", rules["retarget"]), ("min-difficulty", "yes" if rules["easy"] else "no"),
                         ("bip34-height", rules["bip34"]), ("bip66-height", rules["bip66"]),
                         ("bip65-height", rules["bip65"]), ("versionbits-height", rules["versionbits"]),
                         ("pow", rules["pow"]),
                         ("checkpoints", " ".join("%d:%s" % (h, x[::-1].hex()) for h, x in rules["checkpoints"])
                          or "none")):
        drive.tell("set", field, value)
    drive.tell("new", 1)


class World:
    def __init__(self, name, rng):
        self.rng = rng
        self.rules = {"limit": (1 << 248) - 1, "least": 0, "spacing": 2, "timespan": 40, "easy": False,
                      "bip34": 5, "bip66": 9, "bip65": 13, "versionbits": 0, "pow": "sha256d", "checkpoints": []}
        self.rules.update(WORLDS[name])
        self.drive = Drive()
        self.drive.tell("base", "bitcoin-regtest")
        self.drive.tell("set", "pow", self.rules["pow"])
        self.rules["genesis"] = self.mine(bytes(32), 1, NOW - 1_000_000, model.bits_of(self.rules["limit"]))
        settle(self.drive, self.rules)
        self.model = model.Model(self.rules)

    def mine(self, prev, version, when, bits):
        raw = struct.pack("<i32s32sIII", version, prev, self.rng.randbytes(32), when, bits, 0)
        return bytes.fromhex(self.drive.ask("mine", raw.hex())[0])

    def when(self, parent):
        """Times around the target's, so that it moves both ways and stays within what is soon mined."""
        rng, spacing = self.rng, self.rules["spacing"]
        target = model.target_of(parent.bits)
        slow = 3 if target < self.rules["limit"] >> 3 else 1
        kind = rng.randrange(20)
        if kind == 0:
            return parent.median() + 1
        if kind == 1:
            return parent.time + 2 * spacing + rng.randrange(2)
        if kind == 2:
            return parent.time + rng.choice([20 * spacing, 700])
        return parent.time + slow * rng.randrange(2 * spacing)

    def child(self, parent):
        when = max(self.when(parent), parent.median() + 1)
        version = 0x20000000 if self.rng.randrange(3) else 4
        if self.rules["versionbits"] and parent.height + 1 >= self.rules["versionbits"]:
            version = 0x20000000
        return self.mine(parent.hash, version, when, self.model.next_bits(parent, when))

    def grow(self, parent, count):
        """Right headers behind parent, of which the model does not know yet."""
        raws, last = [], parent
        for _ in range(count):
            header = model.Header(self.child(last))
            header.parent, header.height = last, last.height + 1
            raws.append(header.raw)
            last = header
        return raws, last

    def wrong(self, parent):
        """A header behind parent that is wrong in some way; or right by chance."""
        rng, rules = self.rng, self.rules
        when, version = parent.median() + 1 + rng.randrange(30), 0x20000000
        kind = rng.randrange(8)
        bits = self.model.next_bits(parent, when)
        if kind == 0:
            when = parent.median() - rng.randrange(3)
        elif kind == 1:
            when = NOW + model.FUTURE + rng.randrange(-1, 3)
        elif kind == 2:
            version = rng.choice([-1, 0, 1, 2, 3, 4, 0x1fffffff])
        elif kind == 3:
            when = parent.time - 600 - rng.randrange(-2, 3)
        if kind in (0, 1, 3):
            bits = self.model.next_bits(parent, when)
        if kind == 4:
            bits = rng.choice([0, 0x20ffffff, 0x2100ffff, 0xff7fffff, model.bits_of(rules["limit"]) + 1,
                               model.bits_of(rules["limit"] >> 1), bits - 1])
        if kind == 5:
            parent = model.Header(struct.pack("<i32s32sIII", 1, bytes(32), rng.randbytes(32), 1, bits, 0))
        if kind == 6 or model.target_of(bits) is None or model.target_of(bits) < rules["limit"] >> 5:
            return struct.pack("<i32s32sIII", version, parent.hash, rng.randbytes(32), when, bits, 0)
        return self.mine(parent.hash, version, when, bits)

    def add(self, raws, now=NOW):
        want = self.model.add(raws, now)
        got = self.drive.ask("add", now, b"".join(raws).hex())
        assert got == want, (got, want)
        return want

    def leaves(self):
        inner = {h.prev for h in self.model.known.values()}
        return [h for h in self.model.known.values() if h.hash not in inner]

    def pick(self):
        """The best tip, a header near it, or any header; only ends of chains when there are as many as are kept."""
        known, best, leaves = self.model.known, self.model.best, self.leaves()
        if len(leaves) >= BRANCHES:
            return self.rng.choice(leaves)
        kind = self.rng.randrange(10)
        if kind < 4:
            return best
        if kind < 8:
            return best.back(self.rng.randrange(min(best.height, 12) + 1))
        return self.rng.choice(list(known.values()))

    def step(self):
        rng = self.rng
        parent = self.pick()
        lead = []
        if rng.randrange(4) == 0:  # the message begins with headers that are known
            for _ in range(rng.randrange(4)):
                if parent.parent is None:
                    break
                lead.insert(0, parent.raw)
                parent = parent.parent
        at = model.Header(lead[-1]).hash if lead else parent.hash
        raws, last = self.grow(self.model.known[at], rng.randrange(8 if rng.randrange(5) else 30))
        raws = lead + raws
        kind = rng.randrange(6)
        if kind == 0:
            raws.append(self.wrong(last))
        elif kind == 1 and len(raws) > 2:
            del raws[rng.randrange(1, len(raws) - 1)]
        elif kind == 2 and raws and len(self.leaves()) < BRANCHES:
            at = rng.randrange(len(raws))
            spoilt = bytearray(raws[at])
            spoilt[rng.randrange(80)] ^= 1 << rng.randrange(8)
            raws[at] = bytes(spoilt)
        return self.add(raws)[0]

    def compare(self):
        """What is asked of the chain afterwards."""
        known, best, rng = self.model.known, self.model.best, self.rng
        for header in rng.sample(list(known.values()), min(len(known), 20)):
            fork = self.model.fork_height(header)
            assert self.drive.ask("find", header.hash[::-1].hex()) == \
                [str(header.height), str(int(self.model.on_best(header))), str(fork)]
            one, two = header, rng.choice(list(known.values()))
            words = self.drive.ask("fork", one.hash[::-1].hex(), two.hash[::-1].hex())
            while one is not two:
                one, two = (one.parent, two) if one.height >= two.height else (one, two.parent)
            assert words == [str(one.height), one.hash[::-1].hex()]
        for height in rng.sample(range(best.height + 1), min(best.height + 1, 20)):
            header = best.ancestor(height)
            assert self.drive.ask("at", height) == [str(header.time), "%08x" % header.bits, str(header.median()),
                                                    header.hash[::-1].hex()]
        assert self.drive.ask("at", best.height + 1) == ["-"]
        locator = self.drive.ask("locator")
        heights = [known[bytes.fromhex(x)[::-1]].height for x in locator]
        assert heights[0] == best.height and heights[-1] == 0 and heights == sorted(set(heights), reverse=True)
        assert all(best.ancestor(h).hash[::-1].hex() == x for h, x in zip(heights, locator))


@pytest.fixture
def rng(request):
    seed = int(os.environ.get("DNET_TEST_SEED") or time.time_ns() % 10**9)
    print("DNET_TEST_SEED=%d" % seed)
    return random.Random("%s %d" % (request.node.name, seed))


@pytest.mark.parametrize("name", WORLDS)
def test_random_trees_are_judged_as_the_model_does(name, rng):
    world = World(name, rng)
    steps = STEPS // 4 if name == "scrypt" else STEPS
    reasons = {world.step() for _ in range(steps)}
    world.compare()
    assert len(reasons) > 3, reasons
    world.drive.close()


@pytest.mark.parametrize("name", ["bitcoin", "litecoin-easy"])
def test_a_chain_with_checkpoints_is_left_only_above_them(name, rng):
    plain = World(name, rng)
    early, _ = plain.grow(plain.model.best, 12)
    plain.add(early)
    more, _ = plain.grow(plain.model.best, 40)
    plain.add(more)
    chain = [plain.model.best.ancestor(h) for h in range(1, plain.model.best.height + 1)]
    side, _ = plain.grow(chain[5], 3)
    points = sorted(rng.sample(chain[8:], 2), key=lambda h: h.height)
    plain.rules["checkpoints"] = [(h.height, h.hash) for h in points]
    plain.rules["least"] = points[1].work + 1
    settle(plain.drive, plain.rules)
    plain.model = model.Model(plain.rules)
    plain.add(side[:0])
    # a branch from before the first checkpoint, which is taken until that is passed
    plain.add([h.raw for h in chain[:7]])
    assert plain.add(side)[0] == "HEADER_OK"
    assert plain.drive.ask("find", model.sha256d(side[0])[::-1].hex()) != ["-"]
    plain.add([h.raw for h in chain[7:points[0].height]])
    assert plain.drive.ask("find", model.sha256d(side[0])[::-1].hex()) == ["-"]
    assert plain.add(side)[0] == "HEADER_FORK"
    # other blocks in place of the second
    tip = plain.model.best
    false, _ = plain.grow(tip, points[1].height - tip.height + 1)
    assert plain.add(false)[0] == "HEADER_CHECKPOINT"
    for header in chain[tip.height:]:
        assert plain.add([header.raw])[0] == "HEADER_OK"
    for _ in range(STEPS // 4):
        plain.step()
    plain.compare()
    plain.drive.close()


def test_headers_of_a_store_are_taken_without_scrypt_and_clock(rng):
    world = World("scrypt", rng)
    raws, _ = world.grow(world.model.best, 20)
    lazy = bytearray(raws[-1])
    for nonce in range(100):
        struct.pack_into("<I", lazy, 76, nonce)
        if int.from_bytes(world.model.pow_hash(bytes(lazy)), "little") >> 255:
            break
    data = b"".join(raws[:-1]) + bytes(lazy)
    assert world.drive.ask("add", NOW, data.hex())[0] == "HEADER_POW"
    assert world.drive.ask("restore", data.hex())[:3] == ["HEADER_OK", "19", "1"]
    world.drive.close()


if __name__ == "__main__":
    sys.exit(pytest.main([os.path.abspath(__file__), "-q", "-p", "no:cacheprovider"] + sys.argv[1:]))
