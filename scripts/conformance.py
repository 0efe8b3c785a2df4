"""Turns a suite's output into results per file, compared with what passes on Temporal.

    conformance.py pytest junit.xml expected.txt results.txt
    conformance.py libtest program expected.txt results.txt      runs it: JOBS tests at a time, those with a word of FILTERS

Ends with 0 if everything that passes on Temporal passed here, as far as it was run.
"""
from __future__ import annotations

import collections
import os
import pathlib
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor

TEST_SECONDS = 40  # of a test that runs in a process of its own; on Temporal none takes half as long


def from_pytest(path: str) -> dict[str, str]:
    results = {}
    for case in ElementTree.parse(path).iter("testcase"):
        file = case.get("file") or case.get("classname").replace(".", "/") + ".py"
        module = file.removesuffix(".py").replace("/", ".")
        inner = case.get("classname").removeprefix(module).strip(".")
        name = "::".join([file, *([inner.replace(".", "::")] if inner else []), case.get("name")])
        if case.find("failure") is not None or case.find("error") is not None:
            results[name] = "FAIL"
        elif case.find("skipped") is not None:
            results.setdefault(name, "skip")
        else:
            results.setdefault(name, "pass")
    return results


def from_program(program: str) -> dict[str, str]:
    """Runs every test of a libtest program in a process of its own, because a test of a missing feature may never end."""
    listed = subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout.splitlines()
    names = [line.removesuffix(": test") for line in listed if line.endswith(": test")]
    filters = os.environ.get("FILTERS", "").split()
    names = [name for name in names if not filters or any(word in name for word in filters)]

    def run(name: str) -> tuple[str, str]:
        try:
            done = subprocess.run([program, "--exact", name], capture_output=True, text=True, timeout=TEST_SECONDS)
        except subprocess.TimeoutExpired:
            print(f"FAIL {name}: not finished after {TEST_SECONDS} s", file=sys.stderr, flush=True)
            return name, "FAIL"
        word = "skip" if "1 ignored" in done.stdout else "pass" if done.returncode == 0 else "FAIL"
        print(f"{word} {name}", *([done.stdout[-3000:]] if word == "FAIL" else []), file=sys.stderr, flush=True)
        return name, word

    with ThreadPoolExecutor(int(os.environ.get("JOBS", "2"))) as pool:
        return dict(pool.map(run, names))


def expected(path: str) -> dict[str, str]:
    lines = pathlib.Path(path).read_text().splitlines()
    pairs = (line.split(" ", 1) for line in lines if line and not line.startswith("#"))
    return {name: word for word, name in pairs}


def file_of(name: str) -> str:
    parts = name.split("::")
    return parts[0] if parts[0].endswith(".py") else "::".join(parts[:2])


def print_files(title: str, results: dict[str, str]) -> None:
    files: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
    for name, word in results.items():
        files[file_of(name)][word] += 1
    print(f"{title:70} passed failed skipped")
    for file, words in sorted(files.items()):
        print(f"{file:70} {words['pass']:6} {words['FAIL']:6} {words['skip']:7}")


def main() -> int:
    kind, output, on_temporal, written = sys.argv[1:]
    ours = from_pytest(output) if kind == "pytest" else from_program(output)
    temporal = expected(on_temporal)
    pathlib.Path(written).write_text("".join(f"{word} {name}\n" for name, word in sorted(ours.items())))
    print_files("file", ours)
    failures = sorted(name for name, word in ours.items() if word == "FAIL")
    ours_only = [name for name in failures if temporal.get(name) == "pass"]
    unknown = [name for name in failures if name not in temporal]
    if ours_only or unknown:
        print("\nfails here, passes on Temporal:")
        for name in ours_only:
            print(f"  {name}")
        for name in unknown:
            print(f"  {name} (not in the list of Temporal's results)")
    count = collections.Counter(ours.values())
    print(f"\n{count['pass']} passed, {count['FAIL']} failed, {count['skip']} skipped", end="; ")
    print(f"{len(failures) - len(ours_only) - len(unknown)} of the failures fail on Temporal too")
    return 1 if ours_only or unknown or not ours else 0


if __name__ == "__main__":
    sys.exit(main())
