"""GPU watching through the real binding and a fake driver: readings, errors, a dead sampler, a lost GPU."""

import json
import os
import signal
import subprocess
import sys

import pytest
from fake_nvml import FakeNvml
from open_night import ledger_kinds
from small_night import PLAN, make_plan

from nightshift.states import CriterionState
from tasks.gpu import Gpu, shown_to_trainers, visible
from tasks.night_status import read_status
from verdict.finding import read_verdict
from verdict.seal import read_seal

CRITERION = """
[[night.criterion]]
metric = "gpu_utilisation_pct"
above = 80
required = true
"""

READ = """
import json, sys
from dataclasses import asdict
from tasks.gpu import find_gpus
from tasks.gpu_reader import GpuLost, GpuReader
gpus, reason = find_gpus()
if not gpus:
    print(json.dumps({"reason": reason})); sys.exit()
reader = GpuReader(gpus[0].uuid)
reader.open()
try:
    readings = [reader.read(second) for second in (0.0, 1.0, 31.0)]
except GpuLost as lost:
    readings = [{"lost": str(lost)}]
told = {"gpus": [asdict(gpu) for gpu in gpus], "mig": gpus[0].mig, "name": gpus[0].name}
print(json.dumps({**told, "readings": readings, "absent": reader.absent}))
"""


@pytest.fixture
def nvml(tmp_path):
    folder = tmp_path / "driver"
    folder.mkdir()
    return FakeNvml.build(folder)


def read(nvml, **environment):
    seen = os.environ | nvml.environment | environment
    done = subprocess.run([sys.executable, "-c", READ], env=seen, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_everything_that_a_device_offers_is_read(nvml):
    nvml.set(
        utilisation=92,
        used=4e9,
        memory=16e9,
        power_mw=61500,
        energy_mj=5e6,
        reasons=0x44,
        pid=77,
        pid_used=3e9,
    )
    nvml.set(sm=55.5, dram=20, recovery=1)
    first, second, third = read(nvml)["readings"]
    assert first["utilisation_pct"] == 92
    assert (first["memory_used_bytes"], first["memory_total_bytes"]) == (4_000_000_000, 16_000_000_000)
    assert (first["power_w"], first["energy_j"]) == (61.5, 5000)
    assert first["throttled"] == ["too hot (hardware)"]
    assert first["processes"] == {"77": 3_000_000_000}
    assert first["recovery"] == "reset the GPU"
    assert "sm_pct" not in first
    assert (second["sm_pct"], second["dram_pct"]) == (55.5, 20)
    assert "processes" not in second
    assert "processes" in third


@pytest.mark.parametrize("code", [3, 4, 13, 25])
def test_what_a_device_does_not_offer_is_named_once_and_the_rest_is_read(nvml, code):
    nvml.set(error_nvmlDeviceGetPowerUsage=code)
    told = read(nvml)
    first, second, _ = told["readings"]
    assert set(first["absent"]) == {"power", "activity", "recovery"}
    assert "power_w" not in first
    assert first["utilisation_pct"] == 90
    assert "absent" not in second
    assert "power" in told["absent"]


@pytest.mark.parametrize("code", [6, 21])
def test_no_data_leaves_the_value_out_and_is_asked_for_again(nvml, code):
    nvml.set(error_nvmlDeviceGetUtilizationRates=code)
    told = read(nvml)
    assert all("utilisation_pct" not in one and "error" not in one for one in told["readings"])
    assert "utilisation" not in told["absent"]


@pytest.mark.parametrize("code", [10, 999])
def test_a_driver_that_does_not_answer_leaves_an_error_and_is_asked_again(nvml, code):
    nvml.set(error_nvmlDeviceGetUtilizationRates=code)
    told = read(nvml)
    assert all(one["error"].startswith("utilisation: ") for one in told["readings"])
    assert "utilisation" not in told["absent"]


@pytest.mark.parametrize("code", [15, 16])
def test_a_lost_device_ends_the_reading(nvml, code):
    nvml.set(error_nvmlDeviceGetUtilizationRates=code)
    assert read(nvml)["readings"][0]["lost"]


def test_no_driver_is_a_value_and_mig_is_named(nvml):
    nvml.set(mig=1)
    assert read(nvml)["mig"] is True
    nvml.set(error_nvmlInitWithFlags=9)
    assert read(nvml)["reason"] == "no NVIDIA GPU: Driver Not Loaded"


GPUS = [Gpu(0, "GPU-aa11", "A", 1), Gpu(1, "GPU-bb22", "B", 1), Gpu(2, "GPU-cc33", "C", 1)]


@pytest.mark.parametrize(
    ("allowed", "indices"),
    [
        (None, [0, 1, 2]),
        ("", []),
        ("-1", []),
        ("1", [1]),
        ("2,0", [2, 0]),
        ("GPU-bb,GPU-aa11", [1, 0]),
        ("1,7,0", [1]),
        ("1,1", [1]),
    ],
)
def test_only_visible_gpus_are_used_in_their_order(allowed, indices):
    assert [gpu.index for gpu in visible(GPUS, allowed)] == indices


def test_trainers_are_shown_the_nights_gpus_by_name(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,2")
    assert shown_to_trainers(GPUS[1:]) == "GPU-bb22,GPU-cc33"
    cut = Gpu(0, "GPU-dd44", "D", 1, mig=True)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-5")
    assert visible([cut], "MIG-5") == [cut]
    assert shown_to_trainers([cut]) == "MIG-5"


def test_a_hidden_gpu_is_not_the_nights(nvml):
    assert read(nvml, CUDA_VISIBLE_DEVICES="")["reason"] == "CUDA_VISIBLE_DEVICES='' hides every GPU"


def night(
    opened, tmp_path, monkeypatch, nvml, trainer="count.py", steps=120, speed=60.0, text=PLAN + CRITERION
):
    """Return an opened night of 1,200 s / speed that asks for utilisation, its trainer counting tenths of seconds."""
    from small_night import COUNTING_TRAINER

    for name, value in nvml.environment.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "count.py").write_text(COUNTING_TRAINER)
    # This process has loaded NVML without the fake; those that it starts have not.
    found = [Gpu(**gpu) for gpu in read(nvml)["gpus"]]
    monkeypatch.setattr("tasks.launch.find_gpus", lambda: (found, ""))
    plan = make_plan(tmp_path, sys.executable, trainer, str(steps), text=text)
    return opened(plan, speed=speed)


def utilisation_of(run):
    return next(f for f in read_verdict(run).criteria if f.name == "gpu_utilisation_pct")


@pytest.mark.parametrize(("pct", "state"), [(92, CriterionState.MET), (60, CriterionState.MISSED)])
def test_a_night_is_judged_by_what_its_sampler_saw(opened, tmp_path, monkeypatch, nvml, pct, state):
    nvml.set(utilisation=pct)
    small = night(opened, tmp_path, monkeypatch, nvml)
    small.follow_all()
    found = utilisation_of(small.run)
    assert found.state is state, found.reason
    assert found.low == pytest.approx(pct, abs=5)
    assert read_status(small.run.status).gpu.startswith("Fake T4")
    told = json.loads(small.run.report_json.read_text())["gpu_use"]
    assert told["p50_pct"] == pct
    assert ("likely_cause" in told) == (state is CriterionState.MISSED)


def test_the_least_busy_of_several_gpus_is_judged(opened, tmp_path, monkeypatch, nvml):
    nvml.set(gpus=3, utilisation=95)
    nvml.set(**{"utilisation.2": 70, "utilisation.3": 1})
    two = PLAN.replace("schema = 1", "schema = 1\ngpus = 2") + CRITERION
    small = night(opened, tmp_path, monkeypatch, nvml, text=two)
    small.follow_all()
    found = utilisation_of(small.run)
    assert found.state is CriterionState.MISSED
    assert found.low == pytest.approx(70, abs=5)
    assert read_status(small.run.status).gpu.count("Fake T4") == 2
    assert len(read_seal(small.run).gpus) == 2


@pytest.mark.alone
def test_a_killed_sampler_is_started_again(opened, tmp_path, monkeypatch, nvml):
    small = night(opened, tmp_path, monkeypatch, nvml, steps=90, speed=20.0)
    follower = small.follow_aside()
    small.wait_for_events("progress", 20)
    [sampler] = subprocess.run(
        ["pgrep", "-f", f"tasks.gpu_sampler {small.run.path}"], capture_output=True, text=True, check=True
    ).stdout.split()  # fmt: skip
    os.kill(int(sampler), signal.SIGKILL)
    follower.join(60)
    kinds = ledger_kinds(small.run)
    assert kinds.count("sampler-restarted") == 1
    assert len(small.run.gpu_samples.read_text().splitlines()) > 8


def test_a_driver_that_gives_no_utilisation_is_not_measured_with_its_reason(
    opened, tmp_path, monkeypatch, nvml
):
    nvml.set(error_nvmlDeviceGetUtilizationRates=3)
    small = night(opened, tmp_path, monkeypatch, nvml)
    small.follow_all()
    found = utilisation_of(small.run)
    assert found.state is CriterionState.NOT_MEASURED
    assert "Not Supported" in found.reason


@pytest.mark.alone
def test_a_trainer_that_makes_progress_outlives_the_loss_of_nvml(opened, tmp_path, monkeypatch, nvml):
    small = night(opened, tmp_path, monkeypatch, nvml, steps=60, speed=20.0)
    follower = small.follow_aside()
    small.wait_for_events("progress", 20)
    nvml.set(lost=1)
    follower.join(60)
    record = small.exit_record()
    assert record["ending"] in ("FINISHED", "STOPPED_AT_DEADLINE")
    assert len(record["attempts"]) == 1
    found = utilisation_of(small.run)
    assert found.state is CriterionState.NOT_MEASURED
    assert "the GPU was lost in the night" in found.reason
    assert "gpu-lost" in ledger_kinds(small.run)
    assert any("The GPU was lost" in note.text for note in read_status(small.run.status).notes)


DYING_TRAINER = """
import os, sys, threading
from pathlib import Path
from nightshift.trainer import open_run

run = open_run()
for step in range(1, 200):
    threading.Event().wait(0.1)
    run.progress(step, samples=step, total=200, share=0.1)
    if step % 5 == 0:
        run.save(step, lambda folder: (folder / "count.txt").write_text(str(step)), kind="counting")
    if "lost 1" in Path(os.environ["FAKE_NVML"]).read_text().replace(".0", ""):
        threading.Event().wait(2.0)
        sys.exit("CUDA error: device lost")
    if run.should_stop(0.3):
        break
run.finish()
"""


@pytest.mark.alone
def test_a_trainer_that_dies_with_its_gpu_is_not_started_again_and_its_night_is_saved(
    opened, tmp_path, monkeypatch, nvml
):
    monkeypatch.setattr("tasks.launch.night_device", lambda: "cuda:0")
    (tmp_path / "dying.py").write_text(DYING_TRAINER)
    small = night(
        opened, tmp_path, monkeypatch, nvml, "dying.py", speed=30.0
    )  # time enough on a busy machine
    follower = small.follow_aside()
    small.wait_for_events("checkpoint", 3)
    nvml.set(lost=1)
    follower.join(60)
    record = small.exit_record()
    assert record["ending"] == "GPU_LOST"
    assert len(record["attempts"]) == 1
    assert read_status(small.run.status).state == "handed_over"
    assert small.run.handoff.is_file()
