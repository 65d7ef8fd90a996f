"""What a dnet of very many members costs a real dnetd: contrib/bench scale.

Run by contrib/bench as root of a network namespace of its own. A dnetd is joined to a dnet that has it alone, then the
dnet gets its members: by a roster, and by records with an address of their own each, which the kernel has a route for.
"""

import argparse
import ipaddress
import json
import os
import select
import socket
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
for folder in ("vectors", "netns"):
    sys.path.insert(0, os.path.join(HERE, "..", folder))
import chaindb  # noqa: E402
import make_handshake as curve  # noqa: E402
import make_roster  # noqa: E402

ADMIN = b"\x11" * 32
PATIENCE = 120


def die(text):
    sys.exit("bench scale: " + text)


def wait_for(fact, what, pause=0.02):
    deadline = time.monotonic() + PATIENCE
    while not fact():
        if time.monotonic() > deadline:
            die("not in time: " + what)
        select.select([], [], [], pause)


class Daemon:
    """dnetd with a chain.db of its own, joined to one dnet."""

    def __init__(self, binary, folder):
        self.folder, self.binary = folder, binary
        os.mkdir(folder)
        self.path = os.path.join(folder, "chain.db")
        self.roster = os.path.join(folder, "members.roster")
        self.chain = chaindb.Chain(self.path)
        chaindb.cmd_init(self.chain)
        self.dnet = self.create()
        self.process = None

    def create(self):
        """As chaindb.cmd_dnet(), with an admin key that we can sign with."""
        body = curve.pub(ADMIN)[1:] + b"\1" + bytes([10, 0, 0, 0, 8]) + b"scale"
        dnet = chaindb.id_text("dnet", os.urandom(20))
        sequence, txid = self.chain.seal(dnet)
        self.chain.db.execute("INSERT INTO object VALUES (?, 'dnet', 'scale', ?, '10.0.0.0/8', ?, ?, ?, NULL, ?, 0, 0, 0)",
                              (dnet, body[:32].hex(), chaindb.record(1, body), sequence, self.chain.height(), txid))
        return dnet

    def start(self):
        with open(os.path.join(self.folder, "log"), "a", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [self.binary, "--state", os.path.join(self.folder, "state"), "--control", self.socket(), "--chain-db",
                 self.path, "--chainwatch", "", "--confirm", "1", "--port", "0", "--roster-poll", "1s", "--roster",
                 self.dnet + " " + self.roster], stdout=log, stderr=log)
        wait_for(self.answers, "dnetd starts")
        self.pids = self.find_pids()

    def socket(self):
        return os.path.join(self.folder, "sock")

    def call(self, method, params=None):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(self.socket())
            s.sendall(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}}).encode() + b"\n")
            answer = b""
            while not answer.endswith(b"\n"):
                part = s.recv(1 << 20)
                if not part:
                    break
                answer += part
        answer = json.loads(answer)
        if "error" in answer:
            die("%s: %s" % (method, answer["error"]))
        return answer["result"]

    def answers(self):
        if self.process.poll() is not None:
            with open(os.path.join(self.folder, "log"), encoding="utf-8") as f:
                die("dnetd ends: " + f.read()[-2000:])
        try:
            return self.call("status")
        except OSError:
            return False

    def status(self):
        return self.call("status")["dnets"][0]

    def join(self):
        self.call("join", {"id": self.dnet})
        key = self.call("id")["key"]
        chaindb.cmd_node(self.chain, self.dnet, key, "self", "10.0.0.1")
        self.grow()
        wait_for(lambda: self.status()["state"] == "up", "the dnet is up")
        self.settle()
        return key

    def grow(self):
        """A block more: what was written before counts."""
        chaindb.cmd_height(self.chain, self.chain.height() + 1)
        self.chain.changed()

    def find_pids(self):
        """The engine, and the root helper, which is its child."""
        pid = self.call("status")["pid"]
        with open("/proc/%d/task/%d/children" % (pid, pid), encoding="utf-8") as f:
            return [pid] + [int(child) for child in f.read().split()]

    def cpu_ms(self):
        total = 0
        for pid in self.pids:
            for task in os.listdir("/proc/%d/task" % pid):
                try:
                    with open("/proc/%d/task/%s/schedstat" % (pid, task), encoding="utf-8") as f:
                        total += int(f.read().split()[0])
                except FileNotFoundError:
                    pass  # it has ended: one that fetched
        return total / 1e6

    def resident_kb(self):
        total = 0
        for pid in self.pids:
            with open("/proc/%d/status" % pid, encoding="utf-8") as f:
                total += next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))
        return total

    def settle(self):
        """Until it does nothing for half a second."""
        before = -1.0
        while self.cpu_ms() - before > 8:
            before = self.cpu_ms()
            select.select([], [], [], 0.5)

    def stop(self):
        self.process.terminate()
        self.process.wait()


def random_key():
    return bytes([2]) + os.urandom(32)


def write_roster(daemon, keys, sequence, odd=""):
    """odd: a name of one of them that differs from the roster before."""
    nodes = []
    for i, key in enumerate(keys):
        name = odd if odd and i == len(keys) // 2 else "member-%d" % i
        nodes.append(make_roster.node(key, 0x40, struct.pack(">I", 0x0A000002 + i), name, (0,)))
    head = make_roster.header(sequence=sequence, dnet=chaindb.id_raw(daemon.dnet)[1], issued=1, expires=0)
    plain = make_roster.body(head, groups=[make_roster.text("all")], nodes=nodes,
                             rules=[make_roster.rule("all", make_roster.of_group(0), make_roster.ALL),
                                    make_roster.rule("back", make_roster.ALL, make_roster.of_group(0))])
    with open(daemon.roster + ".new", "wb") as f:
        f.write(make_roster.plain_file(plain, ADMIN))
    os.rename(daemon.roster + ".new", daemon.roster)
    root = make_roster.root_of(plain)
    daemon.chain.add("roster", daemon.dnet, (sequence, root.hex()), b"",
                     chaindb.record(0x14, struct.pack("<I", sequence) + root))
    daemon.grow()


def add_records(daemon, keys):
    """Each with an IPv6 address of its own besides the one of its key: one route each."""
    chain, height = daemon.chain, daemon.chain.height()
    sequence, txid = chain.seal(daemon.dnet)
    rows = []
    for i, key in enumerate(keys):
        address, name = ipaddress.ip_address("fdaa:bb::") + i + 1, "member-%d" % i
        raw = chaindb.record(0x10, key + b"\x80" + address.packed + name.encode())
        rows.append((daemon.dnet, key.hex(), name, None, str(address), 0x80, key, raw, sequence, height, txid, i))
    chain.db.execute("BEGIN")
    chain.db.executemany("INSERT INTO node VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, ?, 0, 0, ?)", rows)
    chain.db.execute("COMMIT")
    daemon.grow()


def members(daemon):
    return daemon.status()["peers_total"]


def routes():
    out = subprocess.run(["ip", "-6", "route", "show", "table", "all", "proto", "157"], capture_output=True, check=True)
    return out.stdout.count(b"\n")


class Report:
    def __init__(self, as_json):
        self.as_json = as_json

    def row(self, name, value, unit, target=""):
        text = "%-58s %10.1f %-9s %s" % (name, value, unit, target and "target " + target)
        if self.as_json:
            text = json.dumps({"name": name, "value": round(value, 1), "unit": unit, "target": target})
        print(text, flush=True)


def timed(daemon, act, fact, what):
    """CPU milliseconds until the fact is so and dnetd is quiet again. It is asked only when quiet: that costs, too."""
    daemon.settle()
    asked, begin = 0.0, daemon.cpu_ms()
    act()
    deadline = time.monotonic() + PATIENCE
    while True:
        daemon.settle()
        used = daemon.cpu_ms() - begin - asked
        if fact():
            return used
        if time.monotonic() > deadline:
            die("not in time: " + what)
        asked = daemon.cpu_ms() - begin - used


def by_roster(binary, folder, count, report):
    daemon = Daemon(binary, folder)
    daemon.start()
    try:
        own = bytes.fromhex(daemon.join())
        keys = sorted(random_key() for _ in range(count))
        before = daemon.resident_kb()
        cpu = timed(daemon, lambda: write_roster(daemon, keys + [own], 1), lambda: members(daemon) == count,
                          "the roster is in force")
        report.row("dnetd: memory for a roster of %d members" % count, (daemon.resident_kb() - before) / 1024, "MB", "< 10")
        report.row("dnetd: resident in all, two processes", daemon.resident_kb() / 1024, "MB")
        report.row("dnetd: CPU to take it over", cpu, "ms")
        cpu = timed(daemon, lambda: write_roster(daemon, keys + [own], 2, "renamed"),
                       lambda: daemon.status()["roster"]["in_force"]["sequence"] == 2, "the second roster is in force")
        report.row("dnetd: CPU for a roster in which one member differs", cpu, "ms")
        report.row("dnetd: memory after that", (daemon.resident_kb() - before) / 1024, "MB", "< 10")
    finally:
        daemon.stop()


def by_records(binary, folder, count, report):
    daemon = Daemon(binary, folder)
    daemon.start()
    try:
        daemon.join()
        keys = [random_key() for _ in range(count)]
        quiet, before = routes(), daemon.resident_kb()
        expected = quiet + 2 * count
        cpu = timed(daemon, lambda: add_records(daemon, keys), lambda: routes() == expected, "all routes are there")
        report.row("dnetd: memory for %d members by records, with routes" % count, (daemon.resident_kb() - before) / 1024, "MB")
        report.row("dnetd: CPU from the records to %d routes" % (2 * count), cpu, "ms")
        daemon.settle()
        cpu, begin = daemon.cpu_ms(), time.monotonic()
        subprocess.run(["ip", "link", "set", "dnet0", "down"], check=True)
        wait_for(lambda: routes() == expected, "all routes are there again", 0.01)
        report.row("dnetd: full reconcile, all routes were gone: wall", (time.monotonic() - begin) * 1000, "ms", "< 1000")
        daemon.settle()
        report.row("dnetd: full reconcile, all routes were gone: CPU", daemon.cpu_ms() - cpu, "ms", "< 1000")
        cpu = timed(daemon, lambda: chaindb.cmd_del(daemon.chain, daemon.dnet, keys[0].hex()),
                       lambda: routes() == expected - 2, "the routes of one that was removed go")
        report.row("dnetd: CPU for a member that is removed, chain.db included", cpu, "ms")
        daemon.stop()
        begin = time.monotonic()
        daemon.start()
        wait_for(lambda: routes() == expected - 2, "all routes are there after a restart", 0.005)
        report.row("dnetd: start to all routes: wall", (time.monotonic() - begin) * 1000, "ms")
    finally:
        daemon.stop()


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--dnetd", required=True)
    p.add_argument("--members", type=int, default=10000)
    p.add_argument("--json", action="store_true", help="one object a line")
    args = p.parse_args()
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    report = Report(args.json)
    with tempfile.TemporaryDirectory() as folder:
        by_roster(args.dnetd, os.path.join(folder, "roster"), args.members, report)
        by_records(args.dnetd, os.path.join(folder, "records"), args.members, report)


if __name__ == "__main__":
    main()
