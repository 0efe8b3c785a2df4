"""Reserves items in the warehouse. Serves the task queue "inventory"."""
from temporalio import activity

from common import Order, once, run, serve


@activity.defn
def reserve_inventory(order: Order) -> str:
    return once(lambda: f"reservation-{order.number:04}")


if __name__ == "__main__":
    run(serve("inventory", activities=[reserve_inventory]))
