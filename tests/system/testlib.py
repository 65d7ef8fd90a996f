"""What the system tests share: a litecoind on regtest, chainwatch, raw transactions with records.

Every process is started in a temporary folder with ports chosen free, and ended by its pid."""

import base64
import contextlib
import hashlib
import http.client
import json
import os
import re
import select
import shutil
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import tempfile
import threading
import time

LITECOIND = "/usr/lib/litecoin/litecoind"
COIN = 100_000_000
SEAL = 10_000
GENESIS = "530827f38f93b43ed12af0b3ad25a288dc02ed74d6d7857862df51fc56c416f9"

DNET_CREATE, OVC_CREATE, OVR_CREATE = 0x01, 0x02, 0x03
NODE_PUT, NODE_DEL, LINK, UNLINK, ROSTER = 0x10, 0x11, 0x12, 0x13, 0x14
ENDPOINT_PUT, ENDPOINT_DEL, GRANT, REVOKE = 0x20, 0x21, 0x22, 0x23
TRANSFER, CLOSE = 0x30, 0x31


def need_litecoind():
    """Ends the test as skipped when there is no chain node to run against."""
    if not os.access(LITECOIND, os.X_OK):
        print("SKIP: %s is missing: apt-get install litecoind" % LITECOIND)
        sys.exit(77)
    end_in_order()


def top_builddir():
    return os.environ.get("top_builddir") or os.getcwd()


def program(path):
    return os.path.join(top_builddir(), path)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


# Deadlines say what is expected of a machine with nothing else to do. A busy one gets this many
# times as long before a test fails; contrib/demo holds the promise of two seconds to the letter.
PATIENCE = float(os.environ.get("DNET_PATIENCE", "5"))


def wait_for(fact, what, seconds=20.0, interval=0.01):
    """Returns the first true value of fact(); the time it took is not slept away."""
    end = time.monotonic() + seconds * PATIENCE
    while True:
        value = fact()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("not within %g s: %s" % (seconds, what))
        select.select([], [], [], interval)


def end_in_order():
    """From here on a signal ends the test with what it made taken down, and that goes on when another one comes: make passes
    it on to who had it already."""
    numbers = [n for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) != signal.SIG_IGN]

    def end(*_):
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt  # pytest takes SystemExit for a test that failed, and begins the next one

    for number in numbers:
        signal.signal(number, end)


@contextlib.contextmanager
def started(make):
    """make(folder), started in a folder of its own; stopped at the end, also where it did not get so far."""
    with Folder() as folder:
        made = make(folder)
        try:
            made.start()
            yield made
        finally:
            made.stop()


class Memory:
    """All memory of a process, as its root (or a core dump) sees it: [(address, bytes, flags)]."""

    HEAD = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) (....) \S+ \S+ \S+ *(.*)")

    def __init__(self, pid):
        self.areas = []
        with open("/proc/%d/smaps" % pid) as smaps, open("/proc/%d/mem" % pid, "rb", 0) as mem:
            for line in smaps:
                head = self.HEAD.match(line)
                if head:
                    start, end, mode, name = int(head[1], 16), int(head[2], 16), head[3], head[4]
                if line.startswith("VmFlags:") and mode[0] == "r" and not name.startswith("[v"):
                    mem.seek(start)
                    self.areas.append((name, mem.read(end - start), line.split()[1:]))

    def find(self, secret):
        """The areas that it is in."""
        return [(name, flags) for name, data, flags in self.areas if secret in data]


def protected(memory, what, secret):
    """It is somewhere, and wherever it is that is neither swapped out nor dumped."""
    places = memory.find(secret)
    assert places, "%s is not found: this test sees nothing" % what
    for name, flags in places:
        assert "lo" in flags and "dd" in flags, "%s may be swapped out, or dumped, from %s" % (what, name or "memory")


class Process:
    """A child that is ended by its pid, whatever happens."""

    def __init__(self, argv, log, before=None):
        """before() runs in the child, before the program does."""
        self.log_path = log
        with open(log, "ab") as out:
            self.child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                          preexec_fn=before)

    @property
    def pid(self):
        return self.child.pid

    def alive(self):
        return self.child.poll() is None

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def stop(self, number=signal.SIGTERM, seconds=20):
        if self.alive():
            self.child.send_signal(number)
        try:
            return self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            raise AssertionError("pid %d did not end after signal %d" % (self.pid, number))

    def rss_kib(self):
        with open("/proc/%d/status" % self.pid) as f:
            for line in f:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1])


class RpcError(Exception):
    def __init__(self, error):
        super().__init__(error["message"])
        self.code = error["code"]


class Litecoind:
    """litecoind -regtest; with mweb off, blocks are as Bitcoin's."""

    name, chain = "litecoind", "litecoin-regtest"

    def __init__(self, folder, extra=(), network="regtest", mweb=False):
        self.mweb = mweb
        self.folder = folder
        self.network = network
        self.port, self.p2p = free_port(), free_port()
        self.user, self.password = "user", "secret"
        self.extra = list(extra)
        self.process = None
        self.connection = None
        os.makedirs(folder, exist_ok=True)

    def program(self):
        return LITECOIND

    def start(self, wait=True):
        argv = [self.program(), "-datadir=" + self.folder, "-server", "-printtoconsole=0", "-txindex=1",
                "-rpcbind=127.0.0.1", "-rpcallowip=127.0.0.1", "-rpcport=%d" % self.port,
                "-bind=127.0.0.1:%d" % self.p2p, "-listen=1", "-listenonion=0", "-discover=0",
                "-dnsseed=0", "-fallbackfee=0.0002", "-dbcache=16", "-maxconnections=8"]
        if self.network == "regtest":
            argv += ["-regtest"] + self.regtest_options()
        elif self.network == "test":
            argv += ["-testnet", "-connect=0"]
        else:
            argv += ["-connect=0"]
        if self.user:
            argv += ["-rpcuser=" + self.user, "-rpcpassword=" + self.password]
        self.process = Process(argv + self.extra, os.path.join(self.folder, "out"))
        if wait:
            wait_for(self.ready, self.name + " answers")
        return self

    def regtest_options(self):
        return [] if self.mweb else ["-vbparams=mweb:-2:0"]

    def ready(self):
        if not self.process.alive():
            raise AssertionError(self.name + " ended: " + self.process.log())
        try:
            self.call("getblockcount")
            return True
        except (OSError, RpcError, http.client.HTTPException, FileNotFoundError):
            return False

    def stop(self, number=signal.SIGTERM):
        if self.connection:  # an open one keeps litecoind from ending
            self.connection.close()
            self.connection = None
        if self.process:
            self.process.stop(number)
            self.process = None

    @property
    def cookie_file(self):
        return os.path.join(self.folder, "regtest", ".cookie")

    def credentials(self):
        if self.user:
            return "%s:%s" % (self.user, self.password)
        with open(self.cookie_file) as f:
            return f.read()

    def has_zmq(self):
        """Asks the node: an option alone says nothing, Debian's litecoind accepts it and is silent."""
        try:
            return bool(self.getzmqnotifications())
        except RpcError:
            return False

    def post(self, body):
        return self.post_to("", body)

    def post_to(self, path, body):
        headers = {"Authorization": "Basic " + base64.b64encode(
            self.credentials().encode()).decode()}
        for attempt in (0, 1):
            try:
                if self.connection is None:
                    self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
                self.connection.request("POST", "/" + path, json.dumps(body), headers)
                return json.loads(self.connection.getresponse().read())
            except (OSError, http.client.HTTPException):
                self.connection = None
                if attempt:
                    raise

    def call(self, method, *params):
        answer = self.post({"id": 1, "method": method, "params": list(params)})
        if answer["error"]:
            raise RpcError(answer["error"])
        return answer["result"]

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *params: self.call(name, *params)

    def url(self):
        return "http://127.0.0.1:%d/" % self.port

    def wallet(self, blocks=101):
        """A wallet with mature coins."""
        self.createwallet("w")
        self.generatetoaddress(blocks, self.getnewaddress())

    def mine(self, count=1):
        return self.generatetoaddress(count, self.getnewaddress())


class Bitcoind(Litecoind):
    """bitcoind -regtest, of Core or Knots, with its ZMQ where it has one."""

    name, chain = "bitcoind", "bitcoin-regtest"

    def __init__(self, *args, **named):
        super().__init__(*args, **named)
        self.zmq = "tcp://127.0.0.1:%d" % free_port()

    def program(self):
        return bitcoind()

    def regtest_options(self):
        return ["-fixedseeds=0", "-addresstype=bech32", "-changetype=bech32"] + [
            "-zmqpub%s=%s" % (topic, self.zmq)
            for topic in ("hashblock", "rawblock", "hashtx", "rawtx", "sequence")]


class ZmqShim:
    """ZMQ as a node of Core's kind has it, made from the RPC of one that has none.

    It looks again and again: a tip that came and went between two looks is told by nobody. wait_seen() before a test
    takes back what it made."""

    def __init__(self, node):
        import zmq
        self.zmq = zmq
        # a connection of its own: it lives in another thread
        self.node_of_test = node
        self.node = Litecoind(node.folder)
        self.node.port = node.port
        node.zmq = self.endpoint = "tcp://127.0.0.1:%d" % free_port()
        self.thread = None
        self.start()

    def start(self):
        self.context = self.zmq.Context()
        self.socket = self.context.socket(self.zmq.PUB)
        self.socket.bind(self.endpoint)
        self.counters = {}
        self.ending = threading.Event()
        self.tip = self.node.getbestblockhash()
        self.mempool = set(self.node.getrawmempool())
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def stop(self):
        if self.thread:
            self.ending.set()
            self.thread.join()
            self.thread = None
            self.socket.close(0)
            self.context.term()
            self.node.stop()

    def wait_seen(self):
        wait_for(lambda: self.tip == self.node_of_test.getbestblockhash(), "the publisher has seen the tip")

    def send(self, topic, body):
        counter = self.counters.get(topic, 0)
        self.counters[topic] = counter + 1
        self.socket.send_multipart([topic.encode(), body, struct.pack("<I", counter)])

    def blocks(self, tip):
        """From the tip of before to the new one: undone blocks, then those that came."""
        gone, come = self.tip, []
        header = self.node.getblockheader
        while header(gone)["confirmations"] < 0:
            self.send("sequence", bytes.fromhex(gone) + b"D")
            gone = header(gone)["previousblockhash"]
        while tip != gone and header(tip)["height"] > header(gone)["height"]:
            come.append(tip)
            tip = header(tip)["previousblockhash"]
        for ident in reversed(come):
            self.send("sequence", bytes.fromhex(ident) + b"C")
            self.send("hashblock", bytes.fromhex(ident))
            self.send("rawblock", bytes.fromhex(self.node.getblock(ident, 0)))

    def run(self):
        while not self.ending.wait(0.02):
            try:
                tip, mempool = self.node.getbestblockhash(), set(self.node.getrawmempool())
                if tip != self.tip:
                    self.blocks(tip)
                for change, txids in (("A", mempool - self.mempool), ("R", self.mempool - mempool)):
                    for txid in txids:
                        self.send("sequence", bytes.fromhex(txid) + change.encode() + bytes(8))
                self.tip, self.mempool = tip, mempool
            except (OSError, RpcError, ValueError, http.client.HTTPException):
                continue  # it moved meanwhile, or is away: again


def bitcoind():
    """The bitcoind to test with; None without one. contrib/knots makes one."""
    named = os.environ.get("DNET_BITCOIND")
    if named and not os.access(named, os.X_OK):
        raise AssertionError("DNET_BITCOIND is %s, which is no program" % named)
    return named or shutil.which("bitcoind")


# Records and their transactions.

def record(kind, body=b""):
    return bytes([kind, len(body)]) + body


def payload(*records, version=1):
    return b"DN" + bytes([version]) + b"".join(records)


def node_key(n):
    """Well-formed, and on the curve or not does not matter to the chain."""
    return b"\x02" + hashlib.sha256(b"node %d" % n).digest()


def dnet_create(name, prefix=None):
    flags = 1 if prefix else 0
    ipv4 = socket.inet_aton(prefix[0]) + bytes([prefix[1]]) if prefix else b""
    return record(DNET_CREATE, hashlib.sha256(b"admin").digest() + bytes([flags]) + ipv4 +
                  name.encode())


def ovc_create(name):
    return record(OVC_CREATE, node_key(1000) + b"\0" + name.encode())


def node_put(n, name="", ipv4=None):
    flags = 0x40 if ipv4 else 0
    return record(NODE_PUT, node_key(n) + bytes([flags]) +
                  (socket.inet_aton(ipv4) if ipv4 else b"") + name.encode())


def node_del(n):
    return record(NODE_DEL, node_key(n))


def link(ident, kind=2, priority=0, weight=1):
    return record(LINK, bytes([kind]) + ident + bytes([priority, weight]))


def grant(dnet, expiry=0, rate=0, volume=0):
    return record(GRANT, dnet + struct.pack("<III", expiry, rate, volume))


def revoke(dnet):
    return record(REVOKE, dnet)


def endpoint_put(ip, port, transport=1):
    return record(ENDPOINT_PUT, bytes([transport]) + struct.pack("<H", port) + b"\x04" +
                  socket.inet_aton(ip))


def hash160(data):
    # OpenSSL 3 may have no ripemd160: chain.db's own ids are compared, not made here
    return hashlib.new("ripemd160", hashlib.sha256(data).digest()).digest()


CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def bech32m_data(text):
    """The 20 bytes of an id."""
    value = 0
    for c in text[text.index("1") + 1:-6]:
        value = value << 5 | CHARSET.index(c)
    return value.to_bytes(20, "big")


def compact(n):
    if n < 253:
        return bytes([n])
    return b"\xfd" + struct.pack("<H", n)


def op_return(data):
    return b"\x6a" + (bytes([len(data)]) if len(data) <= 75 else bytes([0x4c, len(data)])) + data


def raw_tx(inputs, outputs):
    """inputs: (txid, vout); outputs: (value, script)."""
    tx = struct.pack("<I", 2) + compact(len(inputs))
    for txid, vout in inputs:
        tx += bytes.fromhex(txid)[::-1] + struct.pack("<I", vout) + b"\0" + b"\xfd\xff\xff\xff"
    tx += compact(len(outputs))
    for value, script in outputs:
        tx += struct.pack("<q", value) + compact(len(script)) + script
    return (tx + struct.pack("<I", 0)).hex()


class Owner:
    """Owns one object: its seal is an output of the wallet that is spent only here."""

    def __init__(self, node):
        self.node = node
        self.seal = None  # (txid, vout)

    def script(self):
        address = self.node.getnewaddress("", "bech32")
        return bytes.fromhex(self.node.getaddressinfo(address)["scriptPubKey"])

    def build(self, data, fee=20_000, seal=True, vin=None, carrier="a"):
        """A signed transaction with the payload; spends the seal first, if there is one."""
        script = self.script()
        if carrier == "a":
            outputs = [(0, op_return(data))] + ([(SEAL, script)] if seal else [])
            vout = 1
        else:  # (b): payload dropped in front of the owner's script
            outputs = [(SEAL, bytes([len(data)]) + data + b"\x75" + script)]
            vout = 0
        inputs = vin if vin is not None else ([self.seal] if self.seal else [])
        coin = self.coin()
        change = coin["sat"] - fee - (SEAL if seal else 0) + SEAL * (1 if self.seal and vin is None
                                                                    else 0)
        outputs.append((change, self.script()))
        raw = raw_tx(inputs + [(coin["txid"], coin["vout"])], outputs)
        signed = self.node.signrawtransactionwithwallet(raw)
        assert signed["complete"], signed
        return signed["hex"], vout

    def coin(self):
        """A coin of the wallet, locked so that nobody takes it twice."""
        for coin in self.node.listunspent(0):
            sat = round(coin["amount"] * COIN)
            if sat > COIN // 10 and "vout" in coin:  # inside the MWEB there are none
                self.node.lockunspent(False, [{"txid": coin["txid"], "vout": coin["vout"]}])
                return dict(coin, sat=sat)
        raise AssertionError("no coins left")

    def send(self, *records, **options):
        """Broadcasts; returns the txid. The new seal is taken over."""
        raw, vout = self.build(payload(*records), **options)
        txid = self.node.sendrawtransaction(raw)
        self.took(txid, vout, options)
        return txid

    def took(self, txid, vout, options):
        if options.get("seal", True):
            self.seal = (txid, vout)
            if options.get("carrier", "a") == "a":
                self.node.lockunspent(False, [{"txid": txid, "vout": vout}])
        else:
            self.seal = None


# chainwatch.

class Chainwatch:
    def __init__(self, folder, node, **options):
        self.folder = folder
        self.node = node
        self.db = os.path.join(folder, "db", "chain.db")
        self.socket = os.path.join(folder, "cw.sock")
        self.options = {"chain": node.chain if node else "litecoin-regtest",
                        "state": os.path.join(folder, "state"),
                        "db": self.db, "control": self.socket, "log-level": "debug"}
        if node is not None:
            self.options.update({"rpc-url": node.url()})
            if node.user:
                self.options.update({"rpc-user": node.user, "rpc-password": node.password})
            else:
                self.options.update({"rpc-cookie": node.cookie_file})
        self.options.update({k.replace("_", "-"): v for k, v in options.items()})
        self.process = None

    def argv(self, *extra):
        conf = os.path.join(self.folder, "chainwatch.conf")
        with open(conf, "w") as f:
            for name, value in self.options.items():
                f.write("%s = %s\n" % (name, value))
        return [program("chainwatch/chainwatch"), "-c", conf] + list(extra)

    def start(self, wait=True):
        self.process = Process(self.argv(), os.path.join(self.folder, "chainwatch.log"))
        if wait:
            wait_for(self.try_status, "the control socket answers")
        return self

    def stop(self, number=signal.SIGTERM):
        if self.process:
            process, self.process = self.process, None
            status = process.stop(number)
            # 1: it had ended by itself, which the test has looked at
            assert number != signal.SIGTERM or status in (0, 1), (status, process.log()[-4000:])

    def call(self, method, params=None, timeout=10):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(timeout)
            s.connect(self.socket)
            s.sendall(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method,
                                  "params": params or {}}).encode() + b"\n")
            with s.makefile() as lines:
                answer = json.loads(lines.readline())
        if "error" in answer:
            raise AssertionError(answer["error"])
        return answer["result"]

    def status(self):
        return self.call("status")

    def try_status(self):
        if not self.process.alive():
            raise AssertionError("chainwatch ended: " + self.process.log())
        try:
            return self.status()
        except (OSError, ValueError):
            return None

    def wait_tip(self, seconds=20):
        """Until it has come to the node's best block."""
        def there():
            s = self.try_status()
            return s and s["state"] == "following" and s["hash"] == self.node.getbestblockhash()
        return wait_for(there, "chainwatch is at the node's tip", seconds)

    def wait_state(self, state, words="", seconds=20):
        def there():
            s = self.try_status()
            return s and s["state"] == state and words in (s["error"] or "") and s
        try:
            return wait_for(there, "state %s with \"%s\"" % (state, words), seconds)
        except AssertionError as e:
            raise AssertionError("%s; status is %s" % (e, self.try_status()))

    def query(self, sql, *params):
        db = sqlite3.connect("file:%s?mode=ro" % self.db, uri=True, timeout=5)
        try:
            return db.execute(sql, params).fetchall()
        finally:
            db.close()

    def dump(self, sticky=True):
        """Everything that has to be the same however chainwatch got there."""
        tables = ["block", "record_log", "object", "seal", "node", "link", "roster", "endpoint",
                  "grant_", "transfer"]
        columns = {"record_log": "height, tx_index, vout, pos, txid, object, sequence, type, text,"
                                 " refused, hex(raw)"}
        return {t: sorted(self.query("SELECT %s FROM %s" % (columns.get(t, "*"), t)), key=repr)
                for t in tables}


class Subscriber:
    """The topic `height` of a control socket, with the time at which each message came."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.socket.sendall(b'{"jsonrpc":"2.0","id":1,"method":"subscribe",'
                            b'"params":{"topic":"height"}}\n')
        self.lines = self.socket.makefile()
        self.reply = json.loads(self.lines.readline())
        assert "error" not in self.reply, self.reply

    def next(self, seconds=10):
        self.socket.settimeout(seconds)
        return json.loads(self.lines.readline())["params"]

    def close(self):
        self.lines.close()
        self.socket.close()


class Folder:
    """A temporary folder that is gone afterwards."""

    def __enter__(self):
        self.path = tempfile.mkdtemp(prefix="dnet-test-")
        return self.path

    def __exit__(self, *exc):
        shutil.rmtree(self.path, ignore_errors=True)
