"""The page in headless Chromium: it asks for nothing, fits, can be read, and does what it offers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import html_pages
import picture_page
import pytest
from invented_diagnoses import INVENTED
from picture_page import logged

from gradcheck_cli.compare import compare
from gradcheck_cli.render import html
from gradcheck_cli.render.html.words import READINGS

pytest.importorskip("selenium", reason="selenium drives the browser: pip install selenium")
if picture_page.CHROMIUM is None or picture_page.DRIVER is None:
    pytest.skip("no chromium and chromedriver on the PATH: the page is not looked at", allow_module_level=True)

from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

PAGES = {
    "everything": html_pages.everything,
    "attacked": html_pages.attacked,
    "deep": html_pages.deep,
    "healthy": INVENTED["healthy_residual"],
    "no_layers": INVENTED["no_layers"],
}
COMPARED = "compared"
"""The page of `everything` against a baseline."""
PROBE = Path(__file__).with_name("page_probe.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def driver() -> Iterator[Chrome]:
    with picture_page.browser() as chrome:
        yield chrome


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    for name, diagnosis in PAGES.items():
        (folder / f"{name}.html").write_text(html.render(diagnosis()), encoding="utf-8")
    compared = html.render(html_pages.everything(), html_pages.before())
    (folder / f"{COMPARED}.html").write_text(compared, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in (*PAGES, COMPARED)}


def opened(driver: Chrome, page: Path, width: int = 1280, *, dark: bool = False) -> None:
    picture_page.show(driver, width, 900, dark=dark)
    driver.get("about:blank")
    logged(driver, "browser")
    logged(driver, "performance")
    driver.get(page.as_uri())


def run(driver: Chrome, script: str, *arguments: object) -> Any:
    return driver.execute_script(f"{PROBE}\n{script}", *arguments)


def element(driver: Chrome, selector: str) -> Any:
    return driver.find_element(By.CSS_SELECTOR, selector)


def rows(driver: Chrome) -> list[str]:
    return list(run(driver, "return shownLayers()"))


def unfold(driver: Chrome) -> None:
    run(driver, "every('details').forEach(each => { each.open = true; })")


def centred(driver: Chrome, selector: str) -> Any:
    found = element(driver, selector)
    run(driver, "arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", found)
    return found


def hover(driver: Chrome, share: float) -> None:
    """Point at so much of the flow picture's width."""
    plot = centred(driver, "#flow-plot")
    width = run(driver, "return arguments[0].getBoundingClientRect().width", plot)
    move(driver, plot, round((share - 0.5) * width), 20)


def move(driver: Chrome, to: Any, x: int, y: int) -> None:
    ActionChains(driver, duration=0).move_to_element_with_offset(to, x, y).perform()


def events(driver: Chrome, method: str) -> list[Any]:
    messages = [json.loads(entry["message"])["message"] for entry in logged(driver, "performance")]
    return [each["params"] for each in messages if each["method"] == method]


def requests(driver: Chrome) -> list[str]:
    sent = [each["request"]["url"] for each in events(driver, "Network.requestWillBeSent")]
    return [url for url in sent if not url.startswith(("data:", "about:"))]


def blocked(driver: Chrome) -> list[str]:
    return [each["blockedReason"] for each in events(driver, "Network.loadingFailed")]


@pytest.mark.parametrize("name", [*PAGES, COMPARED])
def test_asks_for_nothing_and_complains_of_nothing(driver: Chrome, pages: dict[str, Path], name: str) -> None:
    opened(driver, pages[name])
    assert requests(driver) == [pages[name].as_uri()]
    assert logged(driver, "browser") == []
    assert run(driver, "return document.documentElement.classList.contains('scripted')")


def test_policy_stops_what_would_ask(driver: Chrome, pages: dict[str, Path]) -> None:
    opened(driver, pages["healthy"])
    run(driver, "const image = new Image(); image.src = 'https://localhost:9/a.png'; document.body.append(image)")
    run(driver, "const s = document.createElement('script'); s.text = 'window.ran = 1'; document.body.append(s)")
    assert run(driver, "return window.ran") is None
    WebDriverWait(driver, 5).until(lambda _: blocked(driver) == ["csp"])
    assert len([entry for entry in logged(driver, "browser") if "Content Security Policy" in entry["message"]]) == 2


def test_attacks_are_inert(driver: Chrome, pages: dict[str, Path]) -> None:
    opened(driver, pages["attacked"])
    seen = set(run(driver, "return names()"))
    assert not seen & {"img", "iframe", "object", "embed", "form", "base"}
    assert not [name for name in seen if name.startswith("on")]
    assert len(driver.find_elements(By.CSS_SELECTOR, "script:not([type])")) == 2
    for place in (0, 5, len(html_pages.ATTACKS) - 1):
        hover(driver, (place + 0.5) / len(html_pages.ATTACKS))
        assert element(driver, "#tip b").text
        assert run(driver, "return every('#tip :not(b, span, dl, dt, dd, p)').length") == 0
    assert logged(driver, "browser") == []


# ------------------------------------------------------------------------------------------------------------- looks


@pytest.mark.parametrize("width", [360, 700, 1280])
@pytest.mark.parametrize("name", ["everything", "attacked", COMPARED])
def test_nothing_sticks_out(driver: Chrome, pages: dict[str, Path], name: str, width: int) -> None:
    opened(driver, pages[name], width)
    unfold(driver)
    assert run(driver, "return overflow()") == [0]


@pytest.mark.parametrize("dark", [False, True])
def test_text_stands_out(driver: Chrome, pages: dict[str, Path], dark: bool) -> None:
    opened(driver, pages[COMPARED], dark=dark)
    unfold(driver)
    looked, poor = run(driver, "return contrast()")
    assert looked > 300
    assert poor == {}


def test_theme_follows_the_system_and_the_button(driver: Chrome, pages: dict[str, Path]) -> None:
    def ground() -> str:
        return str(run(driver, "return getComputedStyle(document.body).backgroundColor"))

    opened(driver, pages["everything"])
    light = ground()
    opened(driver, pages["everything"], dark=True)
    assert ground() != light
    element(driver, "#theme").click()
    assert ground() == light
    assert element(driver, "#theme").text == "Dark"


def test_prints_every_figure_and_unfolds(driver: Chrome, pages: dict[str, Path]) -> None:
    opened(driver, pages["everything"])
    run(driver, "dispatchEvent(new Event('beforeprint'))")
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert run(driver, "return every('tr:not([data-verdict=healthy]) details').every(each => each.open)")
    assert run(driver, "return every('.static').every(each => each.getBoundingClientRect().height > 100)")
    assert not element(driver, ".bar-top").is_displayed()
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    run(driver, "dispatchEvent(new Event('afterprint'))")
    assert driver.find_elements(By.CSS_SELECTOR, "details[open]") == []


# -------------------------------------------------------------------------------------------------------------- does


def test_sorts_by_number_with_the_unknown_last(driver: Chrome, pages: dict[str, Path]) -> None:
    opened(driver, pages["everything"])
    in_order = [layer.name for layer in html_pages.everything().layers]
    assert rows(driver) == in_order
    head = centred(driver, "thead th:nth-child(4) button")
    head.click()
    up = rows(driver)
    assert up[0] == "net.0", "exactly 0"
    assert up[-3:] == ["net.2", "net.5", "net.7"], "infinite, then not a number and not measured"
    head.click()
    assert rows(driver)[0] == "net.2", "infinite"
    assert set(rows(driver)[-2:]) == {"net.5", "net.7"}
    assert element(driver, "thead th:nth-child(4)").get_attribute("aria-sort") == "descending"
    centred(driver, "thead th:nth-child(1) button").click()
    assert rows(driver) == in_order


def test_filters_by_text_and_by_verdict(driver: Chrome, pages: dict[str, Path]) -> None:
    opened(driver, pages["everything"])
    total = len(rows(driver))
    element(driver, "#find").send_keys("net.3")
    named = rows(driver)
    assert {"net.3", *(f"net.{place}" for place in range(30, 40))} == set(named)
    assert element(driver, "#shown").text == f"{len(named)} of {total} layers"
    element(driver, "#find").send_keys("zzz")
    assert element(driver, "#none-left").is_displayed()
    element(driver, "#find").send_keys(Keys.CONTROL + "a", Keys.DELETE)
    centred(driver, ".filter button[data-verdict=healthy]").click()
    healthy = [layer.name for layer in html_pages.everything().layers if layer.verdict.value == "healthy"]
    assert rows(driver) == healthy
    centred(driver, ".counts a[data-verdict=vanishing]").click()
    assert len(rows(driver)) == total - len(healthy)


def test_filters_by_what_changed(driver: Chrome, pages: dict[str, Path]) -> None:
    opened(driver, pages[COMPARED])
    kinds = compare(html_pages.before(), html_pages.everything()).kinds()
    centred(driver, ".filter button[data-change=better]").click()
    assert rows(driver) == [layer for layer, kind in kinds.items() if kind == "better"] == ["net.36"]
    centred(driver, ".filter button[data-change=worse]").click()
    assert set(rows(driver)) == {layer for layer, kind in kinds.items() if kind in ("better", "worse")}
    centred(driver, ".filter button[data-verdict=healthy]").click()
    assert rows(driver) == ["net.36"]


def test_heads_say_what_their_numbers_are(driver: Chrome, pages: dict[str, Path]) -> None:
    opened(driver, pages["everything"])
    titles = run(driver, "return every('thead th').slice(3, -1).map(each => each.title)")
    assert titles == [meaning for _, _, meaning in READINGS]


def test_the_first_screen_says_what_where_and_what_to_do(driver: Chrome, pages: dict[str, Path]) -> None:
    for width in (390, 1280):
        opened(driver, pages["everything"], width)
        bottom = run(driver, "return document.querySelector('.next').getBoundingClientRect().bottom")
        assert bottom < 800
    told = element(driver, ".next").text
    assert told.startswith("Where it starts\nnet.27, Sigmoid, layer 28 of 41 from the input\nWhat to do first\n")


def test_flow_tells_a_layer_and_leads_to_its_row(driver: Chrome, pages: dict[str, Path]) -> None:
    opened(driver, pages["everything"])
    centred(driver, ".filter button[data-verdict=vanishing]").click()
    hover(driver, 36.5 / 41)
    told = element(driver, "#tip").text
    assert told.startswith("net.36\nLinear · ✔ healthy\nT\n")
    ActionChains(driver, duration=0).click().perform()
    assert run(driver, "return location.hash") == "#l36"
    row = element(driver, "#l36")
    assert row.is_displayed(), "although it was filtered out"
    hover(driver, 27.5 / 41)
    ActionChains(driver, duration=0).click().perform()
    row = element(driver, "#l27")
    WebDriverWait(driver, 5).until(lambda _: "97 % sure" in row.text)
    inside = "const box = arguments[0].getBoundingClientRect(); return box.top >= 0 && box.bottom <= innerHeight"
    WebDriverWait(driver, 5).until(lambda _: run(driver, inside, row))


def test_flow_works_by_keyboard(driver: Chrome, pages: dict[str, Path]) -> None:
    opened(driver, pages["everything"])
    plot = element(driver, "#flow-plot")
    plot.send_keys(Keys.END)
    assert plot.get_attribute("aria-valuetext").startswith("net.40, Linear")
    plot.send_keys(Keys.HOME + Keys.ARROW_RIGHT)
    assert plot.get_attribute("aria-valuetext").startswith("net.1, Sigmoid, ▼ vanishing")
    assert plot.get_attribute("aria-valuenow") == "2"
    plot.send_keys(Keys.ENTER)
    assert run(driver, "return location.hash") == "#l1"


def test_controls_are_reached_by_tab_and_show_it(driver: Chrome, pages: dict[str, Path]) -> None:
    opened(driver, pages["everything"])
    reached: list[str] = []
    while len(reached) < 80 and "find" not in reached:
        ActionChains(driver, duration=0).send_keys(Keys.TAB).perform()
        name, seen = run(driver, "return focused()")
        assert seen, name
        reached.append(name)
    assert reached[:2] == ["skip", "brand"]
    assert {"theme", "flow-plot", "copy", "summary", "find"} <= set(reached)


@pytest.mark.parametrize("clipboard", [True, False])
def test_copies_code_from_a_file(driver: Chrome, pages: dict[str, Path], clipboard: bool) -> None:
    opened(driver, pages["everything"])
    if not clipboard:
        run(driver, "withoutClipboard()")
    centred(driver, ".copy").click()
    WebDriverWait(driver, 5, 0.05).until(lambda _: element(driver, ".copy").text.startswith("Copied"))
    if not clipboard:
        code = INVENTED["deep_sigmoid"]().remedies[0].how
        assert run(driver, "return window.taken") == code


def test_curves_are_drawn_and_named(driver: Chrome, pages: dict[str, Path]) -> None:
    opened(driver, pages["everything"])
    inked = run(driver, "return inked()")
    assert len(inked) == 8
    assert min(inked) > 500
    over = centred(driver, "#chart-loss .u-over")
    move(driver, over, *run(driver, "return spot('chart-loss', 1, .8)"))
    assert element(driver, "#tip").text == "loss\nstep 1: 0.8"


def test_without_a_script_everything_is_there(driver: Chrome, pages: dict[str, Path]) -> None:
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        opened(driver, pages["everything"])
        assert len(driver.find_elements(By.CSS_SELECTOR, "#layer-table tbody tr")) == 41
        assert len([each for each in driver.find_elements(By.CSS_SELECTOR, ".static") if each.is_displayed()]) == 8
        assert element(driver, "#flow-plot").size["height"] > 200
        assert not element(driver, ".filter").is_displayed()
    finally:
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


# -------------------------------------------------------------------------------------------------------------- scale


def test_a_thousand_layers_sort_in_few_layouts(driver: Chrome, pages: dict[str, Path]) -> None:
    opened(driver, pages["deep"])
    driver.execute_cdp_cmd("Performance.enable", {})

    def layouts() -> float:
        metrics = driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
        return next(float(each["value"]) for each in metrics if each["name"] == "LayoutCount")

    def layouts_of(script: str) -> float:
        before = layouts()
        run(driver, f"{script}; document.body.getBoundingClientRect()")
        return layouts() - before

    run(driver, "document.querySelector('#layers').scrollIntoView({behavior: 'instant'})")
    assert layouts_of("document.querySelector('thead th:nth-child(4) button').click()") <= 6
    assert rows(driver)[-1] == "blocks.499.act"
    find = (
        "const find = document.querySelector('#find'); find.value = 'leakyrelu'; find.dispatchEvent(new Event('input'))"
    )
    assert layouts_of(find) <= 6
    assert len(rows(driver)) == 500


def test_a_thousand_layers_can_be_spread_out(driver: Chrome, pages: dict[str, Path]) -> None:
    opened(driver, pages["deep"], 360)
    centred(driver, ".flow-tools button").click()
    assert run(driver, "return document.querySelector('#flow-plot').getBoundingClientRect().width") == 12_000
    assert run(driver, "return document.documentElement.scrollWidth") == 360
    assert run(driver, "return every('*').length") < 40_000
