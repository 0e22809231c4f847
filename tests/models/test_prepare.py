import json
import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def prepare(folder, **inputs):
    (folder / "inputs.json").write_text(json.dumps({name: str(path) for name, path in inputs.items()}))
    return subprocess.run(
        [sys.executable, "-m", "models.prepare"],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "NIGHT_RUN_DIR": str(folder),
             "NIGHT_INPUTS": str(folder / "inputs.json")},
        capture_output=True, text=True, cwd=folder, timeout=60, check=False,
    )  # fmt: skip


def test_the_environment_is_written_down(tmp_path):
    for name in ("train", "val"):
        (tmp_path / name).write_text(name)
    shown = prepare(tmp_path, train=tmp_path / "train", val=tmp_path / "val")
    assert shown.returncode == 0, shown.stderr
    found = json.loads((tmp_path / "out" / "environment.json").read_text())
    assert found["packages"]["torch"].startswith("2.")
    assert len(found["data"]["train"]["sha256"]) == 64
    assert "NVML" in found["nvml"]


def test_missing_data_and_a_full_disk_end_with_one_line(tmp_path):
    shown = prepare(tmp_path, train=tmp_path / "absent")
    assert shown.returncode == 2
    assert "input 'train'" in shown.stderr
    for name in ("train", "val"):
        (tmp_path / name).write_text(name)
    (tmp_path / "settings.json").write_text('{"free_disk_gb": 1e9}')
    shown = prepare(
        tmp_path, train=tmp_path / "train", val=tmp_path / "val", settings=tmp_path / "settings.json"
    )
    assert shown.returncode == 2
    assert "disk" in shown.stderr
