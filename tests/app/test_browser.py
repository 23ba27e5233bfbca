"""The app in a real browser: what only a browser can show. Skipped where chromium or playwright is absent."""

import hashlib
import random
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app import words
from bench.dashboard.browser import CHROMIUM, DRAWN, FRONT, Served, chromium
from search.read.budget import Budget
from search.read.reader import read
from search.ship.choice import Choice
from tests.app import synthetic

pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no browser at {CHROMIUM}: apt-get install chromium"),
]
LIMIT = "Parameters, at most"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Synthetic data that a test may add to."""
    folder = tmp_path_factory.mktemp("served")
    synthetic.study(folder / "studies.db", 80)
    return folder


@pytest.fixture(scope="module")
def app(runs: Path) -> Iterator[Served]:
    """The server over them."""
    with Served(runs) as served:
        yield served


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium."""
    with chromium() as opened:
        yield opened


class Visit:
    """A page in the browser, and everything that it asked for and complained about."""

    def __init__(self, browser: Any, url: str, before: Callable[[Any], None] | None = None, **options: Any):
        self.context = browser.new_context(**({"viewport": {"width": 1440, "height": 1000}} | options))
        self.page = self.context.new_page()
        self.elsewhere: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", self._request)
        self.page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.set_default_timeout(30_000)
        if before is not None:
            before(self.page)
        self.page.goto(url)

    def _request(self, request: Any) -> None:
        if not request.url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:")):
            self.elsewhere.append(request.url)

    def wait_for_chart(self) -> None:
        self.page.wait_for_function(DRAWN)

    def chart(self, expression: str) -> Any:
        """Something of the front chart: `g` is its element."""
        return self.page.evaluate(f"(() => {{ const g = document.querySelector('{FRONT}'); return {expression}; }})()")


@pytest.fixture
def visit(browser: Any, app: Served) -> Iterator[Any]:
    """Opens pages of the app."""
    visits: list[Visit] = []

    def open_page(where: str = "/", **options: Any) -> Visit:
        visits.append(Visit(browser, app.url + where, **options))
        return visits[-1]

    yield open_page
    for opened in visits:
        opened.context.close()


def click_point(opened: Visit) -> int:
    """Click a student of the front that is not hidden behind the star; its trial."""
    found = opened.chart(
        """(() => {
            const star = g.data.find(t => t.name === 'Best balance');
            const t = g.data.find(t => t.name === 'Front');
            const i = t.customdata.findIndex(c => !star || c[0] !== star.customdata[0][0]);
            const box = g.getBoundingClientRect(), { margin, xaxis, yaxis } = g.layout;
            const share = (value, [first, last]) => (value - first) / (last - first);
            const across = share(Math.log10(t.x[i]), xaxis.range), up = share(t.y[i], yaxis.range);
            return [
                t.customdata[i][0],
                box.left + margin.l + across * (box.width - margin.l - margin.r),
                box.bottom - margin.b - up * (box.height - margin.t - margin.b),
            ];
        })()"""
    )
    opened.page.mouse.move(found[1], found[2])
    opened.page.wait_for_timeout(300)
    opened.page.mouse.click(found[1], found[2])
    return int(found[0])


def test_loads_without_errors_or_requests_elsewhere(visit: Any) -> None:
    opened = visit()
    opened.wait_for_chart()
    for name in ("Student", "Compare", "What matters", "Progress", "Trade-offs"):
        opened.page.get_by_role("link", name=name, exact=True).click()
        opened.page.wait_for_function(f"document.title.includes('{name}')")
        opened.page.wait_for_timeout(2500)
    opened.wait_for_chart()
    assert opened.elsewhere == []
    assert opened.errors == []


def test_a_click_on_a_point_selects_its_student(visit: Any) -> None:
    opened = visit()
    opened.wait_for_chart()
    trial = click_point(opened)
    opened.page.get_by_text(re.compile(rf"^Student {trial}$")).wait_for()
    opened.page.wait_for_function(f"location.search.includes('trial={trial}')")
    opened.page.wait_for_function(
        f"document.querySelector('{FRONT}')?.data?.find(t => t.name === 'Selected')?.customdata[0][0] === {trial}"
    )


def test_a_budget_is_drawn_and_bookmarked(visit: Any, browser: Any, app: Served) -> None:
    opened = visit()
    opened.wait_for_chart()
    field = opened.page.get_by_label(LIMIT)
    field.fill("3k")
    field.press("Enter")
    limit = f"(() => {{ const s = document.querySelector('{FRONT}')?.layout?.shapes; "
    opened.page.wait_for_function(limit + "return s?.some(q => q.type === 'line' && Math.abs(q.x0 - 3000) < 1); })()")
    opened.page.wait_for_function("location.search.includes('max_params=3000')")
    again = visit("/" + opened.page.evaluate("location.search"))
    again.wait_for_chart()
    again.page.wait_for_function(limit + "return s?.some(q => q.type === 'line' && Math.abs(q.x0 - 3000) < 1); })()")
    again.page.wait_for_function("[...document.querySelectorAll('input')].some(field => field.value === '3k')")


def test_sentence_mark_and_table_name_the_student_that_pick_takes(visit: Any, runs: Path) -> None:
    """With two limits, after a preset, after Back, and from the address alone."""
    snapshot = read(f"sqlite:///{runs}/studies.db", "digits")

    def agrees(opened: Visit, budget: Budget) -> None:
        best = Choice.of(snapshot, None, budget).students[0]
        said = f"Within {words.budget(budget)}: student {best.trial}, "
        named = f"document.querySelector('.st-key-answer')?.innerText.includes('{said}')"
        mark = "g?.data?.find(t => t.name?.startsWith('Best that fits'))"
        opened.page.wait_for_function(
            f"{named} && (() => {{ const g = document.querySelector('{FRONT}'); "
            f"return {mark}?.customdata[0][0] === {best.trial}; }})()"
        )
        opened.page.get_by_text(re.compile(rf"^Student {best.trial}$")).wait_for()  # the card of the table's first row

    opened = visit("/?max_params=4000")
    opened.wait_for_chart()
    agrees(opened, Budget(max_params=4000))
    field = opened.page.get_by_label("Multiply-adds, at most")
    field.fill("0.05M")
    field.press("Enter")
    two = Budget(max_params=4000, max_macs=50_000)
    agrees(opened, two)
    opened.page.wait_for_function("location.search.includes('max_macs=50000')")
    address = opened.page.evaluate("location.search")
    opened.page.wait_for_timeout(2500)
    opened.page.get_by_role("combobox", name="Preset").click()
    opened.page.get_by_role("option", name="10 times smaller than the teacher").click()
    teacher = snapshot.teacher
    smaller = Budget(max_params=teacher["params"] // 10, max_macs=teacher["macs"] // 10)
    agrees(opened, smaller)
    opened.page.wait_for_timeout(2500)
    opened.page.go_back()
    agrees(opened, two)
    agrees(visit("/" + address), two)


def test_back_returns_from_page_to_page(visit: Any) -> None:
    """Every page wrote its choices into the address anew, and Back could not leave it."""
    opened = visit("/?max_params=4000")
    opened.wait_for_chart()
    for name in ("Student", "Compare"):
        opened.page.get_by_role("link", name=name, exact=True).click()
        opened.page.wait_for_function(f"document.title.includes('{name}')")
        opened.page.wait_for_timeout(2500)
    for name in ("Student", "Trade-offs"):
        opened.page.go_back()
        opened.page.wait_for_function(f"document.title.includes('{name}')")
        opened.page.wait_for_function("location.search === '?max_params=4000'")
        opened.page.wait_for_timeout(2500)


def test_two_quick_backs_go_two_addresses_back(visit: Any) -> None:
    """The second was ignored for two seconds after the first, and the address was written anew."""
    opened = visit("/?max_params=4000")
    opened.wait_for_chart()
    for limit in ("3k", "2k"):
        opened.page.get_by_label(LIMIT).fill(limit)
        opened.page.get_by_label(LIMIT).press("Enter")
        opened.page.wait_for_function(f"location.search === '?max_params={limit[0]}000'")
        opened.page.wait_for_timeout(2500)
    for limit in ("3k", "4k"):
        opened.page.go_back()
        opened.page.wait_for_function(f"[...document.querySelectorAll('input')].some(e => e.value === '{limit}')")
    opened.page.wait_for_timeout(2500)
    assert opened.page.evaluate("location.search") == "?max_params=4000"
    assert opened.page.get_by_label(LIMIT).input_value() == "4k"


def test_a_slow_browser_shows_the_budget_of_the_address(visit: Any) -> None:
    held: list[Any] = []

    def hold(page: Any) -> None:
        page.route("**/TextInput.*.js", lambda request: held.append(request))

    opened = visit("/?max_params=3000", before=hold)
    opened.wait_for_chart()
    opened.page.get_by_role("radio", name="near the front").click()  # the page is drawn again, and has no field yet
    opened.page.wait_for_function("location.search.includes('share=near')")
    opened.page.wait_for_timeout(500)
    assert held and opened.page.get_by_label(LIMIT).count() == 0
    for request in held:
        request.continue_()
    opened.page.get_by_label(LIMIT).wait_for()
    assert opened.page.get_by_label(LIMIT).input_value() == "3k"


def test_a_trial_arrives_while_choice_and_zoom_stay(visit: Any, runs: Path) -> None:
    opened = visit()
    opened.wait_for_chart()
    trial = click_point(opened)
    opened.page.wait_for_function(f"location.search.includes('trial={trial}')")
    opened.page.wait_for_timeout(1000)
    box = opened.chart("(() => { const b = g.getBoundingClientRect(); return [b.x + b.width / 2, b.y + 250]; })()")
    opened.page.mouse.move(*box)
    opened.page.mouse.wheel(0, -400)
    opened.page.wait_for_timeout(800)
    zoomed = opened.chart("g.layout.xaxis.range")
    before = opened.chart("g.data.reduce((n, t) => n + (t.customdata ? t.x.length : 0), 0)")
    began = time.monotonic()
    number = len(read(f"sqlite:///{runs}/studies.db", "digits").candidates)
    synthetic.fill(runs / "studies.db", [("COMPLETE", synthetic.trained(number, random.Random(9)))])
    opened.page.wait_for_function(
        f"(() => {{ const g = document.querySelector('{FRONT}'); return g.data.reduce("
        f"(n, t) => n + (t.customdata ? t.x.length : 0), 0) === {before + 1}; }})()"
    )
    assert time.monotonic() - began < 10
    assert opened.chart("g.data.find(t => t.name === 'Selected').customdata[0][0]") == trial
    assert opened.chart("g.layout.xaxis.range") == pytest.approx(zoomed)


PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


@pytest.mark.parametrize(
    "shown",
    [{"color_scheme": "light"}, {"color_scheme": "dark"}, {"color_scheme": "dark"} | PHONE],
    ids=["light", "dark", "dark phone"],
)
def test_nothing_is_inaccessible(visit: Any, shown: dict[str, Any]) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    opened = visit("/?compare=1,2", **shown)
    opened.wait_for_chart()
    wrong = {}
    for name in ("Trade-offs", "Student", "Compare", "What matters", "Progress"):
        opened.page.get_by_role("link", name=name, exact=True).click()
        opened.page.wait_for_function(f"document.title.includes('{name}')")
        opened.page.wait_for_timeout(2000)
        found = axe.Axe().run(opened.page).response["violations"]
        if found:
            wrong[name] = [(v["id"], [node["html"][:160] for node in v["nodes"]][:3]) for v in found]
    assert wrong == {}


def test_the_arrow_keys_scroll_the_wide_chart_on_a_phone(visit: Any) -> None:
    """Nothing in it took the keyboard's focus."""
    opened = visit("/matters", **PHONE)
    wide = "document.querySelector('.st-key-wide')"
    opened.page.wait_for_function(f"{wide}?.scrollWidth > {wide}?.clientWidth + 40", timeout=60_000)
    opened.page.wait_for_timeout(1000)
    fold = opened.page.locator(".st-key-wide summary")
    before = fold.bounding_box()
    for _ in range(20):  # a key may meet the page while it is drawn again
        fold.press("ArrowRight")
        opened.page.wait_for_timeout(500)
        if opened.page.evaluate(f"{wide}.scrollLeft") > 0:
            break
    assert opened.page.evaluate(f"{wide}.scrollLeft") > 0
    assert fold.bounding_box()["x"] == before["x"], "the fold stays in sight"


@pytest.mark.parametrize("page", ["/", "/student", "/compare?compare=1,2", "/matters", "/progress"])
def test_a_phone_needs_no_sideways_scrolling(visit: Any, page: str) -> None:
    opened = visit(page, **PHONE)
    opened.page.get_by_role("heading", name="digits").wait_for()
    opened.page.wait_for_timeout(3000)
    wide = opened.page.get_by_role("heading", name="digits").first.evaluate(
        "title => { let w = 0; for (let e = title; e; e = e.parentElement) w = Math.max(w, e.scrollWidth); return w; }"
    )
    assert wide <= 390


def test_an_open_page_offers_a_new_study_by_itself(browser: Any, tmp_path: Path) -> None:
    """While nothing is touched: its status line sees that the storage has another study."""
    synthetic.study(tmp_path / "studies.db", 20)
    with Served(tmp_path) as served:
        opened = Visit(browser, served.url)
        opened.wait_for_chart()
        choice = opened.page.get_by_role("combobox", name="Study")
        assert choice.count() == 0
        synthetic.empty(tmp_path / "studies.db", "newer")
        choice.wait_for()
        opened.page.get_by_role("heading", name="digits").wait_for()  # the study that was open stays open
        choice.click()
        opened.page.get_by_role("option", name="newer").click()
        opened.page.get_by_role("heading", name="newer").wait_for()
        opened.context.close()


def test_dark_is_dark(visit: Any) -> None:
    opened = visit("/", color_scheme="dark")
    opened.wait_for_chart()
    assert opened.chart("g.layout.font.color") == "#E6EBF0"


def test_a_student_taken_away_is_the_one_on_the_page(browser: Any, finished: tuple[Path, Path], tmp_path: Path) -> None:
    """A real export of a trained student: the file that the browser gets runs, and has the SHA-256 on the page."""
    onnxruntime = pytest.importorskip("onnxruntime")
    import numpy as np

    runs = tmp_path / "runs"
    shutil.copytree(finished[1], runs)
    with Served(runs) as served:
        opened = Visit(browser, served.url + "/student")
        opened.page.get_by_role("button", name="Make the files").click()
        save = opened.page.get_by_role("button", name=re.compile(r"^student\.onnx"))
        save.wait_for(timeout=180_000)
        with opened.page.expect_download() as arriving:
            save.click()
        file = tmp_path / "taken.onnx"
        arriving.value.save_as(file)
        shown = opened.page.get_by_text(hashlib.sha256(file.read_bytes()).hexdigest())
        shown.first.wait_for()
        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        logits = session.run(["logits"], {"pixels": np.zeros((3, 1, 8, 8), dtype=np.float32)})[0]
        assert logits.shape == (3, 10)
        opened.context.close()
