import random
import shutil

import pytest

from nightshift.checkpoint import damage, newest_whole, read_state, whole_checkpoints, write_checkpoint


def filled(folder, step, text="weights"):
    return write_checkpoint(
        folder, step, lambda p: (p / "w.bin").write_text(text * 50), {"kind": "x"}, "nonce"
    )


def test_a_checkpoint_is_whole_and_carries_step_and_nonce(tmp_path):
    path = filled(tmp_path, 12)
    assert path.name == "step-000012"
    assert damage(path) is None
    assert read_state(path) == {"kind": "x", "step": 12, "nonce": "nonce"}


@pytest.mark.parametrize("seed", range(20))
def test_one_changed_byte_anywhere_is_noticed(tmp_path, seed):
    rng = random.Random(seed)
    path = filled(tmp_path, 1)
    victim = rng.choice([p for p in path.iterdir() if p.name != "manifest.json"])
    data = bytearray(victim.read_bytes())
    data[rng.randrange(len(data))] ^= 1 + rng.randrange(255)
    victim.write_bytes(bytes(data))
    assert damage(path) is not None


def test_a_torn_checkpoint_is_passed_over_for_the_one_before(tmp_path):
    first, second = filled(tmp_path, 1), filled(tmp_path, 2)
    (second / "w.bin").unlink()
    assert newest_whole(tmp_path) == first
    assert whole_checkpoints(tmp_path) == [first]


def test_a_save_that_dies_half_way_leaves_the_old_one(tmp_path):
    first = filled(tmp_path, 1)

    def dies(folder):
        (folder / "w.bin").write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_checkpoint(tmp_path, 2, dies, {}, "nonce")
    assert newest_whole(tmp_path) == first
    assert filled(tmp_path, 2).name == "step-000002"


def test_the_same_step_is_replaced(tmp_path):
    filled(tmp_path, 1, "old")
    path = filled(tmp_path, 1, "new")
    assert (path / "w.bin").read_text().startswith("new")


def test_nothing_there_is_none(tmp_path):
    assert newest_whole(tmp_path / "absent") is None
    shutil.rmtree(tmp_path)
    assert whole_checkpoints(tmp_path) == []
