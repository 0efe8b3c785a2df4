"""Reserves items in the warehouse. Serves the task queue "inventory"."""
import asyncio

from temporalio import activity

from common import Order, once, serve


@activity.defn
def reserve_inventory(order: Order) -> str:
    return once(lambda: f"reservation-{order.number:04}")


if __name__ == "__main__":
    asyncio.run(serve("inventory", activities=[reserve_inventory]))
