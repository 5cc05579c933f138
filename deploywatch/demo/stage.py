"""Everything that the demo runs on: which processes, on which ports, with which configuration, in which folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from string import Template

from deploywatch.demo import servers
from deploywatch.demo.processes import Processes, StartError
from deploywatch.errors import DeploywatchError

PORTS = ("postgres", "redis", "shop", "inbox", "smtp", "exporter", "receiver", "alertmanager", "prometheus")
_DEPLOYWATCH = (sys.executable, "-m", "deploywatch")


class Stage:
    """The demo's folder and processes; leaving the `with` block of `processes` stops them all."""

    def __init__(self, folder: Path, processes: Processes, ports: Mapping[str, int]) -> None:
        self.folder = folder
        self.processes = processes
        self.data = folder / "data"
        self.rules = folder / "rules"
        self.postmortems = folder / "postmortems"
        self.reports = folder / "reports"
        self.ports = {name: ports.get(name) or processes.free_port() for name in PORTS}
        self.data.mkdir(parents=True, exist_ok=True)
        # PostgreSQL's own user has to reach its folder below.
        folder.chmod(0o711)
        self.data.chmod(0o711)

    @cached_property
    def files(self) -> Path:
        """The sample shop and the configuration files: beside this package in a wheel, in examples/ in a checkout."""
        packaged = Path(__file__).parent / "files"
        files = packaged if packaged.is_dir() else Path(__file__).parents[2] / "examples" / "demo"
        if not (files / "shop.py").is_file():
            raise DeploywatchError(f"the demo's files are missing at {files}; install deploywatch again")
        return files

    def url(self, name: str) -> str:
        """Where one of the parts is reached."""
        return f"http://127.0.0.1:{self.ports[name]}"

    def address(self, name: str) -> str:
        """Host and port of one of the parts."""
        return f"127.0.0.1:{self.ports[name]}"

    def variables(self) -> dict[str, str]:
        """What the configuration files are filled in with."""
        return {
            "DEMO": str(self.folder),
            "FILES": str(self.files),
            "PYTHON": sys.executable,
            "RULES": str(self.rules / "rules"),
            "PLANS": str(self.rules / "plans"),
            "SHOP": self.address("shop"),
            "SHOP_URL": self.url("shop"),
            "SHOP_PORT": str(self.ports["shop"]),
            "SHOP_STATE": str(self.data / "shop"),
            "SHOP_DATABASE": f"postgresql://postgres:{servers.PASSWORD}@{self.address('postgres')}/postgres",
            "SHOP_REDIS": f"redis://{self.address('redis')}/0",
            "EXPORTER": self.address("exporter"),
            "EXPORTER_URL": self.url("exporter"),
            "RECEIVER": self.address("receiver"),
            "RECEIVER_URL": self.url("receiver"),
            "PROMETHEUS_URL": self.url("prometheus"),
            "ALERTMANAGER": self.address("alertmanager"),
            "ALERTMANAGER_URL": self.url("alertmanager"),
            "INBOX_URL": self.url("inbox"),
            "INBOX_SMTP": self.address("smtp"),
        }

    def build_rules(self) -> None:
        """Build the demo's policy into rules, tests, routes, runbooks, the dashboard and the verification plan."""
        policy = Path(__file__).parents[1] / "rules" / "policies" / "demo.yml"
        self.run("rules", "build", str(policy), "--out", str(self.rules), "--webhook-url", self.webhook)

    @property
    def webhook(self) -> str:
        """Where Alertmanager delivers."""
        return f"{self.url('receiver')}/webhook/alertmanager"

    def start_databases(self) -> None:
        """PostgreSQL and Redis, empty."""
        servers.postgres(self.processes, self.data / "postgres", port=self.ports["postgres"])
        servers.redis(self.processes, self.data / "redis", port=self.ports["redis"])

    def start_shop(self) -> None:
        """The shop's front; no version runs before one is deployed."""
        state = self.data / "shop"
        state.mkdir(exist_ok=True)
        variables = self.variables()
        self.processes.start(
            "shop",
            [sys.executable, self.files / "front.py", "--listen", variables["SHOP"], "--state", state],
            environment=variables,
        )

    def start_load(self) -> None:
        """Steady traffic on the shop."""
        self._load("load", "60/s")

    def start_more_load(self) -> None:
        """More of it, so that one request in ten tells within a minute whether a version is good."""
        # Few at once, so that a busy machine gets fewer requests, and still answers Prometheus in time.
        self._load("more-load", "240/s", "--in-flight", "8")

    def _load(self, name: str, rate: str, *options: str) -> None:
        program = [sys.executable, str(self.files / "load.py"), "--url", self.url("shop"), "--rate", rate, *options]
        self.processes.start(name, program)

    def start_inbox(self) -> None:
        """What stands in for Slack, PagerDuty and the mail server."""
        command: list[str | Path] = [
            *(sys.executable, "-m", "deploywatch.fakes.inbox"),
            *("--http", self.address("inbox"), "--smtp", self.address("smtp"), "--folder", self.folder / "inbox"),
        ]
        servers.python_part(self.processes, "inbox", command, port=self.ports["inbox"], ready="/inbox")

    def start_part(self, name: str) -> None:
        """The exporter or the receiver."""
        servers.python_part(
            self.processes,
            name,
            [
                *_DEPLOYWATCH,
                name,
                f"--config.file={self.files / f'{name}.yml'}",
                f"--web.listen-address={self.address(name)}",
            ],
            port=self.ports[name],
            ready="/-/healthy",
            environment=self.variables(),
        )

    def start_alertmanager(self) -> None:
        """Alertmanager, with the routes that the policy was built to."""
        config = self.rules / "alertmanager.yml"
        servers.alertmanager(self.processes, self.data / "alertmanager", config, port=self.ports["alertmanager"])

    def start_prometheus(self) -> None:
        """Prometheus, with the rules that the policy was built to."""
        config = self.folder / "prometheus.yml"
        config.write_text(Template((self.files / "prometheus.yml").read_text()).substitute(self.variables()))
        servers.prometheus(self.processes, self.data / "prometheus", config, port=self.ports["prometheus"])

    def deploy(self, version: str) -> str:
        """Deploy as a pipeline would: say that it starts, run the deploy program, say how it ended."""
        target = ["--url", self.url("receiver")]
        number = self.run(
            *("deployments", *target, "start", "--service", "shop", "--environment", "demo"),
            *("--version", version, "--deployer", "demo", "--port", str(self.ports["shop"])),
        ).strip()
        try:
            self.put_in_place(version)
        except StartError:
            self.run("deployments", *target, "finish", number, "--status", "failure")
            raise
        return self.run("deployments", *target, "finish", number, "--status", "success").strip()

    def put_in_place(self, version: str, share: str = "100%") -> None:
        """Run the deploy program, which gives a version a share of the requests; StartError when it fails."""
        program = [sys.executable, str(self.files / "deploy.py"), version, "--share", share]
        where = ["--state", str(self.data / "shop"), "--shop-port", str(self.ports["shop"])]
        done = subprocess.run([*program, *where], capture_output=True, text=True, check=False)
        if done.returncode:
            raise StartError(f"deploy {version}: {done.stderr.strip() or done.stdout.strip()}")

    def run(self, *arguments: str) -> str:
        """Run one of deploywatch's own commands; StartError with what it said when it fails."""
        done = subprocess.run([*_DEPLOYWATCH, *arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            raise StartError(f"deploywatch {' '.join(arguments)}:\n{(done.stderr or done.stdout).strip()}")
        return done.stdout

    def clear(self) -> None:
        """Remove the databases; logs, rules, messages and the post-mortem stay."""
        shutil.rmtree(self.data, ignore_errors=True)
