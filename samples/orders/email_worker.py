"""Confirms orders by mail. Serves the task queue "email"."""
from temporalio import activity

from common import Order, once, run, serve


@activity.defn
def confirm_by_email(order: Order) -> str:
    return once(lambda: f"mail-{order.number:04}")


if __name__ == "__main__":
    run(serve("email", activities=[confirm_by_email]))
