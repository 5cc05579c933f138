"""Takes pictures of the console while the demo runs: `scripts/screenshots` writes them to docs/images/."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

from playwright.async_api import Page, async_playwright, expect

from tests.support.browser import ARGUMENTS

PAGES = {
    "now": ("/", "#incidents > li"),
    "incident": ("/incidents/{open}", "#alerts > li"),
    "rollback": ("/incidents/{open}/rollback", "#brakes > li"),
    "deployments": ("/deployments", "#deployments > li"),
    "deployment": ("/deployments/{canary}", ".evidence"),
    "service": ("/services/shop/demo", "#service-now"),
}
"""The pictures by name: where each is taken, and what has to be on it.

`{canary}` is the newest deployment that has stages, `{open}` the incident of `TROUBLE`.
"""
TROUBLE = {
    "status": "firing",
    "labels": {
        "alertname": "SlowCheckout",
        "service": "shop",
        "environment": "demo",
        "severity": "high",
        "incident_type": "slow_response",
        "instance": "shop-2:8080",
    },
    "annotations": {
        "summary": "shop in demo: 8.2 % of the checkouts take longer than 2 s",
        "value": "8.2 %",
        "threshold": "> 5 %",
        "runbook_url": "https://runbooks.example/slow-checkout",
        "dashboard_url": "https://grafana.example/d/shop",
    },
}
"""What the demo ends without: something that waits for somebody. It is sent as Alertmanager would."""
SCREENS = {"phone": (360, 640), "desktop": (1280, 800)}
_PLACE = re.compile(r"The console, to look and to act: (http://\S+?)/$", re.MULTILINE)
_LONGEST_SECONDS = 1800  # what is waited for is to be seen, however long that takes


async def take(folder: Path) -> None:
    """Run the demo, wait for its end, and write the pictures."""
    command = [sys.executable, "-m", "deploywatch", "demo", "--keep"]
    demo = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, env={**os.environ, "NO_COLOR": "1", "COLUMNS": "200"}
    )
    try:
        async with asyncio.timeout(_LONGEST_SECONDS):
            url = await _console(demo)
        await _pictures(url, folder)
    finally:
        with contextlib.suppress(ProcessLookupError):
            demo.send_signal(signal.SIGINT)
        await demo.wait()


async def _console(demo: asyncio.subprocess.Process) -> str:
    """The console's address, which the demo says at its end."""
    assert demo.stdout is not None
    async for raw in demo.stdout:
        text = raw.decode(errors="replace")
        sys.stdout.write(text)
        if found := _PLACE.search(text):
            return found[1]
    raise SystemExit("the demo ended before it said where the console is")


async def _pictures(url: str, folder: Path) -> None:
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        page = await browser.new_page()
        page.set_default_timeout(
            _LONGEST_SECONDS * 1000
        )  # it is waited for what is to be seen, however long that takes
        places = {"canary": await _newest_with_evidence(page, url), "open": await _trouble(page, url)}
        for screen, (width, height) in SCREENS.items():
            await page.set_viewport_size({"width": width, "height": height})
            for name, (path, seen) in PAGES.items():
                await page.goto(f"{url}{path.format_map(places)}")
                await page.locator(seen).first.wait_for()
                await expect(page.locator("#live")).to_have_text("Live", timeout=_LONGEST_SECONDS * 1000)
                await page.evaluate("document.fonts.ready.then(() => true)")
                await page.screenshot(path=folder / f"{name}-{screen}.png", animations="disabled")
        await browser.close()


async def _trouble(page: Page, url: str) -> str:
    """Send the alert that waits for somebody; the number of its incident."""
    alert = {**TROUBLE, "startsAt": datetime.now(UTC).isoformat()}
    sent = {"version": "4", "groupKey": "{}", "status": "firing", "receiver": "deploywatch", "alerts": [alert]}
    answer = await page.request.post(f"{url}/webhook/alertmanager", data=sent)
    assert answer.ok, await answer.text()
    await page.goto(url)
    return str(await page.locator("#incidents > li").first.get_attribute("data-incident"))


async def _newest_with_evidence(page: Page, url: str) -> str:
    """The number of the newest deployment whose page has the evidence of a limit."""
    await page.goto(f"{url}/deployments")
    links = await page.locator("#deployments h2 a").evaluate_all("all => all.map(link => link.pathname)")
    for path in links:
        await page.goto(f"{url}{path}")
        if await page.locator(".evidence").count():
            return str(path.rpartition("/")[2])
    raise SystemExit(f"no deployment of {len(links)} has evidence, so that there is no picture of it")


if __name__ == "__main__":
    into = Path(sys.argv[1])
    into.mkdir(parents=True, exist_ok=True)
    asyncio.run(take(into))
