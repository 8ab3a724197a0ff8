"""What leaves a page: files, links, the browser's history, paper; and a page with parts of it hidden."""

import io
import json
import re
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from charts.topics import TOPICS
from tests.browser.driver import CHART
from tests.browser.test_app import (
    SIDEBAR,
    copied,
    drawn,
    lines,
    link,
    parameters,
    press,
    settled,
    slider,
    toolbar,
)

STARTS = {"PNG, 3": b"\x89PNG", "SVG": b"<svg", "PDF": b"%PDF", "CSV": b"set,", "JSON": b"{"}


def choose(page: Any, scenario: str) -> None:
    page.locator(f"{SIDEBAR} [data-testid=stSelectbox]").first.click()
    page.get_by_role("option", name=scenario, exact=True).click()
    page.wait_for_timeout(300)
    settled(page)
    page.wait_for_timeout(500)


def test_a_figure_is_saved_in_every_form(visit: Callable[..., Any]) -> None:
    page = visit("dropout?drop_inputs=8&drop_p=0.2")
    settled(page)
    for name, start in STARTS.items():
        with page.expect_download(timeout=60_000) as waiting:
            toolbar(page).get_by_role("button", name=name).click()
        file = waiting.value
        ending = name.split(",")[0].lower()
        scale = "-3x" if ending == "png" else ""
        assert file.suggested_filename == f"dropout-scaling-p0.2-inputs8{scale}.{ending}"
        with open(file.path(), "rb") as opened:
            content = opened.read()
        assert content.startswith(start)
        if ending == "csv":
            frame = pd.read_csv(io.BytesIO(content))
            topic = TOPICS["dropout"]
            figure = topic.view(topic.fill({"inputs": 8, "p": 0.2})).figure
            assert set(frame["set"]) == set(figure.data)
        if ending == "json":
            assert "8 inputs" in json.loads(content)["usermeta"]["caption"]
        page.wait_for_timeout(200)
    assert "Saved" in toolbar(page).inner_text()


def wide(page: Any) -> None:
    slider(page, "Masks").focus()
    page.keyboard.press("ArrowRight")


def elsewhere(page: Any) -> None:
    page.get_by_text("Layers", exact=True).first.click()
    page.locator("a").filter(has_text="BatchNorm").last.click()


@pytest.mark.parametrize("meanwhile", [wide, elsewhere])
def test_a_file_arrives_whatever_is_done_meanwhile(
    visit: Callable[..., Any], meanwhile: Callable[[Any], None]
) -> None:
    page = visit("dropout")
    settled(page)
    with page.expect_download(timeout=60_000) as waiting:
        toolbar(page).get_by_role("button", name="PNG, 4").click()
        page.wait_for_timeout(100)
        meanwhile(page)
    assert waiting.value.suggested_filename == "dropout-scaling-4x.png"
    settled(page)
    assert page.locator("[aria-disabled=true][data-ending]").count() == 0
    with page.expect_download(timeout=60_000) as waiting:
        toolbar(page).get_by_role("button", name="CSV").click()
    assert waiting.value.suggested_filename.endswith(".csv")


def test_a_refused_file_is_said(visit: Callable[..., Any]) -> None:
    page = visit("dropout")
    settled(page)
    toolbar(page).locator("select.size").evaluate("select => select.options[0].value = 'A5'")
    toolbar(page).locator("select.size").select_option(index=0)
    toolbar(page).get_by_role("button", name="SVG").click()
    page.get_by_text("No such file").wait_for()
    toolbar(page).locator("select.ground").select_option("dark")
    page.reload()
    settled(page)
    assert toolbar(page).locator("select.ground").input_value() == "dark", "the choice is remembered"
    assert toolbar(page).locator("select.size").input_value() == "page"


def test_markdown_has_picture_caption_and_link(visit: Callable[..., Any]) -> None:
    page = visit("batchnorm?bn_batch_size=4&bn_tab=Gap")
    settled(page)
    text = copied(page, "as Markdown")
    assert text.startswith("![")
    assert "batch size 4" in text
    assert f"?{link(page)}>)" in text
    other = copied(page, "as Markdown", number=1)  # of the figure in the tab
    assert other.split("(")[0] != text.split("(")[0]


def test_back_and_forward_move_between_scenarios(visit: Callable[..., Any]) -> None:
    page = visit("dropout")
    settled(page)
    page.wait_for_timeout(800)
    start, length = lines(page), page.evaluate("history.length")
    choose(page, "Wide layer")
    first = lines(page)
    press(page, "p_drop")
    press(page, "p_drop")
    page.wait_for_timeout(500)
    own, query = lines(page), link(page)
    assert page.evaluate("history.length") == length + 2, "one step a scenario, one for the visitor's own"
    for step, expected in (("back", first), ("back", start), ("forward", first), ("forward", own)):
        getattr(page, f"go_{step}")()
        page.wait_for_timeout(300)
        settled(page)
        assert lines(page) == expected
    page.get_by_text("Signal", exact=True).first.click()
    page.locator("a").filter(has_text="Activations").last.click()
    page.wait_for_url("**/activations**")
    settled(page)
    page.go_back()
    page.wait_for_url("**/dropout**")
    page.wait_for_timeout(500)
    settled(page)
    assert link(page) == query
    assert lines(page) == own


@pytest.mark.parametrize("scheme", ["dark"])  # on white all the same
def test_paper_gets_two_pages_without_controls(visit: Callable[..., Any], scheme: str) -> None:
    page = visit("dropout?drop_tab=Network", scheme=scheme)
    settled(page)
    page.wait_for_timeout(800)
    paper = page.pdf(format="A4", print_background=True)
    assert len(re.findall(rb"/Type\s*/Page\b", paper)) == 2
    page.emulate_media(media="print")
    seen = page.locator("[data-testid=stApp]").inner_text()
    topic = TOPICS["dropout"]
    view = topic.view(topic.defaults())
    assert view.figure.caption[:40] in seen
    assert "/dropout" in seen
    assert "Scaling repairs the mean" in seen or view.why[:30] in seen
    assert "From the notes" not in seen
    for hidden in (SIDEBAR, "[class*=_toolbar]", "[role=tablist]", "[data-testid=stHeader]"):
        assert not page.locator(hidden).first.is_visible()
    ground = page.locator(f"{CHART} svg").first.evaluate("svg => getComputedStyle(svg).backgroundColor")
    assert ground == "rgb(255, 255, 255)"


def test_parts_of_a_page_can_be_hidden(visit: Callable[..., Any]) -> None:
    topic = TOPICS["dropout"]
    page = visit("dropout?hide=controls&drop_p=0.3")
    settled(page)
    assert page.locator(f"{SIDEBAR} [data-testid=stSlider]").count() == 0
    assert page.get_by_text(topic.question).count() == 1
    picture = lines(page)
    page.get_by_role("link", name="Open the whole page").wait_for()

    page = visit("dropout?hide=text&drop_p=0.3&drop_tab=Ensemble")
    settled(page, charts=2)
    assert page.get_by_text(topic.question).count() == 0
    assert page.locator("[role=tablist]").count() == 0
    assert slider(page, "p_drop").count() == 1
    before = drawn(page)
    press(page, "p_drop")
    assert drawn(page) != before
    assert parameters(page)["hide"] == ["text"], "it stays hidden"

    page = visit("dropout?hide=controls,text&embed=true&drop_p=0.3")
    settled(page)
    assert page.locator("[data-testid=stTopNavLink]").count() == 0
    assert page.locator("[data-testid=stMarkdownContainer]:visible").count() <= 1  # the way to the whole page
    assert len(lines(page)) == len(picture)

    page = visit("dropout?hide=banana")
    settled(page)
    assert "hide = banana: needs controls or text" in page.locator("[data-testid=stAlert]").inner_text()


def test_the_reading_describes_the_chart_and_the_keyboard_reaches_everything(
    visit: Callable[..., Any],
) -> None:
    page = visit("batchnorm?bn_tab=Batch+size")
    settled(page, charts=2)
    page.wait_for_timeout(800)
    for number in range(2):
        chart = page.locator(CHART).nth(number)
        assert chart.get_attribute("aria-label")
        page.wait_for_function(
            "([selector, n]) => document.querySelectorAll(selector)[n].hasAttribute('aria-describedby')",
            arg=[CHART, number],
        )
        described = chart.get_attribute("aria-describedby")
        assert len(page.locator(f"#{described}").inner_text()) > 40
    page.goto(page.url.split("batchnorm")[0] + "optimizers?opt_tab=Step")
    settled(page, charts=2)
    reached: list[str] = []
    for _ in range(90):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                """() => { let e = document.activeElement; while (e.shadowRoot?.activeElement) e = e.shadowRoot.activeElement;
                return (e.getAttribute('aria-label') || e.innerText || e.type || e.tagName).trim() }"""
            )
        )
    said = " | ".join(reached)
    for name in ("Scenario", "Copy the link", "Save SVG", "Size of the picture", "Play", "Step", "Reset"):
        assert name in said, said


def test_another_name_of_a_page_leads_to_it_with_the_parameters(visit: Callable[..., Any]) -> None:
    page = visit("init?init_depth=20")
    page.wait_for_url("**/initialization?*")
    settled(page)
    assert parameters(page)["init_depth"] == ["20"]
    assert "after 20 layers" in page.locator("[data-testid=stApp]").inner_text()


def test_a_value_that_is_folded_away_stays_in_the_address(visit: Callable[..., Any]) -> None:
    page = visit("batchnorm?bn_gamma=2")
    settled(page)
    group = page.locator(f"{SIDEBAR} summary", has_text="Layer and seed")
    group.click()
    slider(page, "Seed").press("ArrowRight")
    settled(page)
    page.wait_for_function("location.search.includes('bn_seed=1')")
    group.click()
    slider(page, "Seed").wait_for(state="detached")
    settled(page)
    page.wait_for_function("/bn_seed=1/.test(location.search) && /bn_gamma=2/.test(location.search)")
    assert parameters(page)["bn_seed"] == ["1"]
