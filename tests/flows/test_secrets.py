"""Secrets that a person keeps in the environment turn up nowhere: not in a run, its bundle, or what is printed."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "tasks"))

from small_night import counting_plan, make_data  # noqa: E402

from nightshift.states import NightError  # noqa: E402
from schedules.plan_source import read_plan  # noqa: E402

SECRETS = {
    "WANDB_API_KEY": "a1b2c3d4e5f60718293a4b5c6d7e8f9001122334",
    "PREFECT_API_AUTH_STRING": "night:planted-auth-7731",
    "PREFECT_SERVER_API_AUTH_STRING": "night:planted-auth-7731",
    "AWS_SECRET_ACCESS_KEY": "planted/aws/secret+key0123456789abcdef00",
    "HF_TOKEN": "hf_plantedTokenPlantedTokenPlanted99",
    "NIGHT_STUDY": "postgresql+psycopg://night:planted-study-5512@127.0.0.1:9/studies",
    "NIGHTSHIFT_NOTIFY": "json://someone:planted-notify-4417@127.0.0.1:9/hook",
}
PLANTED = (
    "a1b2c3d4e5f6",
    "planted-auth-7731",
    "planted/aws",
    "hf_planted",
    "planted-notify-4417",
    "planted-study-5512",
)


def everything_in(folder: Path) -> bytes:
    return b"\n".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.mark.slow
def test_planted_secrets_are_in_no_file_and_in_nothing_printed(tmp_path):
    plan, data, drive = counting_plan(tmp_path, 20), make_data(tmp_path / "data"), tmp_path / "drive"
    plan.write_text(plan.read_text().replace("schema = 1", f'schema = 1\npublish = "{drive}"'))
    environment = os.environ | SECRETS | {"PYTHONPATH": str(REPOSITORY), "WANDB_MODE": "offline"}
    runs = tmp_path / "runs"
    words = ("rehearse", "--plan", str(plan), "--data", str(data), "--speed", "60", "--out", str(runs))
    printed = b""
    for command in (words, ("bedtime", "--out", str(runs)), ("morning", "--out", str(runs)),
                    ("support", "--out", str(runs), "--to", str(tmp_path / "bundle.tar.gz"))):  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", "flows.cli.app", *command],
            env=environment, cwd=tmp_path, capture_output=True, timeout=200, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        printed += done.stdout + done.stderr
    with tarfile.open(tmp_path / "bundle.tar.gz") as bundle:
        printed += b"".join(bundle.extractfile(member).read() for member in bundle.getmembers())
    kept = everything_in(runs)
    assert b"PAUSE" in kept, "the night left its words"
    assert len(list(runs.glob("*/small/notices/*"))) > 0, "notices that could not be sent were kept"
    assert list(drive.glob("**/bundle.json")), "the night was published"
    for secret in PLANTED:
        assert secret.encode() not in printed
        for folder in (runs, drive):
            assert [p for p in folder.rglob("*") if p.is_file() and secret.encode() in p.read_bytes()] == []


def test_a_password_in_a_plan_is_refused_before_it_is_sealed(tmp_path):
    plan = counting_plan(tmp_path, 20)
    told = 'schema = 1\nanchor = "sftp://me:hunter2@host/heads"'
    plan.write_text(plan.read_text().replace("schema = 1", told))
    with pytest.raises(NightError, match="leave it out here") as refused:
        read_plan(plan)
    assert "hunter2" not in str(refused.value)
