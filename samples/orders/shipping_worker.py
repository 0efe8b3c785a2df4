"""Ships orders. Serves the task queue "shipping". For every third order the courier answers only the third call."""
from temporalio import activity
from temporalio.exceptions import ApplicationError

from common import Order, once, run, serve


@activity.defn
def ship_order(order: Order) -> str:
    if order.number % 3 == 0 and activity.info().attempt < 3:
        raise ApplicationError("the courier does not answer", type="CourierUnavailable")
    return once(lambda: f"parcel-{order.number:04}")


if __name__ == "__main__":
    run(serve("shipping", activities=[ship_order]))
