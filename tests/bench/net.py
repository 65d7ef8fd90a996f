"""Speed and size of tunnels between two namespaces, in turn: contrib/bench net.

Run by contrib/bench inside the demo's network, where dnetd of alice and carol are up and have a cable of their own
between them. Each other peer is brought up over the same cable. Rounds go A B C … A B C …; the table has medians,
and ratios to the bare cable and to the best peer. --json has every single figure.
"""

import argparse
import json
import os
import platform
import re
import signal
import subprocess
import sys
import time

import net_report
from net_peers import A, C, TCP_PORT, UDP_PORT, Dnet, Lab, LeftOut, Raw, die, pause, peers_wanted

WIRE_FRAME = 1514  # bytes: 1500 and the Ethernet header


def cpu_seconds(pids):
    total = 0
    for pid in pids:
        try:
            with open("/proc/%d/stat" % pid, encoding="utf-8") as f:
                fields = f.read().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        except OSError:
            pass
    return total / os.sysconf("SC_CLK_TCK")


def resident_mb(pids):
    """Of one end: the mean of both, as a user sees it at his machine."""
    total = 0
    for pid in pids:
        try:
            with open("/proc/%d/status" % pid, encoding="utf-8") as f:
                total += int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))
        except (OSError, AttributeError):
            pass
    return total / 1024 / 2


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))] if values else None


def iperf(lab, peer, seconds, *options):
    """Gbit/s received, and CPU seconds of the tunnel's processes per gigabyte."""
    before = cpu_seconds(peer.pids())
    text = lab.a.run("iperf3", "-c", peer.address, "-p", TCP_PORT, "-t", seconds, "-O", "1", "-J", *options,
                     check=False, timeout=seconds * 3 + 30)
    used = cpu_seconds(peer.pids()) - before
    try:
        got = json.loads(text)["end"]["sum_received"]
    except (ValueError, KeyError):
        return None, None
    # the second that is left out of the rate is not left out of the CPU time
    moved = got["bits_per_second"] / 8e9 * (seconds + 1)
    return got["bits_per_second"] / 1e9, used / moved if peer.pids() and moved else None


class Bench:
    """What is measured, and for how long: each method one row of GROUPS."""

    def __init__(self, lab, args):
        self.lab, self.seconds, self.handshake = lab, args.seconds, args.handshake

    def tcp(self, peer, *options):
        return iperf(self.lab, peer, self.seconds, *options)

    def round_trips(self, peer, count, interval):
        """In microseconds, by ping."""
        text = self.lab.a.run("ping", "-n", "-i", interval, "-c", count, "-W", "1", peer.address, check=False,
                              timeout=count * interval + 30)
        times = [float(t) * 1000 for t in re.findall(r"time=([0-9.]+) ms", text)][count // 20:]
        return percentile(times, 0.5), percentile(times, 0.99)

    def packets(self, peer, size):
        text = self.lab.a.run(self.lab.load, "find", peer.address, UDP_PORT, size, check=False, timeout=300).strip()
        return float(text) / 1000 if text.isdigit() else None

    def start(self, peer):
        return {"start": peer.restart(self.lab)}

    def tcp1(self, peer):
        rate, cpu = self.tcp(peer)
        return {"tcp1": rate, "cpu": cpu, "memory": resident_mb(peer.pids()) or None}

    def back(self, peer):
        return {"tcp1_back": self.tcp(peer, "-R")[0]}

    def tcp4(self, peer):
        return {"tcp4": self.tcp(peer, "-P", "4")[0], "tcp4_back": self.tcp(peer, "-P", "4", "-R")[0]}

    def udp(self, peer):
        return {"udp1200": self.packets(peer, 1200), "udp64": self.packets(peer, 64)}

    def rtt(self, peer):
        return dict(zip(("rtt50", "rtt99"), self.round_trips(peer, 1000, 0.002)))

    def load(self, peer):
        argv = self.lab.a.argv("iperf3", "-c", peer.address, "-p", TCP_PORT, "-t", self.seconds + 2, "-J")
        with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as load:
            try:
                pause(1)  # slow start
                return dict(zip(("load50", "load99"), self.round_trips(peer, self.seconds * 200, 0.005)))
            finally:
                load.wait()

    def handshakes(self, peer):
        """Of dnetd's engine; the other programs do nothing but handshakes for nobody."""
        if not isinstance(peer, Dnet):
            return {}
        return {"handshakes": float(self.lab.a.run(self.handshake, "1").split()[0])}


def groups(seconds):
    """What --figures may name, in the order it is done, and how long it takes for one peer, in s."""
    return {"start": 0.5, "tcp1": seconds + 1.3, "back": seconds + 1.3, "tcp4": 2 * (seconds + 1.3), "udp": 11,
            "rtt": 2.3, "load": seconds + 2.5, "handshakes": 0}


SETUP_S = 13  # the demo's network, chain node and members
QUICK = "start,tcp1,handshakes"


class Progress:
    """A line for each measure; on a terminal one that changes, with how long it will go on."""

    def __init__(self, total_s):
        self.begin, self.total_s, self.live = time.monotonic(), total_s, sys.stdout.isatty()

    def say(self, text):
        left = max(0, self.total_s - (time.monotonic() - self.begin))
        if self.live:
            print("\r%s; about %d s more\033[K" % (text, left), end="", flush=True)

    def done(self, text):
        print(("\r%s\033[K" if self.live else "%s") % text, flush=True)


def check_wire(lab):
    """What --wire promises: no frame of several packets was on the cable."""
    for side in lab.sides:
        folder = "/sys/class/net/cable0/statistics/"
        sent, frames = (int(n) for n in side.run("cat", folder + "tx_bytes", folder + "tx_packets").split())
        if sent > frames * WIRE_FRAME:
            die("frames of %d bytes on the cable of %s, in the mean" % (sent / frames, side.name))


def bring_up(lab, peers, left_out, progress):
    """Those that connect; why the others do not goes into left_out."""
    connected = []
    for side in lab.sides:
        lab.start(side, "iperf", "iperf3", "-s", "-p", TCP_PORT)
        lab.start(side, "udpload", lab.load, "receive", UDP_PORT)
    for peer in peers:
        progress.say("%s comes up" % peer.name)
        try:
            peer.up(lab)
            connected.append(peer)
        except LeftOut as reason:
            left_out[peer.name] = str(reason)
            progress.done("left out: %s: %s" % (peer.name, reason))
    return connected


def measure(bench, peers, args, results, left_out, progress):
    """The rounds, into results, which has whole groups also when it is broken off."""
    for n in range(args.rounds):
        for peer in [p for p in peers if p.name not in left_out]:
            found = {}
            results.setdefault(peer.name, []).append(found)
            try:
                for group in args.figures:
                    progress.say("round %d of %d: %s, %s" % (n + 1, args.rounds, peer.name, group))
                    found.update(getattr(bench, group)(peer))
            except LeftOut as reason:
                left_out[peer.name] = str(reason)
            progress.done("round %d of %d  %-13s %s" % (n + 1, args.rounds, peer.name, "  ".join(
                "%s %s" % (k, net_report.show(v)) for k, v in found.items() if v is not None)))


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        model = re.search(r"model name\s*: (.*)", f.read())
    return {"cpu": model.group(1) if model else platform.machine(), "cores": os.cpu_count(),
            "kernel": platform.release()}


def arguments():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--plan", action="store_true", help="say what would be measured and how long that takes; end")
    p.add_argument("--table", nargs="+", metavar="FILE", help="the table of several runs' --json; end")
    p.add_argument("--here")
    p.add_argument("--udpload")
    p.add_argument("--handshake")
    p.add_argument("--cable", nargs=2)
    p.add_argument("--dnet-address")
    p.add_argument("--dnet-pids", default="0,0")
    p.add_argument("--peers", default="wireguard-go,tinc")
    p.add_argument("--peer-binary", action="append", default=[])
    p.add_argument("--figures")
    p.add_argument("--rounds", type=int)
    p.add_argument("--seconds", type=int)
    p.add_argument("--quick", action="store_true")
    p.add_argument("--pin", action="store_true")
    p.add_argument("--wire", action="store_true")
    p.add_argument("--json")
    args = p.parse_args()
    args.rounds = args.rounds or (2 if args.quick else 3)
    args.seconds = args.seconds or (2 if args.quick else 4)
    known = groups(args.seconds)
    wanted = (args.figures or (QUICK if args.quick else ",".join(known))).split(",")
    for name in wanted:
        if name not in known:
            die("no figures '%s': of %s" % (name, ", ".join(known)))
    args.figures = [name for name in known if name in wanted]
    return args


def write_json(args, result):
    if args.json:
        result["machine"] = machine()
        result["options"] = {k: getattr(args, k) for k in ("rounds", "seconds", "figures", "pin", "wire")}
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump(result, f, indent=1)
            f.write("\n")


def interrupt(*_):
    raise KeyboardInterrupt


def main():
    args = arguments()
    if args.table:
        result = net_report.merge(args.table)
        net_report.report(result)
        return
    given = dict(zip((A, C), (int(n) for n in args.dnet_pids.split(","))))
    left_out, peers = {}, [Raw("raw"), Dnet("dnet", args.dnet_address, given)]
    for peer in peers_wanted(args.peers, args.peer_binary):
        if peer.missing():
            left_out[peer.name] = peer.missing()
        else:
            peers.append(peer)
    total_s = len(peers) * (1 + args.rounds * sum(groups(args.seconds)[name] for name in args.figures))
    if args.plan:
        for name, reason in left_out.items():
            print("left out: %s: %s" % (name, reason))
        print("%d rounds of %d s each: %s; about %d s" %
              (args.rounds, args.seconds, ", ".join(peer.name for peer in peers), SETUP_S + total_s))
        return
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    lab = Lab(args.here, args.udpload, args.cable, args.pin)
    progress, results, broken_off = Progress(total_s), {}, False
    try:
        measure(Bench(lab, args), bring_up(lab, peers, left_out, progress), args, results, left_out, progress)
        if args.wire:
            check_wire(lab)
    except KeyboardInterrupt:
        broken_off = True
        progress.done("broken off")
    finally:
        lab.stop()
    result = net_report.summary(results, left_out)
    net_report.report(result)
    write_json(args, result)
    sys.exit(130 if broken_off else 0)


if __name__ == "__main__":
    main()
