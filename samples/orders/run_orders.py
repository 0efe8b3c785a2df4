"""Runs orders through the four workers, lets something happen half-way, and checks that nothing was lost or doubled.

    python run_orders.py --orders 120 --rate 10 --halfway 'kill -9 1234'

Ends with 0 if every order completed and every activity was completed exactly once.
"""
from __future__ import annotations

import argparse
import asyncio
import collections
import json
import time
import uuid

from temporalio.client import Client, WorkflowHandle

from common import LEDGER, Order, connect, run
from read_history import attributes_of, describe, name_of
from workflow import OrderWorkflow

ACTIVITIES = {"validate_payment", "reserve_inventory", "ship_order", "confirm_by_email"}
ITEMS = ["a kettle", "two lamps", "a globe", "six cups", "a ladder"]


class Run:
    """One run of the demo: what was started, what completed when, and what went wrong."""

    def __init__(self, client: Client, orders: int, rate: float, patience: float):
        self.client, self.orders, self.rate, self.patience = client, orders, rate, patience
        self.prefix = f"order-{uuid.uuid4().hex[:6]}"
        self.handles: dict[int, WorkflowHandle] = {}
        self.started_at: dict[int, float] = {}
        self.completed_at: dict[int, float] = {}
        self.happened_at: float | None = None
        self.errors: list[str] = []

    async def order(self, number: int) -> None:
        order = Order(number, f"customer {number}", ITEMS[number % len(ITEMS)], 999 + number)
        try:
            self.handles[number] = handle = await self.client.start_workflow(
                OrderWorkflow.run, order, id=f"{self.prefix}-{number:04}", task_queue="orders"
            )
            self.started_at[number] = time.monotonic()
            result = await asyncio.wait_for(handle.result(), self.patience)
            self.completed_at[number] = time.monotonic()
            expected = ", ".join(f"{word}-{number:04}" for word in ("payment", "reservation", "parcel", "mail"))
            if result != expected:
                self.errors.append(f"order {number}: result {result!r} instead of {expected!r}")
        except Exception as error:
            self.errors.append(f"order {number}: {type(error).__name__} {error}")

    async def halfway(self, command: str) -> None:
        while len(self.completed_at) < self.orders // 2:
            await asyncio.sleep(0.01)
        process = await asyncio.create_subprocess_shell(command)
        if await process.wait() != 0:
            self.errors.append(f"{command!r} ended with {process.returncode}")
        self.happened_at = time.monotonic()

    async def all(self, halfway: str | None) -> None:
        event = asyncio.create_task(self.halfway(halfway)) if halfway else None
        progress = asyncio.create_task(self.progress())
        async with asyncio.TaskGroup() as tasks:
            for number in range(1, self.orders + 1):
                tasks.create_task(self.order(number))
                await asyncio.sleep(1 / self.rate)
        progress.cancel()
        if event and not event.done():
            event.cancel()
            self.errors.append("fewer than half of the orders completed, so the event half-way never happened")

    async def progress(self) -> None:
        while True:
            await asyncio.sleep(2)
            print(f"  {len(self.started_at)} orders started, {len(self.completed_at)} completed", flush=True)

    def longest_pause(self) -> float:
        """The longest time without a completed order that ended after the event and began at most 5 s after it."""
        times = sorted(self.completed_at.values())
        gaps = [b - a for a, b in zip(times, times[1:]) if b > self.happened_at and a < self.happened_at + 5]
        return max(gaps, default=0.0)

    async def count_completions(self) -> tuple[int, int]:
        """Reads every history: how many activities were completed more than once, and how many never."""
        twice = never = 0
        for number, handle in self.handles.items():
            scheduled, completed = {}, collections.Counter()
            for event in (await handle.fetch_history()).events:
                if name_of(event) == "ActivityTaskScheduled":
                    scheduled[event.event_id] = attributes_of(event).activity_type.name
                elif name_of(event) == "ActivityTaskCompleted":
                    completed[scheduled[attributes_of(event).scheduled_event_id]] += 1
            twice += sum(n > 1 for n in completed.values())
            never += len(ACTIVITIES - completed.keys())
            if unknown := completed.keys() - ACTIVITIES:
                self.errors.append(f"order {number}: unexpected activities {unknown}")
        return twice, never

    def count_ledger(self) -> int:
        """How often the workers' own ledger says that a piece of work was done a second time."""
        keys = collections.Counter()
        for file in LEDGER.glob("*.jsonl"):
            keys.update(entry["key"] for entry in map(json.loads, file.read_text().splitlines()))
        ours = {key: n for key, n in keys.items() if key.startswith(self.prefix)}
        if len(ours) != len(ACTIVITIES) * self.orders:
            self.errors.append(f"the ledger has {len(ours)} entries instead of {len(ACTIVITIES) * self.orders}")
        return sum(n - 1 for n in ours.values())

    def interesting(self) -> int:
        """An order with retries, if possible one that was running at the time of the event."""
        retried = [n for n in self.completed_at if n % 3 == 0] or list(self.completed_at)
        at = self.happened_at or 0.0
        running = [n for n in retried if self.started_at[n] < at < self.completed_at[n]]
        return (running or retried)[0]


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=120)
    parser.add_argument("--rate", type=float, default=10, help="orders started per second")
    parser.add_argument("--halfway", help="a shell command to run once half of the orders are complete")
    parser.add_argument("--patience", type=float, default=60, help="seconds until one order counts as lost")
    args = parser.parse_args()

    run = Run(await connect(), args.orders, args.rate, args.patience)
    await run.all(args.halfway)
    twice, never = await run.count_completions()
    done_twice = run.count_ledger()
    if run.completed_at:
        number = run.interesting()
        print(f"\nThe history of order {number} ({run.handles[number].id}):\n")
        print("\n".join(describe(await run.handles[number].fetch_history())))
    print(f"\norders started: {len(run.started_at)}")
    print(f"orders completed: {len(run.completed_at)}")
    print(f"activities completed twice: {twice}")
    print(f"activities whose work was done twice: {done_twice}")
    if run.happened_at and run.completed_at:
        print(f"longest pause around the kill: {run.longest_pause():.1f} s")
    if never:
        run.errors.append(f"{never} activities were never completed")
    for error in run.errors[:10]:
        print(f"wrong: {error}")
    complete = len(run.started_at) == len(run.completed_at) == args.orders
    return 0 if complete and not (twice or done_twice or run.errors) else 1


if __name__ == "__main__":
    run(main())
