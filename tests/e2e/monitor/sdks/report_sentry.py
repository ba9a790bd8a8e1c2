"""Reports the failures of the shop by sentry-sdk as it is: `report_sentry.py DSN`."""

import logging
import sys

import sentry_sdk
import shop


def main(dsn: str) -> None:
    sentry_sdk.init(dsn, release="shop@1.2", environment="test", server_name="host-1")
    sentry_sdk.set_tag("shop", "eu")
    sentry_sdk.set_user({"id": "7", "email": "ada@shop.example"})
    shop.fail_in_every_way(lambda _, error: sentry_sdk.capture_exception(error))
    shop.in_thread(sentry_sdk.capture_exception)
    try:
        shop.place("mirror")
    except shop.OrderError:
        logging.getLogger("shop.orders").exception("order %s failed", 7)
    sentry_sdk.capture_message("the shop is closing", level="error")
    sentry_sdk.flush(10)
    shop.chained()  # nobody handles it


if __name__ == "__main__":
    main(sys.argv[1])
