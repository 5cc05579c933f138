"""load.py sends steady traffic, whatever becomes of the shop."""

from __future__ import annotations

import signal
from collections.abc import Callable

from deploywatch.demo.processes import wait_until
from tests.demo.conftest import Shop, Traffic


def test_it_goes_on_while_the_shop_is_away(load: Callable[[str], Traffic], shop: Shop) -> None:
    served = shop("1.2.2")
    served.child.stop()
    traffic = load(served.url)
    traffic.wait_for(60)
    assert traffic.totals()["ok"] == 0
    assert traffic.totals()["unreachable"] > 0
    again = shop("1.2.2", port=served.port)
    assert again.child.running
    wait_until(lambda: traffic.totals()["ok"] > 60, within=90, what="be answered again", child=traffic.child)


def test_it_stops_on_sigterm_and_says_what_it_has_sent(load: Callable[[str], Traffic], shop: Shop) -> None:
    served = shop("1.2.2")
    traffic = load(served.url)
    traffic.wait_for(60)
    traffic.child.process.send_signal(signal.SIGTERM)
    assert traffic.child.process.wait(90) == 0
    totals = traffic.totals()
    assert totals["sent"] == totals["ok"]
    seen = served.metric("http_requests_total") - served.metric("http_requests_total", endpoint="/health")
    assert seen == totals["sent"]


def test_it_uses_every_endpoint(load: Callable[[str], Traffic], shop: Shop) -> None:
    served = shop("1.2.2")
    load(served.url).wait_for(200)
    for method, endpoint in [
        ("GET", "/api/queues"),
        ("GET", "/api/user-sessions"),
        ("GET", "/api/tenants"),
        ("GET", "/api/health"),
        ("POST", "/api/queues"),
    ]:
        assert served.metric("http_requests_total", method=method, endpoint=endpoint) > 0
