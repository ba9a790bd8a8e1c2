"""The deployment files are what Kubernetes and Compose take, and name only settings that exist."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml
from souk_cache.settings import CacheSettings
from souk_dbopt.settings import DboptSettings
from souk_imaging.settings import ImagingSettings
from souk_monitor.settings import MonitorSettings

KUBERNETES = "1.34"
SERVICES = {"imaging": ImagingSettings, "cache": CacheSettings, "dbopt": DboptSettings, "monitor": MonitorSettings}
SETTINGS = {f"SOUK_{service}_{name}".upper() for service, settings in SERVICES.items() for name in settings.model_fields}
ROOT = Path("deploy/kubernetes")


def kustomizations() -> list[str]:
    """Problems of kustomization files: every resource and patch is there, and every file is used."""
    problems = []
    for path in sorted(ROOT.rglob("kustomization.yaml")):
        config = yaml.safe_load(path.read_text())
        used = {path.name}
        for entry in [*config.get("resources", []), *(patch["path"] for patch in config.get("patches", []))]:
            if not (path.parent / entry).exists():
                problems.append(f"{path}: {entry} is not there")
            used.add(entry)
        unused = {each.name for each in path.parent.glob("*.yaml")} - used
        problems += [f"{path}: {name} is not used" for name in sorted(unused)]
    return problems


def manifests() -> list[str]:
    """Problems of the resources in the bases, by the schemas of Kubernetes."""
    problems = []
    for path in sorted(ROOT.glob("base/**/*.yaml")):
        if path.name == "kustomization.yaml":
            continue
        for resource in yaml.safe_load_all(path.read_text()):
            try:
                kubernetes_validate.validate(resource, KUBERNETES, strict=True)
            except kubernetes_validate.ValidationError as error:
                problems.append(f"{path}: {error.message}")
    return problems


def compose() -> list[str]:
    """Problems of docker-compose.yml, by the Compose specification."""
    command = ["check-jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return [] if result.returncode == 0 else [result.stdout + result.stderr]


def settings() -> list[str]:
    """Variables of ours that no setting reads."""
    problems = []
    files = [Path("docker-compose.yml"), *Path("services").glob("*/Dockerfile"), *ROOT.rglob("*.yaml")]
    for path in files:
        named = set(re.findall(rf"SOUK_(?:{'|'.join(SERVICES).upper()})_[A-Z0-9_]+", path.read_text()))
        problems += [f"{path}: there is no setting {name}" for name in sorted(named - SETTINGS)]
    return problems


def dashboards() -> list[str]:
    """Dashboards that are no JSON."""
    problems: list[Any] = []
    for path in Path("deploy/grafana").rglob("*.json"):
        try:
            json.loads(path.read_text())
        except ValueError as error:
            problems.append(f"{path}: {error}")
    return problems


def main() -> int:
    """Print every problem; 1 where there is one."""
    problems = [*kustomizations(), *manifests(), *compose(), *settings(), *dashboards()]
    sys.stdout.write("".join(f"{problem}\n" for problem in problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
