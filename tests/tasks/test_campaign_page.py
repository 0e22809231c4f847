"""The campaign's page: what it says of nights that have a word, that run, that left nothing, and of tonight."""

import json
import shutil

import pytest
from open_night import finished_night
from playwright.sync_api import sync_playwright
from small_night import counting_plan

from flows.request import load_plan
from tasks.campaign_page import read_campaign, tonight, write_campaign


@pytest.fixture(scope="module")
def home_with_a_night(tmp_path_factory):
    folder = tmp_path_factory.mktemp("campaign")
    with finished_night(folder, counting_plan(folder, 20)) as night:
        yield folder / "runs", night


def test_a_night_has_its_word_its_share_and_a_link_to_its_page(home_with_a_night):
    home, night = home_with_a_night
    plan = night.request.plan
    campaign = read_campaign(home, plan)
    [only] = campaign.nights
    report = json.loads(night.run.report_json.read_text())
    assert (only.word, only.sentence) == (report["word"], report["sentence"])
    assert only.useful.endswith("%")
    assert only.energy == ""
    assert (home / only.link).samefile(night.run.report_html)
    page = write_campaign(home, plan).read_text()
    assert only.link in page
    assert "not measured" in page


def test_nights_of_another_campaign_are_not_shown(home_with_a_night):
    home, _ = home_with_a_night
    plan, _ = load_plan(None)
    assert read_campaign(home, plan).nights == ()
    assert "No night of this campaign has begun" in write_campaign(home, plan).read_text()


def test_tonight_is_the_first_night_that_owes_an_answer(tmp_path):
    plan, _ = load_plan(None)
    assert "nightshift run fusion" in tonight(tmp_path, plan)
    assert "by 23:00" in tonight(tmp_path, plan)


def test_a_night_without_a_report_says_so(home_with_a_night, tmp_path):
    home, night = home_with_a_night
    shutil.copytree(home, tmp_path / "runs", ignore=shutil.ignore_patterns("*.sock"))
    copied = tmp_path / "runs" / night.run.path.relative_to(home)
    (copied / "report.json").write_text("torn")
    (copied / "nightwatch.json").unlink()
    [only] = read_campaign(tmp_path / "runs", night.request.plan).nights
    assert only.state == "ended without a report"


@pytest.mark.slow
def test_the_page_in_a_browser_fits_a_phone_follows_the_keyboard_and_prints(
    home_with_a_night, chromium, tmp_path
):
    home, night = home_with_a_night
    page_file = write_campaign(home, night.request.plan)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 360, "height": 800})
        page.goto(page_file.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        page.keyboard.press("Tab")
        focused = (
            "getComputedStyle(document.activeElement).outlineStyle + ' ' + document.activeElement.innerText"
        )
        style, title = page.evaluate(focused).split(" ", 1)
        assert style != "none"
        assert title == "Small night"
        page.keyboard.press("Enter")
        page.wait_for_url("**/report.html")
        assert page.locator("h1").is_visible()
        page.goto(page_file.as_uri())
        page.emulate_media(media="print")
        assert page.locator(".nights .word").is_visible()
        ink = page.evaluate("getComputedStyle(document.querySelector('.nights p')).color")
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ink != paper
        assert page.pdf(format="A4").startswith(b"%PDF")
        browser.close()
