"""What is decided about a trainer, without any trainer."""

from datetime import UTC, datetime
from signal import SIGKILL, SIGTERM, SIGUSR1

import pytest

from nightshift.events import Event
from nightshift.states import Ending, TrainerExit
from tasks.pace import FEWEST_GAPS, UNKNOWN_S
from tasks.supervision import DUMP_S, Fault, Standing, Supervision

NOW = datetime(2026, 11, 25, tzinfo=UTC)
GRACE_S = 20.0


def event(kind, **fields):
    return Event(kind, NOW, **fields)


def supervised(steps=0, every_s=1.0, phase="train"):
    """Return a supervision that has heard so many steps, and the second of the last one."""
    watch = Supervision(Standing(), GRACE_S)
    watch.begin(0.0)
    watch.hear(event("started"), 0.0, 0.0)
    watch.hear(event("phase", name=phase), 0.0, 0.0)
    for step in range(1, steps + 1):
        watch.hear(event("progress", step=step, samples=step), step * every_s, step * every_s)
    return watch, steps * every_s


def test_a_hang_is_dumped_asked_and_killed_in_this_order():
    watch, now = supervised(steps=FEWEST_GAPS + 1)
    assert watch.due(now + 44.9, over=False) is None
    assert watch.next_look_s() == pytest.approx(now + 45)
    assert watch.due(now + 45, over=False) is SIGUSR1
    assert watch.due(now + 45, over=False) is None
    assert watch.due(now + 45 + DUMP_S, over=False) is SIGTERM
    assert watch.due(now + 45 + DUMP_S + GRACE_S, over=False) is SIGKILL
    assert watch.due(now + 45 + DUMP_S + GRACE_S, over=False) is None
    assert watch.ended(-9, stop_asked=False) is None
    assert watch.fault is Fault.HANG


def test_a_hung_trainer_that_ends_well_when_asked_is_still_started_again():
    watch, now = supervised(steps=FEWEST_GAPS + 1)
    watch.due(now + 45, over=False)
    watch.due(now + 45 + DUMP_S, over=False)
    watch.hear(event("finished", reason="asked to stop"), now + 47, now + 47)
    assert watch.ended(0, stop_asked=False) is None


def test_the_limit_follows_the_99th_percentile_of_what_was_usual():
    watch, now = supervised(steps=100, every_s=20.0)
    assert watch.pace.limit_s() == pytest.approx(100.0)
    assert watch.due(now + 99, over=False) is None
    assert watch.due(now + 100, over=False) is SIGUSR1


def test_before_anything_is_known_nothing_is_taken_for_hung():
    watch, _ = supervised(steps=3)
    assert watch.pace.limit_s() == pytest.approx(UNKNOWN_S / 3)
    silent = Supervision(Standing(), GRACE_S)
    silent.begin(0.0)
    assert silent.due(1e6, over=False) is None
    assert silent.next_look_s() == float("inf")


def test_a_phase_may_say_how_long_it_will_be_silent():
    watch, now = supervised(steps=FEWEST_GAPS + 1)
    watch.hear(event("phase", name="train", within_s=500.0), now, now)
    assert watch.due(now + 499, over=False) is None
    assert watch.due(now + 500, over=False) is SIGUSR1


def test_a_suspended_hour_is_not_a_hang():
    watch, now = supervised(steps=FEWEST_GAPS + 1)
    watch.pace.slept(3600.0)
    assert watch.due(now + 3600 + 44, over=False) is None
    assert watch.due(now + 3600 + 45, over=False) is SIGUSR1


def test_its_time_is_over():
    watch, now = supervised(steps=2)
    assert watch.due(now, over=True) is SIGTERM
    assert watch.due(now + GRACE_S - 1, over=True) is None
    assert watch.due(now + GRACE_S, over=True) is SIGKILL
    assert watch.ended(-9, stop_asked=False) is Ending.STOPPED_AT_DEADLINE


def test_numbers_not_finite_kill_halve_the_rate_and_stop_the_second_time():
    watch, now = supervised(steps=5)
    watch.hear(event("checkpoint", step=4), now, now)
    watch.hear(event("metrics", step=5, nonfinite=("val_loss",)), now, now)
    assert watch.due(now, over=False) is SIGKILL
    assert watch.ended(-9, stop_asked=False) is None
    assert (watch.standing.lr_factor, watch.standing.below_step) == (0.5, 5)
    watch.begin(now)
    watch.hear(event("started"), now, now)
    watch.hear(event("checkpoint", step=9), now, now)
    assert watch.standing.below_step is None
    assert watch.ended(TrainerExit.NOT_FINITE, stop_asked=False) is Ending.DIVERGED


def test_a_metric_that_is_no_loss_may_be_without_a_number():
    watch, now = supervised(steps=5)
    watch.hear(event("metrics", step=5, nonfinite=("accuracy",)), now, now)
    assert watch.due(now, over=False) is None


def test_out_of_memory_halves_the_micro_batch_down_to_one():
    watch, _ = supervised()
    seen = []
    for step in range(6):
        watch.saved(step)  # progress every time, so that only the micro-batch can end it
        ending = watch.ended(TrainerExit.OUT_OF_MEMORY, stop_asked=False)
        seen.append((watch.standing.microbatch, ending))
    assert [m for m, _ in seen] == [8, 4, 2, 1, 1, 1]
    assert [e for _, e in seen] == [None] * 4 + [Ending.OUT_OF_MEMORY] * 2


@pytest.mark.parametrize(("code", "ending"), [(1, Ending.CRASHED), (-9, Ending.CRASHED)])
def test_three_restarts_without_progress_are_enough(code, ending):
    watch, _ = supervised()
    endings = [watch.ended(code, stop_asked=False) for _ in range(4)]
    assert endings == [None, None, None, ending]


def test_progress_is_a_newer_checkpoint_and_gives_three_more_restarts():
    watch, _ = supervised()
    watch.ended(1, stop_asked=False)
    watch.ended(1, stop_asked=False)
    watch.saved(10)
    assert [watch.ended(1, stop_asked=False) for _ in range(4)] == [None, None, None, Ending.CRASHED]


def test_an_adopted_trainer_is_believed_only_where_it_said_finished():
    watch, now = supervised(steps=2)
    watch.hear(event("finished", reason="done"), now, now)
    assert watch.ended(None, stop_asked=False) is Ending.FINISHED
    again, _ = supervised(steps=2)
    assert again.ended(None, stop_asked=False) is None


def test_what_an_attempt_said_before_its_end_does_not_speak_for_the_next():
    watch, now = supervised(steps=2)
    watch.hear(event("finished", reason="out of memory"), now, now)
    watch.hear(event("started"), now, now)
    assert watch.ended(None, stop_asked=False) is None


def test_a_slow_down_is_seen_once_it_has_lasted():
    watch, now = supervised(steps=200)
    samples = 200.0
    for second in range(1, 700):
        samples += 0.5
        watch.hear(event("progress", step=second, samples=int(samples)), now + second, now + second)
        if second < 300:
            assert not watch.pace.slow
    assert watch.pace.slow
