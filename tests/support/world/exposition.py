"""What is exposed of a service, by whom, and in whose spelling: never by what a policy believes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from tests.support.world.film import Track
from tests.support.world.state import State
from tests.support.world.timeline import Timeline

Reading = Callable[[State], float | None]
"""A gauge's value, or how fast a counter grows a second; None while the series is not there."""

Shares = tuple[tuple[float, float], ...]
"""How long requests take, in seconds, and which share of them takes that long."""

SPELLINGS: Mapping[str, Callable[[float], str]] = {
    "client_golang": lambda bound: f"{bound:g}",
    "client_python": lambda bound: str(float(bound)),
    "micrometer": lambda bound: str(float(bound)),
    "otel": lambda bound: f"{bound:g}",
}
"""How clients write the bound of a bucket."""


@dataclass(frozen=True, slots=True)
class Client:
    """How a service's own metrics are called and spelled."""

    library: str = "client_golang"
    requests: str = "http_requests_total"
    durations: str = "http_request_duration_seconds"
    queries: str = "db_query_duration_seconds"
    status: str = "status"
    buckets: tuple[float, ...] = (0.05, 0.1, 0.2, 0.25, 0.5, 0.8, 1, 1.5, 2, 2.5, 3, 5, 10)
    query_buckets: tuple[float, ...] = (0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1)


@dataclass(slots=True)
class Place:
    """A service in an environment, and who looks at it.

    `where` are the labels that all that is scraped from it, or from its machines, bears; `probed` those of our exporter
    and ledger.
    """

    where: dict[str, str]
    probed: dict[str, str]
    timeline: Timeline
    clients: tuple[Client, ...] = (Client(), Client("client_python"))
    containers: bool = False
    """Whether cAdvisor watches it, or else node_exporter."""
    depends_on: str = ""
    dependency: dict[str, str] = field(default_factory=dict)
    """The labels of the probes of what it depends on."""
    queues: tuple[str, ...] = ()
    business: bool = False
    database: bool = True
    roles: str = ""
    """The label that tells the canary's instance from the stable ones, where there is a canary at times."""


@dataclass(slots=True)
class _Scene:
    """Turns readings into tracks, phase by phase."""

    place: Place
    length: float
    step: float
    tracks: list[Track] = field(default_factory=list)

    def gauge(self, name: str, labels: Mapping[str, str], read: Reading) -> None:
        track = Track(_series(name, labels))
        for samples, state, _ in self._phases():
            value = read(state) if state.scraped else None
            track.add(samples, value)
        self._keep(track)

    def counter(self, name: str, labels: Mapping[str, str], read: Reading, *, born: bool = False) -> None:
        """A counter; with `born`, it is not there before it first grows, nor after a restart until it grows again."""
        track, value, there = Track(_series(name, labels)), 0.0, not born
        for samples, state, restarted in self._phases():
            if restarted:
                value, there = 0.0, not born
            speed = read(state)
            growth = (speed or 0.0) * self.step
            there = there or growth > 0
            track.add(samples, value if there and state.scraped and speed is not None else None, growth)
            value += growth * samples
        self._keep(track)

    def _phases(self) -> Iterator[tuple[int, State, bool]]:
        count = int(self.length / self.step) + 1
        for start, end, state, restarted in self.place.timeline.phases(self.length):
            first, last = -(-start // self.step), count if end >= self.length else -(-end // self.step)
            yield int(last - first), state, restarted

    def _keep(self, track: Track) -> None:
        if not track.is_empty:
            self.tracks.append(track)


def tracks(place: Place, *, length: float, step: float) -> list[Track]:
    """Every series of a place, for `length` seconds, a sample each `step`."""
    scene = _Scene(place, length, step)
    for number, client in enumerate(place.clients):
        instance = {**place.where, "instance": f"10.0.0.{number + 1}:8080", "pod": f"pod-{number + 1}"}
        if place.roles:
            instance[place.roles] = "stable"
        _target(scene, number, instance)
        _requests(scene, client, number, instance)
        if place.database:
            _queries(scene, client, number, instance)
    if place.roles:
        _canary(scene)
    _machines(scene)
    _probes(scene)
    _ledger(scene)
    for queue in place.queues:
        scene.gauge("queue_length", {**place.where, "queue_id": queue}, lambda state: state.queue)
    if place.business:
        _business(scene)
    return scene.tracks


def _alive(state: State, number: int, count: int) -> bool:
    """Whether an instance answers; the last ones go first."""
    return number < count - state.down - state.gone


def _target(scene: _Scene, number: int, instance: Mapping[str, str]) -> None:
    count = len(scene.place.clients)

    def up(state: State) -> float | None:
        return None if number >= count - state.gone else float(_alive(state, number, count))

    scene.gauge("up", {**instance, "job": "app"}, up)


def _requests(scene: _Scene, client: Client, number: int, instance: Mapping[str, str]) -> None:
    count = len(scene.place.clients)

    def asked(state: State) -> float | None:
        if not _alive(state, number, count):
            return None
        stable = 1 - state.canary_share if state.canary_failing is not None else 1
        return state.requests * stable * state.season / count

    _answers(scene, client, instance, asked, lambda state: state.failing, born_bad=True)
    _histogram(scene, client.library, client.durations, client.buckets, instance, asked, _request_shares)


def _queries(scene: _Scene, client: Client, number: int, instance: Mapping[str, str]) -> None:
    count = len(scene.place.clients)

    def asked(state: State) -> float | None:
        return state.requests * state.season / count if _alive(state, number, count) else None

    _histogram(scene, client.library, client.queries, client.query_buckets, instance, asked, _query_shares)


def _answers(
    scene: _Scene,
    client: Client,
    instance: Mapping[str, str],
    asked: Reading,
    failing: Callable[[State], float],
    *,
    born_bad: bool = False,
) -> None:
    """Counters of good and of bad answers; those that are `born_bad` have no series of bad ones before the first."""
    for outcome, label in (("good", "200"), ("bad", "500")):

        def speed(state: State, outcome: str = outcome) -> float | None:
            requests = asked(state)
            share = failing(state) if outcome == "bad" else 1 - failing(state)
            return None if requests is None else requests * share

        labels = {**instance, "method": "GET", "endpoint": "/", client.status: label}
        scene.counter(client.requests, labels, speed, born=outcome == "bad" or not born_bad)


def _canary(scene: _Scene) -> None:
    """One instance of the new version, which takes its share of the requests while there is a canary."""
    place, client = scene.place, scene.place.clients[0]
    instance = {**place.where, "instance": "10.0.0.99:8080", "pod": "pod-canary", place.roles: "canary"}
    scene.gauge("up", {**instance, "job": "app"}, lambda state: None if state.canary_failing is None else 1.0)

    def asked(state: State) -> float | None:
        return None if state.canary_failing is None else state.requests * state.canary_share * state.season

    _answers(scene, client, instance, asked, lambda state: state.canary_failing or 0.0)
    _histogram(scene, client.library, client.durations, client.buckets, instance, asked, _canary_shares)


def _request_shares(state: State) -> Shares:
    return (state.quick_seconds, 1 - state.slow), (state.slow_seconds, state.slow)


def _canary_shares(state: State) -> Shares:
    return (state.quick_seconds, 1 - state.canary_slow), (state.slow_seconds, state.canary_slow)


def _query_shares(state: State) -> Shares:
    return (0.003, 1 - state.queries_slow), (state.query_seconds, state.queries_slow)


def _histogram(
    scene: _Scene,
    library: str,
    name: str,
    bounds: tuple[float, ...],
    instance: Mapping[str, str],
    asked: Reading,
    shares: Callable[[State], Shares],
) -> None:
    """A histogram of an instance that is asked so often, spelled as its client spells it."""
    written = SPELLINGS[library]

    def below(bound: float) -> Reading:
        def speed(state: State) -> float | None:
            requests = asked(state)
            share = sum(part for seconds, part in shares(state) if seconds <= bound)
            return None if requests is None else requests * share

        return speed

    for bound in bounds:
        scene.counter(f"{name}_bucket", {**instance, "le": written(bound)}, below(bound))
    scene.counter(f"{name}_bucket", {**instance, "le": "+Inf"}, below(float("inf")))
    scene.counter(f"{name}_count", instance, below(float("inf")))

    def taken(state: State) -> float | None:
        each = below(float("inf"))(state)
        return None if each is None else each * sum(seconds * part for seconds, part in shares(state))

    scene.counter(f"{name}_sum", instance, taken)


def _machines(scene: _Scene) -> None:
    where = scene.place.where
    if scene.place.containers:
        _containers(scene)
    else:
        for core in ("0", "1"):
            labels = {**where, "instance": "node-1:9100", "cpu": core}
            scene.counter("node_cpu_seconds_total", {**labels, "mode": "idle"}, lambda state: 1 - state.cpu)
            scene.counter("node_cpu_seconds_total", {**labels, "mode": "user"}, lambda state: state.cpu * 0.8)
            scene.counter("node_cpu_seconds_total", {**labels, "mode": "iowait"}, lambda state: state.cpu * 0.2)
    node = {**where, "instance": "node-1:9100"}
    scene.gauge("node_memory_MemTotal_bytes", node, lambda _: 16e9)
    scene.gauge("node_memory_MemAvailable_bytes", node, lambda state: 16e9 * (1 - state.memory))
    for mount, kind in (("/", "ext4"), ("/run", "tmpfs")):
        at = {**node, "mountpoint": mount, "fstype": kind, "device": "/dev/sda1" if kind == "ext4" else "tmpfs"}
        scene.gauge("node_filesystem_size_bytes", at, lambda _: 100e9)
        # A tmpfs that is nearly full is well: nobody writes there.
        scene.gauge("node_filesystem_avail_bytes", at, _free if kind == "ext4" else _nearly_full)
    disk = {**node, "device": "sda"}
    for verb, done in (("read", "reads"), ("write", "writes")):
        scene.counter(f"node_disk_{done}_completed_total", disk, lambda _: 50.0)
        scene.counter(f"node_disk_{verb}_time_seconds_total", disk, lambda state: 50.0 * state.disk_seconds)
    for device in ("eth0", "lo"):
        scene.counter("node_network_transmit_bytes_total", {**node, "device": device}, lambda state: 2e6 * state.season)
    scene.gauge("active_connections", {**where, "instance": "10.0.0.1:8080"}, lambda state: state.connections)
    scene.gauge("db_pool_connections_in_use", {**where, "instance": "10.0.0.1:8080"}, lambda state: 50 * state.pool)
    scene.gauge("db_pool_connections_max", {**where, "instance": "10.0.0.1:8080"}, lambda _: 50.0)


def _free(state: State) -> float:
    return 100e9 * (1 - state.disk)


def _nearly_full(_: State) -> float:
    return 1e9


def _containers(scene: _Scene) -> None:
    """As cAdvisor has them: the container, its pause container, and the pod's own cgroup, which is the sum."""
    for number in range(len(scene.place.clients)):
        pod = {**scene.place.where, "pod": f"pod-{number + 1}", "cpu": "total", "job": "kubelet"}
        name = "container_cpu_usage_seconds_total"
        scene.counter(name, {**pod, "container": "app", "image": "app:1"}, lambda state: state.cpu)
        scene.counter(name, {**pod, "container": "POD", "image": "pause:3.9"}, lambda _: 0.00001)
        scene.counter(name, {**pod, "container": "", "image": ""}, lambda state: state.cpu + 0.00001)


def _probes(scene: _Scene) -> None:
    for name in ("web", "api", "api-queues"):
        _probe(scene, {**scene.place.probed, "kind": "http", "probe": name}, most=name != "web")
    if scene.place.depends_on:
        edge = {**scene.place.probed, "depends_on": scene.place.depends_on}
        scene.gauge("service_dependency", edge, lambda _: 1.0)
        labels = {**scene.place.dependency, "probe": "db", "kind": "postgres"}
        scene.gauge("probe_success", labels, lambda state: state.dependency)


def _probe(scene: _Scene, labels: Mapping[str, str], *, most: bool) -> None:
    """One probe; those that are not the first fail as soon as any does."""

    def well(state: State) -> float:
        return float(state.probes >= 1 if most else state.probes > 0)

    def failed(state: State) -> float:
        return (1 - well(state)) / 30

    scene.gauge("probe_success", labels, well)
    scene.gauge("probe_duration_seconds", labels, lambda state: state.probe_seconds)
    scene.counter("probe_runs_total", labels, lambda _: 1 / 30)
    scene.counter("probe_failures_total", labels, failed)


def _ledger(scene: _Scene) -> None:
    """The newest of the deployments is the current one; each is there from its start."""
    every = sorted(scene.place.timeline.deployments, key=lambda one: one.start)
    count = int(scene.length / scene.step) + 1
    for number, one in enumerate(every):
        labels = {**scene.place.probed, "version": one.version}
        before = max(0, int(-(-one.start // scene.step)))
        later = every[number + 1].start if number + 1 < len(every) else scene.length
        current = max(0, (count if later >= scene.length else int(-(-later // scene.step))) - before)
        started = Track(_series("deployment_started_timestamp_seconds", labels))
        started.add(before, None)
        started.add(count - before, one.start)
        info = Track(_series("deployment_info", labels))
        info.add(before, None)
        info.add(current, 1.0)
        info.add(count - before - current, 0.0)
        scene.tracks += [started, info]
        for status in ("running", "succeeded", "failed", "rolled_back"):
            track = Track(_series("deployment_status", {**labels, "status": status}))
            track.add(before, None)
            track.add(count - before, float(status == one.status))
            scene.tracks.append(track)


def _business(scene: _Scene) -> None:
    where = {**scene.place.where, "instance": "10.0.0.1:8080"}
    scene.counter("visits_total", where, lambda state: state.visits * state.season)
    scene.counter("conversions_total", where, lambda state: state.visits * state.season * state.converting)
    scene.counter("revenue_total", where, lambda state: state.revenue * state.season / 3600)
    scene.counter("user_complaints_total", where, lambda state: state.complaints / 3600)
    scene.counter("user_sessions_total", where, lambda state: state.sessions_begun * state.season)
    scene.gauge("user_sessions", where, lambda state: state.sessions)
    scene.gauge("user_satisfaction_score", where, lambda state: state.satisfaction)


def _series(name: str, labels: Mapping[str, str]) -> str:
    inside = ",".join(f'{label}="{value}"' for label, value in labels.items() if value)
    return f"{name}{{{inside}}}"
