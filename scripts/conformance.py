"""What becomes of an SDK suite's results: one line a test, a table for each file, and every failure with its cause.

    conformance.py pytest JUNIT_XML[,…] RESULTS         turns pytest's output into lines `pass|FAIL|skip NAME`
    conformance.py libtest PROGRAM RESULTS [NAME…]      runs a libtest program's tests: JOBS at a time, with a word of FILTERS
    conformance.py unexpected RESULTS CAUSES            the names of failures without a cause, to be run once more, alone
    conformance.py again RESULTS SECOND                 what passed the second time becomes `late`
    conformance.py close ADDRESS                        terminates what failed tests left open: their ids may be taken again
    conformance.py report RESULTS TEMPORAL CAUSES [KILLS REASONS]
        prints it all; 0 if every failure has its cause and every cause its failure. Without kills, a test that passed late
        needs a quiet machine. With the log of KILLS, its first failure has to have met one, and to have one of the REASONS
        (conformance_kills.py).

EVERSTEP_FAILURES: a directory where what a failing test said is kept.
"""
from __future__ import annotations

import asyncio
import collections
import os
import pathlib
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor

import conformance_kills

TEST_SECONDS = 40  # of a test that runs in a process of its own; on Temporal none takes half as long

Results = dict[str, str]


def from_pytest(paths: list[str]) -> Results:
    results: Results = {}
    for case in (case for path in paths for case in ElementTree.parse(path).iter("testcase")):
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


def from_program(program: str, wanted: list[str]) -> Results:
    """Runs every test of a libtest program in a process of its own, because a test of a missing feature may never end."""
    listed = subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout.splitlines()
    names = [line.removesuffix(": test") for line in listed if line.endswith(": test")]
    filters = os.environ.get("FILTERS", "").split()
    names = [name for name in names if not filters or any(word in name for word in filters)]
    names = [name for name in names if not wanted or name in wanted]

    def run(name: str) -> tuple[str, str]:
        begin = time.time()
        try:
            done = subprocess.run([program, "--exact", name], capture_output=True, text=True, timeout=TEST_SECONDS)
        except subprocess.TimeoutExpired as e:
            out, err = ((text or b"").decode(errors="replace") for text in (e.stdout, e.stderr))
            word, said = "FAIL", f"{out}\n{err}\nnot finished after {TEST_SECONDS} s"
        else:
            said = f"{done.stdout}\n{done.stderr}"
            word = "skip" if "1 ignored" in done.stdout else "pass" if done.returncode == 0 else "FAIL"
        print(f"{word} {name}", *([said[-3000:]] if word == "FAIL" else []), file=sys.stderr, flush=True)
        if word == "FAIL":
            conformance_kills.keep(name, begin, time.time(), said)
        return name, word

    with ThreadPoolExecutor(1 if wanted else int(os.environ.get("JOBS", "2"))) as pool:
        return dict(pool.map(run, names))


def read_results(path: str) -> Results:
    lines = pathlib.Path(path).read_text().splitlines()
    pairs = (line.split(" ", 1) for line in lines if line and not line.startswith("#"))
    # An older run named the tests of a class as if the class were a file.
    return {re.sub(r"/(Test\w+)\.py::", r".py::\1::", name): word for word, name in pairs}


def write_results(path: str, results: Results) -> None:
    pathlib.Path(path).write_text("".join(f"{word} {name}\n" for name, word in sorted(results.items())))


def read_causes(path: str) -> dict[str, str]:
    """Test -> why it fails. An unindented line is a cause; the tests below it, indented, fail for it (`Sometimes:` or always)."""
    causes, cause = {}, ""
    for line in pathlib.Path(path).read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith(" "):
            causes[line.strip()] = cause
        else:
            cause = line.strip()
    return causes


def file_of(name: str) -> str:
    parts = name.split("::")
    return parts[0] if parts[0].endswith(".py") else "::".join(parts[:2])


def print_files(results: Results) -> None:
    files: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
    for name, word in results.items():
        files[file_of(name)]["pass" if word == "late" else word] += 1
    print(f"{'file':75} passed failed skipped")
    for file, words in sorted(files.items()):
        print(f"{file:75} {words['pass']:6} {words['FAIL']:6} {words['skip']:7}")


def print_names(title: str, names: list[str], note=lambda name: "") -> None:
    if names:
        print(f"\n{title}")
        for name in sorted(names):
            print(f"  {name}{note(name)}")


def unexpected(results: Results, causes: dict[str, str]) -> list[str]:
    return sorted(name for name, word in results.items() if word == "FAIL" and name not in causes)


def close_open(address: str) -> None:
    """Terminates every workflow that is open."""
    from temporalio.client import Client
    from temporalio.service import RPCError

    async def run() -> None:
        client = await Client.connect(address)
        async for found in client.list_workflows("ExecutionStatus = 'Running'"):
            try:
                await client.get_workflow_handle(found.id, run_id=found.run_id).terminate("its test has failed")
            except RPCError as error:
                print(f"{found.id}: {error}", file=sys.stderr)

    asyncio.run(run())


def report(results: Results, temporal: Results, causes: dict[str, str], kills: conformance_kills.Kills | None) -> int:
    print_files(results)
    by_cause: dict[str, list[str]] = collections.defaultdict(list)
    for name, word in results.items():
        if word == "FAIL" and name in causes:
            by_cause[causes[name]].append(name)
    for cause, names in by_cause.items():
        print_names(f"fail: {cause}", names)
    on_temporal = {"pass": "; passes on Temporal", "FAIL": "; fails on Temporal too"}
    failed = unexpected(results, causes)
    fails_always = {name for name, cause in causes.items() if not cause.startswith("Sometimes: ")}
    passed = [name for name, word in results.items() if word in ("pass", "late") and name in fails_always]
    late = [name for name, word in results.items() if word == "late"]
    if kills:
        failed += kills.print_explained(late)
    else:
        print_names("passed only when run again, alone", late)
    print_names("UNEXPECTED failures, without a cause", failed, lambda name: on_temporal.get(temporal.get(name), ""))
    print_names("UNEXPECTED passes: their cause is gone", passed)
    count = collections.Counter(results.values())
    print(f"\n{count['pass'] + count['late']} passed, {count['FAIL']} failed, {count['skip']} skipped", end="; ")
    print(f"{len(failed)} failures and {len(passed)} passes are unexpected")
    return 1 if failed or passed or not results else 0


def main() -> int:
    verb, first, *rest = sys.argv[1:]
    if verb == "close":
        close_open(first)
        return 0
    second, *rest = rest
    if verb == "pytest":
        write_results(second, from_pytest(first.split(",")))
    elif verb == "libtest":
        write_results(second, from_program(first, rest))
    elif verb == "unexpected":
        for name in unexpected(read_results(first), read_causes(second)):
            print(name)
    elif verb == "again":
        results, later = read_results(first), read_results(second)
        write_results(first, results | {name: "late" for name, word in later.items() if word == "pass"})
    else:
        kills = conformance_kills.Kills(rest[1], rest[2]) if len(rest) > 1 else None
        return report(read_results(first), read_results(second), read_causes(rest[0]), kills)
    return 0


if __name__ == "__main__":
    sys.exit(main())
