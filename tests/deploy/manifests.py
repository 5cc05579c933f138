"""Holds rendered manifests against the operator's schemas and our own; the rest goes to Kubernetes's, a file each.

python -m tests.deploy.manifests MANIFESTS FOLDER
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.deploy.crd import faults

_COMMANDS = {"exporter.yml": ("exporter",), "receiver.yml": ("receiver",)}

_IN_A_POD = {
    "DEPLOYWATCH_DATABASE": "postgresql://deploywatch@db/deploywatch",
    "KUBERNETES_SERVICE_HOST": "10.0.0.1",
    "KUBERNETES_SERVICE_PORT": "443",
}


def check(manifests: Path, folder: Path) -> list[str]:
    """What is wrong; Kubernetes's own kinds are written below the folder."""
    found = []
    kept = folder / "kubernetes"
    kept.mkdir(parents=True, exist_ok=True)
    for resource in YAML(typ="safe").load_all(manifests.read_text()):
        name = f"{resource['kind']}/{resource['metadata']['name']}"
        if resource["apiVersion"].startswith("monitoring.coreos.com/"):
            found += [f"{name}: {fault}" for fault in faults(resource)]
            continue
        (kept / f"{manifests.stem}-{name.replace('/', '-')}.json").write_text(json.dumps(resource))
        found += [f"{name}: {fault}" for fault in _configs(resource, folder)]
    return found


def _configs(resource: dict[str, Any], folder: Path) -> list[str]:
    """What our own --config.check says of the configurations in a ConfigMap."""
    found = []
    for name, text in resource.get("data", {}).items() if resource["kind"] == "ConfigMap" else ():
        file = folder / f"{resource['metadata']['name']}-{name}"
        file.write_text(text)
        environment = {**os.environ, **_IN_A_POD}
        command = [sys.executable, "-m", "deploywatch", *_COMMANDS[name], "--config.check", "--config.file", str(file)]
        ran = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        # 1 is what this machine lacks, such as kubectl.
        if ran.returncode not in (0, 1):
            found.append(ran.stderr or ran.stdout)
    return found


if __name__ == "__main__":
    wrong = check(Path(sys.argv[1]), Path(sys.argv[2]))
    for line in wrong:
        sys.stderr.write(f"{line}\n")
    sys.exit(1 if wrong else 0)
