"""The container files without a container engine: a real compose parser, the scripts with stand-ins for programs."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from compose_spec import PyCompose

from flows.server import LEASES

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
FILES = ("compose.yaml", "compose.cpu.yaml")


def parsed(name):
    return PyCompose.from_yaml((DOCKER / name).read_text()).to_dict()


@pytest.mark.parametrize("name", FILES)
def test_a_compose_parser_accepts_the_file_and_every_file_in_it_is_there(name):
    document = parsed(name)
    assert set(document["services"]) == {"postgres", "server", "worker"}
    for service in document["services"].values():
        if "build" in service:
            assert (DOCKER / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
        if "extends" in service:
            assert service["extends"]["service"] in parsed(service["extends"]["file"])["services"]
        for word in service.get("entrypoint", []):
            if word.startswith("/opt/nightshift/"):
                assert os.access(DOCKER / Path(word).name, os.X_OK)


@pytest.mark.parametrize("name", FILES)
def test_what_a_service_uses_is_declared_and_what_it_needs_is_healthy_first(name):
    document = parsed(name)
    for service in document["services"].values():
        assert set(service.get("secrets", [])) <= set(document["secrets"])
        named = {str(volume).split(":")[0] for volume in service.get("volumes", [])}
        assert {one for one in named if not one.startswith(".")} <= set(document["volumes"])
        for needed in service.get("depends_on", {}).values():
            assert needed["condition"] == "service_healthy"


def test_the_image_has_every_package_and_does_not_run_as_root():
    copied, _ = steps()
    assert all((ROOT / name).exists() for name in copied)
    assert {"nightshift", "schedules", "models", "verdict", "tasks", "flows"} <= set(copied)
    text = (DOCKER / "Dockerfile").read_text()
    assert "\nUSER night\n" in text
    last = text.split("\nFROM")[-1]
    assert {"git", "ca-certificates", "tini"} <= set(last.split()), "data and anchors from git"


def test_a_server_that_is_started_again_still_knows_who_holds_a_slot():
    script = (DOCKER / "server.sh").read_text()
    assert all(f"{name}={value}" in script for name, value in LEASES.items())
    home = re.search("PREFECT_HOME=(.*)", script).group(1)
    assert f"prefect:{home}" in parsed("compose.yaml")["services"]["server"]["volumes"]
    assert home in (DOCKER / "Dockerfile").read_text().split("--owner night")[1]


def test_the_parser_refuses_what_is_wrong():
    with pytest.raises(ValueError):  # noqa: PT011  the parser raises nothing narrower
        PyCompose.from_yaml("services:\n  web:\n    imagee: nginx\n    ports: [nonsense:nonsense]\n")


def test_secrets_are_files_ports_are_loopback_and_everything_has_a_health_check():
    document = parsed("compose.yaml")
    assert set(document["secrets"]) == {"postgres_password", "prefect_password", "wandb_api_key", "study_url"}
    ignored = (ROOT / ".gitignore").read_text().split()
    for secret in document["secrets"].values():
        file = "docker/" + Path(secret["file"]).name
        assert any(Path(file).match(pattern) for pattern in ignored)
    for service in document["services"].values():
        assert service["healthcheck"]["test"]
        assert not [
            name for name in service.get("environment", {}) if re.search(r"PASSWORD$|KEY$|AUTH", name)
        ]
    assert "127.0.0.1:4200:4200" in (DOCKER / "compose.yaml").read_text()
    assert "ports" not in document["services"]["postgres"]
    assert "nvidia" in json.dumps(document["services"]["worker"])
    assert "nvidia" not in json.dumps(parsed("compose.cpu.yaml")["services"]["worker"])


def run_script(tmp_path, name, secrets, **environment):
    """Return what a script would run, each program with the secrets that it was given."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    for secret, value in secrets.items():
        (folder / secret).write_text(value)
    script = tmp_path / name
    script.write_text((DOCKER / name).read_text().replace("/run/secrets", str(folder)))
    programs = tmp_path / "bin"
    programs.mkdir()
    for program in ("prefect", "nightshift"):
        path = programs / program
        path.write_text(
            '#!/bin/sh\necho "$(basename "$0") $*|$PREFECT_API_DATABASE_CONNECTION_URL|'
            '$PREFECT_SERVER_API_AUTH_STRING|$PREFECT_API_AUTH_STRING|$WANDB_API_KEY|$NIGHT_STUDY"\n'
        )
        path.chmod(0o755)
    given = {"PATH": f"{programs}:{os.environ['PATH']}"} | environment
    done = subprocess.run(["sh", str(script)], env=given, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_the_server_gets_its_passwords_from_files(tmp_path):
    [line] = run_script(tmp_path, "server.sh", {"postgres_password": "pg1", "prefect_password": "pf2"})
    assert line == (
        "prefect server start --host 0.0.0.0 --port 4200|postgresql+asyncpg://prefect:pg1@postgres:5432/prefect|"
        "night:pf2|||"
    )


def test_the_worker_resumes_deploys_and_works(tmp_path):
    secrets = {"prefect_password": "pf2", "wandb_api_key": "w3", "study_url": "s4"}
    resume, deploy, work = run_script(tmp_path, "worker.sh", secrets, PLAN="/data/my plan.toml", DATA="/data")
    assert resume == "nightshift resume --out /runs|||night:pf2|w3|s4"
    assert deploy.startswith(
        "nightshift deploy /data/my plan.toml --data /data --out /runs --pool nightshift|"
    )
    assert work.startswith(
        "prefect worker start --pool nightshift --type process --limit 3 --with-healthcheck|"
    )


def test_a_worker_without_plan_data_and_key_takes_the_built_in_nights(tmp_path):
    lines = run_script(
        tmp_path, "worker.sh", {"prefect_password": "pf2", "wandb_api_key": "", "study_url": ""}
    )
    assert lines[1] == "nightshift deploy --out /runs --pool nightshift|||night:pf2||"


def steps():
    """Return the Dockerfile's install commands, and what is copied before them."""
    text = (DOCKER / "Dockerfile").read_text().replace("\\\n", " ")
    build = text.split("AS build")[1].split("\nFROM")[0]
    copied = [line.split()[1:-1] for line in build.splitlines() if line.startswith("COPY ")]
    runs = [line.removeprefix("RUN ") for line in build.splitlines() if line.startswith("RUN python3")]
    return [name for names in copied for name in names], [shlex.split(one) for one in runs[0].split("&&")]


@pytest.mark.world
@pytest.mark.timeout(900)
@pytest.mark.skipif(
    "NIGHTSHIFT_IMAGE" not in os.environ,
    reason="SKIPPED: takes minutes; NIGHTSHIFT_IMAGE=1 runs the image's steps",
)
def test_the_images_install_steps_make_an_environment_that_plans_a_night(tmp_path):
    copied, commands = steps()
    for name in copied:
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    venv.create(tmp_path / "venv", with_pip=True)
    for words in commands[1:]:
        told = [
            word.replace("/opt/venv", str(tmp_path / "venv")) for word in words if word != "${TORCH_FROM}"
        ]
        subprocess.run(told, cwd=tmp_path, check=True, capture_output=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shown = subprocess.run(
        [str(tmp_path / "venv" / "bin" / "nightshift"), "plan", "--json"],
        cwd=elsewhere, capture_output=True, text=True, check=True, env={"PATH": os.environ["PATH"]},
    )  # fmt: skip
    assert [night["night"] for night in json.loads(shown.stdout)["nights"]] == ["fusion", "ltr", "candidates"]
    assert sys.prefix not in shown.stdout
