"""What the order sample's programs share: the order itself, the ledger of work done, and how a worker is run."""
from __future__ import annotations

import asyncio
import fcntl
import json
import os
import pathlib
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Callable, Coroutine, NoReturn

from temporalio import activity
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker import Worker

ADDRESS = os.environ.get("EVERSTEP_ADDRESS", "localhost:7233")
LEDGER = pathlib.Path(os.environ.get("ORDERS_LEDGER", "ledger"))


@dataclass
class Order:
    number: int
    customer: str
    item: str
    cents: int


def once(work: Callable[[], Any]) -> Any:
    """Does an activity's work unless the ledger says that an earlier attempt did it; returns the recorded result.

    An activity may be *run* more than once: a worker can die after the work and before its answer arrives. So work
    that must not happen twice is recorded under (workflow id, activity id) before the answer is sent. The ledger
    stands for the database of a real service; here it is a file with one line for each thing done.
    """
    info = activity.info()
    key = f"{info.workflow_id}/{info.activity_id}"
    LEDGER.mkdir(parents=True, exist_ok=True)
    with open(LEDGER / f"{info.task_queue}.jsonl", "a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        for line in file:
            entry = json.loads(line)
            if entry["key"] == key:
                return entry["result"]
        result = work()
        entry = {"key": key, "activity": info.activity_type, "attempt": info.attempt, "time": time.time(), "result": result}
        file.write(json.dumps(entry) + "\n")
        file.flush()
        return result


async def connect() -> Client:
    """Connects to the server, waiting up to ten seconds for it."""
    for _ in range(50):
        try:
            return await Client.connect(ADDRESS)
        except (RPCError, RuntimeError):
            await asyncio.sleep(0.2)
    return await Client.connect(ADDRESS)


async def serve(queue: str, *, activities: list[Callable] = (), workflows: list[type] = ()) -> None:
    """Runs a worker for one task queue until SIGTERM or Ctrl-C."""
    client = await connect()
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    executor = ThreadPoolExecutor(20) if activities else None
    async with Worker(
        client,
        task_queue=queue,
        activities=activities,
        workflows=workflows,
        activity_executor=executor,
        max_concurrent_activities=20,
        graceful_shutdown_timeout=timedelta(seconds=2),
    ):
        print(f"worker for the task queue {queue!r} is polling {ADDRESS}", flush=True)
        await stopped.wait()


def run(program: Coroutine[Any, Any, int | None]) -> NoReturn:
    """Runs a program to its end and exits with the code it returns.

    Not by an ordinary exit: threads of the SDK may outlive the interpreter and crash the process on its way out.
    """
    code = asyncio.run(program)
    sys.stdout.flush()
    os._exit(code or 0)
