"""Prints the history of one workflow as a person would read it: python read_history.py WORKFLOW_ID"""
from __future__ import annotations

import asyncio
import json
import sys

from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHistory

from common import connect


def name_of(event) -> str:
    """ActivityTaskScheduled for EVENT_TYPE_ACTIVITY_TASK_SCHEDULED."""
    words = EventType.Name(event.event_type).removeprefix("EVENT_TYPE_").split("_")
    return "".join(word.capitalize() for word in words)


def attributes_of(event):
    return getattr(event, event.WhichOneof("attributes"))


def values(payloads) -> str:
    return ", ".join(json.dumps(json.loads(p.data)) if p.data else "null" for p in payloads.payloads)


def describe(history: WorkflowHistory) -> list[str]:
    """One line for each event: seconds since the start, the event, and what it says."""
    scheduled: dict[int, str] = {}
    begin = history.events[0].event_time.ToNanoseconds()
    lines = []
    for event in history.events:
        seconds = (event.event_time.ToNanoseconds() - begin) / 1e9
        lines.append(f"{event.event_id:4}  {seconds:8.3f} s  {name_of(event):28} {_details(event, scheduled)}".rstrip())
    return lines


def _details(event, scheduled: dict[int, str]) -> str:
    a = attributes_of(event)
    match name_of(event):
        case "WorkflowExecutionStarted":
            return f"{a.workflow_type.name} on the queue {a.task_queue.name!r}, input {values(a.input)}"
        case "WorkflowExecutionCompleted":
            return f"result {values(a.result)}"
        case "WorkflowExecutionFailed":
            return f"failure {a.failure.message!r}"
        case "ActivityTaskScheduled":
            scheduled[event.event_id] = a.activity_type.name
            return f"{a.activity_type.name} on the queue {a.task_queue.name!r}"
        case "ActivityTaskStarted":
            before = f", the attempt before failed: {a.last_failure.message!r}" if a.HasField("last_failure") else ""
            return f"{scheduled[a.scheduled_event_id]}, attempt {a.attempt}{before}"
        case "ActivityTaskCompleted":
            return f"{scheduled[a.scheduled_event_id]}, result {values(a.result)}"
        case "ActivityTaskFailed" | "ActivityTaskTimedOut":
            return f"{scheduled[a.scheduled_event_id]}, {a.failure.message!r}"
        case "WorkflowTaskStarted":
            return f"by the worker {a.identity}"
        case "WorkflowTaskTimedOut" | "WorkflowTaskFailed":
            return "the server gives the task out again"
        case _:
            return ""


async def main() -> None:
    client = await connect()
    print("\n".join(describe(await client.get_workflow_handle(sys.argv[1]).fetch_history())))


if __name__ == "__main__":
    asyncio.run(main())
