"""`deploywatch ports`: the registry against compose files, manifests and socket units, as projects have them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree.ElementTree import fromstring

import pytest

from deploywatch.errors import ConfigError
from deploywatch.exporter import config
from deploywatch.files.yaml_reader import read
from tests.exporter.ports.conftest import Ran, Run, Write

REGISTRY = json.dumps(
    {
        "web": {"production": {"start": 8080, "end": 8089}, "staging": {"start": 8080}},
        "db": {"production": {"start": 5432}},
        "dns": {"production": {"start": 53, "protocol": "udp"}},
    },
    indent=1,
)
OK = {"port-registry.json": REGISTRY}


def compose(**ports: object) -> str:
    services = {
        name: {"image": "x", **(value if isinstance(value, dict) else {"ports": value})}
        for name, value in ports.items()
    }
    return json.dumps({"services": services}, indent=2)


def troubles(result: Ran) -> list[tuple[str, str, str]]:
    """Trouble, service and ports of each conflict of a `--format json`."""
    return [
        (each["trouble"], each["claim"]["service"], each["ports"]) for each in json.loads(result.stdout)["conflicts"]
    ]


def checked(
    run: Run, files: dict[str, str], *arguments: str, env: dict[str, str] | None = None
) -> list[tuple[str, str, str]]:
    result = run({**OK, **files}, "check", "--format", "json", "--environment", "production", *arguments, env=env)
    assert result.exit_code in {0, 1}, result.stderr
    met = troubles(result)
    assert result.exit_code == (1 if met else 0)
    return met


@pytest.mark.parametrize(
    ("ports", "expected"),
    [
        (["8080:80"], []),
        (["8080-8081:80-81"], []),
        (["80"], []),
        ([80], []),
        (["127.0.0.1::80"], []),
        (["127.0.0.1:8080:80/tcp"], []),
        (["[::1]:8085:80"], []),
        (["8080:80/udp"], [("unregistered", "web", "8080")]),
        (["8088-8091:80-83"], [("unregistered", "web", "8090-8091")]),
        (["5432:80"], [("taken", "web", "5432")]),
        (["9000:80"], [("unregistered", "web", "9000")]),
        ([{"target": 80, "published": "8080", "host_ip": "127.0.0.1", "protocol": "tcp"}], []),
        ([{"target": 80, "published": 5432}], [("taken", "web", "5432")]),
        ([{"target": 80}], []),
    ],
)
def test_ports_of_compose_are_held_against_the_registry(run: Run, ports: object, expected: object) -> None:
    assert checked(run, {"compose.yml": compose(web=ports)}) == expected


@pytest.mark.parametrize(
    ("first", "second", "meet"),
    [
        (["8080:80"], ["8080:81"], True),
        (["8080-8084:80-84"], ["8083:1"], True),
        (["8080:80"], ["8080:80/udp"], False),
        (["127.0.0.1:8080:80"], ["127.0.0.2:8080:80"], False),
        (["127.0.0.1:8080:80"], ["8080:80"], True),
        (["localhost:8080:80"], ["127.0.0.1:8080:80"], True),
        (["[::]:8080:80"], ["127.0.0.1:8080:80"], True),
        (["::ffff:127.0.0.1:8080:80"], ["127.0.0.1:8080:80"], True),
    ],
)
def test_two_services_meet_on_a_port_of_one_address_and_protocol(
    run: Run, first: list[str], second: list[str], meet: bool
) -> None:
    files = {"compose.yml": compose(web=first, other={"ports": second, "container_name": "web"})}
    met = [trouble for trouble, *_ in checked(run, files) if trouble == "claimed_twice"]
    assert met == (["claimed_twice"] if meet else [])


def test_a_shared_anchor_is_two_claims(run: Run) -> None:
    text = (
        "x-p: &p ['8080:80']\nservices:\n"
        "  web: {image: a, ports: *p}\n  web2: {image: a, container_name: web, ports: *p}\n"
    )
    assert [trouble for trouble, *_ in checked(run, {"compose.yml": text})] == ["claimed_twice"]


def test_an_override_adds_ports_and_says_each_once(run: Run) -> None:
    files = {
        "compose.yml": compose(web=["8080:80"]),
        "more.yml": compose(web=["8080:80", "9999:99"]),
    }
    assert checked(run, files, "compose.yml,more.yml") == [("unregistered", "web", "9999")]


@pytest.mark.parametrize(("tag", "expected"), [("!override", ["9999"]), ("!reset", []), ("", ["7777", "9999"])])
def test_tags_of_compose_take_back_what_was_before(run: Run, tag: str, expected: list[str]) -> None:
    files = {"compose.yml": compose(web=["7777:80"]), "more.yml": f"services:\n  web:\n    ports: {tag} ['9999:99']\n"}
    assert sorted(ports for *_, ports in checked(run, files, "compose.yml,more.yml")) == expected


def test_the_override_of_the_folder_is_found_as_compose_does(run: Run) -> None:
    files = {"docker-compose.yml": compose(web=["8080:80"]), "docker-compose.override.yml": compose(web=["9999:99"])}
    assert checked(run, files) == [("unregistered", "web", "9999")]


def test_extends_and_include_are_followed(run: Run) -> None:
    files = {
        "base/common.yml": compose(base=["7001:80"]),
        "extra/compose.yml": compose(cache=["7002:80"]),
        "compose.yml": (
            "include: [extra/compose.yml]\nservices:\n  web:\n    extends: {file: base/common.yml, service: base}\n"
            "  twin:\n    extends: web\n"
        ),
    }
    assert sorted(checked(run, files)) == [
        ("claimed_twice", "twin", "7001"),
        ("unregistered", "cache", "7002"),
        ("unregistered", "twin", "7001"),
        ("unregistered", "web", "7001"),
    ]


def test_a_circle_of_includes_is_an_error(run: Run) -> None:
    files = {"compose.yml": "include: [b.yml]\nservices: {}\n", "b.yml": "include: [compose.yml]\nservices: {}\n"}
    result = run({**OK, **files}, "check", "--environment", "production")
    assert result.exit_code == 2
    assert "includes a file that includes this one" in result.stderr


@pytest.mark.parametrize(
    ("text", "env", "port"),
    [
        ("${WEB:-9001}:80", {}, "9001"),
        ("${WEB:-9001}:80", {"WEB": "9002"}, "9002"),
        ("${WEB:-9001}:80", {"WEB": ""}, "9001"),
        ("${WEB-9001}:80", {"WEB": "9003"}, "9003"),
        ("$WEB:80", {"WEB": "9004"}, "9004"),
        ("${A:-${B:-9005}}:80", {}, "9005"),
        ("${WEB:+9006}:80", {"WEB": "x"}, "9006"),
        ("127.0.0.1:${WEB:?port}:80", {"WEB": "9007"}, "9007"),
    ],
)
def test_variables_are_filled_as_compose_does(run: Run, text: str, env: dict[str, str], port: str) -> None:
    assert checked(run, {"compose.yml": compose(web=[text])}, env=env) == [("unregistered", "web", port)]


def test_the_env_file_beside_a_compose_file_is_read_and_the_environment_wins(run: Run) -> None:
    files = {"compose.yml": compose(web=["${A}:80", "${B}:80"]), ".env": "# ports\nA=9001\nexport B='9002'\n"}
    assert [ports for *_, ports in checked(run, files, env={"B": "9003"})] == ["9001", "9003"]


def test_profiles_that_never_run_together_can_be_told_apart(run: Run) -> None:
    files = {
        "compose.yml": compose(
            web={"ports": ["8080:80"], "profiles": ["live"]},
            fake={"ports": ["8080:80"], "profiles": ["test"], "container_name": "web"},
        )
    }
    assert [trouble for trouble, *_ in checked(run, files)] == ["claimed_twice"]
    assert checked(run, files, "--profile", "live") == []
    result = run({**OK, **files}, "check", "--environment", "production", "--profile", "life")
    assert result.exit_code == 2
    assert "did you mean 'live'?" in result.stderr


def test_more_instances_than_ports_is_a_conflict(run: Run) -> None:
    files = {"compose.yml": compose(web={"ports": ["8080-8081:80"], "deploy": {"replicas": 3}})}
    assert checked(run, files) == [("too_few", "web", "8080-8081")]


def test_a_service_on_the_hosts_network_is_said_to_be_unseen(run: Run) -> None:
    files = {"compose.yml": compose(web={"network_mode": "host"})}
    result = run({**OK, **files}, "check", "--environment", "production")
    assert result.exit_code == 0
    assert "web is on the host's network; its ports are not in this file" in result.stdout


MANIFESTS = """\
apiVersion: v1
kind: Service
metadata: {name: web-public, labels: {app.kubernetes.io/name: web}}
spec:
  type: NodePort
  healthCheckNodePort: 30100
  externalIPs: [192.0.2.7]
  ports:
    - {port: 80, nodePort: 30080}
    - {port: 53, nodePort: 30080, protocol: UDP}
---
apiVersion: v1
kind: List
items:
  - apiVersion: apps/v1
    kind: DaemonSet
    metadata: {name: agent}
    spec: {template: {spec: {containers: [{name: a, ports: [{containerPort: 1, hostPort: 30080}]}]}}}
  - apiVersion: batch/v1
    kind: CronJob
    metadata: {name: nightly}
    spec:
      jobTemplate:
        spec: {template: {spec: {hostNetwork: true, containers: [{name: a, ports: [{containerPort: 5432}]}]}}}
---
"""


def test_ports_on_the_nodes_of_a_cluster_are_read(run: Run) -> None:
    assert sorted(checked(run, {"k8s.yml": MANIFESTS}, "k8s.yml")) == [
        ("claimed_twice", "agent", "30080"),
        ("taken", "nightly", "5432"),
        ("taken", "web-public", "53"),
        ("unregistered", "agent", "30080"),
        ("unregistered", "web-public", "30080"),
        ("unregistered", "web-public", "30080"),
        ("unregistered", "web-public", "30100"),
        ("unregistered", "web-public", "80"),
    ]


def test_a_socket_unit_and_its_drop_ins_are_read(run: Run) -> None:
    files = {
        "web.socket": (
            "[Unit]\nDescription=x\n[Socket]\n# all\nListenStream=/run/web.sock\n"
            "ListenStream=5432\nListenDatagram=[::1]:53\n"
        ),
        "web.socket.d/port.conf": "[Socket]\nListenStream=\nListenStream=127.0.0.1:8080\nListenStream=9999\n",
    }
    assert checked(run, files, "web.socket") == [("unregistered", "web", "9999")]


def test_the_registry_is_held_against_itself_and_machines_are_told_apart(run: Run) -> None:
    registry = {
        "a": {"dev": [{"start": 1000, "end": 1010}], "test": {"start": 1000, "host": "build1"}},
        "b": {"dev": [{"start": 1010}, {"start": 1005, "protocol": "udp"}]},
        "c": {"dev": {"start": 1000, "host": "build1"}, "test": {"start": 1000, "host": "build2"}},
    }
    result = run({"port-registry.yml": json.dumps(registry)}, "check", "--format", "json")
    assert result.exit_code == 1
    assert troubles(result) == [
        ("registered_twice", "b", "1010"),
        ("registered_twice", "c", "1000"),
        ("registered_twice", "c", "1000"),
    ]


def test_two_environments_do_not_meet(run: Run) -> None:
    files = {**OK, "a.yml": compose(web=["8080:80"]), "b.yml": compose(web=["8080:80"])}
    assert run(files, "check", "production=a.yml", "staging=b.yml").exit_code == 0
    assert run(files, "check", "production=a.yml", "production=b.yml").exit_code == 1
    assert run(files, "check", "production@one=a.yml", "production@two=b.yml").exit_code == 0


def test_every_fault_of_every_file_is_told_at_once_with_its_place(run: Run) -> None:
    files = {
        "port-registry.json": '{"web": {"production": {"start": 8080}}}',
        "compose.yml": compose(web=["99999:80", "8x:1", "${NOPE}:1", "8080:80/quic", "1-3:5-6", True]),
        "k8s.yml": "apiVersion: v1\nkind: Service\nspec: {ports: [{port: 1, nodePort: '30001'}]}\n",
        "w.socket": "[Socket]\nListenStream=%i\nnonsense\n",
        "odd.yml": "hello: world\n",
    }
    result = run(files, "check", "compose.yml", "k8s.yml", "w.socket", "odd.yml", "missing.yml")
    assert result.exit_code == 2
    lines = result.stderr.splitlines()
    assert len(lines) == 11
    assert all(line.split(":")[0] in {*files, "missing.yml"} for line in lines)
    for words in (
        "ports are 1 to 65535",
        "is not a port",
        "NOPE is not set",
        "unknown protocol",
        "of one length",
        "must be a text",
    ):
        assert words in result.stderr
    for words in (
        "w.socket:2:1: ListenStream",
        "w.socket:3:1: is neither",
        "odd.yml:1:1: is no compose file",
        "missing.yml: cannot be read",
    ):
        assert words in result.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("[]", "must be a mapping of services"),
        ("{web: 8080}", "web: must be a mapping of environments"),
        ("{web: {dev: 8080}}", "web.dev: must be a mapping, such as"),
        ("{web: {dev: []}}", "web.dev: has no entry"),
        ("{web: {dev: {end: 3}}}", "web.dev: start is required"),
        ("{web: {dev: {start: 0}}}", "ports are 1 to 65535"),
        ("{web: {dev: {start: 9, end: 8}}}", "ends before it begins"),
        ("{web: {dev: {start: true}}}", "is not a port"),
        ("{web: {dev: {start: 1, protocl: udp}}}", "did you mean 'protocol'?"),
        ("{web: {dev: {start: 1, protocol: icmp}}}", "must be tcp, udp or sctp"),
        ("{web: {dev: {start: 1}, dev: {start: 2}}}", "the key is there twice"),
    ],
)
def test_a_bad_registry_is_an_error_with_its_place(run: Run, text: str, words: str) -> None:
    result = run({"port-registry.yml": text}, "check")
    assert result.exit_code == 2
    assert "port-registry.yml:1:" in result.stderr
    assert words in result.stderr


def test_nothing_to_look_at_is_no_success(run: Run) -> None:
    assert run({}, "check").exit_code == 2
    assert run({"compose.yml": compose(web=["1:1"])}, "check", "--ci").exit_code == 2
    result = run({**OK, "compose.yml": compose(web=["8080:80"])}, "check")
    assert "compose.yml was not looked at: for which environment is it?" in result.stdout
    assert run(OK, "check", "--environment", "prodution").exit_code == 2


@pytest.mark.parametrize(
    ("ports", "free"),
    [
        (["5432:80"], "8080"),
        (["9000:80", "9001:80"], "8080"),
        (["8080-8089:80-89", "9000:80"], "9001"),
    ],
)
def test_free_ports_are_suggested(run: Run, ports: list[str], free: str) -> None:
    result = run({**OK, "compose.yml": compose(web=ports)}, "check", "--environment", "production", "--suggest")
    assert result.exit_code == 1
    assert f"; free: {free}" in result.stdout


def test_what_is_suggested_to_the_registry_is_not_what_the_service_has_there_already(run: Run) -> None:
    registry = (
        '{"shop": {"production": {"start": 8080}},'
        ' "web": {"production": [{"start": 8080}, {"start": 8081, "host": "127.0.0.1"}]}}'
    )
    result = run({"port-registry.json": registry}, "check", "--suggest")
    assert "8080/tcp is registered twice in production" in result.stdout
    assert "; free: 8082" in result.stdout


def test_faults_of_the_registry_and_of_the_files_are_told_at_once(run: Run) -> None:
    files = {"port-registry.json": '{"shop": {"production": {"start": 70000}}}', "compose.yml": compose(web=["a:b"])}
    result = run(files, "check", "compose.yml", "missing.yml")
    assert result.exit_code == 2
    for place in ("compose.yml:", "missing.yml: cannot be read", "port-registry.json:1:"):
        assert place in result.stderr


def test_a_suggested_node_port_stays_in_the_clusters_range(run: Run) -> None:
    files = {
        "k.yml": (
            "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n"
            "spec: {ports: [{nodePort: 32767}, {nodePort: 32767}]}\n"
        )
    }
    result = run(files, "check", "k.yml", "--suggest")
    assert "; free: 30000" in result.stdout


def test_ci_prints_a_line_a_conflict_and_annotates_on_github(run: Run) -> None:
    files = {**OK, "compose.yml": compose(web=["5432:80"])}
    plain = run(files, "check", "--ci", "--environment", "production")
    assert plain.stdout.startswith(
        "compose.yml:6:9: web wants 5432/tcp in production, which port-registry.json:12:3 registers for db\n"
    )
    assert "::error" not in plain.stdout
    github = run(files, "check", "--ci", "--environment", "production", env={"GITHUB_ACTIONS": "true"})
    assert (
        "::error file=compose.yml,line=6,col=9,title=port conflict::compose.yml%3A6%3A9%3A web wants" in github.stdout
    )


def test_junit_has_a_case_a_claim(run: Run) -> None:
    files = {**OK, "compose.yml": compose(web=["5432:80", "8080:80"])}
    result = run(files, "check", "--format", "junit", "--environment", "production")
    root = fromstring(result.stdout)  # noqa: S314 - our own output
    assert (root.get("tests"), root.get("failures")) == ("5", "1")
    assert [failure.get("type") for failure in root.iter("failure")] == ["taken"]


def test_show_lists_who_has_what_and_where_it_is_written(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    result = run({**OK, "compose.yml": compose(web=["8080:80"])}, "show", "--environment", "production")
    assert result.exit_code == 0
    assert any(
        line.split() == ["production", "8080", "tcp", "*", "web", "compose.yml:6:9"]
        for line in result.stdout.splitlines()
    )


def test_the_hook_is_the_command_that_runs(write: Write) -> None:
    """pre-commit runs `entry` with the project's `args`, in the folder of the repository."""
    (hook,) = read((Path(__file__).parents[3] / ".pre-commit-hooks.yaml").read_text(), "").data
    assert (hook["language"], hook["pass_filenames"]) == ("python", False)
    write({**OK, "docker-compose.yml": compose(web=["5432:80"])})
    entry = [str(Path(sys.executable).parent / "deploywatch"), *hook["entry"].split()[1:]]
    ran = subprocess.run([*entry, "production=docker-compose.yml"], capture_output=True, text=True, check=False)
    assert ran.returncode == 1, ran.stderr
    assert "docker-compose.yml:6:9: web wants 5432/tcp" in ran.stdout


EXPORTER = """\
environment: production
port_registry: {file: port-registry.json%s}
services: {host: {probes: {ports: {kind: port, layer: comprehensive}}}}
"""


def test_the_port_probe_reads_the_same_registry(write: Write) -> None:
    registry = {
        "web": {"production": {"start": 8080, "http": {"path": "/health"}}, "dev": {"start": 1}},
        "db": {"production": [{"start": 5432, "host": "db.example"}, {"start": 5433, "free": True}]},
        "pool": {"production": {"start": 9000, "end": 9010}},
        "dns": {"production": {"start": 53, "protocol": "udp"}},
    }
    write({"port-registry.json": json.dumps(registry), "exporter.yml": EXPORTER % ", host: shop.example"})
    settings = config.load(Path("exporter.yml"))
    assert {name: (entry.address, entry.listens, entry.free) for name, entry in settings.ports.items()} == {
        "web": ("shop.example:8080", False, False),
        "db-5432": ("db.example:5432", True, False),
        "db-5433": ("shop.example:5433", False, True),
    }
    assert len(settings.unprobed_ports) == 2
    assert all("is not probed" in sentence for sentence in settings.unprobed_ports)


@pytest.mark.parametrize(
    ("registry", "host", "words"),
    [
        ('{"web": {"production": {"start": 1}}}', "", "give port_registry a host"),
        ('{"web": {"dev": {"start": 1}}}', ", host: h", "has no environment 'production'"),
        ('{"web": {"production": {"start": 1, "http": {"pth": 1}}}}', ", host: h", "port-registry.json:1:"),
        ("{", ", host: h", "not valid YAML"),
    ],
)
def test_a_registry_that_cannot_be_probed_is_an_error_of_the_config(
    write: Write, registry: str, host: str, words: str
) -> None:
    write({"port-registry.json": registry, "exporter.yml": EXPORTER % host})
    with pytest.raises(ConfigError) as raised:
        config.load(Path("exporter.yml"))
    assert words in str(raised.value)
