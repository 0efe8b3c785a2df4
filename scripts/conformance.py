"""Turns a suite's output into results per file, compared with what passes on Temporal.

    conformance.py pytest junit.xml expected.txt results.txt
    conformance.py libtest output.log expected.txt results.txt

Ends with 0 if everything that passes on Temporal passed here, as far as it was run.
"""
from __future__ import annotations

import collections
import pathlib
import re
import sys
import xml.etree.ElementTree as ElementTree


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


def from_libtest(path: str) -> dict[str, str]:
    words = {"ok": "pass", "FAILED": "FAIL", "ignored": "skip"}
    results = {}
    pending = None  # with output between the name and its verdict
    for line in pathlib.Path(path).read_text(errors="replace").splitlines():
        if start := re.match(r"test (\S+)(?: - should panic)? \.\.\. (.*)", line):
            name = start[1]
            if end := re.search(r"\b(ok|FAILED|ignored)\b[^ ]*$|^(ignored)", start[2]):
                results[name] = words[end[1] or end[2]]
                pending = None
            else:
                pending = name
        elif pending and (end := re.match(r"(?:.*\s)?(ok|FAILED)$", line)):
            results[pending] = words[end[1]]
            pending = None
        elif verdict := re.match(r"    (\S+::\S+)$", line):  # the list of failures at the end
            results[verdict[1]] = "FAIL"
    return results


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
    ours = from_pytest(output) if kind == "pytest" else from_libtest(output)
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
