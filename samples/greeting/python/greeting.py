"""The smallest complete program: one workflow, one activity, a worker and a client in one process."""
import asyncio
import os
import uuid
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import Worker


@activity.defn
async def greet(name: str) -> str:
    return f"Hello, {name}!"


@workflow.defn
class Greeting:
    @workflow.run
    async def run(self, name: str) -> str:
        return await workflow.execute_activity(greet, name, start_to_close_timeout=timedelta(seconds=10))


async def main() -> None:
    client = await Client.connect(os.environ.get("EVERSTEP_ADDRESS", "localhost:7233"))
    async with Worker(client, task_queue="greeting-python", workflows=[Greeting], activities=[greet]):
        workflow_id = f"greeting-python-{uuid.uuid4().hex[:6]}"
        print(await client.execute_workflow(Greeting.run, "Python", id=workflow_id, task_queue="greeting-python"), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
    os._exit(0)  # Threads of the SDK may outlive the interpreter and crash it on an ordinary exit.
