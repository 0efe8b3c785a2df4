"""A workflow with everything in it: `python life.py` runs some, `python life.py replay DIRECTORY` replays what export.py wrote."""
from __future__ import annotations

import asyncio
import os
import sys
import uuid
from datetime import timedelta
from pathlib import Path

from temporalio import activity, workflow
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import Client, WorkflowHistory, WorkflowUpdateFailedError
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.service import RPCError
from temporalio.worker import Replayer, Worker

QUEUE = "replay-life"
SHORT = timedelta(seconds=10)


@activity.defn
async def shaky(fails: int) -> str:
    if activity.info().attempt <= fails:
        raise ApplicationError("not yet")
    return f"attempt {activity.info().attempt}"


@workflow.defn
class Child:
    @workflow.run
    async def run(self, naps: int) -> int:
        for _ in range(naps):
            await workflow.sleep(0.01)
        return naps


@workflow.defn
class Life:
    def __init__(self) -> None:
        self._heard: list[str] = []

    @workflow.signal
    def hear(self, word: str) -> None:
        self._heard.append(word)

    @workflow.update
    async def add(self, number: int) -> int:
        await workflow.sleep(0.01)
        return number + 1

    @add.validator
    def check(self, number: int) -> None:
        if number < 0:
            raise ValueError("negative")

    @workflow.query
    def heard(self) -> list[str]:
        return self._heard

    @workflow.run
    async def run(self, lives: int) -> str:
        quick = RetryPolicy(initial_interval=timedelta(milliseconds=20), maximum_attempts=3)
        tries = [
            workflow.execute_activity(shaky, n, start_to_close_timeout=SHORT, retry_policy=quick) for n in range(4)
        ]
        results = await asyncio.gather(*tries, return_exceptions=True)
        assert isinstance(results[3], ActivityError) and results[2] == "attempt 3"
        if workflow.patched("a-change"):
            await workflow.sleep(0.02)
        long_nap = asyncio.create_task(workflow.sleep(3600))
        # Not named after the run: a reset's run goes on with the same children.
        name = workflow.uuid4()
        children = [workflow.execute_child_workflow(Child.run, n, id=f"{name}-{n}") for n in range(3)]
        assert await asyncio.gather(*children) == [0, 1, 2]
        long_nap.cancel()
        handle = workflow.get_external_workflow_handle(workflow.info().workflow_id + "-other")
        try:
            await handle.signal("hear", "from outside")
        except ApplicationError:
            pass  # Nobody of that name.
        await workflow.wait_condition(lambda: len(self._heard) >= 2)
        workflow.upsert_memo({"random": workflow.random().randint(0, 9), "id": str(workflow.uuid4())})
        await workflow.wait_condition(workflow.all_handlers_finished)
        if lives > 1:
            workflow.continue_as_new(lives - 1)
        return ",".join(sorted(self._heard))


async def run_some(count: int) -> None:
    client = await Client.connect(os.environ["EVERSTEP_ADDRESS"])
    # No cache: every task brings the whole history and is replayed at once.
    async with Worker(client, task_queue=QUEUE, workflows=[Life, Child], activities=[shaky], max_cached_workflows=0):
        await asyncio.gather(*(one(client) for _ in range(count)))
    print(f"{count} lives lived")


async def one(client: Client) -> None:
    handle = await client.start_workflow(Life.run, 2, id=f"life-{uuid.uuid4().hex[:6]}", task_queue=QUEUE)
    assert await handle.execute_update(Life.add, 41) == 42
    try:
        await handle.execute_update(Life.add, -1)
        raise AssertionError("a negative number was taken")
    except WorkflowUpdateFailedError:
        pass
    result = asyncio.create_task(handle.result())
    while not result.done():
        for word in ("a", "b"):
            try:
                await handle.signal(Life.hear, word)
            except Exception:  # noqa: BLE001 - it has ended meanwhile
                pass
        await asyncio.sleep(0.1)
    assert set((await result).split(",")) == {"a", "b"}
    await reset(client, handle.id, handle.first_execution_run_id)


async def reset(client: Client, workflow_id: str, run_id: str) -> None:
    """Resets a run of a chain in its middle; the run made lives on from there to the end of another chain."""
    events = [event async for event in client.get_workflow_handle(workflow_id, run_id=run_id).fetch_history_events()]
    points = [event.event_id for event in events if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED]
    made = await client.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace=client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=workflow_id, run_id=run_id),
            reason="replay",
            request_id=str(uuid.uuid4()),
            workflow_task_finish_event_id=points[len(points) // 2],
        )
    )
    handle = client.get_workflow_handle(workflow_id, run_id=made.run_id)
    result = asyncio.create_task(handle.result())
    while not result.done():
        try:
            await client.get_workflow_handle(workflow_id).signal(Life.hear, "a")
        except RPCError:
            pass  # It has ended meanwhile, or goes on as another run.
        await asyncio.sleep(0.1)
    assert set((await result).split(",")) <= {"a", "b"}


async def replay(directory: Path) -> None:
    samples = Path(__file__).resolve().parents[2] / "samples"
    sys.path += [str(samples / "orders"), str(samples / "greeting" / "python")]
    from greeting import Greeting
    from workflow import OrderWorkflow

    replayer = Replayer(workflows=[Life, Child, OrderWorkflow, Greeting])
    names = {"Life", "Child", "OrderWorkflow", "Greeting"}
    count = resets = 0
    for path in sorted(directory.rglob("*.json")):
        if path.parent.name not in names or path.name.startswith(("greeting-go", "greeting-typescript")):
            continue
        history = path.read_text()
        await replayer.replay_workflow(WorkflowHistory.from_json(path.name.split(".")[0], history))
        count += 1
        resets += "RESET_WORKFLOW" in history
    print(f"Python: {count} histories replayed, {resets} of them of runs that a reset made")
    assert count >= 10 and resets >= 3, "too few to mean anything"
    sample = next(path for path in sorted(directory.rglob("*.json")) if path.parent.name == "Life")
    broken = sample.read_text().replace('"shaky"', '"other"')
    try:
        await replayer.replay_workflow(WorkflowHistory.from_json("broken", broken))
    except workflow.NondeterminismError:
        return
    raise AssertionError("a history that does not fit its code was replayed")


if __name__ == "__main__":
    if sys.argv[1:2] == ["replay"]:
        asyncio.run(replay(Path(sys.argv[2])))
    else:
        asyncio.run(run_some(int(sys.argv[1]) if len(sys.argv) > 1 else 6))
