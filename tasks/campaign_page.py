"""The campaign on one page: every night's word, gain with its range, useful share, energy; and what to do tonight."""

import os
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from nightshift.checkpoint import write_atomically
from nightshift.rundir import RunDir
from schedules.plan import Plan
from tasks.campaign import MOST_TRIES, next_of_campaign, tries
from tasks.gpu_companions import energy_kwh
from tasks.launch import nightwatch_alive
from tasks.report_model import NightReport
from tasks.report_page import render_campaign
from tasks.report_words import GAINS, CriterionLine, criterion_line
from verdict.seal import SealError, read_seal

PAGE = "campaign.html"
RUNNING, LEFT = "running", "ended without a report"


@dataclass(frozen=True)
class CampaignNight:
    """One run of one night, as the campaign's table shows it."""

    title: str
    date: str
    state: str
    """Empty for a night with a word; else that it runs, or that it left no report."""
    word: str
    sentence: str
    gain: CriterionLine | None
    useful: str
    energy: str
    link: str
    """Path of its page, relative to the home; empty where there is none."""
    rehearsed: bool


@dataclass(frozen=True)
class Campaign:
    """All nights of a home, oldest first, and what to do tonight."""

    name: str
    home: str
    nights: tuple[CampaignNight, ...]
    tonight: str


def read_campaign(home: Path, plan: Plan) -> Campaign:
    """Return the campaign that this home holds of this plan."""
    runs = sorted((RunDir(path.parent) for path in home.glob("*/*/seal.json")), key=_began)
    nights = [night for run in runs if (night := _night(home, run, plan))]
    return Campaign(plan.campaign, str(home), tuple(nights), tonight(home, plan))


def _began(run: RunDir) -> int:
    return run.seal.stat().st_mtime_ns


def _night(home: Path, run: RunDir, plan: Plan) -> CampaignNight | None:
    try:
        seal = read_seal(run)
    except SealError:
        return None
    if seal.plan.campaign != plan.campaign:
        return None
    try:
        report = NightReport.model_validate_json(run.report_json.read_text())
    except (OSError, ValidationError):
        state = RUNNING if nightwatch_alive(run) else LEFT
        return CampaignNight(
            seal.night.title, seal.date.isoformat(), state, "", "", None, "", "", "", seal.speed != 1
        )
    gains = [
        criterion_line(f, report.word) for f in report.criteria if f.name in GAINS and f.value is not None
    ]
    return CampaignNight(
        title=report.title,
        date=report.date,
        state="",
        word=report.word,
        sentence=report.sentence,
        gain=gains[0] if gains else None,
        useful=_useful(report),
        energy=_energy(run),
        link=os.path.relpath(run.report_html, home) if run.report_html.is_file() else "",
        rehearsed=report.rehearsed,
    )


def _useful(report: NightReport) -> str:
    """Return the share of the window that went into training, or an empty text."""
    whole = sum(report.seconds.totals.values())
    return f"{report.seconds.totals.get('train', 0.0) / whole:.0%}" if whole else ""


def _energy(run: RunDir) -> str:
    kwh = energy_kwh(run.gpu_samples)
    return "" if kwh is None else f"{kwh:.2f} kWh"


def tonight(home: Path, plan: Plan) -> str:
    """Return what to do tonight, in a sentence."""
    left = [n.title for n in plan.nights if (t := tries(home, n.name)).broke >= MOST_TRIES and not t.settled]
    given_up = f" {', '.join(left)} broke {MOST_TRIES} times and waits for a person." if left else ""
    night = next_of_campaign(plan, home)
    if night is None:
        return f"Every night of the campaign has its answer: nothing to run.{given_up}"
    broke = tries(home, night.name).broke
    again = f" It broke {broke} times before." if broke else ""
    return f"Run {night.title}: `nightshift run {night.name}` by {plan.starts:%H:%M}.{again}{given_up}"


def write_campaign(home: Path, plan: Plan) -> Path:
    """Return the page, whole on disk."""
    path = home / PAGE
    write_atomically(path, render_campaign(read_campaign(home, plan)))
    return path
