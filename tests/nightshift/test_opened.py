import json
import subprocess
import sys
from pathlib import Path

from nightshift.opened import read_opened

REPOSITORY = Path(__file__).parents[2]
SCRIPT = """
import json, sys
from pathlib import Path
from nightshift.opened import audit_opens
folder = Path(sys.argv[1])
audit_opens(folder / "opened.jsonl", (folder / "ignored",))
open(folder / "train.jsonl").read()
open(folder / "train.jsonl").read()
(folder / "test.jsonl").read_text()
(folder / "ignored" / "cache.npz").read_bytes()
(folder / "written.json").write_text("{}")
open(folder / "picture.png", "rb").read()
"""


def test_data_files_that_are_read_are_named_once_and_nothing_else(tmp_path):
    (tmp_path / "ignored").mkdir()
    for name in ("train.jsonl", "test.jsonl", "ignored/cache.npz", "picture.png"):
        (tmp_path / name).write_text("x")
    subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path)], check=True, cwd=REPOSITORY, timeout=60)
    opened = read_opened(tmp_path / "opened.jsonl")
    assert opened == [str((tmp_path / name).resolve()) for name in ("train.jsonl", "test.jsonl")]


def test_nobody_watched_is_not_nothing_opened(tmp_path):
    assert read_opened(tmp_path / "absent.jsonl") is None
    path = tmp_path / "opened.jsonl"
    path.write_text(json.dumps({"audit": "on"}) + "\ntorn {")
    assert read_opened(path) == []
