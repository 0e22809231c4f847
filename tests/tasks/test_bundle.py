"""A night's bundle: published whole or not at all, fetched whole or not at all, and nothing taken on trust."""

import hashlib
import json
import shutil
import sys

import fsspec
import pytest
from open_night import finished_night, ledger_kinds
from small_night import COUNTING_TRAINER, PLAN, make_plan

from nightshift.states import NightError
from tasks.bundle import LATEST, LISTING, make_bundle, safe_place
from tasks.fetch import fetch
from tasks.publish import publish


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle")
    (folder / "count.py").write_text(COUNTING_TRAINER)
    text = PLAN.replace("schema = 1", f'schema = 1\npublish = "{folder / "drive"}"')
    with finished_night(folder, make_plan(folder, sys.executable, "count.py", "10", text=text)) as one:
        yield one


@pytest.fixture
def drive(night, tmp_path):
    """A copy of what the night itself has published."""
    return shutil.copytree(night.run.path.parents[2] / "drive", tmp_path / "drive")


def test_a_night_publishes_itself_behind_its_hand_over(night):
    kinds = ledger_kinds(night.run)
    assert kinds.index("published") > kinds.index("handed-over")
    folder = night.run.path.parents[2] / "drive" / "small"
    assert night.run.published.read_text().endswith(make_bundle(night.run).name)
    assert json.loads((folder / LATEST).read_text())["bundle"] == make_bundle(night.run).name
    assert list(folder.rglob("*.part")) == []


def test_what_is_fetched_is_what_was_handed_over(night, drive, tmp_path):
    found = fetch(str(drive), "small", tmp_path / "here")
    assert found.word == "PAUSE_AND_FIX"
    assert (found.folder / "seal.json").read_bytes() == night.run.seal.read_bytes()
    card = (found.folder / "README.md").read_text()
    assert "must not be used" in card
    assert fetch(str(drive), "small", tmp_path / "here") == found, "again, without harm"
    assert [path.name for path in (tmp_path / "here").iterdir()] == [found.folder.name]


def test_a_cut_fetch_goes_on_and_a_cut_publishing_shows_the_night_before(night, drive, tmp_path):
    bundle = make_bundle(night.run)
    target = tmp_path / "here"
    aside = target / f".small-{bundle.name}.part"
    aside.mkdir(parents=True)
    (aside / "seal.json").write_bytes(night.run.seal.read_bytes())
    (aside / "ledger.jsonl").write_text("half of it")
    assert fetch(str(drive), "small", target).files == len(bundle.files)
    (drive / "small" / LATEST).unlink()
    with pytest.raises(NightError, match="no night 'small' was published"):
        fetch(str(drive), "small", tmp_path / "other")


@pytest.mark.parametrize("place", ["seal.json", "ledger.jsonl", "README.md"])
def test_an_altered_file_is_not_taken(drive, tmp_path, place):
    [file] = drive.glob(f"small/*/{place}")
    file.write_bytes(file.read_bytes() + b" ")
    with pytest.raises(NightError, match="not what the bundle's listing says"):
        fetch(str(drive), "small", tmp_path / "here")
    assert [path for path in (tmp_path / "here").glob("*") if not path.name.startswith(".")] == []


def test_an_altered_listing_is_not_taken(drive, tmp_path):
    [listing] = drive.glob(f"small/*/{LISTING}")
    listing.write_text(listing.read_text().replace("PAUSE_AND_FIX", "GO"))
    with pytest.raises(NightError, match="not the one that was published"):
        fetch(str(drive), "small", tmp_path / "here")


def test_a_listing_that_fits_but_whose_ledger_does_not_is_not_taken(drive, tmp_path, night):
    [listing] = drive.glob(f"small/*/{LISTING}")
    forged = json.loads((listing.parent / "handoff.json").read_text()) | {"word": "GO", "usable": True}
    (listing.parent / "handoff.json").write_text(json.dumps(forged))
    known = json.loads(listing.read_text())
    data = (listing.parent / "handoff.json").read_bytes()
    known["files"]["handoff.json"] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    listing.write_text(json.dumps(known))
    pointer = {"bundle": listing.parent.name, "sha256": hashlib.sha256(listing.read_bytes()).hexdigest()}
    (drive / "small" / LATEST).write_text(json.dumps(pointer))
    with pytest.raises(NightError, match="does not vouch"):
        fetch(str(drive), "small", tmp_path / "here")


@pytest.mark.parametrize("place", ["../x", "/etc/passwd", "a/../../x", "", "C:\\x", "a\\b"])
def test_no_place_leaves_its_folder(place):
    with pytest.raises(NightError, match="outside"):
        safe_place(place)


def test_an_object_store_is_as_good_as_a_folder_and_nothing_is_sent_twice(night, tmp_path):
    where = "memory://nights"
    told = publish(night.run, where)
    assert told.startswith("memory://")
    system = fsspec.filesystem("memory")
    before = {path: system.info(path)["created"] for path in system.find("/nights") if "seal" in path}
    publish(night.run, where)
    assert {path: system.info(path)["created"] for path in before} == before
    assert fetch(where, "small", tmp_path / "here").files > 5


def test_a_drive_that_cannot_be_written_costs_the_bundle_not_the_night(night):
    with pytest.raises((OSError, NightError)):
        publish(night.run, "/proc/nowhere")
