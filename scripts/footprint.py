"""CPU and memory of idle nodes, and the time from a fresh node's start to its first completed workflow."""
from __future__ import annotations

import argparse
import asyncio
import os
import pathlib
import subprocess
import sys
import time

from temporalio import workflow
from temporalio.client import Client
from temporalio.worker import Worker

from everstep_cluster import Cluster

SETTLE = 10.0  # seconds after the start until a cluster counts as idle
CPU_MAX = 5.0  # percent of one core, all nodes together
MEMORY_MAX = 60.0  # megabytes, each node
FIRST_MAX = 0.5  # seconds


@workflow.defn(sandboxed=False)
class Nothing:
    @workflow.run
    async def run(self) -> str:
        return "done"


def cpu_seconds(pid: int) -> float:
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_megabytes(pid: int) -> float:
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"process {pid} has no VmRSS")


def at_rest(cluster: Cluster, supervisor: int, seconds: float) -> bool:
    cluster.await_leaders(nodes=3)
    time.sleep(SETTLE)
    names = {node["pid"]: f"node {node['id']}" for node in cluster.alive()} | {supervisor: "supervisor"}
    before = {pid: cpu_seconds(pid) for pid in names}
    time.sleep(seconds)
    good, total = True, 0.0
    for pid, name in names.items():
        percent = (cpu_seconds(pid) - before[pid]) / seconds * 100
        memory = memory_megabytes(pid)
        print(f"{name}: {percent:.1f} % of one core, {memory:.0f} MB")
        if pid != supervisor:
            total += percent
            good &= memory <= MEMORY_MAX
    print(f"three nodes at rest: {total:.1f} % of one core together")
    return good and total <= CPU_MAX


async def first_workflow(everstep: str, port: int) -> bool:
    """From the process start to the result at the client; the worker is the official SDK, its own start included."""
    began = time.monotonic()
    command = [everstep, "server", "start-dev", "--headless", "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            try:
                client = await Client.connect(f"127.0.0.1:{port}")
                break
            except RuntimeError:
                await asyncio.sleep(0.01)
        async with Worker(client, task_queue="first", workflows=[Nothing]):
            await client.execute_workflow(Nothing.run, id="first", task_queue="first")
            seconds = time.monotonic() - began
    finally:
        server.terminate()
        server.wait()
    print(f"start of a fresh node to its first completed workflow: {seconds:.2f} s")
    return seconds <= FIRST_MAX


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--db", required=True)
    parser.add_argument("--everstep", required=True)
    parser.add_argument("--supervisor", required=True, type=int)
    parser.add_argument("--port", required=True, type=int)
    parser.add_argument("--seconds", type=float, default=30)
    args = parser.parse_args()
    rest = at_rest(Cluster(args.db, args.everstep), args.supervisor, args.seconds)
    first = asyncio.run(first_workflow(args.everstep, args.port))
    return 0 if rest and first else 1


if __name__ == "__main__":
    sys.exit(main())
