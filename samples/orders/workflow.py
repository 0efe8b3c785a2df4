"""The life of an order: validate the payment, reserve the item, ship it, confirm by mail.

Each step is an activity on a task queue of its own, served by a program of its own, so that every team can deploy its
worker alone. This code never sees a crash: when a worker or a server node dies it is continued where it was.
"""
from __future__ import annotations

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from common import Order, run, serve

RETRY = RetryPolicy(initial_interval=timedelta(milliseconds=300), backoff_coefficient=2.0, maximum_attempts=10)


@workflow.defn
class OrderWorkflow:
    def __init__(self) -> None:
        self._step = "received"

    @workflow.run
    async def run(self, order: Order) -> str:
        payment = await self._do("validate_payment", "payment", order)
        reservation = await self._do("reserve_inventory", "inventory", order)
        parcel = await self._do("ship_order", "shipping", order)
        mail = await self._do("confirm_by_email", "email", order)
        self._step = "done"
        return f"{payment}, {reservation}, {parcel}, {mail}"

    @workflow.query
    def step(self) -> str:
        return self._step

    async def _do(self, name: str, queue: str, order: Order) -> str:
        self._step = name
        return await workflow.execute_activity(
            name,
            order,
            task_queue=queue,
            result_type=str,
            start_to_close_timeout=timedelta(seconds=5),
            retry_policy=RETRY,
        )


if __name__ == "__main__":
    run(serve("orders", workflows=[OrderWorkflow]))
