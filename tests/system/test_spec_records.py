"""doc/records.md stands alone: a reader written from it (spec_records) agrees with the vectors, and with chainwatch on a
chain that has records of every type, right and wrong, in every carrier."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pytest  # noqa: E402

import spec_records as spec  # noqa: E402
import testlib as lib  # noqa: E402

SOURCE = os.environ.get("top_srcdir", os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
NOTHING = ("RECORD_VERSION", "RECORD_PAYLOAD_LENGTH", "RECORD_NO_MAGIC")


def vectors(name):
    with open(os.path.join(SOURCE, "tests/vectors", name), encoding="ascii") as f:
        return [line.split() for line in f if line.strip() and not line.startswith("#")]


def groups(name, heads):
    """Lines that begin with one of heads, each with the lines under it."""
    found = []
    for words in vectors(name):
        if words[0] in heads:
            found.append((words, []))
        else:
            found[-1][1].append(words)
    return found


def text(record):
    """A record as the vectors write it."""
    def word(value):
        return "none" if value is None else "%02x" % value if isinstance(value, bytes) else str(value)
    f = dict(record.fields)
    if "flags" in f:
        f["flags"] = "%02x" % f["flags"]
    bare = [f.pop(n) for n in ("kind", "id", "transport", "host", "port", "dnet") if n in f]
    return [record.name] + [str(b) for b in bare] + ["%s=%s" % (n, word(v)) for n, v in f.items()]


def test_payloads_are_decoded_as_the_vectors_say():
    count = 0
    for words, lines in groups("records.txt", ("payload", "tx")):
        if words[0] != "payload":
            continue
        data = bytes.fromhex(words[1])
        if lines[0][-1] == "RECORD_NO_MAGIC":
            assert not data.startswith(spec.MAGIC)
            continue
        records = spec.payload(data)
        assert len(records) == len(lines), words
        for record, line in zip(records, lines):
            assert record.pos == int(line[1])
            if line[0] == "record":
                assert record.reason is None, (words, record.reason)
                assert text(record) == line[2:], words
            elif line[2] in NOTHING or (line[2] == "RECORD_TRUNCATED" and len(data) == 3):
                assert record.reason == "says nothing", words
            elif line[2] == "RECORD_UNKNOWN_TYPE":
                assert record.reason == "unknown type", words
            else:
                assert record.reason and record.reason.startswith("malformed"), (words, record.reason)
        count += 1
    assert count > 80


def test_carriers_are_found_as_the_vectors_say():
    forms = set()
    for words, lines in groups("records.txt", ("payload", "tx")):
        if words[0] != "tx":
            continue
        tx = spec.Transaction(spec.Bytes(bytes.fromhex(words[1])))
        found = spec.carrier([script for _, script in tx.outputs], int(words[2], 16))
        if lines[0][1] == "none":
            assert found is None, words
            continue
        assert found, words
        assert len(found.payloads) == len(lines), words
        for (vout, data), line in zip(found.payloads, lines):
            seal = "none" if found.seal is None else str(found.seal)
            assert [found.form, str(vout), seal, data[:81].hex()] == line[1:5], words
            assert line[5:] == ([found.dnet.hex()] if found.dnet is not None else []), words
        forms.add(found.form)
    assert forms == {"a", "b", "node"}


def test_blocks_are_read_as_the_vectors_say():
    count = 0
    for words, lines in groups("blocks.txt", ("block", "tx")):
        ids = [line[1] for line in lines if line[0] == "txid"] or [words[2]]
        if words[0] == "block":
            found = spec.transactions(bytes.fromhex(words[3]))
        else:
            found = [spec.Transaction(spec.Bytes(bytes.fromhex(words[1])))]
        assert [tx.txid[::-1].hex() for tx in found] == ids, words[:3]
        count += len(ids)
    assert count >= 10


def test_ids_and_addresses_are_as_the_vectors_say():
    kinds = {text: number for number, text in spec.KINDS.items()}
    ids = {}
    for words in vectors("ids.txt"):
        if words[0] == "id":
            raw = spec.object_id(kinds[words[3].split("1")[0]], (bytes.fromhex(words[1])[::-1], int(words[2])))
            assert spec.bech32m(words[3].split("1")[0], raw) == words[3]
            ids[words[3]] = raw
        else:
            dnet = ids[words[1]]
            assert words[3] == "%s/64" % spec.ipaddress.ip_address(spec.prefix_of(dnet) + bytes(8))
            assert words[4] == str(spec.address_of(dnet, bytes.fromhex(words[2])))
    assert len(ids) >= 10


class Life:
    """The owners of a dnet, an OVC and an OVR, who write everything that the document knows."""

    def __init__(self, node):
        self.node = node
        self.dnet, self.ovc, self.ovr = lib.Owner(node), lib.Owner(node), lib.Owner(node)

    def write(self, owner, *records, raw=None, **options):
        """Mined as it is, whatever the mempool would say."""
        data, vout = owner.build(raw or lib.payload(*records), **options)
        self.node.generateblock(self.node.getnewaddress(), [data])
        owner.took(self.node.decoderawtransaction(data)["txid"], vout, options)

    def id_of(self, kind, owner):
        tx = spec.Transaction(spec.Bytes(bytes.fromhex(self.node.getrawtransaction(owner.seal[0]))))
        return spec.object_id(kind, tx.inputs[0])

    def create(self):
        self.write(self.dnet, lib.dnet_create("spec"), lib.node_put(1))
        self.write(self.ovc, lib.ovc_create("meet"))
        self.write(self.ovr, lib.record(lib.OVR_CREATE, lib.node_key(1001) + b"\0relay"))
        return [self.id_of(k, o) for k, o in ((1, self.dnet), (2, self.ovc), (3, self.ovr))]

    def use(self, dnet, ovc, ovr):
        body = lib.node_key(2) + b"\xc3\x0a\x09\0\2\xfd" + bytes(14) + b"\7b"
        self.write(self.dnet, lib.record(lib.NODE_PUT, body))
        self.write(self.dnet, lib.node_put(1, "a", "10.9.0.1"))
        self.write(self.dnet, lib.node_put(3))
        self.write(self.dnet, lib.link(ovc, 2, 1, 2), lib.link(ovr, 3, 3, 4))
        self.write(self.dnet, lib.record(lib.ROSTER, b"\5\0\0\0" + bytes(32)))
        self.write(self.dnet, lib.record(lib.TRANSFER, bytes(range(32))))
        for owner in (self.ovc, self.ovr):
            self.write(owner, lib.endpoint_put("192.0.2.1", 7000), lib.grant(dnet, 5000, 2, 3))
            self.write(owner, lib.record(lib.ENDPOINT_PUT, b"\3\xbb\1hmeet.example.org"), lib.record(lib.TRANSFER))

    def misuse(self, dnet, ovc, ovr):
        """Everything that is refused, or kept and ignored."""
        stranger = lib.Owner(self.node)
        self.write(stranger, lib.node_put(66, "mallory"))
        self.write(stranger, lib.node_put(67), lib.dnet_create("late"), vin=[])
        self.write(self.dnet, lib.dnet_create("again"), lib.node_del(99))
        self.write(self.dnet, lib.grant(dnet), lib.record(lib.UNLINK, b"\2" + bytes(20)))
        self.write(self.dnet, lib.dnet_create("long"), lib.node_put(5, "too-long"))
        self.write(self.dnet, lib.record(lib.ROSTER, b"\5\0\0\0" + bytes(32)), lib.record(0x7F, b"?"))
        self.write(self.dnet, lib.record(lib.NODE_PUT, b"short"), b"\x10\x40cut")
        self.write(self.dnet, raw=lib.payload(lib.node_del(1), version=2))
        self.write(self.ovc, lib.record(lib.TRANSFER, bytes(32)), lib.node_del(1))

    def end(self, dnet, ovc, ovr):
        self.write(self.dnet, lib.node_del(1), lib.record(lib.UNLINK, b"\2" + ovc))
        self.write(self.ovc, lib.revoke(dnet), lib.record(lib.ENDPOINT_DEL, b"\1\x58\x1b\4\xc0\0\2\1"))
        self.write(self.ovc, lib.grant(bytes(range(20))))
        self.write(self.ovr, lib.record(lib.CLOSE), lib.grant(dnet, 1))
        gone = lib.Owner(self.node)
        self.write(gone, lib.dnet_create("gone"))
        raw = lib.raw_tx([gone.seal], [(0, lib.op_return(lib.payload(lib.node_put(9))))])  # and nothing to spend next
        signed = self.node.signrawtransactionwithwallet(raw)
        self.node.generateblock(self.node.getnewaddress(), [signed["hex"]])
        other = lib.Owner(self.node)  # the wallet cannot sign for a seal of (b), so it is the last one
        self.write(other, lib.dnet_create("prefix"))
        self.write(other, lib.node_put(4, "pre"), carrier="b")
        prefixed = lib.Owner(self.node)
        self.write(prefixed, lib.dnet_create("ten", ("10.9.0.0", 24)))
        spent = lib.Owner(self.node)
        self.write(spent, lib.dnet_create("spent"))
        self.write(spent, raw=b"no magic")


@pytest.fixture(scope="module")
def both():
    """The same blocks read by both: what chainwatch wrote, what the document says."""
    lib.need_litecoind()
    with lib.Folder() as folder:
        node = lib.Litecoind(os.path.join(folder, "node"))
        watch = lib.Chainwatch(folder, node)
        try:
            node.start()
            node.wallet()
            life = Life(node)
            ids = life.create()
            life.use(*ids)
            life.misuse(*ids)
            life.end(*ids)
            watch.start()
            watch.wait_tip()
            registry = spec.Registry()
            for height in range(node.getblockcount() + 1):
                registry.block(height, bytes.fromhex(node.getblock(node.getblockhash(height), 0)))
            yield watch, registry
        finally:
            watch.stop()
            node.stop()


def test_every_record_of_a_chain_is_found_and_judged_alike(both):
    watch, registry = both
    rows = watch.query("SELECT height, tx_index, vout, pos, raw, object, refused FROM record_log ORDER BY n")
    ours = [(*c.place, c.record.raw[:81], c.object.text if c.object else None, bool(c.refused)) for c in registry.claims]
    # A row without bytes says that a seal ended: spent without a record, or with nothing to spend next.
    assert [(*row[:6], row[6] is not None) for row in rows if row[4]] == ours
    assert len([row for row in rows if not row[4]]) == 2
    types = {c.record.type for c in registry.claims if not c.refused}
    assert types == set(spec.TYPES), "not on the chain: %s" % (set(spec.TYPES) - types)


def test_objects_and_seals_are_the_same(both):
    watch, registry = both
    rows = watch.query("SELECT o.id, o.kind, o.name, o.to_height IS NOT NULL, s.txid, s.vout, s.sequence FROM object o"
                       " LEFT JOIN seal s ON s.object = o.id AND s.to_height IS NULL ORDER BY o.id")
    ours = []
    for one in registry.objects.values():
        seal = (one.seal[0][::-1].hex(), one.seal[1], one.sequence) if not one.closed else (None, None, None)
        ours.append((one.text, spec.KINDS[one.kind], one.fields["name"], one.closed) + seal)
    assert rows == sorted(ours)
    assert [row[2] for row in sorted(rows, key=lambda r: r[2])] == [
        "gone", "meet", "prefix", "relay", "spec", "spent", "ten"]


def test_what_stands_is_the_same(both):
    watch, registry = both
    for table in ("node", "link", "roster", "endpoint", "grant_"):
        what = table.rstrip("_")
        rows = watch.query("SELECT object, record FROM %s WHERE to_height IS NULL ORDER BY 1, 2" % table)
        ours = sorted((o.text, r.raw) for o in registry.objects.values() for key, r in o.parts.items()
                      if key[0] == what and not o.closed)
        assert rows == ours, table
        assert ours, table
    assert watch.query("SELECT admin_key FROM dnet_in_force WHERE name = 'spec'") == [(bytes(range(32)).hex(),)]


if __name__ == "__main__":
    sys.exit(pytest.main([os.path.abspath(__file__), "-q", "-p", "no:cacheprovider"] + sys.argv[1:]))
