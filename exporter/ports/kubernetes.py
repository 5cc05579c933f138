"""Kubernetes manifests, and the ports that they claim on nodes: nodePort, hostPort, host network, external IPs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deploywatch.exporter.ports.claims import PROTOCOLS, Claim, Origin, Range, address_of, checked
from deploywatch.exporter.ports.files import Files
from deploywatch.files.document import Document
from deploywatch.files.document import Path as KeyPath

# The API server's default; a cluster may have another (--service-node-port-range), which no manifest says.
NODE_PORTS = Range(30_000, 32_767)
"""What a cluster gives to nodePort unless its API server is told otherwise."""

_POD_SPECS: dict[str, KeyPath] = {
    "Pod": ("spec",),
    "PodTemplate": ("template", "spec"),
    "CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
    **dict.fromkeys(
        ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job"),
        ("spec", "template", "spec"),
    ),
}


def is_manifest(document: Document) -> bool:
    """Whether a document says that it is an object of Kubernetes."""
    return isinstance(document.data, dict) and "kind" in document.data and "apiVersion" in document.data


def claims(files: Files, path: Path, environment: str, machine: str) -> Iterator[Claim]:
    """What the objects of a file claim; faults go to the files' problems."""
    for document in files.documents(path):
        if document.data is None:
            continue
        if not is_manifest(document):
            document.report((), "is no object of Kubernetes; it needs apiVersion and kind")
            continue
        yield from _object(document, (), environment, machine)


def _object(document: Document, path: KeyPath, environment: str, machine: str) -> Iterator[Claim]:
    data = _at(document, path)
    if not isinstance(data, dict):
        document.report(path, "must be an object, with apiVersion and kind")
        return
    kind = str(data.get("kind", ""))
    # `kubectl get -o yaml` writes such lists, and so do some generators.
    if kind.endswith("List") and isinstance(data.get("items"), list):
        for position in range(len(data["items"])):
            yield from _object(document, (*path, "items", position), environment, machine)
        return
    reader = _Object(document, path, data, environment, machine)
    if kind == "Service":
        yield from reader.service()
    elif kind in _POD_SPECS:
        yield from reader.pod((*path, *_POD_SPECS[kind]))


class _Object:
    """One object, and the names by which the registry may know it."""

    def __init__(self, document: Document, path: KeyPath, data: dict[str, Any], environment: str, machine: str) -> None:
        self.document = document
        self.path = path
        self.environment = environment
        self.machine = machine
        metadata = data.get("metadata")
        metadata = metadata if isinstance(metadata, dict) else {}
        labels = metadata.get("labels")
        labels = labels if isinstance(labels, dict) else {}
        self.name = str(metadata.get("name") or metadata.get("generateName") or "unnamed")
        known = (labels.get(key) for key in ("app.kubernetes.io/name", "app", "deploywatch.service"))
        self.aliases = frozenset(str(name) for name in known if name)

    def service(self) -> Iterator[Claim]:
        spec = (*self.path, "spec")
        body = _at(self.document, spec)
        if not isinstance(body, dict):
            return
        external = body.get("externalIPs")
        addresses = external if isinstance(external, list) else []
        for where, port in self._ports((*spec, "ports")):
            protocol = self._protocol(where, port)
            if port.get("nodePort"):
                yield from self._claim((*where, "nodePort"), port["nodePort"], protocol)
            for address in addresses:
                yield from self._claim((*where, "port"), port.get("port"), protocol, str(address))
        if body.get("healthCheckNodePort"):
            yield from self._claim((*spec, "healthCheckNodePort"), body["healthCheckNodePort"], "tcp")

    def pod(self, spec: KeyPath) -> Iterator[Claim]:
        body = _at(self.document, spec)
        if not isinstance(body, dict):
            return
        on_host = body.get("hostNetwork") is True
        for containers in ("initContainers", "containers"):
            listed = body.get(containers)
            for position in range(len(listed) if isinstance(listed, list) else 0):
                for where, port in self._ports((*spec, containers, position, "ports")):
                    # On the host's network the container's port is the host's, whether hostPort repeats it or not.
                    key = "containerPort" if on_host and not port.get("hostPort") else "hostPort"
                    if port.get(key):
                        protocol, address = self._protocol(where, port), str(port.get("hostIP") or "")
                        yield from self._claim((*where, key), port[key], protocol, address)

    def _ports(self, path: KeyPath) -> Iterator[tuple[KeyPath, dict[str, Any]]]:
        listed = _at(self.document, path)
        if listed is None:
            return
        if not isinstance(listed, list):
            self.document.report(path, "must be a list of ports")
            return
        for position, port in enumerate(listed):
            if isinstance(port, dict):
                yield (*path, position), port
            else:
                self.document.report((*path, position), "must be a mapping, such as {containerPort: 80}")

    def _protocol(self, where: KeyPath, port: dict[str, Any]) -> str:
        protocol = str(port.get("protocol") or "TCP").lower()
        if protocol not in PROTOCOLS:
            self.document.report((*where, "protocol"), f"must be TCP, UDP or SCTP, not {protocol!r}")
        return protocol

    def _claim(self, where: KeyPath, value: Any, protocol: str, address: str = "") -> Iterator[Claim]:
        # YAML's `yes` is a number to Python; and a port in quotes is refused by the API server as well.
        if isinstance(value, bool) or not isinstance(value, int):
            self.document.report(where, f"{value!r} is not a port; write a number, without quotes")
            return
        try:
            ports, bound = checked(Range(value, value)), address_of(address)
        except ValueError as error:
            self.document.report(where, str(error))
            return
        yield Claim(
            service=self.name,
            environment=self.environment,
            ports=ports,
            protocol=protocol,
            origin=Origin(self.document.file, *self.document.place(where)),
            kind="kubernetes",
            machine=self.machine,
            address=bound,
            aliases=self.aliases,
        )


def _at(document: Document, path: KeyPath) -> Any:
    value: Any = document.data
    for key in path:
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list) and isinstance(key, int) and key < len(value):
            value = value[key]
        else:
            return None
    return value
