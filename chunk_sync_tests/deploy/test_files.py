"""The files of deploy/, held to the code: schemas, commands, variables, ports. Containers are not run here."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import yaml

from chunk_sync import __version__, settings
from chunk_sync.settings import PROJECT_ROOT
from chunk_sync_tests.deploy.machines import DEPLOY, compose, instance_yaml

IMAGE_FOLDER = "/opt/chunk-sync"
OURS = ("migrate", "code-server", "webserver", "daemon", "worker", "deadman", "metrics")
OF_OTHERS = {"CELERY_BROKER_URL", "CELERY_RESULT_BACKEND", "DAGSTER_HOME"}
SECRET = {
    "CHUNK_SYNC_DSN",
    "CHUNK_SYNC_DAGSTER_DSN",
    "CHUNK_SYNC_SECRET_KEY",
    "CELERY_BROKER_URL",
    "CELERY_RESULT_BACKEND",
}
"""What docs/deploy.md puts into the Secret for Kubernetes."""
SERVICES = compose()["services"]
DOCKERFILE = (DEPLOY / "Dockerfile").read_text("utf-8")
VALUES: dict[str, Any] = yaml.safe_load((DEPLOY / "helm" / "values.yaml").read_text("utf-8"))


def known_variables() -> set[str]:
    """Every variable that the product reads."""
    table = re.findall(r"^\| (CHUNK_SYNC_\w+) \|", settings.__doc__ or "", re.MULTILINE)
    return {*table, settings.STATE, settings.RUN_SLOTS}


def wanted_by_dagster() -> set[str]:
    """Every variable that the machines' dagster.yaml asks for."""
    return set(re.findall(r"\{env: (\w+)\}", instance_yaml()))


def set_by_image() -> set[str]:
    """Every variable that the image sets."""
    return set(re.findall(r"^(?:ENV| {4}) ?([A-Z_]+)=", DOCKERFILE, re.MULTILINE))


def containers() -> dict[str, dict[str, Any]]:
    """The containers of the manifests that the Helm values bring, one each, by their names."""
    pods = [manifest["spec"]["template"]["spec"] for manifest in VALUES["extraManifests"]]
    return {found["name"]: found for pod in pods for found in pod["containers"]}


def helm_images() -> list[str]:
    """Every image that the Helm values name, but that of the database's clients."""
    parts = [VALUES["dagsterWebserver"], VALUES["dagsterDaemon"], *VALUES["dagster-user-deployments"]["deployments"]]
    named = [f"{part['image']['repository']}:{part['image']['tag']}" for part in parts]
    return [*named, *(found["image"] for found in containers().values())]


def helm_environments() -> list[list[dict[str, str]]]:
    """What the Helm values set for each kind of pod."""
    parts = [VALUES["dagsterWebserver"], VALUES["dagsterDaemon"], *VALUES["dagster-user-deployments"]["deployments"]]
    return [*(part["env"] for part in parts), *(found["env"] for found in containers().values())]


@pytest.mark.needs("check-jsonschema")
@pytest.mark.parametrize(("change", "expected"), [(("", ""), 0), (("depends_on:", "depend_on:"), 1)])
def test_the_compose_file_keeps_to_the_compose_specification(
    change: tuple[str, str], expected: int, tmp_path: Path
) -> None:
    """The schema of the Compose Specification accepts it, and refuses it with a slip in it."""
    file = tmp_path / "compose.yaml"
    file.write_text((DEPLOY / "compose.yaml").read_text("utf-8").replace(*change))
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert expected == done.returncode, done.stdout


def test_dagster_yaml_and_its_addition_are_one_file() -> None:
    """The addition brings nothing but the launcher, which dagster.yaml leaves to Dagster's default."""
    ours = yaml.safe_load((PROJECT_ROOT / "dagster.yaml").read_text("utf-8"))
    both = yaml.safe_load(instance_yaml())
    assert both == ours | {"run_launcher": both["run_launcher"]}
    assert "run_launcher" not in ours
    assert "cat dagster.yaml deploy/run_launcher.yaml > home/dagster.yaml" in DOCKERFILE


@pytest.mark.needs("redis")
def test_the_launcher_is_where_the_file_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dagster finds the launcher, and it takes the file's configuration."""
    from dagster._config import process_config
    from dagster_celery.launcher import CeleryRunLauncher

    for name in ("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND"):
        monkeypatch.setenv(name, "redis://127.0.0.1:1/0")
    launcher = yaml.safe_load(instance_yaml())["run_launcher"]
    assert (CeleryRunLauncher.__module__, CeleryRunLauncher.__name__) == (launcher["module"], launcher["class"])
    assert process_config(CeleryRunLauncher.config_type(), launcher["config"]).success


@pytest.mark.parametrize("service", OURS)
def test_a_service_has_every_variable_and_no_other(service: str) -> None:
    """What the code and dagster.yaml want to know is set, and nothing that nobody reads."""
    given = set(SERVICES[service]["environment"])
    assert given <= known_variables() | OF_OTHERS
    assert wanted_by_dagster() <= given | set_by_image()
    assert {"CHUNK_SYNC_DSN", "CHUNK_SYNC_SECRET_KEY", "CHUNK_SYNC_PARALLEL_RUNS"} <= given


def test_a_pod_has_every_variable_and_no_other() -> None:
    """The same on Kubernetes, together with the Secret that has to be there."""
    assert SECRET <= known_variables() | OF_OTHERS
    for environment in helm_environments():
        given = {entry["name"] for entry in environment}
        assert given <= known_variables() | OF_OTHERS
        assert wanted_by_dagster() | {"DAGSTER_HOME"} <= given | SECRET | set_by_image()
        (home,) = [entry["value"] for entry in environment if entry["name"] == "DAGSTER_HOME"]
        assert f"DAGSTER_HOME={home}" in DOCKERFILE


def test_the_secret_is_described() -> None:
    """Each variable of the Secret stands in the guide."""
    guide = (PROJECT_ROOT / "docs" / "deploy.md").read_text("utf-8")
    assert set() == {name for name in SECRET if name not in guide}


def test_the_guide_starts_a_worker_as_the_compose_file_does() -> None:
    """Who copies the command gets the same worker."""
    guide = (PROJECT_ROOT / "docs" / "deploy.md").read_text("utf-8")
    (command,) = re.findall(r"^(celery (?:.*\\\n)*.*)$", guide, re.MULTILINE)
    assert sorted(SERVICES["worker"]["command"]) == sorted(command.replace("\\\n", " ").split())


@pytest.mark.parametrize("service", OURS)
def test_a_command_is_one_that_the_image_has(service: str) -> None:
    """Programs come with the locked packages, paths with the image."""
    words = [str(word) for word in SERVICES[service]["command"]]
    commands = words[2].split(" && ") if words[:2] == ["sh", "-c"] else [" ".join(words)]
    scripts = {point.name: point.dist for point in entry_points(group="console_scripts")}
    for program, *rest in (command.split() for command in commands):
        if program == "python":
            assert ["-m", "chunk_sync.cli.main"] == rest[:2]
            continue
        package = scripts[program]
        assert package is not None
        locked = (PROJECT_ROOT / "requirements-celery.txt").read_text("utf-8")
        assert re.search(rf"^{re.escape(package.name)}==", locked, re.MULTILINE)
    for path in (word for word in words if word.startswith(IMAGE_FOLDER)):
        assert path.removeprefix(f"{IMAGE_FOLDER}/") in DOCKERFILE


def test_what_the_image_copies_is_there() -> None:
    """Each COPY names files of the project."""
    lines = re.findall(r"^COPY (.+)$", DOCKERFILE, re.MULTILINE)
    sources = [word for line in lines for word in line.split()[:-1]]
    assert {"dagster.yaml", "sql", "chunk_sync", "requirements-celery.txt"} <= set(sources)
    assert [] == [source for source in sources if not (PROJECT_ROOT / source).exists()]


def test_the_image_has_the_packages_of_everybody_else() -> None:
    """The image's lock is that of the product and what Celery adds, at the same versions."""

    def pins(name: str) -> set[str]:
        text = (PROJECT_ROOT / name).read_text("utf-8")
        return set(re.findall(r"^[a-z0-9-]+==[^ ;]+", text, re.MULTILINE))

    both = pins("requirements-celery.txt")
    assert pins("requirements.txt") <= both
    assert any(pin.startswith("dagster-celery==") for pin in both)


def test_the_workspace_leads_to_the_code_server() -> None:
    """Host, port and name are those of the service, and of the pod."""
    (entry,) = yaml.safe_load((DEPLOY / "workspace.yaml").read_text("utf-8"))["load_from"]
    server = entry["grpc_server"]
    words = SERVICES[server["host"]]["command"]
    assert str(server["port"]) == words[words.index("-p") + 1]
    assert server["location_name"] == words[words.index("--location-name") + 1]
    (pod,) = VALUES["dagster-user-deployments"]["deployments"]
    assert words[words.index("-m") : words.index("-h")] == pod["codeServerArgs"]


def test_pods_run_what_containers_run() -> None:
    """Compose and Kubernetes differ in how things are named, not in what is run."""
    assert {"migrate", "worker", "deadman", "metrics"} == containers().keys()
    assert {} == {
        name: found["command"] for name, found in containers().items() if found["command"] != SERVICES[name]["command"]
    }
    launcher = VALUES["runLauncher"]["config"]["customRunLauncher"]
    assert yaml.safe_load(instance_yaml())["run_launcher"] == launcher


def test_pods_run_this_version() -> None:
    """One image for all of them, of this version; the chart is that of our Dagster."""
    (image,) = set(helm_images())
    assert __version__ == image.rpartition(":")[2]
    (dagster,) = re.findall(r'"dagster==([\d.]+)"', (PROJECT_ROOT / "pyproject.toml").read_text("utf-8"))
    assert f"--version {dagster}" in (DEPLOY / "helm" / "values.yaml").read_text("utf-8")
