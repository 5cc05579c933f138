"""Debian's blackbox_exporter and our /probe with the same modules, and what is allowed to differ between them."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client.parser import text_string_to_metric_families

from deploywatch.demo.processes import Processes
from deploywatch.demo.servers import python_part
from deploywatch.exporter import config
from deploywatch.exporter.app import make_server
from deploywatch.exporter.exporter import Exporter

OURS_ALONE = {
    "probe_failure_info",
    "probe_ssl_last_chain_info",
    "probe_tcp_duration_seconds",
    "probe_tls_cipher_info",
}
"""What Debian's blackbox_exporter does not have."""

OURS_ALONE_UNTRUSTED = {"probe_ssl_earliest_cert_expiry", "probe_tls_verify_failure_info", "probe_tls_version_info"}
"""What we tell also of a certificate that is not trusted."""

THEIRS_ALONE_UNANSWERED = {
    "probe_failed_due_to_regex",
    "probe_http_content_length",
    "probe_http_uncompressed_body_length",
    "probe_http_version",
}
"""What is 0 there, and absent here, when no answer came."""

OTHERWISE_UNFOLLOWED = {"probe_http_redirects"}
"""What is 1 there and 0 here when a redirect is answered and not followed."""

OTHERWISE_UNTRUSTED = {"probe_http_ssl", "probe_grpc_ssl"}
"""What is 0 there and 1 here when TLS was begun and the certificate is not trusted."""

OTHERWISE_UNDECODED = {"probe_failed_due_to_regex"}
"""What is 1 there and 0 here when a body that must match cannot be decoded as br or deflate."""

THEIRS_ALONE_UNANSWERED_DNS = {"probe_dns_answer_rrs", "probe_dns_authority_rrs", "probe_dns_additional_rrs"}
"""What is 0 there, and absent here, when no DNS answer came."""

THEIRS_ALONE_WITHOUT_TLS = {"probe_ssl_earliest_cert_expiry"}
"""What Debian's release has at 0 for gRPC without TLS."""

OTHERWISE_TOO_LARGE = {"probe_http_uncompressed_body_length"}
"""Of a body that is larger than its limit, they count the limit, and we all that came."""

THEIRS_NEWER = {"probe_failed_due_to_bytes"}
"""What later releases of blackbox_exporter have alone."""

NEWER_LABELS = {"serialnumber"}
"""Labels that later releases of blackbox_exporter have too."""

DIFFERENCES = OURS_ALONE | OURS_ALONE_UNTRUSTED | THEIRS_ALONE_UNANSWERED | OTHERWISE_UNFOLLOWED
DIFFERENCES |= THEIRS_ALONE_UNANSWERED_DNS | THEIRS_ALONE_WITHOUT_TLS | OTHERWISE_TOO_LARGE
DIFFERENCES |= OTHERWISE_UNTRUSTED | OTHERWISE_UNDECODED | THEIRS_NEWER | NEWER_LABELS

TIMES = ("_seconds",)
"""Names that end so are durations: they are never the same twice."""

Series = tuple[str, frozenset[tuple[str, str]]]


@dataclass(frozen=True, slots=True)
class Both:
    """The two exporters, with the same modules."""

    blackbox: str
    ours: str

    async def ask(self, target: str, module: str, limit: str = "3") -> tuple[dict[Series, float], dict[Series, float]]:
        """What each measured: theirs, ours."""
        headers = {"X-Prometheus-Scrape-Timeout-Seconds": limit}
        found = []
        async with aiohttp.ClientSession(headers=headers) as session:
            for url in (self.blackbox, self.ours):
                async with session.get(f"{url}/probe", params={"target": target, "module": module}) as response:
                    assert response.status == 200, await response.text()
                    families = text_string_to_metric_families(await response.text())
                    samples = [sample for family in families for sample in family.samples]
                    found.append(
                        {
                            (
                                s.name,
                                frozenset(label for label in s.labels.items() if label[0] not in NEWER_LABELS),
                            ): s.value
                            for s in samples
                        }
                    )
        return found[0], found[1]


@asynccontextmanager
async def both_running(
    processes: Processes,
    folder: Path,
    modules: Mapping[str, Any],
    targets: Mapping[str, list[str]] | None = None,
) -> AsyncIterator[Both]:
    """Both exporters with these modules, as blackbox.yml has them; ours with the `targets` that credentials need."""
    theirs, own = folder / "blackbox.yml", folder / "exporter.yml"
    theirs.write_text(json.dumps({"modules": modules}))
    bound = {name: {**module, **_bound(targets, name)} for name, module in modules.items()}
    own.write_text(json.dumps({"probe": {"allow": ["127.0.0.0/8", "::1"]}, "modules": bound}))
    program, port = shutil.which("prometheus-blackbox-exporter"), processes.free_port()
    assert program, "prometheus-blackbox-exporter is not on the PATH; scripts/test installs it"
    command = [program, f"--config.file={theirs}", f"--web.listen-address=127.0.0.1:{port}"]
    blackbox = await asyncio.to_thread(python_part, processes, "blackbox", command, port=port, ready="/-/healthy")
    settings = config.load(own)
    assert settings.refused == {}
    running = Exporter(own, settings)
    async with TestClient(TestServer(make_server(running, listen=":0", web_config=None).app)) as client:
        yield Both(blackbox.url, str(client.make_url("")).rstrip("/"))
    await asyncio.to_thread(blackbox.child.stop)


def _bound(targets: Mapping[str, list[str]] | None, name: str) -> dict[str, Any]:
    return {"targets": targets[name]} if targets and name in targets else {}


def compare(
    theirs: dict[Series, float],
    ours: dict[Series, float],
    *,
    more: Collection[str] = (),
    less: Collection[str] = (),
    otherwise: Collection[str] = (),
) -> None:
    """Names and labels are the same, and values too where they are no times, but for what the documentation lists."""
    ours_alone = {s for s in ours.keys() - theirs.keys() if s[0] not in {*OURS_ALONE, *more}}
    assert not ours_alone, f"ours alone: {ours_alone}"
    theirs_alone = {s for s in theirs.keys() - ours.keys() if s[0] not in {*THEIRS_NEWER, *less}}
    assert not theirs_alone, f"theirs alone: {theirs_alone}"
    for series in ours.keys() & theirs.keys():
        if series[0] in otherwise:
            continue
        if series[0].endswith(TIMES) and not series[0].endswith("timestamp_seconds"):
            assert abs(ours[series] - theirs[series]) < 1, series
        else:
            assert ours[series] == theirs[series], f"{series}: {ours[series]} here, {theirs[series]} there"
