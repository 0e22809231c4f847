"""What others do with the same nights: a cron script, retries only, a plain time limit without refit.

Each runs the same stages on the same machine. Training is a fixed amount of work, sized so that at full rate it
ends five per cent before its planned end. None of them is judged; the judge's time is given to all, so that
hand-overs compare.
"""

from dataclasses import dataclass

from tasks.fault_model import INF, Script
from tasks.simulated_machine import START_S, Machine

SIZED = 0.95
EPOCHS = 20
RETRIES, RETRY_DELAY_S = 3, 60.0


@dataclass(frozen=True)
class Planned:
    """The plan's instants that a baseline knows: seconds after the start."""

    set_up_end_s: float
    train_end_s: float
    hand_over_s: float

    @property
    def work(self) -> float:
        """What its person has sized the training to."""
        return SIZED * (self.train_end_s - self.set_up_end_s)


@dataclass(frozen=True)
class BaselineResult:
    """When a baseline handed a model over (infinite: never), and how much training is in it."""

    handed_over_s: float
    useful_s: float


def _first_fault(script: Script, machine: Machine, begin_s: float, work: float) -> tuple[float, str]:
    """Return when a training that begins at this second first fails, and how; infinity where it does not."""
    code = min((script.code_error_work, "code"), (script.oom_work, "code"))
    at_work = [
        (machine.when_done(begin_s, w), how) for w, how in (code, (script.nan_work, "nan")) if w < work
    ]
    off_s = machine.next_stop(begin_s) if script.down else INF
    times = [(script.gpu_stop_s, "gpu"), (script.hang_s, "hang"), (off_s, "off"), *at_work]
    return min([(at_s, how) for at_s, how in times if at_s >= begin_s], default=(INF, ""))


def cron(script: Script, plan: Planned) -> BaselineResult:
    """Return what a script does that is started at 23:00 and saves at its end."""
    machine = Machine(script)
    begin_s = machine.when_done(0.0, script.set_up_s) + START_S
    end_s = machine.when_done(begin_s, plan.work)
    failed_s, _ = _first_fault(script, machine, begin_s, plan.work)
    if failed_s <= end_s or _off(script, end_s + script.evaluate_s) or not machine.saves(end_s):
        return BaselineResult(INF, 0.0)
    return BaselineResult(end_s + script.evaluate_s + script.judge_s, plan.work)


def retries(script: Script, plan: Planned) -> BaselineResult:
    """Return what an orchestrator does that starts a failed stage again, three times, from its beginning."""
    machine = Machine(script)
    begin_s = machine.when_done(0.0, script.set_up_s) + START_S
    for _ in range(RETRIES + 1):
        end_s = machine.when_done(begin_s, plan.work)
        failed_s, how = _first_fault(script, machine, begin_s, plan.work)
        if failed_s > end_s:
            if _off(script, end_s + script.evaluate_s) or not machine.saves(end_s):
                break
            return BaselineResult(end_s + script.evaluate_s + script.judge_s, plan.work)
        if how in ("hang", "nan", "off"):
            break  # waits for ever; trains on without a number; is gone with the machine
        begin_s = failed_s + RETRY_DELAY_S + START_S
    return BaselineResult(INF, 0.0)


def time_limit(script: Script, plan: Planned) -> BaselineResult:
    """Return what a wall-clock limit does over a training that saves after every epoch; no restart, no refit."""
    machine = Machine(script)
    begin_s = machine.when_done(0.0, script.set_up_s) + START_S
    failed_s, how = _first_fault(script, machine, begin_s, plan.work)
    done_s = machine.when_done(begin_s, plan.work)
    end_s = min(plan.train_end_s, done_s, INF if how == "hang" else failed_s)
    if how in ("nan", "off") and failed_s <= end_s:
        return BaselineResult(INF, 0.0)
    epoch = plan.work / EPOCHS
    work = machine.work_between(begin_s, min(end_s, failed_s))
    saved = min(plan.work, epoch * int(work / epoch + 1e-9))
    if saved <= 0 or _off(script, end_s + script.evaluate_s):
        return BaselineResult(INF, 0.0)
    return BaselineResult(end_s + script.evaluate_s + script.judge_s, saved)


def _off(script: Script, before_s: float) -> bool:
    return any(begin < before_s for begin, _ in script.down)


BASELINES = {"cron": cron, "retries": retries, "time_limit": time_limit}
