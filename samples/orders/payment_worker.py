"""Validates payments. Serves the task queue "payment"."""
import asyncio

from temporalio import activity

from common import Order, once, serve


@activity.defn
def validate_payment(order: Order) -> str:
    return once(lambda: f"payment-{order.number:04}")


if __name__ == "__main__":
    asyncio.run(serve("payment", activities=[validate_payment]))
