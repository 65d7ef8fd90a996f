"""Three members with traffic between them on a real chain, for tests in which something of it goes away.

    a 203.0.113.1 or 192.0.2.1 ── s: router ═══╦══ 198.51.100.2 b    (reaches a directly)
                                               ╠══ 198.51.100.3 c    (reaches nothing but h and g: relayed)
                                               ╠══ 198.51.100.10 h   ovcd, ovrd, DNS
                                               ╚══ 198.51.100.11 g   another ovrd

A ping twenty times a second both ways and a TCP stream run from a to b and from a to c."""

import os
import re
import select
import signal
import socket
import struct
import subprocess
import threading
import time

import live
import test_revoke as revoke
import testlib as lib

DNSMASQ = "/usr/sbin/dnsmasq"
CORE = {"b": "198.51.100.2", "c": "198.51.100.3", "h": "198.51.100.10", "g": "198.51.100.11"}
OVC_NAME = "meet.test"


class Ping:
    """ping as a process; each answer is a line with the time."""

    def __init__(self, folder, namespace, address):
        self.path = os.path.join(folder, "ping-%s-%s" % (namespace.name, address))
        self.process = lib.Process(["ip", "netns", "exec", namespace.name, "ping", "-6", "-n", "-D", "-i", "0.05", address],
                                   self.path)

    def answers(self):
        """(time, sequence) of each answer."""
        with open(self.path) as f:
            return [(float(t), int(n)) for t, n in re.findall(r"^\[([0-9.]+)\].* icmp_seq=(\d+) ttl", f.read(), re.M)]

    def since(self, start):
        return [(t, n) for t, n in self.answers() if t >= start]

    def lost(self, start):
        """How many of those between the first and the last answer since then have none."""
        numbers = [n for _, n in self.since(start)]
        return numbers[-1] - numbers[0] + 1 - len(set(numbers)) if numbers else None


    def pause(self, start):
        """The longest time without an answer."""
        times = [start] + [t for t, _ in self.since(start)] + [time.time()]
        return max(b - a for a, b in zip(times, times[1:]))


class Stream:
    """TCP without end from one member to another; the receiver checks each byte."""

    BLOCK = struct.pack("<1024Q", *range(1024))

    def __init__(self, sender, receiver, address, port):
        self.received, self.error, self.running = 0, None, True
        listener = receiver.socket(socket.AF_INET6, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(1)
        self.out = sender.socket(socket.AF_INET6, socket.SOCK_STREAM)
        self.out.connect((address, port))
        self.into, _ = listener.accept()
        listener.close()
        self.threads = [threading.Thread(target=self.guard, args=(f,), daemon=True) for f in (self.send, self.receive)]
        for thread in self.threads:
            thread.start()

    def guard(self, run):
        try:
            run()
        except OSError as e:
            self.error = self.running and e

    def send(self):
        while self.running:
            self.out.sendall(self.BLOCK)
            select.select([], [], [], 0.02)  # the machine has others to serve, too

    def receive(self):
        while self.running:
            want = len(self.BLOCK) - self.received % len(self.BLOCK)
            data = self.into.recv(want)
            at = self.received % len(self.BLOCK)
            if not data or data != self.BLOCK[at:at + len(data)]:
                self.error = "ended" if not data else "other bytes than were sent"
                return
            self.received += len(data)

    def stop(self):
        self.running = False
        for s in (self.out, self.into):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in self.threads:
            thread.join()
        self.out.close()
        self.into.close()


class Pair:
    def __init__(self, world, name, port):
        there = world.space[name]
        self.name = name
        addresses = [world.daemon[n].call("id", dnet=world.id)["ipv6"] for n in ("a", name)]
        self.pings = [Ping(world.folder, world.space["a"], addresses[1]), Ping(world.folder, there, addresses[0])]
        lib.wait_for(lambda: all(p.answers() for p in self.pings), "a and %s reach each other" % name, 20)
        self.stream = Stream(world.space["a"], there, addresses[1], port)

    def flows_since(self, start, count=5):
        return all(len(p.since(start)) >= count for p in self.pings)

    def wait_flow(self, since=None, seconds=10):
        """Answers and bytes after that time; returns how long after it the first answers came."""
        since = since or time.time()
        before = self.stream.received
        lib.wait_for(lambda: self.flows_since(since), "%s: answers" % self.name, seconds)
        lib.wait_for(lambda: self.stream.error or self.stream.received > before, "%s: TCP goes on" % self.name, 30)
        assert not self.stream.error, self.stream.error
        return max(p.since(since)[0][0] for p in self.pings) - since

    def lost(self, start):
        return sum(p.lost(start) for p in self.pings)

    def pause(self, start):
        return max(p.pause(start) for p in self.pings)

    def stop(self):
        self.stream.stop()
        for ping in self.pings:
            ping.process.stop(signal.SIGKILL)


class Daemon(live.Restartable):
    """Its resolver is the one of this world; it may run in front of something else (env)."""

    def __init__(self, world, *words):
        super().__init__(world, *words)
        self.argv[4:4] = ["sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec "$@"', world.resolver, *world.front]


class World(revoke.World):
    DAEMON = Daemon
    front = []  # words before each daemon's own

    def __init__(self, folder):
        super().__init__(folder)
        self.space, self.daemon, self.pairs, self.dns = {}, {}, [], None
        self.resolver = os.path.join(folder, "resolv.conf")
        with open(self.resolver, "w") as f:
            f.write("nameserver %s\noptions timeout:1 attempts:1\n" % CORE["h"])

    def start(self):
        super().start()
        self.pairs = [Pair(self, "b", 4711), Pair(self, "c", 4712)]
        self.direct, self.relayed = self.pairs
        lib.wait_for(lambda: self.path("b") == "direct" and self.path("c") == "relay", "one direct, one relayed", 20)

    def networks(self):
        for name in ("s", "a", *CORE):
            self.space[name] = live.Namespace(name)
            self.namespaces.append(self.space[name])
        s = self.space["s"]
        s.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        s.run("ip", "link", "add", "br0", "type", "bridge")
        s.run("ip", "addr", "add", "198.51.100.254/24", "dev", "br0")
        s.run("ip", "link", "set", "br0", "up")
        for name, address in CORE.items():
            self.plug(name, "core-" + name)
            s.run("ip", "link", "set", "core-" + name, "master", "br0")
            self.space[name].run("ip", "addr", "add", address + "/24", "dev", "eth0")
            self.space[name].run("ip", "route", "add", "default", "via", "198.51.100.254")
        self.plug("a", "edge")
        self.address_edge()
        self.number_a()
        # Nothing between a and c, as of firewalls.
        s.run("nft", "add table inet f; add chain inet f forward { type filter hook forward priority 0; };"
              "add rule inet f forward iifname edge ip daddr %s drop; add rule inet f forward oifname edge ip saddr %s drop" %
              (CORE["c"], CORE["c"]))
        self.start_dns()

    def plug(self, name, port):
        live.run("ip", "link", "add", "eth0", "netns", self.space[name].name, "type", "veth", "peer", "name", port,
                 "netns", self.space["s"].name)
        self.space[name].run("sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=1")
        self.space[name].run("ip", "link", "set", "eth0", "up")
        self.space["s"].run("ip", "link", "set", port, "up")

    def address_edge(self):
        for address in ("203.0.113.254/24", "192.0.2.254/24"):
            self.space["s"].run("ip", "addr", "add", address, "dev", "edge")

    def number_a(self, network="203.0.113"):
        self.space["a"].run("ip", "addr", "add", network + ".1/24", "dev", "eth0")
        self.space["a"].run("ip", "route", "add", "default", "via", network + ".254")

    def start_dns(self):
        self.dns = lib.Process(["ip", "netns", "exec", self.space["h"].name, DNSMASQ, "--keep-in-foreground", "--no-resolv",
                                "--no-hosts", "--conf-file=/dev/null", "--pid-file=", "--user=root", "--log-facility=-",
                                "--listen-address=" + CORE["h"], "--bind-interfaces",
                                "--address=/%s/%s" % (OVC_NAME, CORE["h"])], os.path.join(self.folder, "dns.log"))

    def stop_dns(self):
        if self.dns:
            self.dns.stop(signal.SIGKILL)
            self.dns = None

    def owners(self):
        self.owner, ovc, *ovrs = (lib.Owner(self.node) for _ in range(4))
        self.owner.send(lib.dnet_create("office", ("10.77.0.0", 24)))
        named = lib.record(lib.ENDPOINT_PUT, b"\x01" + struct.pack("<H", 4242) + b"\x68" + OVC_NAME.encode())
        ovc.send(lib.record(lib.OVC_CREATE, self.service_key("h", "ovcd") + b"\0meet"), named)
        for owner, name in zip(ovrs, "hg"):
            owner.send(lib.record(lib.OVR_CREATE, self.service_key(name, "ovrd") + b"\0relay-" + name.encode()),
                       lib.endpoint_put(CORE[name], 4343))
        self.mine()
        ids = {name: self.watch.query("SELECT id FROM object WHERE name = ?", name)[0][0]
               for name in ("office", "meet", "relay-h", "relay-g")}
        self.id = ids["office"]
        for owner in (ovc, *ovrs):
            owner.send(lib.grant(lib.bech32m_data(self.id)))
        self.owner.send(lib.link(lib.bech32m_data(ids["meet"])))
        for name in ("relay-h", "relay-g"):
            self.owner.send(lib.link(lib.bech32m_data(ids[name]), kind=3))
        self.mine()
        self.daemon["meet"] = self.add(self.space["h"], "ovcd", "--id", ids["meet"], "--port", "4242")
        for name in "hg":
            self.daemon["relay-" + name] = self.add(self.space[name], "ovrd", "--id", ids["relay-" + name], "--port", "4343")

    def service_key(self, name, program):
        text = live.run(lib.program(program), "-c", "/dev/null", "--state", os.path.join(self.folder, "%s-%s" % (name, program)),
                        "--show-key")
        return bytes.fromhex(text.strip())

    def members(self):
        for name in "abc":
            self.daemon[name] = self.add(self.space[name], "dnetd")
            key = bytes.fromhex(self.daemon[name].call("id", dnet=self.id)["key"])
            self.owner.send(self.put(key, name.encode()))
        self.mine()
        for name in "abc":
            self.daemon[name].call("join", id=self.id)
        lib.wait_for(lambda: all(self.helper(n, "meet")["state"] == "registered" for n in "abc"), "all are registered", 20)

    def stop(self):
        for pair in self.pairs:
            pair.stop()
        self.stop_dns()
        super().stop()

    # ---- Facts of a ----

    def path(self, name):
        return self.peer(self.daemon["a"], name)["path"]

    def relays(self):
        """The names of the relays that a and c use; each chooses by itself."""
        used = {self.peer(self.daemon[n], m)["relay"] for n, m in ("ac", "ca")}
        return {h["name"] for h in self.daemon["a"].call("status")["dnets"][0]["helpers"] if h["id"] in used}

    def helper(self, member, name):
        helpers = self.daemon[member].call("status")["dnets"][0]["helpers"]
        return next((h for h in helpers if h["name"] == name), {"state": None, "error": None})

    def said(self):
        """What `dnet status` of a has to say, for people."""
        tool = subprocess.run([lib.program("dnet"), "-c", "/dev/null", "--dnetd", self.daemon["a"].socket, "status"],
                              capture_output=True, text=True, timeout=20)
        assert tool.returncode == 0, tool.stderr
        return tool.stdout

    def wait_said(self, pattern, seconds=20):
        try:
            lib.wait_for(lambda: re.search(pattern, self.said()), "status says " + pattern, seconds, 0.1)
        except AssertionError as e:
            raise AssertionError("%s: %s" % (e, self.said()))

    def wait_well(self):
        """Nothing is away any more, and all flows."""
        def well():
            status = self.daemon["a"].call("status")
            return (status["state"] == "ok" and not status["chain"]["error"] and self.path("b") == "direct" and
                    self.path("c") == "relay" and
                    all(h["state"] in ("registered", "connected") and
                        not h["error"] and h["reason"] != "it has stopped answering" for h in status["dnets"][0]["helpers"]))
        try:
            lib.wait_for(well, "all is well", 30, 0.1)
        except AssertionError as e:
            raise AssertionError("%s: %s\n%s" % (e, self.said(), self.daemon["a"].call("peers")))
        for pair in self.pairs:
            pair.wait_flow()
