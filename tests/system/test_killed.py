"""chainwatch killed at random instants while blocks, branches and the mempool move; random reorganisations.

After each round chain.db equals that of a chainwatch that reads the same chain from the beginning. The seed is
printed; DNET_SEED=N runs the same again, DNET_ROUNDS=N more rounds (contrib/long)."""

import os
import random
import signal
import sys
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pytest  # noqa: E402

import testlib as lib  # noqa: E402

lib.need_litecoind()

SEED = int(os.environ.get("DNET_SEED") or random.randrange(1 << 32))
ROUNDS = int(os.environ.get("DNET_ROUNDS") or 10)
print("DNET_SEED=%d DNET_ROUNDS=%d" % (SEED, ROUNDS), flush=True)

# Of a reorganisation; the node reconnects what it undid, so 100 blocks take it a second.
DEEPEST = 100 if ROUNDS > 20 else 30


class Churn:
    """Owners that write, blocks, reorganisations and replaced transactions, all drawn from one seed."""

    def __init__(self, node, rng):
        self.node, self.rng = node, rng
        self.owners, self.count = [], 0
        self.revoking = set()  # transactions that say a removal
        self.replaced = 0
        self.actions = [self.create, self.put, self.put, self.remove, self.replace, self.mine, self.mine,
                        self.mine_empty, self.reorganise]

    def step(self):
        try:
            self.rng.choice(self.actions)()
        except (lib.RpcError, AssertionError):
            # A deep reorganisation takes coins and seals away: begin with new owners on the coins that are left.
            self.owners.clear()
            self.node.lockunspent(True)
            self.mine()

    def owner(self):
        if not self.owners:
            self.create()
        return self.rng.choice(self.owners)

    def create(self):
        self.count += 1
        owner = lib.Owner(self.node)
        owner.keys = []
        owner.send(lib.dnet_create("d%d" % self.count, ("10.9.0.0", 24)))
        self.owners = (self.owners + [owner])[-4:]

    def put(self):
        owner = self.owner()
        self.count += 1
        owner.keys.append(self.count)
        owner.send(lib.node_put(self.count, "n%d" % self.count))

    def remove(self):
        owner = self.owner()
        self.revoking.add(owner.send(lib.node_del(owner.keys.pop() if owner.keys else 0)))

    def replace(self):
        """The same seal spent again with a higher fee: the first one leaves the mempool."""
        owner = self.owner()
        seal, key = owner.seal, self.count
        first, _ = owner.build(lib.payload(lib.node_del(key)), fee=20_000)
        second, vout = owner.build(lib.payload(lib.node_put(key, "r%d" % key)), fee=90_000, vin=[seal])
        self.revoking.add(self.node.sendrawtransaction(first))
        owner.took(self.node.sendrawtransaction(second), vout, {})
        self.replaced += 1

    def mine(self):
        self.node.mine(self.rng.randint(1, 4))

    def mine_empty(self):
        for _ in range(self.rng.randint(1, 3)):
            self.node.generateblock(self.node.getnewaddress(), [])

    def reorganise(self, depth=None):
        depth = depth or self.rng.randint(1, DEEPEST)
        height = self.node.getblockcount()
        self.node.invalidateblock(self.node.getblockhash(height - depth + 1))
        # The other branch may be shorter, too: what the node says is the best chain is.
        for _ in range(max(1, depth + self.rng.randint(-2, 2))):
            if self.rng.random() < 0.3:
                self.node.mine()
            else:
                self.node.generateblock(self.node.getnewaddress(), [])


@pytest.fixture(scope="module")
def node():
    # as Bitcoin's by default
    with lib.started(lambda folder: lib.Litecoind(folder, ["-mempoolreplacement=1"])) as node:
        node.wallet(260)
        yield node


def watcher(folder, node):
    # All headers are kept: which ones are dropped depends on how high the chain once was.
    return lib.Chainwatch(folder, node, poll="20ms", keep_headers=50000)


@pytest.fixture
def victim(node):
    with lib.Folder() as folder:
        victim = watcher(folder, node)
        try:
            yield victim
        finally:
            victim.stop(signal.SIGKILL)


def settled(watch):
    """All that has to be the same, the mempool as it is seen now with it."""
    dump = watch.dump()
    dump["pending"] = sorted(watch.query("SELECT txid, object, kind, sequence, spent_txid, spent_vout, seal_txid,"
                                         " seal_vout, hex(record) FROM pending"), key=repr)
    dump["pending_log"] = sorted(watch.query("SELECT txid, vout, pos, object, sequence, type, text, refused, hex(raw)"
                                             " FROM pending_log"), key=repr)
    dump["meta"] = sorted(watch.query("SELECT name, value FROM meta WHERE name <> 'change'"))
    return dump


def revocations(watch):
    return set(watch.query("SELECT object, type, hex(subject), sequence, vout, pos, text, txid FROM revocation"))


def check_against_fresh(node, watch, churn, ever, what):
    """All is as it is for one who begins now. Of revocations there are those that were known before, those that he sees,
    and of others only some whose transactions were there meanwhile, which makes them removals that an owner signed."""
    with lib.Folder() as folder:
        fresh = watcher(folder, node)
        try:
            fresh.start()
            fresh.wait_tip()
            watch.wait_tip()

            def same():
                return settled(fresh) == settled(watch) and revocations(fresh) <= revocations(watch)
            try:
                lib.wait_for(same, "both are equal", 5)
            except AssertionError:
                a, b = settled(fresh), settled(watch)
                for table in a:
                    assert a[table] == b[table], (what, table)
                assert revocations(fresh) <= revocations(watch), what
            known = revocations(watch)
            assert known >= ever, what
            assert {row[-1] for row in known - ever - revocations(fresh)} <= churn.revoking, what
            assert {row[1] for row in known} <= {"NODE_DEL"}, what
            return known
        finally:
            fresh.stop()


def test_killed_at_random_it_ends_as_one_that_was_not(node, victim):
    rng = random.Random(SEED)
    churn = Churn(node, rng)
    ever = set()
    for number in range(ROUNDS):
        if number % 4 == 3:  # killed while it reads from the beginning
            os.unlink(victim.db)
            for end in ("-wal", "-shm"):
                os.unlink(victim.db + end)
            ever.clear()
        victim.start(wait=False)
        killer = threading.Timer(rng.random() * 0.4, os.kill, (victim.process.pid, signal.SIGKILL))
        killer.start()
        while victim.process.alive():
            churn.step()
        killer.join()
        if os.path.exists(victim.db) and os.path.getsize(victim.db) > 0:
            assert victim.query("PRAGMA integrity_check") == [("ok",)], "round %d" % number
        victim.start()
        ever = check_against_fresh(node, victim, churn, ever, "round %d, seed %d" % (number, SEED))
        victim.stop(signal.SIGKILL)
    assert ROUNDS <= 20 or (churn.replaced > 0 and churn.revoking)


def test_random_reorganisations_end_in_what_is_read_from_scratch(node, victim):
    rng = random.Random(SEED + 1)
    churn = Churn(node, rng)
    victim.start()
    victim.wait_tip()
    ever = revocations(victim)
    for number in range((ROUNDS + 1) // 2):
        for _ in range(rng.randint(2, 6)):
            churn.step()
        try:
            churn.reorganise((1, DEEPEST)[number] if number < 2 else None)
        except lib.RpcError:
            node.mine()
        ever = check_against_fresh(node, victim, churn, ever, "round %d, seed %d" % (number, SEED))


def test_verify_agrees_while_everything_moves(node, victim):
    churn = Churn(node, random.Random(SEED + 2))
    victim.start()
    victim.wait_tip()
    for number in range(max(3, ROUNDS // 4)):
        log = os.path.join(victim.folder, "verify")
        verify = lib.Process(victim.argv("--verify"), log)
        try:
            while verify.alive():
                churn.step()
            assert verify.stop() == 0, (number, SEED, verify.log()[-3000:])
        finally:
            verify.stop(signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", __file__]))
