"""The page in a real browser: the first screen holds the answer, and nothing runs off a phone."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from nightshift.states import Word
from tasks.report import write_report
from tests.tasks.report_fixture import candidates_verdict, verdict, write_night

pytestmark = pytest.mark.slow
QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
SCREENS = {"narrow": (360, 800), "phone": (390, 844), "desktop": (1280, 800)}
LUMINANCE = """css => {
  const canvas = document.createElement('canvas').getContext('2d');
  canvas.fillStyle = css; canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
}"""


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=list(QUIET))
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    home = tmp_path_factory.mktemp("pages")
    nights = {str(word): write_night(home / word, verdict(word)) for word in Word}
    long = verdict(Word.PAUSE_AND_FIX)
    more = long.model_copy(update={"sentence": long.sentence[:-1] + "; no image: no item has a picture."})
    nights["rehearsed"] = write_night(home / "rehearsed", more, speed=200)
    nights["pools"] = write_night(home / "pools", candidates_verdict(), "candidates", speed=240)
    for run in nights.values():
        write_report(run)
    return {name: run.report_html for name, run in nights.items()}


def opened(browser: Browser, path: Path, screen: str, scheme: str = "light") -> tuple[Page, list[str]]:
    """Return the page as this screen shows it, and every address it asked for."""
    width, height = SCREENS[screen]
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    return page, asked


def bottom_of(page: Page, selector: str) -> float:
    box = page.locator(selector).bounding_box()
    assert box is not None
    return box["y"] + box["height"]


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("name", [*map(str, Word), "pools", "rehearsed"])
def test_the_first_screen_holds_word_criteria_and_next_step(
    browser: Browser, pages: dict[str, Path], name: str, screen: str
):
    page, asked = opened(browser, pages[name], screen)
    width, height = SCREENS[screen]
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert bottom_of(page, "h1") < height / 3
    assert bottom_of(page, ".sentence") < height / 2
    assert bottom_of(page, ".criteria") < height
    assert bottom_of(page, ".next") < height
    assert asked == [pages[name].as_uri()]
    page.close()


def test_nothing_leaves_the_page_and_letters_in_drawings_stay_readable(
    browser: Browser, pages: dict[str, Path]
):
    for name in ("GO", "pools"):
        page, _ = opened(browser, pages[name], "narrow")
        wide = (
            "[...document.querySelectorAll('main *')].filter(e => !e.closest('.scroll, .only-read, .state')"
        )
        wide += " && e.getBoundingClientRect().right > innerWidth + 0.5).map(e => e.outerHTML.slice(0, 80))"
        assert page.evaluate(wide) == []
        sizes = "[...document.querySelectorAll('figure svg')].map(s => 13 * s.clientWidth / s.viewBox.baseVal.width)"
        assert min(page.evaluate(sizes)) >= 11
        page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_only_stop_is_red_and_every_word_stands_out(browser: Browser, pages: dict[str, Path], scheme: str):
    for word in Word:
        page, _ = opened(browser, pages[word], "phone", scheme)
        style = "selector => getComputedStyle(document.querySelector(selector))"
        ink = page.evaluate(LUMINANCE, page.evaluate(f"({style})('h1').color"))
        paper = page.evaluate(LUMINANCE, page.evaluate(f"({style})('body').backgroundColor"))
        red, green, blue = ink
        assert (red > 1.5 * green and red > 1.5 * blue and abs(green - blue) < 60) == (word is Word.STOP)
        assert contrast(ink, paper) >= 4.5
        assert page.locator("h1 svg use").get_attribute("href") == f"#shape-{word.lower().replace('_', '-')}"
        page.close()


def contrast(one: list[int], other: list[int]) -> float:
    """Return the WCAG contrast ratio of two sRGB colours."""

    def luminance(rgb: list[int]) -> float:
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in rgb)]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)
