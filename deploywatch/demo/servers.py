"""Private PostgreSQL, Redis, Prometheus and Alertmanager on free ports, with their data in a folder of the caller's."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploywatch.demo.processes import Child, Processes, StartError, wait_until

# PostgreSQL's initdb alone takes seconds on a busy machine.
_START_SECONDS = 120.0
PASSWORD = "demo-password"  # noqa: S105 - of a private server that listens on loopback only


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers: its process, its port on 127.0.0.1, and the URL to reach it by."""

    child: Child
    port: int
    url: str


def postgres(processes: Processes, folder: Path, *, port: int | None = None, options: Sequence[str] = ()) -> Running:
    """Start PostgreSQL with a new cluster in `folder`: user `postgres`, database `postgres`, password `PASSWORD`.

    Root hands the cluster to the system's `postgres` user, because the server refuses to run as root; `folder`
    must then be reachable for that user. `options` are passed as `-c` settings.
    """
    binaries = _postgres_binaries()
    user = "postgres" if os.geteuid() == 0 else None
    data, port = folder / "data", port or processes.free_port()
    folder.mkdir(parents=True, exist_ok=True)
    password_file = folder / "password"
    password_file.write_text(PASSWORD)
    if user:
        account = pwd.getpwnam(user)
        for path in (folder, password_file):
            os.chown(path, account.pw_uid, account.pw_gid)
    if not data.exists():
        created = processes.start(
            "initdb",
            [binaries / "initdb", "-D", data, "-U", "postgres", "-A", "scram-sha-256", "--pwfile", password_file, "-N"],
            user=user,
            folder=folder,
        )
        if created.process.wait(_START_SECONDS):
            raise StartError(f"initdb failed:\n{created.tail()}")
    settings = ["listen_addresses=127.0.0.1", f"unix_socket_directories={folder}", "fsync=off", *options]
    command: list[str | Path] = [binaries / "postgres", "-D", data, "-p", str(port)]
    command += [part for setting in settings for part in ("-c", setting)]
    # SIGINT is PostgreSQL's fast shutdown; at SIGTERM it would wait for its clients.
    log = processes.logs / "postgres.log"
    said_before = log.stat().st_size if log.exists() else 0  # by another server of the same block
    child = processes.start("postgres", command, user=user, folder=folder, stop_signal=signal.SIGINT)
    wait_until(
        lambda: b"ready to accept connections" in child.log.read_bytes()[said_before:] and _answers(port),
        within=_START_SECONDS,
        what="start PostgreSQL",
        child=child,
    )
    return Running(child, port, f"postgresql://postgres:{PASSWORD}@127.0.0.1:{port}/postgres")


def redis(
    processes: Processes,
    folder: Path,
    *,
    port: int | None = None,
    options: Sequence[str] = (),
    program: str = "redis-server",
) -> Running:
    """Start Redis, or a `program` like it, without persistence; `options` are added to its command line."""
    folder.mkdir(parents=True, exist_ok=True)
    port = port or processes.free_port()
    child = processes.start(
        "redis",
        [_program(program), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder, *options],
    )
    wait_until(lambda: _answers(port), within=_START_SECONDS, what="start Redis", child=child)
    return Running(child, port, f"redis://127.0.0.1:{port}/0")


def prometheus(
    processes: Processes, folder: Path, config: Path, *, port: int | None = None, options: Sequence[str] = ()
) -> Running:
    """Start Prometheus on a config file, repeating alerts every second and with reload over HTTP.

    `options` are added to its command line.
    """
    port = port or processes.free_port()
    child = processes.start(
        "prometheus",
        [
            _program("prometheus"),
            f"--config.file={config}",
            f"--storage.tsdb.path={folder}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--web.enable-lifecycle",
            "--rules.alert.resend-delay=1s",
            "--log.level=warn",
            *options,
        ],
    )
    return _http(child, port, "/-/ready", "start Prometheus")


def alertmanager(
    processes: Processes, folder: Path, config: Path, *, port: int | None = None, peers: Sequence[str] = ()
) -> Running:
    """Start Alertmanager; alone, unless `peers` says with which `--cluster…` options."""
    port = port or processes.free_port()
    child = processes.start(
        "alertmanager",
        [
            _program("prometheus-alertmanager", "alertmanager"),
            f"--config.file={config}",
            f"--storage.path={folder}",
            f"--web.listen-address=127.0.0.1:{port}",
            *(peers or ("--cluster.listen-address=",)),
        ],
    )
    return _http(child, port, "/-/ready", "start Alertmanager")


def python_part(
    processes: Processes,
    name: str,
    command: Sequence[str | Path],
    *,
    port: int,
    ready: str,
    environment: Mapping[str, str] | None = None,
) -> Running:
    """Start one of our own servers and wait until the path `ready` answers with 2xx."""
    child = processes.start(name, command, environment=environment)
    return _http(child, port, ready, f"start the {name}")


def _http(child: Child, port: int, path: str, what: str) -> Running:
    url = f"http://127.0.0.1:{port}"
    wait_until(lambda: _responds(url + path), within=_START_SECONDS, what=what, child=child)
    return Running(child, port, url)


def _responds(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310 - always http on loopback
            return bool(200 <= response.status < 300)
    except urllib.error.HTTPError as error:
        error.close()
        return False
    except OSError:
        return False


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _postgres_binaries() -> Path:
    packaged = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if packaged:
        return packaged[-1]
    return Path(_program("postgres")).resolve().parent


def _program(*names: str) -> str:
    for name in names:
        program = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/sbin")
        if program:
            return program
    raise StartError(f"{names[0]} is not on the PATH; install it (Debian and Ubuntu: apt-get install {names[0]})")
