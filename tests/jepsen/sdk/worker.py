"""A real SDK worker with a client of its own, through one node, while the harness breaks the cluster.

Starts workflows of its own, one after the other on each of a few lanes, and waits for their results. The worker caches
almost nothing, so that nearly every workflow task replays the history, and a replay that differs fails the workflow.
Writes one JSON line for each workflow, with what it should have answered and what it did, to a file, as the SDK logs to
standard output. Ends when its standard input does.
"""
import argparse
import asyncio
import json
import sys
import time
from datetime import timedelta
from typing import TextIO

from temporalio import activity, workflow
from temporalio.client import Client, WorkflowFailureError
from temporalio.common import RetryPolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import Worker

LANES = 3
STEPS = 6
RETRY = 0.1  # seconds
FINISH = 60  # seconds from the end of the load to the last result


@activity.defn(name="double")
async def double(number: int) -> int:
    return 2 * number


@workflow.defn(name="sdk-sum")
class Sum:
    """Doubles numbers in activities, with pauses, and goes on in the middle when it is told to."""

    def __init__(self) -> None:
        self.go_on = False

    @workflow.signal(name="go-on")
    def told(self) -> None:
        self.go_on = True

    @workflow.run
    async def run(self, steps: int) -> int:
        total = 0
        for step in range(steps):
            total += await workflow.execute_activity(
                "double",
                step,
                result_type=int,
                start_to_close_timeout=timedelta(seconds=5),
                retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=100), backoff_coefficient=1.0),
            )
            if workflow.random().random() < 0.5:
                await asyncio.sleep(0.02 * step)
            if step == steps // 2:
                await workflow.wait_condition(lambda: self.go_on)
        return total


async def until_answered(told: dict, call):
    """Repeats what the SDK gave up repeating, as an application would, and counts that."""
    while True:
        try:
            return await call()
        except RPCError as error:
            told["failed_calls"].append(f"{error.status.name}: {error.message}")
            await asyncio.sleep(RETRY)


async def one(client: Client, workflow_id: str, queue: str) -> dict:
    async def start():
        try:
            await client.start_workflow("sdk-sum", STEPS, id=workflow_id, task_queue=queue)
        except WorkflowAlreadyStartedError:
            pass  # by an earlier try of ours: nobody else uses the id

    async def signal():
        try:
            await handle.signal("go-on")
        except RPCError as error:
            # An earlier try arrived, and the workflow ended with it.
            if error.status != RPCStatusCode.NOT_FOUND or not told["failed_calls"]:
                raise

    began = time.monotonic()
    told = {"id": workflow_id, "expected": sum(2 * step for step in range(STEPS)), "failed_calls": []}
    handle = client.get_workflow_handle(workflow_id, result_type=int)
    try:
        await until_answered(told, start)
        started = time.monotonic()
        await until_answered(told, signal)
        told["slowest_call"] = round(max(started - began, time.monotonic() - started), 3)
        told["result"] = await until_answered(told, handle.result)
    except WorkflowFailureError as error:
        told["error"] = f"{error}: {error.cause}"
    return told | {"seconds": round(time.monotonic() - began, 3)}


async def lane(client: Client, name: str, queue: str, stop: asyncio.Event, out: TextIO) -> None:
    number = 0
    while not stop.is_set():
        number += 1
        workflow_id = f"{name}-{number}"
        work = asyncio.create_task(one(client, workflow_id, queue))
        ended = asyncio.create_task(stop.wait())
        await asyncio.wait([work, ended], return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        done, _ = await asyncio.wait([work], timeout=FINISH)
        told = work.result() if done else {"id": workflow_id, "error": f"no result {FINISH} s after the end of the load"}
        print(json.dumps(told), file=out, flush=True)
        work.cancel()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", required=True)
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--name", required=True, help="begins the ids of this worker's workflows")
    parser.add_argument("--out", required=True, type=argparse.FileType("w"))
    args = parser.parse_args()
    client = await Client.connect(args.address, namespace=args.namespace)
    queue = "sdk"  # one for all workers: a workflow moves between them
    worker = Worker(
        client,
        task_queue=queue,
        workflows=[Sum],
        activities=[double],
        max_cached_workflows=1,
        workflow_failure_exception_types=[workflow.NondeterminismError],
    )
    stop = asyncio.Event()
    asyncio.get_running_loop().run_in_executor(None, sys.stdin.read).add_done_callback(lambda _: stop.set())
    async with worker:
        await asyncio.gather(*(lane(client, f"{args.name}-{number}", queue, stop, args.out) for number in range(LANES)))


if __name__ == "__main__":  # the SDK loads this file once more for its workflows
    asyncio.run(main())
