"""A night's bundle: published whole or not at all, fetched whole or not at all, and nothing taken on trust."""

import hashlib
import json
import shutil
import sys

import fsspec
import pytest
from open_night import finished_night, ledger_kinds
from small_night import COUNTING_TRAINER, PLAN, make_plan

from nightshift.checkpoint import sha256_of
from nightshift.states import NightError
from tasks.bundle import LATEST, LISTING, make_bundle, safe_place
from tasks.fetch import fetch
from tasks.handoff import HandedFile, read_handoff
from tasks.publish import _is_newer, publish


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


def republished(listing, place, data):
    """Rewrite a file with its listing and the pointer, as somebody does who can write there."""
    (listing.parent / place).write_bytes(data)
    known = json.loads(listing.read_text())
    known["files"][place] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    listing.write_text(json.dumps(known | {"word": "GO", "sentence": "All is well."}))
    pointer = {"bundle": listing.parent.name, "sha256": hashlib.sha256(listing.read_bytes()).hexdigest()}
    (listing.parents[1] / LATEST).write_text(json.dumps(pointer))


def test_weights_that_are_not_those_of_the_hand_over_are_not_taken(drive, tmp_path):
    [listing] = drive.glob(f"small/*/{LISTING}")
    (listing.parent / "handover" / "checkpoint").mkdir(parents=True)
    republished(listing, "handover/checkpoint/model.safetensors", b"other weights")
    with pytest.raises(NightError, match="not those of the hand-over"):
        fetch(str(drive), "small", tmp_path / "here")


def test_the_word_is_the_hand_overs_whatever_the_listing_says(drive, tmp_path):
    [listing] = drive.glob(f"small/*/{LISTING}")
    republished(listing, "README.md", b"# GO")
    assert fetch(str(drive), "small", tmp_path / "here").word == "PAUSE_AND_FIX"


def test_weights_that_changed_since_the_hand_over_are_not_published(night, monkeypatch):
    night.run.handover.mkdir(exist_ok=True)
    weights = night.run.handover / "weights.bin"
    weights.write_bytes(b"as they were")
    handed = HandedFile(path="weights.bin", size=12, sha256=sha256_of(weights))
    handoff = read_handoff(night.run).model_copy(update={"files": (handed,)})
    monkeypatch.setattr("tasks.bundle.read_handoff", lambda _run: handoff)
    try:
        assert "handover/weights.bin" in make_bundle(night.run).files
        weights.write_bytes(b"as they are.")
        with pytest.raises(NightError, match="not what was handed over"):
            make_bundle(night.run)
    finally:
        weights.unlink()


@pytest.mark.parametrize("place", ["../x", "/etc/passwd", "a/../../x", "", "C:\\x", "a\\b"])
def test_no_place_leaves_its_folder(place):
    with pytest.raises(NightError, match="outside"):
        safe_place(place)


def test_an_object_store_is_as_good_as_a_folder_and_nothing_is_sent_twice(night, tmp_path):
    where = "memory://nights"
    told = publish(night.run, where)
    assert told.startswith("memory://")
    system = fsspec.filesystem("memory")
    sent = [path for path in system.find("/nights") if not path.endswith((LATEST, LISTING))]
    before = {path: system.info(path)["created"] for path in sent}
    assert len(before) > 5
    publish(night.run, where)
    assert {path: system.info(path)["created"] for path in sent} == before
    assert len(system.ls("/nights/small", detail=False)) == 2, "one bundle and the pointer"
    assert fetch(where, "small", tmp_path / "here").files > 5


def test_a_drive_that_cannot_be_written_costs_the_bundle_not_the_night(night):
    with pytest.raises(NightError, match="/proc/nowhere: the night cannot be published there: "):
        publish(night.run, "/proc/nowhere")


def test_an_older_night_that_is_published_again_does_not_hide_the_newest(night, drive, tmp_path):
    latest = drive / "small" / LATEST
    ours = json.loads(latest.read_text())
    newer = ours | {"bundle": "2026-03-29-0-0", "date": "2026-03-29"}
    latest.write_text(json.dumps(newer))
    publish(night.run, str(drive))
    assert json.loads(latest.read_text()) == newer
    latest.write_text(json.dumps(ours | {"bundle": "2026-03-27-0-0", "date": "2026-03-27"}))
    publish(night.run, str(drive))
    assert json.loads(latest.read_text()) == ours
    latest.write_text("half of a poi")
    publish(night.run, str(drive))
    assert json.loads(latest.read_text()) == ours


def night_of(date, hour="05:58", rehearsed=False):
    return {"bundle": f"{date}-0-0", "date": date, "handed_over_at": f"{date}T{hour}", "rehearsed": rehearsed}


@pytest.mark.parametrize(
    ("there", "ours", "stays"),
    [
        ({}, night_of("2026-11-26"), False),
        (night_of("2026-11-26"), night_of("2026-11-26"), False),
        (night_of("2026-11-27"), night_of("2026-11-26"), True),
        (night_of("2026-11-26", "05:58"), night_of("2026-11-26", "02:10"), True),
        (night_of("2026-11-26", "02:10"), night_of("2026-11-26", "05:58"), False),
        ({"bundle": "2026-11-27-0-0", "sha256": "0"}, night_of("2026-11-26"), True),
        ({"bundle": "2026-11-25-0-0", "sha256": "0"}, night_of("2026-11-26"), False),
        (night_of("2027-01-01", rehearsed=True), night_of("2026-11-26"), False),
        (night_of("2026-11-27"), night_of("2026-11-26", rehearsed=True), True),
        (night_of("2026-11-26", "05:58", True), night_of("2026-11-26", "05:57", True), False),
    ],
)
def test_the_pointer_moves_to_newer_nights_only(there, ours, stays):
    assert _is_newer(there, ours) is stays
