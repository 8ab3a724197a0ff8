"""The landing page in a browser: typing finds everything, a choice opens its view, the valley's link follows its slider."""

import pytest

from tests.browser.driver import CHART

READY = "window.layerwiseSearch?.index?.length > 100"
# Titles that are not among the first three found by themselves; equal titles count as one.
LOST = """() => {
  const { index, find } = layerwiseSearch;
  return index.filter((entry) => !find(entry.title).slice(0, 3).some((k) => index[k].title === entry.title))
    .map((entry) => entry.kind + ': ' + entry.title);
}"""
TITLES = "(text) => layerwiseSearch.find(text).map((k) => layerwiseSearch.index[k].title)"


@pytest.fixture
def home(visit):
    page = visit()
    page.wait_for_function(READY)
    return page


def test_everything_is_found_and_opened_from_the_keyboard(home):
    page = home
    assert page.evaluate(LOST) == []
    assert page.evaluate(TITLES, "He")[0] == "He normal"
    assert page.evaluate(TITLES, "Sigma")[0].startswith("σ")
    assert page.evaluate(TITLES, "σ") == page.evaluate(TITLES, "sigma")
    assert page.evaluate(TITLES, "methode generale")[0] == "GD", "accents"
    assert page.evaluate(TITLES, "erratum E38") == page.evaluate(TITLES, "e38") != []
    assert "Saddle" not in page.evaluate(TITLES, "saddle batchnorm"), "all words have to match"

    field = page.get_by_role("combobox", name="Search")
    page.keyboard.press("/")
    page.keyboard.type("qqq")
    page.get_by_role("status").filter(has_text="Nothing found for “qqq”").wait_for()
    assert page.get_by_role("option").count() == 6, "the pages"
    assert page.get_by_role("option", name="Claims").get_attribute("href") == "/claims"
    page.keyboard.press("Escape")
    assert field.input_value() == ""
    assert field.get_attribute("aria-expanded") == "false"

    page.keyboard.type("sad")
    options = page.get_by_role("option")
    options.nth(1).wait_for()
    page.keyboard.press("ArrowDown")
    chosen = page.get_by_role("option", selected=True)
    assert chosen.get_attribute("id") == field.get_attribute("aria-activedescendant")
    assert min(box["height"] for box in (row.bounding_box() for row in options.all())) >= 40
    title, link = chosen.locator(".title").inner_text(), chosen.get_attribute("href")
    assert (title, link) == ("Monkey saddle", "/optimizers?opt_surface=Monkey+saddle")

    page.evaluate("window.stays = true")
    page.keyboard.press("Enter")
    page.wait_for_function("location.pathname === '/optimizers' && location.search.includes('Monkey')")
    page.locator(f"{CHART} svg").first.wait_for()
    assert page.evaluate("window.stays"), "the app was loaded anew"
    page.go_back()
    page.wait_for_function(f"location.pathname === '/' && !location.search && {READY}")

    slider = page.locator(".st-key-home_valley input[type=range]")
    slider.press("ArrowRight")
    way = page.get_by_role("link", name="Open the valley at 35° on Optimizers")
    assert "opt_theta=35" in way.get_attribute("href")
    way.click()
    page.wait_for_function("location.pathname === '/optimizers' && location.search.includes('theta=35')")
    page.locator(f"{CHART} svg").first.wait_for()
    assert "Monkey" not in page.url


def test_nothing_sticks_out_of_a_small_screen(visit):
    page = visit(width=390, height=844, scheme="dark")
    page.wait_for_function(READY)
    page.get_by_role("combobox").fill("gradient")
    page.get_by_role("option").first.wait_for()
    # The first figures are as wide as a large screen, until the browser has told its width.
    page.wait_for_function("document.querySelector('[data-testid=stMain]').scrollWidth <= 390")
