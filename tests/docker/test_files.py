"""What can be said of the container files without a container engine; the rest comes with a later issue."""

import re
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((REPOSITORY / "docker" / "compose.yaml").read_text())
DOCKERFILE = (REPOSITORY / "docker" / "Dockerfile").read_text()


def test_the_services_are_the_three_that_are_promised():
    services = COMPOSE["services"]
    assert set(services) == {"postgres", "server", "worker"}
    assert services["server"]["depends_on"]["postgres"]["condition"] == "service_healthy"
    assert all("healthcheck" in services[name] for name in ("postgres", "server"))
    assert services["worker"]["deploy"]["resources"]["reservations"]["devices"][0]["capabilities"] == ["gpu"]


def test_nothing_listens_beyond_loopback_and_no_password_stands_in_the_file():
    for service in COMPOSE["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
        assert not [k for k in service.get("environment", {}) if k.endswith("PASSWORD")]
    assert COMPOSE["secrets"]["postgres_password"]["file"] == "./postgres_password.txt"


def test_every_volume_and_secret_that_is_used_is_declared():
    for service in COMPOSE["services"].values():
        assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"])
        named = {volume.split(":")[0] for volume in service.get("volumes", [])}
        assert named <= set(COMPOSE["volumes"])


def test_the_dockerfile_copies_what_exists_and_every_package():
    copied = {
        word for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.M) for word in line.split()[:-1]
    }
    assert all((REPOSITORY / name).exists() for name in copied)
    assert {"nightshift", "schedules", "models", "verdict", "tasks", "flows"} <= copied
    assert re.search(r"^USER night$", DOCKERFILE, re.M)
