"""Behind a proxy the console stands below a path: one signs in there, acts there, and never leaves it."""

from __future__ import annotations

import contextlib
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import bcrypt
import pytest
from playwright.async_api import expect
from sqlalchemy import select

from deploywatch.access.webconfig import Access
from deploywatch.receiver.incidents import store
from deploywatch.receiver.store.action_schema import rollbacks
from tests.receiver.pages.world import World, configured, served
from tests.receiver.scene import NOON, alert

PREFIX = "/tools/watch"
SEEN = 60_000
"""Milliseconds within which a busy machine shows what an idle one shows in two seconds."""


@pytest.mark.asyncio(loop_scope="package")
async def test_below_a_path_one_signs_in_acknowledges_approves_and_resolves(
    world: World, empty_store: Path, tmp_path: Path
) -> None:
    shutil.copy(empty_store, tmp_path / "store.db")
    ran, command, access = tmp_path / "ran", tmp_path / "deploy", tmp_path / "web.yml"
    command.write_text(f"#!/bin/sh\necho ran >> {ran}\n")
    command.chmod(0o755)
    scopes = ["read", "respond", "approve"]
    senders = [{"name": "alertmanager", "token": "sends", "scopes": ["webhook", "deploy"]}]
    ann = {"user": "ann", "scopes": scopes}
    passwords = {"ann": bcrypt.hashpw(b"lovelace", bcrypt.gensalt(4)).decode()}
    access.write_text(json.dumps({"basic_auth_users": passwords, "credentials": [ann, *senders]}))
    outside = f"http://127.0.0.1{PREFIX}/"
    config = configured(command, f"sqlite:///{tmp_path}/store.db", external_url=outside)
    async with contextlib.AsyncExitStack() as stack:
        receiver, app, context, url = await served(stack, config, Access(access))
        assert url.endswith(PREFIX)
        context.http.headers["Authorization"] = "Bearer sends"
        below = World(url, context, world.browser, ran, receiver.live, app)
        number = await below.ask_for_rollback("below", number=1)
        page = await below.page()
        await page.context.clear_cookies()
        asked: set[str] = set()
        page.on("request", lambda request: asked.add(request.url))
        # A message's link leads to the page once one has signed in.
        await page.goto(f"{url}/incidents/{number}")
        await page.get_by_label("Name", exact=True).fill("ann")
        await page.get_by_label("Password").fill("lovelace")
        await page.get_by_role("button", name="Sign in", exact=True).click()
        assert page.url == f"{url}/incidents/{number}"
        await page.get_by_role("button", name="I have it").click()
        await expect(page.locator("#who")).to_contain_text("ann has it")
        await page.goto(f"{url}/incidents/{number}/rollback")
        await page.get_by_role("button", name="Approve").click()
        assert page.url == f"{url}/incidents/{number}"
        await below.until(select(rollbacks).where(rollbacks.c.incident_id == number, rollbacks.c.state != "running"))
        assert ran.read_text().splitlines() == ["ran"]
        # It is renewed below the path as well.
        starts = datetime.now(UTC) - NOON
        await below.fire(alert("Another", starts=starts, service="below", severity="critical", action="rollback"))
        await expect(page.locator("#alerts")).to_contain_text("Another", timeout=SEEN)
        await page.get_by_role("link", name="Resolve…").first.click()
        await page.get_by_label("Why it is over").fill("by hand")
        await page.get_by_role("button", name="Resolve although they fire").click()
        await expect(page.locator("#who")).to_contain_text("Ended just now")
        over = await below.read(lambda c: store.get(c, number))
        assert (over.acknowledged_by, over.resolved_by) == ("ann", "ann")
        await page.context.close()
    assert {request for request in asked if not request.startswith(f"{url}/")} == set()
    assert f"{url}/live" in asked
