"""The watcher of a stage: a leased job that takes the looks that are due, judges each, and stores both.

It remembers nothing between its runs: evidence is computed again from the stored looks. A look is taken one scrape
after it ended, in order, and later where Prometheus was away. It ends with the stage: by a verdict to roll back, a
person's word, the next stage, the deployment's end, or another version that is deployed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Connection

from deploywatch import logs
from deploywatch.errors import UnreachableError
from deploywatch.receiver.context import Context
from deploywatch.receiver.deployments import ledger, looks, stages
from deploywatch.receiver.deployments.deployment import Deployment, Status
from deploywatch.receiver.deployments.earlier import bad_spans
from deploywatch.receiver.deployments.looks import StoredLook
from deploywatch.receiver.deployments.stages import RunningStage, StageState
from deploywatch.receiver.incidents import store as incidents
from deploywatch.receiver.jobs.job import Job, NewJob
from deploywatch.receiver.jobs.queue import enqueue
from deploywatch.receiver.jobs.retry import Outcome, done, retry
from deploywatch.receiver.verification import counting, judging, time_of_day
from deploywatch.receiver.verification.look_record import record_verdict, store_look
from deploywatch.verdict.values import Answer

KIND = "watch_stage"
AT_ONCE = 20
"""Looks that one run takes, so that what was missed for hours does not hold up everything else."""
SOON = timedelta(seconds=1)

log = logs.get("verification")


@dataclass(frozen=True, slots=True)
class _State:
    """What a run begins with."""

    stage: RunningStage
    deployment: Deployment
    newest: Deployment
    taken: list[StoredLook]


def queue(connection: Connection, stage: RunningStage, now: datetime) -> None:
    """Have a stage watched; of one deployment one watcher runs at a time."""
    job = NewJob(
        kind=KIND,
        key=f"{KIND}:{stage.id}",
        serial_key=f"{KIND}:{stage.deployment_id}:{stage.id}",
        run_at=now,
        payload={"stage": stage.id},
    )
    enqueue(connection, now, job)


async def handle(context: Context, job: Job) -> Outcome:
    """Take and judge what is due; come again when the next look is over."""
    state = await context.store.read(lambda connection: _state(connection, job.payload["stage"]))
    if state is None:
        return done("there is no such stage any more")
    if ended := _ended(context, state):
        return done(ended.note, lambda connection: stages.end(connection, state.stage.id, ended.state, context.clock()))
    if state.stage.state is not StageState.RUNNING:
        return done(f"the stage is {state.stage.state}")
    try:
        stage, more = await _look(context, state)
    except UnreachableError as error:
        return await _without_source(context, state.stage, str(error))
    if more:
        return retry("more looks are due", SOON)
    # One scrape after its end: before that, the last samples of the look are not in Prometheus yet.
    at = stage.ends_of(await _newest(context, stage) + 1) + timedelta(seconds=stage.plan.scrape)
    return retry("until the next look", max(at - context.clock(), SOON))


@dataclass(frozen=True, slots=True)
class _End:
    state: StageState
    note: str


def _gone(deployment: Deployment, newest: Deployment) -> str:
    """Why nobody looks any more at what was deployed, or empty."""
    # Judged as if it still ran, the requests of the version before would prove the new one good.
    if newest.rollback_of == deployment.id or (newest.id == deployment.id and deployment.status is Status.ROLLED_BACK):
        return f"{deployment.version} was rolled back"
    if newest.id != deployment.id:
        return f"{deployment.version} was overtaken by {newest.version}"
    return f"the deployment of {deployment.version} failed" if deployment.status is Status.FAILED else ""


def _ended(context: Context, state: _State) -> _End | None:
    """How a stage ends that no verdict ended; None while it goes on."""
    stage, deployment, newest = state.stage, state.deployment, state.newest
    if stage.state is not StageState.RUNNING:
        return None
    if gone := _gone(deployment, newest):
        return _End(StageState.ENDED, gone)
    # What its pipeline calls a success is judged to the end all the same.
    decided = stage.answer == Answer.PROMOTE and stage.plan.last
    over = context.clock() - stage.started_at
    if decided and (deployment.status is Status.SUCCEEDED or over >= timedelta(seconds=stage.plan.at_most)):
        return _End(StageState.PROMOTED, f"{deployment.version} was promoted")
    if over >= context.settings.verification.watch:
        note = "nobody has finished it, and it is watched no longer"
        return _End(StageState.PROMOTED if decided else StageState.ENDED, note)
    return None


async def _with_before(context: Context, state: _State, asked: counting.Source) -> RunningStage:
    """The stage with what was counted before it began, which is asked for once."""
    stage = state.stage
    bad, troubled = await context.store.read(lambda connection: _bad_spans(connection, state))
    earlier = await counting.before(asked, stage, bad)
    hour = {name: asdict(usual) for name, usual in (await counting.usual(asked, stage, [*bad, *troubled])).items()}
    await context.store.write(lambda connection: stages.keep_before(connection, stage.id, earlier, hour))
    return await context.store.read(lambda connection: stages.get(connection, stage.id))


async def _look(context: Context, state: _State) -> tuple[RunningStage, bool]:
    """Take the looks that are due, and judge after each; whether more are due."""
    asked, stage, taken = counting.source(context), state.stage, state.taken
    # Asked once and stored: the hour before the stage does not change, but Prometheus may forget it.
    if stage.before is None:
        stage = await _with_before(context, state, asked)
    newest = taken[-1].number if taken else 0
    last = judging.due(stage, await counting.scraped_until(asked, context.clock(), stage.plan.look))
    for number in range(newest + 1, min(last, newest + AT_ONCE) + 1):
        look = await counting.take(asked, stage, number)
        taken.append(look)
        # What was missed is judged as of its own time, look by look, before what is now.
        then = stage.ends_of(number) + timedelta(seconds=stage.plan.scrape)
        decision = judging.decide(stage, taken, then if number < last else context.clock())
        store = partial(store_look, context=context, stage=stage, look=look, decision=decision)
        # A look in each transaction: after a crash the next replica goes on with the one that is not stored.
        went_on = await context.store.write(store)
        if not went_on:
            return stage, False
    return stage, last > newest + AT_ONCE


async def _without_source(context: Context, stage: RunningStage, problem: str) -> Outcome:
    """Prometheus cannot be asked: that is a verdict of its own, which never acts; the looks are taken later."""

    def write(connection: Connection) -> None:
        now, current = context.clock(), stages.get(connection, stage.id)
        if current.state is StageState.RUNNING:
            taken = looks.of_stage(connection, stage.id)
            decision = judging.decide(current, taken, now, [context.conceal(problem)])
            record_verdict(connection, context, current, taken[-1].number if taken else 0, decision)

    await context.store.write(write)
    log.warning("a look could not be taken", stage=stage.id, reason=context.conceal(problem))
    # Half a look: soon enough to lose none, seldom enough for a Prometheus that is starting.
    return retry("Prometheus cannot be asked", max(SOON, timedelta(seconds=stage.plan.look / 2)))


def _state(connection: Connection, stage_id: int) -> _State | None:
    stage = stages.find(connection, stage_id)
    if stage is None:
        return None
    deployment = ledger.get(connection, stage.deployment_id)
    newest = ledger.latest(connection, deployment.service, deployment.environment) or deployment
    return _State(stage, deployment, newest, looks.of_stage(connection, stage_id))


def _bad_spans(connection: Connection, state: _State) -> tuple[list[counting.Span], list[counting.Span]]:
    """When other versions of the service were known to be bad, and when it had incidents, as far back as is asked."""
    until, deployment = state.stage.started_at, state.deployment
    since = until - timedelta(days=time_of_day.DAYS, hours=1)
    where = (deployment.service, deployment.environment)
    bad = bad_spans(connection, *where, since, until)
    troubled = incidents.spans(connection, *where, since, until)
    first, second = ([(start.timestamp(), end.timestamp()) for start, end in spans] for spans in (bad, troubled))
    return first, second


async def _newest(context: Context, stage: RunningStage) -> int:
    return await context.store.read(lambda connection: looks.newest_number(connection, stage.id))
