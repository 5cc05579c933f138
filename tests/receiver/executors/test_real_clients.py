"""The real kubectl and docker-compose take what the presets write; kubectl talks to a small API server."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from deploywatch.receiver.settings.executors.choice import RollbackChoice, ScaleChoice
from tests.receiver.executors.test_presets import perform

APPS = "/apis/apps/v1"
SHOP = f"{APPS}/namespaces/shops/deployments"


@dataclass(slots=True)
class Cluster:
    """As much of the Kubernetes API as these commands ask for; one deployment, rolled out at once."""

    patches: list[dict[str, Any]] = field(default_factory=list)
    replicas: int = 2

    def deployment(self) -> dict[str, Any]:
        """The deployment as it stands."""
        container = {"name": "app", "image": "registry.example/shop:1.2.3"}
        counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), self.replicas)
        template = {"metadata": {"labels": {"app": "shop"}}, "spec": {"containers": [container]}}
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "shop", "namespace": "shops", "generation": 1, "resourceVersion": "1", "uid": "1"},
            "spec": {"replicas": self.replicas, "selector": {"matchLabels": {"app": "shop"}}, "template": template},
            "status": {"observedGeneration": 1, **counts},
        }

    async def get(self, request: web.Request) -> web.Response:
        """The deployment, or the list with it."""
        if request.path.endswith("/shop"):
            return web.json_response(self.deployment())
        listed = {"metadata": {"resourceVersion": "1"}, "items": [self.deployment()]}
        return web.json_response({"apiVersion": "apps/v1", "kind": "DeploymentList", **listed})

    async def patch(self, request: web.Request) -> web.Response:
        """Note the change."""
        self.patches.append(json.loads(await request.text()))
        return web.json_response(self.deployment())

    async def scale(self, request: web.Request) -> web.Response:
        """The scale of the deployment, read, changed or replaced."""
        if request.method != "GET":
            sent = json.loads(await request.text())
            self.patches.append(sent)
            self.replicas = sent["spec"]["replicas"]
        scale = {"metadata": {"name": "shop", "namespace": "shops"}, "spec": {"replicas": self.replicas}}
        return web.json_response({"apiVersion": "autoscaling/v1", "kind": "Scale", **scale, "status": {"replicas": 2}})


async def _discovery(request: web.Request) -> web.Response:
    verbs = ["get", "list", "patch", "update", "watch"]
    deployments = {"name": "deployments", "singularName": "deployment", "namespaced": True, "kind": "Deployment"}
    scale = {"name": "deployments/scale", "namespaced": True, "kind": "Scale", "group": "autoscaling", "version": "v1"}
    version = {"groupVersion": "apps/v1", "version": "v1"}
    apps = {"name": "apps", "versions": [version], "preferredVersion": version}
    resources = [deployments | {"verbs": verbs, "shortNames": ["deploy"]}, scale | {"singularName": "", "verbs": verbs}]
    answers: dict[str, Any] = {
        "/version": {"major": "1", "minor": "20", "gitVersion": "v1.20.2"},
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": [apps]},
        "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": []},
        APPS: {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "apps/v1", "resources": resources},
    }
    return web.json_response(answers[request.path])


@pytest.fixture
async def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cluster]:
    """A cluster that `kubectl` finds as the context `blue`, and no other."""
    running = Cluster()
    app = web.Application()
    for path in ("/version", "/api", "/apis", "/api/v1", APPS):
        app.router.add_get(path, _discovery)
    for path in (SHOP, f"{SHOP}/shop"):
        app.router.add_get(path, running.get)
    app.router.add_patch(f"{SHOP}/shop", running.patch)
    for method in ("GET", "PUT", "PATCH"):
        app.router.add_route(method, f"{SHOP}/shop/scale", running.scale)
    async with TestServer(app) as server:
        file = tmp_path / "kubeconfig"
        clusters = [{"name": "c", "cluster": {"server": str(server.make_url("")).rstrip("/")}}]
        contexts = [{"name": "blue", "context": {"cluster": "c", "user": ""}}]
        file.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", "clusters": clusters, "contexts": contexts}))
        monkeypatch.setenv("KUBECONFIG", str(file))
        monkeypatch.setenv("HOME", str(tmp_path))
        yield running


async def test_kubectl_sets_the_image_back_and_waits(cluster: Cluster) -> None:
    given = {"deployment": "shop", "namespace": "shops", "container": "app", "image": "registry.example/shop"}
    result = await perform(RollbackChoice.model_validate({"kubectl": {**given, "context": "blue"}, "timeout": "30s"}))
    assert result.good, result.detail
    (patch,) = cluster.patches
    assert patch["spec"]["template"]["spec"]["containers"] == [{"name": "app", "image": "registry.example/shop:1.2.2"}]
    assert "successfully rolled out" in result.detail


async def test_kubectl_sets_the_replicas_and_waits(cluster: Cluster) -> None:
    choice = {"kubectl": {"deployment": "shop", "namespace": "shops", "context": "blue"}, "timeout": "30s"}
    result = await perform(ScaleChoice.model_validate(choice))
    assert result.good, result.detail
    assert cluster.replicas == 6


async def test_kubectl_says_what_a_deployment_lacks(cluster: Cluster) -> None:
    given = {"deployment": "shop", "namespace": "shops", "container": "nope", "image": "x", "context": "blue"}
    result = await perform(RollbackChoice.model_validate({"kubectl": given}))
    assert not result.good
    assert 'unable to find container named "nope"' in result.detail


COMPOSE = """version: "2.4"
services:
  shop:
    image: registry.example/shop:${SHOP_VERSION:?}
"""


@pytest.mark.parametrize("action", ["rollback", "scale"])
async def test_docker_compose_takes_the_arguments_and_asks_docker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    assert shutil.which("docker-compose"), "scripts/test installs it"
    file = tmp_path / "compose.yml"
    file.write_text(COMPOSE if action == "rollback" else COMPOSE.replace("${SHOP_VERSION:?}", "1"))
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    monkeypatch.setenv("HOME", str(tmp_path))
    given = {"file": str(file), "service": "shop", "project": "shops", "program": ["docker-compose"]}
    choice: RollbackChoice | ScaleChoice
    if action == "rollback":
        choice = RollbackChoice.model_validate({"docker_compose": {**given, "variable": "SHOP_VERSION"}})
    else:
        choice = ScaleChoice.model_validate({"docker_compose": given})
    result = await perform(choice)
    assert not result.good
    assert "docker daemon" in result.detail.lower() or "connection refused" in result.detail.lower(), result.detail


async def test_docker_compose_asks_nobody_when_it_does_not_know_an_argument() -> None:
    unknown = ["docker-compose", "--file", "x.yml", "up", "--detach", "--no-such-option", "shop"]
    result = await perform(RollbackChoice.model_validate({"command": unknown}))
    assert "docker daemon" not in result.detail.lower()
    # Version 1 answers with its usage, version 2 with the flag.
    assert "--scale SERVICE=NUM" in result.detail or "unknown flag: --no-such-option" in result.detail
