"""What well-known software exposes of a service `shop` in `production`: every label as Prometheus stores it.

Names, labels and bounds are those of ingress-nginx's socket collector, Traefik's and Istio's (Envoy's) exporters, the
OpenTelemetry semantic conventions as Prometheus translates them, Micrometer's registry in Spring Boot, Go's promhttp,
Python's prometheus-fastapi-instrumentator, cAdvisor behind the kubelet, and kube-state-metrics; labels of the scrape
are those of kube-prometheus-stack's monitors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tests.support.world.film import Piece, Track

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Traffic:
    """A minute's requests of a service, 200 in each half; `born_bad` is a burst that is over at once."""

    failing: float = 0.0
    slow: float = 0.0
    born_bad: int = 0
    gone: bool = False
    longest: float = 0.2
    """How long the slowest request took, in seconds; only some clients say."""


@dataclass(frozen=True, slots=True)
class Server:
    """How a server that counts requests exposes them; `bounds` as its client writes them, `slow` the first too slow."""

    up: str
    """The series that says since when the target is known."""
    requests: str
    durations: str
    labels: Labels
    status: str
    bounds: tuple[str, ...]
    slow: str
    more: tuple[Labels, ...] = ()
    """Labels of series that count the same requests again, or those of others: they must not count."""
    codes: tuple[str, str] = ("200", "503")
    """What the label of the outcome says of a good answer, and of a bad one."""
    bad: Labels = field(default_factory=dict)
    """What else the series of bad answers bear."""
    by_status: bool = True
    """Whether the histogram bears the outcome too."""
    timed: Labels = field(default_factory=dict)
    """What the histogram bears and the counter does not."""
    longest: str = ""
    """The gauge that says how long the slowest request took."""


_STACK = {"container": "controller", "endpoint": "metrics"}
SERVERS: Mapping[str, Server] = {
    "ingress-nginx": Server(
        up="up",
        requests="nginx_ingress_controller_requests",
        durations="nginx_ingress_controller_request_duration_seconds",
        labels={
            **_STACK,
            "job": "ingress-nginx-controller-metrics",
            "instance": "10.1.2.3:10254",
            "namespace": "ingress-nginx",
            "pod": "ingress-nginx-controller-5d4",
            "service": "ingress-nginx-controller-metrics",
            "controller_class": "k8s.io/ingress-nginx",
            "controller_namespace": "ingress-nginx",
            "controller_pod": "ingress-nginx-controller-5d4",
            "exported_namespace": "production",
            "exported_service": "shop",
            "ingress": "shop",
            "canary": "",
            "host": "shop.example.com",
            "path": "/",
            "method": "GET",
        },
        status="status",
        bounds=("0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10"),
        slow="2.5",
        more=({"exported_service": "cart"}, {"exported_namespace": "staging"}),
    ),
    "traefik": Server(
        up="up",
        requests="traefik_service_requests_total",
        durations="traefik_service_request_duration_seconds",
        labels={
            "container": "traefik",
            "endpoint": "metrics",
            "job": "traefik-metrics",
            "instance": "10.1.3.4:9100",
            "namespace": "production",
            "pod": "traefik-7f9",
            "service": "traefik-metrics",
            "exported_service": "production-shop-80@kubernetes",
            "method": "GET",
            "protocol": "http",
        },
        status="code",
        bounds=("0.1", "0.3", "1.2", "5"),
        slow="1.2",
        more=({"exported_service": "production-cart-80@kubernetes"},),
    ),
    "istio": Server(
        up="up",
        requests="istio_requests_total",
        durations="istio_request_duration_milliseconds",
        labels={
            "job": "monitoring/envoy-stats-monitor",
            "instance": "10.1.0.7:15020",
            "namespace": "production",
            "pod": "shop-6c9-x",
            "container": "istio-proxy",
            "reporter": "destination",
            "connection_security_policy": "mutual_tls",
            "destination_app": "shop",
            "destination_canonical_service": "shop",
            "destination_service": "shop.production.svc.cluster.local",
            "destination_service_name": "shop",
            "destination_service_namespace": "production",
            "destination_version": "v1",
            "destination_workload": "shop",
            "destination_workload_namespace": "production",
            "request_protocol": "http",
            "response_flags": "-",
            "source_workload": "front",
        },
        status="response_code",
        bounds=(
            "0.5",
            "1",
            "5",
            "10",
            "25",
            "50",
            "100",
            "250",
            "500",
            "1000",
            "2500",
            "5000",
            "10000",
            "30000",
            "60000",
        ),
        slow="1000",
        # The other end of the same request, as its caller reports it; and who calls another service.
        more=({"reporter": "source", "pod": "front-1"}, {"destination_service_name": "cart"}),
    ),
    "otel": Server(
        up="target_info",
        requests="http_server_request_duration_seconds_count",
        durations="http_server_request_duration_seconds",
        labels={
            "job": "acme/shop",
            "instance": "627cc493-f310-47de-96bd-71410b7dec09",
            "service_name": "shop",
            "service_version": "1.4.2",
            "deployment_environment_name": "production",
            "http_request_method": "GET",
            "http_route": "/cart",
            "network_protocol_version": "1.1",
            "url_scheme": "http",
        },
        status="http_response_status_code",
        bounds=("0.005", "0.01", "0.025", "0.05", "0.075", "0.1", "0.25", "0.5", "0.75", "1", "2.5", "5", "7.5", "10"),
        slow="1",
        more=({"deployment_environment_name": "staging"},),
    ),
}
SERVERS = {
    **SERVERS,
    "otel-utf8": Server(
        up="target_info",
        requests="http.server.request.duration_seconds_count",
        durations="http.server.request.duration_seconds",
        labels={
            {
                "service_name": "service.name",
                "service_version": "service.version",
                "deployment_environment_name": "deployment.environment.name",
                "http_request_method": "http.request.method",
                "http_route": "http.route",
                "network_protocol_version": "network.protocol.version",
                "url_scheme": "url.scheme",
            }.get(name, name): value
            for name, value in SERVERS["otel"].labels.items()
        },
        status="http.response.status_code",
        bounds=SERVERS["otel"].bounds,
        slow="1",
        more=({"deployment.environment.name": "staging"},),
    ),
}
_CLIENT = {"job": "shop", "instance": "10.1.0.9:8080", "environment": "production"}
CLIENTS: Mapping[str, Server] = {
    "go-shop": Server(
        up="up",
        requests="http_requests_total",
        durations="http_request_duration_seconds",
        labels={**_CLIENT, "handler": "cart", "method": "get"},
        status="code",
        bounds=("0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10"),
        slow="1",
        # What the kubelet asks is always well, and often more than users ask.
        more=tuple({"handler": "healthz", "method": method} for method in ("get", "head", "post", "put", "options")),
    ),
    "python-shop": Server(
        up="up",
        requests="http_requests_total",
        durations="http_request_duration_seconds",
        labels={**_CLIENT, "handler": "/cart", "method": "GET"},
        status="status",
        codes=("2xx", "5xx"),
        bounds=("0.1", "0.5", "1.0"),
        slow="0.5",
        by_status=False,
        more=tuple({"handler": "/healthz", "method": method} for method in ("GET", "HEAD", "POST", "PUT", "OPTIONS")),
    ),
}
_ASKED = ("GET", "HEAD", "POST", "PUT", "OPTIONS")
OTHERS: Mapping[str, Server] = {
    "flask": Server(
        up="up",
        requests="flask_http_request_total",
        durations="flask_http_request_duration_seconds",
        labels={**_CLIENT, "method": "GET"},
        status="status",
        timed={"path": "/cart"},
        bounds=(
            "0.005",
            "0.01",
            "0.025",
            "0.05",
            "0.075",
            "0.1",
            "0.25",
            "0.5",
            "0.75",
            "1.0",
            "2.5",
            "5.0",
            "7.5",
            "10.0",
        ),
        slow="1.0",
    ),
    "django": Server(
        up="up",
        requests="django_http_responses_total_by_status_view_method_total",
        durations="django_http_requests_latency_seconds_by_view_method",
        labels={**_CLIENT, "view": "cart", "method": "GET"},
        status="status",
        by_status=False,
        bounds=(
            "0.01",
            "0.025",
            "0.05",
            "0.075",
            "0.1",
            "0.25",
            "0.5",
            "0.75",
            "1.0",
            "2.5",
            "5.0",
            "7.5",
            "10.0",
            "25.0",
            "50.0",
            "75.0",
        ),
        slow="1.0",
        more=tuple({"view": "healthz", "method": method} for method in _ASKED),
    ),
    "express": Server(
        up="up",
        requests="http_request_duration_seconds_count",
        durations="http_request_duration_seconds",
        labels={**_CLIENT, "method": "GET", "path": "/cart"},
        status="status_code",
        bounds=("0.003", "0.03", "0.1", "0.3", "1.5", "10"),
        slow="1.5",
        more=tuple({"path": "/healthz", "method": method} for method in _ASKED),
    ),
    "dotnet": Server(
        up="up",
        requests="http_requests_received_total",
        durations="http_request_duration_seconds",
        labels={**_CLIENT, "method": "GET", "controller": "Cart", "action": "Show", "endpoint": "/cart"},
        status="code",
        bounds=tuple(f"{0.001 * 2**power:.15g}" for power in range(16)),
        slow="1.024",
        more=tuple({"endpoint": "/healthz", "controller": "", "action": "", "method": method} for method in _ASKED),
    ),
}
"""Those of which docs/rules/clients.md has only the series, by the word that stands above these."""
SERVERS = {
    **SERVERS,
    "micrometer": Server(
        up="up",
        requests="http_server_requests_seconds_count",
        durations="http_server_requests_seconds",
        labels={
            **_CLIENT,
            "application": "shop",
            "method": "GET",
            "uri": "/cart",
            "outcome": "SUCCESS",
            "exception": "none",
            "error": "none",
        },
        status="status",
        bad={"outcome": "SERVER_ERROR", "exception": "IllegalStateException", "error": "IllegalStateException"},
        bounds=("0.05", "0.1", "0.25", "0.5", "0.984263336", "1.0", "1.073741824", "2.5", "5.0"),
        slow="1.0",
        longest="http_server_requests_seconds_max",
        more=tuple({"uri": f"/actuator/{path}"} for path in ("health", "info", "prometheus", "env", "beans")),
    ),
}
_EACH = 100.0
"""Requests between two samples."""


def requests(server: Server, traffic: Traffic, *, samples: int, fault: int) -> list[Track]:
    """Half a minute apart; from sample `fault` on it is as `traffic` says, until then all is well and quick."""
    known = {
        label: server.labels[label] for label in ("job", "instance", "namespace", "service") if label in server.labels
    }
    tracks = [Track(series(server.up, known), [Piece(samples, 1.0)])]
    tracks += _counted(server, dict(server.labels), traffic, samples, fault)
    if server.longest:
        slowest = series(server.longest, {**server.labels, server.status: server.codes[0]})
        tracks.append(_steps(slowest, Traffic().longest, traffic.longest, samples, fault))
    for other in server.more:
        tracks += _counted(server, {**server.labels, **other}, Traffic(), samples, fault)
    return tracks


def _counted(server: Server, labels: dict[str, str], traffic: Traffic, samples: int, fault: int) -> Iterator[Track]:
    good, bad = ({**labels, server.status: code} for code in server.codes)
    bad |= server.bad
    # OTel counts requests by the histogram itself, so that its `_count` is there once, and not twice.
    yield _grows(series(server.requests, good), _EACH, _EACH * (1 - traffic.failing), samples, fault, traffic.gone)
    if traffic.failing:
        pieces = [Piece(fault, None), Piece(samples - fault, 1.0, _EACH * traffic.failing)]
        yield Track(series(server.requests, bad), pieces)
    elif traffic.born_bad:
        yield Track(series(server.requests, bad), [Piece(fault, None), Piece(samples - fault, float(traffic.born_bad))])
    for bound in (*server.bounds, "+Inf"):
        late = traffic.slow if bound != "+Inf" and float(bound) <= float(server.slow) else 0
        of = {**(good if server.by_status else labels), **server.timed}
        bucket = series(f"{server.durations}_bucket", {**of, "le": bound})
        yield _grows(bucket, _EACH, _EACH * (1 - late), samples, fault, traffic.gone)


def _grows(name: str, before: float, after: float, samples: int, fault: int, gone: bool) -> Track:
    then = Piece(samples - fault, None) if gone else Piece(samples - fault, before * fault, after)
    return Track(name, [Piece(fault, 0.0, before), then])


@dataclass(frozen=True, slots=True)
class Pods:
    """Two pods of a service: what the first one does; the second is well."""

    cpu: float = 0.3
    memory: float = 0.5
    down: int = 0
    restarts: float = 0.0
    available: float = 2.0


def pods(state: Pods, *, samples: int, fault: int) -> list[Track]:
    """As the kubelet's cAdvisor, kube-state-metrics and the pods' own targets show them, from `fault` on."""
    well, tracks = Pods(), list[Track]()
    for number in range(2):
        now = state if number == 0 else well
        tracks += _cadvisor(f"shop-6c9-{number}", well, now, samples, fault)
        target = {**_POD, "pod": f"shop-6c9-{number}", "service": "shop", "job": "shop", "endpoint": "http"}
        up = {**target, "instance": f"10.1.0.{number + 1}:8080"}
        tracks.append(_steps(series("up", up), 1.0, 0.0 if number < state.down else 1.0, samples, fault))
        restarts = series(
            "kube_pod_container_status_restarts_total", {**_STATE, "pod": f"shop-6c9-{number}", "uid": f"4f{number}"}
        )
        tracks.append(_grows(restarts, 0.0, now.restarts, samples, fault, gone=False))
    deployment = {**_STATE, "deployment": "shop"}
    del deployment["container"]
    tracks.append(_steps(series("kube_deployment_spec_replicas", deployment), 2.0, 2.0, samples, fault))
    available = series("kube_deployment_status_replicas_available", deployment)
    return [*tracks, _steps(available, 2.0, state.available, samples, fault)]


_POD = {"namespace": "production", "container": "shop"}
_KUBELET = {
    "namespace": "production",
    "job": "kubelet",
    "service": "kps-kubelet",
    "endpoint": "https-metrics",
    "metrics_path": "/metrics/cadvisor",
    "instance": "10.0.0.4:10250",
    "node": "worker-1",
}
_STATE = {
    "namespace": "production",
    "container": "shop",
    "job": "kube-state-metrics",
    "service": "kps-kube-state-metrics",
    "endpoint": "http",
    "instance": "10.1.0.99:8080",
}


def _cadvisor(pod: str, before: Pods, after: Pods, samples: int, fault: int) -> Iterator[Track]:
    """The container, its sidecar without a limit, its pause container, and the pod's own cgroup, the sum of all."""
    where = {**_KUBELET, "pod": pod, "id": f"/kubepods.slice/{pod}"}
    for container, image in (("shop", "shop:1.4"), ("istio-proxy", "proxyv2:1.26"), ("POD", "pause:3.9"), ("", "")):
        labels = {**where, "container": container, "image": image, "name": container and f"{pod}-{container}"}
        of = {"shop": (before.cpu, after.cpu), "": (before.cpu + 2.2, after.cpu + 2.2), "istio-proxy": (2.0, 2.0)}
        first, then = of.get(container, (0.0001, 0.0001))
        cpu = series("container_cpu_usage_seconds_total", {**labels, "cpu": "total"})
        yield _grows(cpu, 30 * first, 30 * then, samples, fault, gone=False)
        taken = (before.memory, after.memory) if container == "shop" else (1.5, 1.5)
        yield _steps(
            series("container_memory_working_set_bytes", labels), taken[0] * 1e9, taken[1] * 1e9, samples, fault
        )
        # A container without a limit has 0.
        limit = 1e9 if container == "shop" else 0.0
        yield _steps(series("container_spec_memory_limit_bytes", labels), limit, limit, samples, fault)


def _steps(name: str, before: float, after: float, samples: int, fault: int) -> Track:
    return Track(name, [Piece(fault, before), Piece(samples - fault, after)])


def series(name: str, labels: Labels) -> str:
    """A series as PromQL writes it, names with points in quotes."""
    quoted = "." in name or any("." in label for label in labels)
    inside = [(f'"{label}"' if quoted else label) + f'="{value}"' for label, value in labels.items() if value]
    return "{" + ",".join([f'"{name}"', *inside]) + "}" if quoted else f"{name}{{{','.join(inside)}}}"
