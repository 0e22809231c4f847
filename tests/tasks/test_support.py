"""The archive for a bug report: what it must hold, and what must never be in it."""

import json
import tarfile

import pytest
from small_night import counting_plan

from nightshift.rundir import RunDir
from nightshift.states import NightError
from tasks.support import cleaned, write_bundle

KEY = "0123456789abcdef0123456789abcdef01234567"


def contents(path):
    with tarfile.open(path) as archive:
        return {
            member.name.removeprefix("nightshift-support/"): archive.extractfile(member).read().decode()
            for member in archive.getmembers()
        }


def test_a_night_is_told_without_data_weights_or_secrets(opened, tmp_path):
    night = opened(counting_plan(tmp_path, 20))
    night.follow_all()
    night.wait_over()
    log = night.run.stage("work").output
    log.write_text(
        f"login with {KEY}\nhttps://me:pass1234@host/repo\nsk-abcdefghijklmnop\n" + "x" * 600_000 + "the end"
    )
    names = write_bundle(night.run, tmp_path / "bundle.tar.gz", {"WANDB_API_KEY": KEY, "PATH": "/usr/bin"})
    held = contents(tmp_path / "bundle.tar.gz")
    assert set(names) == set(held)
    assert {"seal.json", "ledger.jsonl", "report.json", "machine.json", "stages/work/events.jsonl"} <= set(
        held
    )
    whole = "\n".join(held.values())
    for secret in (KEY, "pass1234", "sk-abcdefghijklmnop"):
        assert secret not in whole
    assert held["stages/work/output.log"].endswith("the end")
    assert len(held["stages/work/output.log"]) < 530_000
    assert "find 0" not in whole  # a query of the data
    assert not [name for name in held if "count.txt" in name or name.endswith((".npz", ".safetensors"))]
    assert json.loads(held["machine.json"])["checks"]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ('{"api_key": "abcdef123456"}', '{"api_key": "[removed]"}'),
        ("password=hunter2hunter2 next", "password=[removed] next"),
        ("postgresql://night:pw-12345@127.0.0.1/db", "postgresql://[removed]@127.0.0.1/db"),
        ("redis://:pw-12345@127.0.0.1/0", "redis://[removed]@127.0.0.1/0"),
        ("ghp_aaaaaaaaaaaaaaaaaaaa", "[removed]"),
        ("a loss of 0.25 at step 12", "a loss of 0.25 at step 12"),
        ("sha256 " + "a" * 64, "sha256 " + "a" * 64),
    ],
)
def test_what_looks_like_a_secret_goes_and_all_else_stays(text, left):
    assert cleaned(text, {}) == left


def test_nothing_is_overwritten_and_no_run_is_an_error(tmp_path):
    with pytest.raises(NightError, match="holds no night"):
        write_bundle(RunDir(tmp_path), tmp_path / "a.tar.gz")
    (tmp_path / "seal.json").write_text("{}")
    (tmp_path / "a.tar.gz").write_text("mine")
    with pytest.raises(NightError, match="is there already"):
        write_bundle(RunDir(tmp_path), tmp_path / "a.tar.gz")
    assert (tmp_path / "a.tar.gz").read_text() == "mine"


def test_addresses_for_notices_and_studies_go_each_by_itself():
    environment = {
        "NIGHTSHIFT_NOTIFY": "tgram://123456:TOKEN/chat discord://4401/qwerty",
        "NIGHT_STUDY": "postgresql://nights",
        "NIGHT_STUDY_NAME": "evening",
    }
    text = "sent to discord://4401/qwerty and tgram://123456:TOKEN/chat for evening by postgresql://nights"
    assert cleaned(text, environment) == "sent to [removed] and [removed] for evening by [removed]"
