#!/usr/bin/env python3
"""What the scripts know about a cluster that `everstep dev --nodes 3` runs: its nodes, its leaders, how to kill one.

    everstep_cluster.py wait --address 127.0.0.1:7233 [--pid PID]      until it serves
    everstep_cluster.py leaders --db DIR --everstep PROGRAM            shards and their leaders, one line
    everstep_cluster.py kill-leader --db DIR --everstep PROGRAM        kill -9 of the node that leads most shards
"""
from __future__ import annotations

import argparse
import collections
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time


class Cluster:
    """A running `everstep dev --nodes N --db DIR`, seen through DIR/dev.json and `everstep cluster status`."""

    def __init__(self, db: str, everstep: str):
        self.db, self.everstep = pathlib.Path(db), everstep

    def dev(self) -> dict:
        return json.loads((self.db / "dev.json").read_text())

    def pid(self, node: int) -> int:
        return next(n["pid"] for n in self.dev()["nodes"] if n["id"] == node)

    def alive(self) -> list[dict]:
        return [n for n in self.dev()["nodes"] if process_alive(n["pid"])]

    def status(self) -> dict:
        """The first answer that a living node gives to `cluster status`."""
        error = "no node is alive"
        for node in self.alive():
            command = [self.everstep, "cluster", "status", "--json", "--address", node["peer"]]
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=10)
            except subprocess.TimeoutExpired:
                error = f"no answer from {node['peer']} in 10 s"
                continue
            if done.returncode == 0:
                return json.loads(done.stdout)
            error = done.stderr.strip() or f"{' '.join(command)} ended with {done.returncode}"
        raise RuntimeError(error)

    def leaders(self) -> dict[int, int]:
        """Shard -> the living node that leads it; shards without a leader are missing."""
        alive = {n["id"] for n in self.alive()}
        return {s["id"]: s["leader"] for s in self.status()["shards"] if s.get("leader") in alive}

    def await_leaders(self, seconds: float = 30, nodes: int | None = None) -> dict[int, int]:
        """Waits until every shard has a leader (and, with `nodes`, until so many nodes are alive)."""
        end, seen, error = time.monotonic() + seconds, {}, ""
        while time.monotonic() < end:
            try:
                seen = self.leaders()
                complete = len(seen) == len(self.status()["shards"])
                if complete and (nodes is None or len(self.alive()) >= nodes):
                    return seen
            except (RuntimeError, json.JSONDecodeError) as e:
                error = str(e)
            time.sleep(0.2)
        raise RuntimeError(f"not every shard had a leader after {seconds} s: {seen} {error}")

    def busiest(self) -> tuple[int, int, int]:
        """A node that leads most shards, how many those are, and how many shards there are."""
        leaders = self.leaders()
        if not leaders:
            raise RuntimeError("no shard has a leader")
        leads = collections.Counter(leaders.values())
        led = max(leads.values())
        return random.choice([node for node in sorted(leads) if leads[node] == led]), led, len(leaders)

    def signal(self, node: int, what: signal.Signals) -> int:
        pid = self.pid(node)
        os.kill(pid, what)
        return pid


def process_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def serving(address: str) -> bool:
    import grpc

    with grpc.insecure_channel(address) as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        try:
            return check(b"", timeout=1) == b"\x08\x01"  # HealthCheckResponse{status: SERVING}
        except grpc.RpcError:
            return False


def await_serving(address: str, pid: int | None, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if serving(address):
            return True
        if pid is not None and not process_alive(pid):
            return False
        time.sleep(0.05)
    return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    wait = verbs.add_parser("wait")
    wait.add_argument("--address", required=True)
    wait.add_argument("--pid", type=int)
    wait.add_argument("--seconds", type=float, default=30)
    for verb in ("leaders", "kill-leader"):
        sub = verbs.add_parser(verb)
        sub.add_argument("--db", required=True)
        sub.add_argument("--everstep", required=True)
    args = parser.parse_args()
    if args.verb == "wait":
        return 0 if await_serving(args.address, args.pid, args.seconds) else 1
    cluster = Cluster(args.db, args.everstep)
    if args.verb == "leaders":
        print(", ".join(f"shard {shard}: node {node}" for shard, node in sorted(cluster.await_leaders().items())))
        return 0
    try:
        node, led, shards = cluster.busiest()
    except RuntimeError as error:
        print(f"no kill: {error}")
        return 0
    pid = cluster.signal(node, signal.SIGKILL)
    print(f"{time.time():.1f} {time.strftime('%H:%M:%S')} kill -9 of node {node} (process {pid}), which leads {led} of {shards} shards")
    return 0


if __name__ == "__main__":
    sys.exit(main())
