#!/usr/bin/env python3
"""Prints, as a table, how much of its sources each fuzz target reaches with the committed corpus.

usage: coverage.py BUILD    BUILD is configured with clang, -fprofile-instr-generate and -fcoverage-mapping,
                            and has the targets of tests/fuzz/covers.txt

Functions that no target enters go to BUILD/not-reached.txt. Ends with 1 when a target is in the folder and not in
the list, or has not run."""

import glob
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))


def read_covers():
    covers = {}
    with open(os.path.join(HERE, "covers.txt"), encoding="ascii") as lines:
        for line in lines:
            if not line.startswith("#"):
                name, *sources = line.split()
                covers[name] = sources
    return covers


def run(build, name):
    """Runs the target over its corpus; the profile."""
    program = os.path.join(build, "tests/fuzz/fuzz_" + name)
    raw, profile = (os.path.join(build, f"{name}.{end}") for end in ("profraw", "profdata"))
    subprocess.run([program], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                   env={**os.environ, "LLVM_PROFILE_FILE": raw, "top_srcdir": TOP})
    subprocess.run(["llvm-profdata", "merge", "-sparse", raw, "-o", profile], check=True)
    os.unlink(raw)
    return profile


def export(build, names, profile, *options):
    programs = [os.path.join(build, "tests/fuzz/fuzz_" + name) for name in names]
    objects = [word for program in programs[1:] for word in ("-object", program)]
    text = subprocess.run(["llvm-cov", "export", *options, "-instr-profile", profile, programs[0], *objects],
                          check=True, capture_output=True).stdout
    return json.loads(text)["data"][0]


def summaries(data):
    """Source below the top of the tree: its summary."""
    return {os.path.relpath(f["filename"], TOP): f["summary"] for f in data["files"]}


def share(part):
    return f"{100 * part['covered'] // part['count']} %" if part["count"] else "-"


def functions_not_reached(data):
    """A function may be in several programs: it is not reached when none of them enters it."""
    counts = {}
    for function in data["functions"]:
        source = os.path.relpath(function["filenames"][0], TOP)
        name = function["name"].rsplit(":", 1)[-1]
        counts[source, name] = counts.get((source, name), 0) + function["count"]
    return sorted(key for key, count in counts.items() if count == 0)


def main():
    build = os.path.abspath(sys.argv[1])
    covers = read_covers()
    there = {os.path.basename(path)[len("fuzz_"):-len(".c")] for path in glob.glob(os.path.join(HERE, "fuzz_*.c"))}
    if there != set(covers):
        sys.exit(f"tests/fuzz/covers.txt and the targets differ: {' '.join(sorted(there ^ set(covers)))}")
    profiles = {name: run(build, name) for name in covers}
    together = os.path.join(build, "together.profdata")
    subprocess.run(["llvm-profdata", "merge", "-sparse", *profiles.values(), "-o", together], check=True)
    everything = export(build, covers, together)
    by_all = summaries(everything)
    print("| target | source | lines | lines, functions by all targets |\n|---|---|---|---|")
    for name, sources in covers.items():
        own = summaries(export(build, [name], profiles[name], "-summary-only"))
        for source in sources:
            lines, functions = by_all[source]["lines"], by_all[source]["functions"]
            print(f"| `fuzz_{name}` | `{source}` | {share(own[source]['lines'])} of {own[source]['lines']['count']} "
                  f"| {share(lines)}, {functions['covered']} of {functions['count']} |")
    wanted = {source for sources in covers.values() for source in sources}
    with open(os.path.join(build, "not-reached.txt"), "w", encoding="ascii") as out:
        for source, name in functions_not_reached(everything):
            if source in wanted:
                out.write(f"{source} {name}\n")


main()
