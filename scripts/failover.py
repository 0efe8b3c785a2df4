"""Signals workflows without a pause while nodes are killed, and measures what the client notices (see scripts/failover).

Every writer signals one workflow of its own, one signal after the other, so that each workflow's next acknowledged
signal after a kill is the moment at which its shard takes writes again. The workflows lie on all data shards.
"""
from __future__ import annotations

import argparse
import asyncio
import collections
import json
import signal
import statistics
import sys
import time
import uuid
from dataclasses import dataclass, field

from temporalio.client import Client

from everstep_cluster import Cluster

INTERVAL = 0.05  # seconds between a writer's signals
WATCH = 5.0  # seconds of load after an event


@dataclass
class Writer:
    """Signals one workflow with rising numbers and remembers when each was sent and acknowledged."""

    client: Client
    workflow_id: str
    sent: int = 0
    acknowledged: list[tuple[float, float, int]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    async def run(self, stop: asyncio.Event) -> None:
        handle = self.client.get_workflow_handle(self.workflow_id)
        while not stop.is_set():
            self.sent += 1
            began = time.monotonic()
            try:
                await handle.signal("number", self.sent)
                self.acknowledged.append((began, time.monotonic(), self.sent))
            except Exception as error:
                self.failed.append(f"{self.workflow_id} signal {self.sent}: {type(error).__name__} {error}")
            await asyncio.sleep(INTERVAL)

    def next_after(self, moment: float) -> float:
        """Seconds from a moment to this workflow's next acknowledged signal."""
        return next((ack - moment for _, ack, _ in self.acknowledged if ack > moment), float("inf"))

    def slowest_after(self, moment: float) -> float:
        return max((ack - began for began, ack, _ in self.acknowledged if ack > moment), default=float("inf"))

    async def compare(self) -> tuple[int, int, int]:
        """Acknowledged signals, and how many of them the history misses or has twice."""
        recorded: collections.Counter[int] = collections.Counter()
        async for event in self.client.get_workflow_handle(self.workflow_id).fetch_history_events():
            if event.HasField("workflow_execution_signaled_event_attributes"):
                payload = event.workflow_execution_signaled_event_attributes.input.payloads[0]
                recorded[json.loads(payload.data)] += 1
        numbers = {number for _, _, number in self.acknowledged}
        return len(numbers), len(numbers - recorded.keys()), sum(n > 1 for n in recorded.values())


@dataclass
class Totals:
    next_write: list[float] = field(default_factory=list)
    slowest: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


class Trial:
    def __init__(self, client: Client, cluster: Cluster, workflows: int):
        self.client, self.cluster, self.workflows = client, cluster, workflows
        self.acknowledged = self.missing = self.doubled = 0

    async def round(self, what: signal.Signals, totals: Totals, label: str) -> None:
        await asyncio.to_thread(self.cluster.await_leaders, 60, 3)
        await asyncio.sleep(2)  # let the balancer spread the leaders again
        writers = [Writer(self.client, f"failover-{uuid.uuid4().hex}") for _ in range(self.workflows)]
        for writer in writers:
            await self.client.start_workflow("never-run", id=writer.workflow_id, task_queue="nobody-polls")
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            for writer in writers:
                tasks.create_task(writer.run(stop))
            await asyncio.sleep(1)
            node, led, shards = await asyncio.to_thread(self.cluster.busiest)
            moment = time.monotonic()
            self.cluster.signal(node, what)
            await asyncio.sleep(WATCH)
            stop.set()
        next_write = max(writer.next_after(moment) for writer in writers)
        slowest = max(writer.slowest_after(moment) for writer in writers)
        failed = [line for writer in writers for line in writer.failed]
        print(
            f"{label}: node {node} (led {led} of {shards} shards): every shard written again after {next_write:.2f} s, "
            f"slowest call {slowest:.2f} s, failed calls {len(failed)}",
            flush=True,
        )
        totals.next_write.append(next_write)
        totals.slowest.append(slowest)
        totals.failed += failed
        for writer in writers:
            acknowledged, missing, doubled = await writer.compare()
            self.acknowledged += acknowledged
            self.missing += missing
            self.doubled += doubled
            await self.client.get_workflow_handle(writer.workflow_id).terminate()


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--db", required=True)
    parser.add_argument("--everstep", required=True)
    parser.add_argument("--address", required=True)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--terms", type=int, default=5)
    parser.add_argument("--workflows", type=int, default=18)
    args = parser.parse_args()

    trial = Trial(await Client.connect(args.address), Cluster(args.db, args.everstep), args.workflows)
    kills, terms = Totals(), Totals()
    for n in range(1, args.kills + 1):
        await trial.round(signal.SIGKILL, kills, f"kill -9 {n:2}")
    for n in range(1, args.terms + 1):
        await trial.round(signal.SIGTERM, terms, f"SIGTERM {n:2}")

    good = trial.missing == trial.doubled == 0
    if kills.next_write:
        median, worst = statistics.median(kills.next_write), max(kills.next_write)
        print(
            f"\nkill -9 of a leader, {args.kills} times: next acknowledged write on its shards after "
            f"median {median:.2f} s, worst {worst:.2f} s; failed calls {len(kills.failed)}"
        )
        good &= median <= 1.0 and worst <= 2.0
    if terms.slowest:
        print(
            f"SIGTERM of a leader under load, {args.terms} times: worst pause {max(terms.slowest):.2f} s; "
            f"failed calls {len(terms.failed)}"
        )
        good &= max(terms.slowest) <= 0.3 and not terms.failed
    print(f"signals acknowledged: {trial.acknowledged}, missing: {trial.missing}, doubled: {trial.doubled}")
    for line in (kills.failed + terms.failed)[:10]:
        print(f"failed: {line}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
