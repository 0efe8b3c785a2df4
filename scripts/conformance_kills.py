"""Why tests fail while nodes are killed: what a failing test said is kept, and matched with the kills and the known reasons.

A reason (tests/conformance/*-kills.txt) is an unindented line; below it, indented, are regular expressions. It explains a
failure if one of them is found in `NAME` and a newline and what the test said, and a kill fell into the test's time (a reason
that begins with `Without a kill too:` does not need that).

    conformance_kills.py NAME BEGIN LOG CODE      keeps what a program that began then and has ended now wrote to LOG
"""
from __future__ import annotations

import collections
import os
import pathlib
import re
import sys
import time

SETTLING = 5.0  # so long after a kill its node is away, or its shards are looking for a leader


def keep(name: str, begin: float, end: float, said: str) -> None:
    """Writes a failure down; the first of a test stays, its later ones are appended."""
    directory = os.environ.get("EVERSTEP_FAILURES")
    if directory:
        with open(pathlib.Path(directory) / (re.sub(r"[^\w.-]+", "_", name)[-200:] + ".txt"), "a") as file:
            file.write(f"=== {begin:.1f} {end:.1f} {name}\n{said}\n")


class Kills:
    def __init__(self, log: str, reasons: str):
        lines = pathlib.Path(log).read_text().splitlines()
        self.times = [float(line.split(" ", 1)[0]) for line in lines if " kill -9 of " in line]
        self.reasons: list[tuple[re.Pattern, str]] = []
        reason = ""
        for line in pathlib.Path(reasons).read_text().splitlines():
            if line.startswith(" "):
                self.reasons.append((re.compile(line.strip()), reason))
            elif line.strip() and not line.startswith("#"):
                reason = line.strip()
        self.failures: dict[str, tuple[float, float, str]] = {}
        for path in sorted(pathlib.Path(os.environ["EVERSTEP_FAILURES"]).glob("*.txt")):
            for begin, end, name, said in re.findall(
                r"^=== ([\d.]+) ([\d.]+) (.*)\n((?:(?!=== \d).*\n)*)", path.read_text(), re.M
            ):
                self.failures.setdefault(name, (float(begin), float(end), said))

    def reason(self, name: str) -> str | None:
        """Why the test failed the first time, if a kill explains it."""
        begin, end, said = self.failures.get(name, (0.0, 0.0, ""))
        met = any(begin - SETTLING < kill < end for kill in self.times)
        found = (reason for pattern, reason in self.reasons if pattern.search(f"{name}\n{said}"))
        return next((reason for reason in found if met or reason.startswith("Without a kill too: ")), None)

    def print_explained(self, late: list[str]) -> list[str]:
        """Prints what failed once, under its reason; returns what has none."""
        by_reason: dict[str, list[str]] = collections.defaultdict(list)
        for name in sorted(late):
            by_reason[self.reason(name) or ""].append(name)
        unexplained = by_reason.pop("", [])
        print(f"\n{len(self.times)} kills; {len(late)} tests passed only when run again")
        for reason, names in by_reason.items():
            print(f"\nfailed once: {reason}")
            for name in names:
                print(f"  {name}")
        return unexplained


if __name__ == "__main__":
    test, began, log, code = sys.argv[1:]
    keep(test, float(began), time.time(), f"{pathlib.Path(log).read_text(errors='replace')}\nended with {code}")
