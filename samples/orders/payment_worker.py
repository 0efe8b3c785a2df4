"""Validates payments. Serves the task queue "payment"."""
from temporalio import activity

from common import Order, once, run, serve


@activity.defn
def validate_payment(order: Order) -> str:
    return once(lambda: f"payment-{order.number:04}")


if __name__ == "__main__":
    run(serve("payment", activities=[validate_payment]))
