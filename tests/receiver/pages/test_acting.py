"""The console's forms in Chromium without JavaScript, and by keyboard: what a tap does, and what is refused."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
import pytest_asyncio
from playwright.async_api import Page
from sqlalchemy import select

from deploywatch.receiver.actions.rollback import approval
from deploywatch.receiver.escalation import timers
from deploywatch.receiver.incidents import store
from deploywatch.receiver.lifecycle import audit
from deploywatch.receiver.store.action_schema import rollbacks
from deploywatch.receiver.store.schema import incidents, jobs
from tests.receiver.pages.world import EVIL, World
from tests.receiver.scene import NOON, alert

pytestmark = pytest.mark.asyncio(loop_scope="package")


@pytest_asyncio.fixture(loop_scope="package")
async def page(world: World) -> AsyncIterator[Page]:
    """A phone's page without JavaScript."""
    shown = await world.page(java_script_enabled=False)
    yield shown
    await shown.context.close()


async def opened(world: World, service: str, severity: str = "high") -> int:
    """A new incident of a service."""
    fired = alert("Trouble", starts=datetime.now(UTC) - NOON, service=service, severity=severity)
    await world.fire(fired)
    row = await world.until(select(incidents.c.id).where(incidents.c.service == service))
    await world.until(select(jobs.c.id).where(jobs.c.incident_id == row["id"], jobs.c.kind == timers.STEP))
    return int(row["id"])


async def test_from_a_messages_link_an_incident_is_taken_in_hand_with_one_more_tap(world: World, page: Page) -> None:
    number = await opened(world, "one-tap")
    await page.goto(f"{world.url}/incidents/{number}")
    assert "Nobody has it · escalates to ann in " in await page.locator("#who").inner_text()
    await page.get_by_role("button", name="I have it").click()
    assert page.url == f"{world.url}/incidents/{number}"
    assert "ann has it" in await page.locator("#who").inner_text()
    taken = await world.read(lambda c: store.get(c, number))
    assert (taken.acknowledged_by, taken.commander) == ("ann", "ann")
    (row,) = await world.read(lambda c: audit.entries(c, limit=1, incident_id=number))
    assert (row["what"], row["who"], row["verified"]) == ("incidents.acknowledge", "ann", False)


async def test_who_is_not_known_says_their_name_once(world: World, page: Page) -> None:
    number = await opened(world, "unnamed")
    await page.context.clear_cookies()
    await page.goto(f"{world.url}/incidents/{number}")
    await page.locator(".bar").get_by_label("Your name").fill("Zoë Ünal")
    await page.get_by_role("button", name="I have it").click()
    assert "Zoë Ünal has it" in await page.locator("#who").inner_text()
    assert await page.get_by_label("Your name").first.input_value() == "Zoë Ünal"


async def test_an_update_a_tick_a_comment_and_the_end_need_no_script(world: World, page: Page) -> None:
    number = await opened(world, "whole-life")
    await page.goto(f"{world.url}/incidents/{number}")
    await page.get_by_label("Status update").fill("we look at the database")
    await page.get_by_role("button", name="Send the update").click()
    timeline = page.locator("#timeline")
    assert "we look at the database" in await timeline.inner_text()
    item = page.locator("#checklist button").first
    await item.click()
    assert await page.locator("#checklist button").first.get_attribute("aria-pressed") == "true"
    await page.get_by_label("Comment").fill("<b>bold</b>")
    await page.get_by_role("button", name="Write it down").click()
    assert "<b>bold</b>" in await timeline.inner_text()
    await page.get_by_role("link", name="Resolve…").first.click()
    assert await page.locator("h1").inner_text() == "1 alert still fires"
    await page.get_by_label("Why it is over").fill("by hand")
    await page.get_by_role("button", name="Resolve although they fire").click()
    assert "Ended just now" in await page.locator("#who").inner_text()
    await page.get_by_role("link", name="Post-mortem").first.click()
    assert "whole-life" in await page.locator("#draft").input_value()
    await page.get_by_role("button", name="The review is done").click()
    assert (await world.read(lambda c: store.get(c, number))).reviewed_by == "ann"


async def test_who_leads_that_it_is_being_mitigated_and_asking_for_a_rollback_need_no_script(
    world: World, page: Page
) -> None:
    number = await opened(world, "led-by-others")
    await page.goto(f"{world.url}/incidents/{number}")
    await page.get_by_label("Who leads from now on").fill("zoe")
    await page.get_by_role("button", name="Change who leads").click()
    assert "Nobody has it; zoe is to lead" in await page.locator("#who").inner_text()
    await page.get_by_role("button", name="I have it").click()
    await page.get_by_role("button", name="I am mitigating it").click()
    assert "mitigating" in await page.locator("#who").inner_text()
    await page.get_by_role("button", name="Mitigation is over").click()
    assert await page.get_by_role("button", name="I am mitigating it").count() == 1
    await page.goto(f"{world.url}/incidents/{number}/rollback")
    await page.get_by_role("button", name="Ask for a rollback").click()
    (row, *_) = await world.read(lambda c: audit.entries(c, limit=1, incident_id=number))
    assert (row["what"], row["who"]) == ("incidents.rollback", "ann")


async def test_several_are_taken_in_hand_at_once(world: World) -> None:
    numbers = [await opened(world, f"many-{position}") for position in range(3)]
    page = await world.page(1280, 900, java_script_enabled=False)
    await page.goto(f"{world.url}/")
    for number in numbers[:2]:
        await page.locator(f"[data-incident='{number}']").get_by_label("Tick").check()
    await page.get_by_role("button", name="I have those that are ticked").click()
    assert page.url == f"{world.url}/"
    taken = {one.id: one.acknowledged_by for one in await world.read(store.unresolved)}
    assert [taken[number] for number in numbers] == ["ann", "ann", None]
    await page.context.close()


async def test_a_get_changes_nothing(world: World, page: Page) -> None:
    number = await opened(world, "only-looked-at")
    before = await world.audited()
    for path in ("acknowledge", "approve", "comment", "update"):
        answer = await page.goto(f"{world.url}/incidents/{number}/{path}")
        assert answer is not None
        assert answer.status in {404, 405}
    await page.goto(f"{world.url}/incidents/{number}/rollback")
    await page.goto(f"{world.url}/incidents/{number}/resolve")
    assert await world.audited() == before


async def test_two_people_approve_and_the_command_runs_once(world: World) -> None:
    number = await world.ask_for_rollback("twice", number=2)
    pages = [await world.page(java_script_enabled=False) for _ in range(2)]
    for page in pages:
        await page.goto(f"{world.url}/incidents/{number}/rollback")
        assert await page.locator("h1").inner_text() == "Roll back 1.2.3 → 1.2.2?"
        assert (await page.locator("#command").inner_text()).endswith("deploy twice 1.2.2")
        # What is asked is no brake of its own: of somebody just woken only the answer is wanted.
        brakes = await page.locator("#brakes").inner_text()
        assert "waits: for the answer above" in brakes
        assert "holds" not in brakes
    buttons = [page.get_by_role("button", name="Approve") for page in pages]
    await asyncio.gather(*(button.click() for button in buttons))
    titles = sorted([await page.locator("h1").inner_text() for page in pages])
    assert titles == sorted(["twice fails 5 % of its requests", "This was not done"])
    (refused,) = [page for page in pages if await page.locator("h1").inner_text() == "This was not done"]
    assert "is approved by ann already" in await refused.locator(".said").inner_text()
    await world.until(select(rollbacks).where(rollbacks.c.incident_id == number, rollbacks.c.state != "running"))
    assert world.ran.read_text().splitlines() == ["ran"]
    for page in pages:
        await page.context.close()


async def test_an_answer_to_another_question_than_was_seen_is_refused_with_the_reason(world: World, page: Page) -> None:
    number = await world.ask_for_rollback("changed", number=3)
    await page.goto(f"{world.url}/incidents/{number}/rollback")
    rows = await world.audited()
    asked = await world.read(lambda c: approval.latest(c, number))
    for fields, why in (
        ({"question": str(asked.id + 1)}, f"question {asked.id + 1} is not asked any more"),
        ({"question": str(asked.id), "to_version": "0.9"}, "is about 1.2.2 by now, and not about 0.9"),
    ):
        answer = await page.request.post(
            f"{world.url}/incidents/{number}/approve", form={"by": "ann", **fields}, max_redirects=0
        )
        assert answer.status == 409
        assert why in re.sub(r"\s+", " ", await answer.text())
    assert await world.audited() == rows
    assert (await world.read(lambda c: approval.latest(c, number))).state == "waiting"
    await page.get_by_role("button", name="Reject").click()
    assert (await world.read(lambda c: approval.latest(c, number))).state == "rejected"
    assert await page.locator("#question").count() == 0


async def test_a_hold_is_accepted_once_for_the_stage_that_was_seen(world: World, page: Page) -> None:
    await page.goto(f"{world.url}/deployments/3")
    assert "1 bad of 120" in await page.locator(".evidence").inner_text()
    answer = await page.request.post(
        f"{world.url}/deployments/3/accept", form={"by": "ann", "why": "x", "stage": "77"}, max_redirects=0
    )
    assert answer.status == 409
    await page.get_by_label("Why it may go on").fill("few people are awake")
    await page.get_by_role("button", name="Accept canary-10").click()
    assert "Accepted by ann: few people are awake" in await page.locator("main").inner_text()
    assert await page.locator("#hold").count() == 0


async def test_a_window_begins_and_ends_and_stands_in_the_audit(world: World, page: Page) -> None:
    await page.goto(f"{world.url}/maintenance")
    await page.get_by_label("Service").fill("search")
    await page.get_by_label("Reason").fill("new disks")
    await page.get_by_role("button", name="Begin it").click()
    assert "new disks" in await page.locator("#windows").inner_text()
    await page.get_by_role("button", name="End it now").click()
    assert await page.locator("#windows li").count() == 0
    await page.goto(f"{world.url}/audit?who=ann")
    assert "maintenance.end" in await page.locator("#audit").inner_text()


async def test_the_gate_says_what_lacks_and_takes_an_approval_back(world: World, page: Page) -> None:
    await page.goto(f"{world.url}/gate?service=shop&environment=production&version=9")
    assert "no verification plan covers shop in production" in await page.locator("#checks").inner_text()
    await page.get_by_label("Approve as").fill("ops")
    await page.get_by_role("button", name="Approve version 9").click()
    assert "version=9" in page.url
    await page.get_by_role("button", name="Withdraw").click()
    await page.goto(f"{world.url}/gate?service=shop&environment=production&version=9")
    assert await page.get_by_role("button", name="Withdraw").count() == 0


async def test_over_an_approval_stands_who_deployed(world: World, page: Page) -> None:
    number = await world.ask_for_rollback("whose", number=4)
    await page.goto(f"{world.url}/incidents/{number}/rollback")
    text = await page.locator("#decision").inner_text()
    assert re.search(r"From\s+1\.2\.3, deployed .* by bob\n(.*\n)*.*Approve: roll back to 1\.2\.2", text), text
    asked = "service=whose&environment=production&version=10"
    await page.goto(f"{world.url}/gate?{asked}&deployer=bob")
    assert await page.locator("input[name=deployer]").input_value() == "bob"
    await page.get_by_label("Approve as").fill("ops")
    await page.get_by_role("button", name="Approve version 10").click()
    assert page.url.endswith(f"/gate?{asked}&deployer=bob")
    assert "approved it as ops" in await page.locator("main").inner_text()


async def test_what_cannot_be_read_is_refused_with_what_to_do(world: World, page: Page) -> None:
    number = await opened(world, "faulty-form")
    for by, note, why in (("ann", "", "note"), ("deploywatch", "x", "write who you are")):
        form: dict[str, str | float | bool] = {"by": by, "note": note}
        answer = await page.request.post(f"{world.url}/incidents/{number}/comment", form=form, max_redirects=0)
        assert answer.status == 400
        assert why in await answer.text()


async def test_by_keyboard_alone_one_takes_an_incident(world: World) -> None:
    number = await opened(world, "keyboard", "critical")
    page = await world.page(1280, 900)
    await page.goto(f"{world.url}/?service=keyboard")
    for _ in range(await page.locator("#questions > li").count() + 1):
        await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"{world.url}/incidents/{number}")
    await page.keyboard.press("a")
    await page.get_by_text("ann has it", exact=True).wait_for()
    assert (await world.read(lambda c: store.get(c, number))).acknowledged_by == "ann"
    await page.context.close()


async def test_what_comes_from_outside_is_text_and_never_markup(world: World, page: Page) -> None:
    await page.goto(f"{world.url}/")
    await page.get_by_role("link", name=EVIL).click()
    assert await page.locator("h1").inner_text() == EVIL
    assert await page.locator("img").count() == 0
    assert await page.get_by_role("link", name="Runbook").count() == 0


async def test_a_postmortem_is_edited_in_place_and_of_two_editors_nobodys_words_are_lost(world: World) -> None:
    number = await opened(world, "reviewed-by-two")
    pages = [await world.page(java_script_enabled=False) for _ in range(2)]
    for page in pages:
        await page.goto(f"{world.url}/incidents/{number}/postmortem")
        assert "nobody has edited it" in await page.locator("#edition").inner_text()
    for page, words in zip(pages, ("# First\n\n<b>by one</b>", "# Second"), strict=True):
        await page.locator("#draft").fill(words)
        await page.get_by_role("button", name="Save as version 1").click()
    first, second = pages
    assert await first.locator("#draft").input_value() == "# First\n\n<b>by one</b>"
    assert "Version 1, saved just now" in await first.locator("#edition").inner_text()
    assert "ann saved version 1 after you had begun from the draft" in await second.locator("#refused").inner_text()
    assert await second.locator("#draft").input_value() == "# Second"
    assert "<b>by one</b>" in str(await second.locator("#refused pre").text_content())
    await second.get_by_role("button", name="Save as version 2").click()
    answer = await second.request.get(f"{world.url}/api/v1/incidents/{number}/postmortem")
    assert (await answer.text(), answer.headers["etag"]) == ("# Second", '"2"')
    (row, *_) = await world.read(lambda c: audit.entries(c, limit=1, incident_id=number))
    assert (row["what"], row["detail"]["text"]) == ("incidents.postmortem", "8 characters")
    for page in pages:
        await page.context.close()


async def test_what_a_failing_service_drags_down_stands_with_it_and_has_no_incident(world: World, page: Page) -> None:
    number = await opened(world, "payments")
    victim = alert("Slow", starts=datetime.now(UTC) - NOON, service="checkout", severity="medium")
    await world.fire(victim)
    await page.goto(f"{world.url}/incidents/{number}")
    assert "It drags down: checkout" in await page.locator("#victims").inner_text()
    assert await world.read(lambda c: [one for one in store.unresolved(c) if one.service == "checkout"]) == []
    await page.get_by_role("button", name="I have it").click()
    # As B11 of source 001 counts: detected, in hand, updates that are due.
    took = await page.locator("#took").inner_text()
    assert re.fullmatch(r"detected after \d+ s · in hand after (\d+ min )?\d+ s", took)
    assert "Next status update due in " in await page.locator("#next-update").inner_text()
    await page.goto(f"{world.url}/services/payments/production")
    assert "no incident checkout" in await page.locator("#is-needed-by").inner_text()


async def test_after_rollbacks_that_failed_a_person_allows_the_next_on_the_page_that_says_so(
    world: World, page: Page
) -> None:
    number = await world.ask_for_rollback("breaker", number=4)
    rollback = world.context.settings.rollback
    usual = rollback.breaker
    object.__setattr__(rollback, "breaker", 0)  # any number of failures, none included, is too many
    try:
        await page.goto(f"{world.url}/incidents/{number}/rollback")
        await page.get_by_label("Why the next one will not fail").fill("the disk is free again")
        await page.get_by_role("button", name="Allow rollbacks of breaker in production again").click()
    finally:
        object.__setattr__(rollback, "breaker", usual)
    (row, *_) = await world.read(lambda c: audit.entries(c, limit=1))
    assert (row["what"], row["who"], row["detail"]["note"]) == ("rollbacks.allow", "ann", "the disk is free again")
    await page.goto(f"{world.url}/incidents/{number}/rollback")
    assert await page.locator("#allow").count() == 0
