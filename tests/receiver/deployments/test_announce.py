"""Deployments are told to the channels that show changes, once for each state."""

from __future__ import annotations

from sqlalchemy import Connection

from deploywatch.receiver.deployments import announce, ledger
from deploywatch.receiver.deployments.deployment import Deployment
from deploywatch.receiver.messages import DeliveryError
from deploywatch.receiver.story import DeploymentView
from tests.receiver.conftest import MakeScene
from tests.receiver.scene import HOUR, MINUTE, RecordedChannel, Scene, settings


class ChangeBoard(RecordedChannel):
    """A channel that shows changes too."""

    def __init__(self) -> None:
        super().__init__()
        self.changes: list[DeploymentView] = []

    async def change(self, deployment: DeploymentView) -> None:
        """Keep it."""
        if self.failures:
            raise self.failures.popleft()
        self.changes.append(deployment)


def _scene(make_scene: MakeScene) -> tuple[Scene, ChangeBoard]:
    scene, board = make_scene(settings("team", "board")), ChangeBoard()
    scene.context.channels = {**scene.channels, "board": board}
    return scene, board


async def _deploy(scene: Scene) -> Deployment:
    """Begin a deployment, as the API does."""
    now = scene.clock.now

    def write(connection: Connection) -> Deployment:
        new = ledger.start(connection, service="shop", environment="production", version="1.2.3", started_at=now)
        announce.queue(connection, scene.context, new, now)
        return new

    return await scene.context.store.write(write)


async def test_a_deployment_that_begins_is_told_where_changes_are_shown(make_scene: MakeScene) -> None:
    scene, board = _scene(make_scene)
    await _deploy(scene)
    await scene.drain()
    assert [(one.version, one.status) for one in board.changes] == [("1.2.3", "running")]
    assert scene.channels["team"].messages == []


async def test_the_same_state_is_told_once(make_scene: MakeScene) -> None:
    scene, board = _scene(make_scene)
    new = await _deploy(scene)
    await scene.context.store.write(lambda c: announce.queue(c, scene.context, new, scene.clock.now))
    await scene.drain()
    assert len(board.changes) == 1


async def test_trouble_is_tried_again_but_not_for_ever(make_scene: MakeScene) -> None:
    scene, board = _scene(make_scene)
    board.failures.extend([DeliveryError("server", "try later", again=True)] * 100)
    await _deploy(scene)
    for _ in range(20):
        await scene.after(5 * MINUTE)
    left = len(board.failures)
    await scene.after(HOUR)
    assert board.changes == []
    assert len(board.failures) == left
