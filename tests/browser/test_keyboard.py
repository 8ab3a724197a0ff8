"""The keys: scenarios, play and link without the mouse, and nothing while something else listens."""

from collections.abc import Callable
from typing import Any

from charts.topics import TOPICS
from tests.browser.test_app import SIDEBAR, copied, parameters, settled, slider, toolbar
from tests.browser.test_sharing import choose
from ui.keyboard import SHORTCUTS

HELD = """() => { let held = document.activeElement;
    while (held.shadowRoot?.activeElement) held = held.shadowRoot.activeElement;
    return held.textContent || held.type }"""


def scenarios(name: str) -> list[str]:
    return [each.name for each in TOPICS[name].scenarios]


def at(page: Any, parameter: str, scenario: str) -> None:
    """Wait until the address names a scenario and the page is done."""
    page.wait_for_function(
        "([name, value]) => new URLSearchParams(location.search).get(name) === value",
        arg=[parameter, scenario],
    )
    settled(page)
    page.wait_for_timeout(300)


def test_a_step_is_a_choice_from_the_menu(visit: Callable[..., Any]) -> None:
    topic = TOPICS["dropout"]
    names = scenarios("dropout")
    number = next(i for i, each in enumerate(topic.scenarios[1:], 1) if each.tab)  # it opens its tab
    page = visit(f"dropout?drop_scenario={names[number - 1]}")
    settled(page)
    page.wait_for_timeout(600)
    length = page.evaluate("history.length")
    page.keyboard.press("n")
    at(page, "drop_scenario", names[number])
    found = parameters(page)
    assert page.evaluate("history.length") == length + 1
    for key in "nnp":  # faster than the page is
        page.keyboard.press(key)
    at(page, "drop_scenario", names[(number + 1) % len(names)])
    page.go_back()
    at(page, "drop_scenario", names[number])
    assert parameters(page) == found
    page.go_back()
    at(page, "drop_scenario", names[number - 1])
    choose(page, names[number])
    assert parameters(page) == found
    assert page.evaluate("history.length") == length + 1


def test_back_and_forth_faster_than_the_page_is_loses_nothing(visit: Callable[..., Any]) -> None:
    """The browser is referred to figures that it had; were they gone it would give up the connection."""
    page = visit("batchnorm")
    settled(page)
    control = slider(page, "Batch size")
    for number in range(80):
        control.press("ArrowLeft" if number % 8 < 4 else "ArrowRight")
        page.wait_for_timeout((0, 40, 90, 130, 160, 220)[number * 7 % 6])
    settled(page)
    assert page.get_attribute("[data-testid=stApp]", "data-test-connection-state") == "CONNECTED"


def test_keys_play_and_copy_on_whatever_page_comes_next(visit: Callable[..., Any]) -> None:
    page = visit("dropout")
    settled(page)
    page.keyboard.press("k")
    page.get_by_text("nothing to play").wait_for()
    page.get_by_text("Training", exact=True).first.click()
    page.locator("a").filter(has_text="Optimizers").last.click()
    page.wait_for_url("**/optimizers**")
    settled(page)
    wanted = copied(page, "Copy the link")
    page.evaluate("navigator.clipboard.writeText('')")
    page.keyboard.press("l")
    page.wait_for_function("async () => (await navigator.clipboard.readText()) !== ''")
    assert page.evaluate("navigator.clipboard.readText()") == wanted
    assert "Link copied" in toolbar(page).inner_text()
    for word in ("Pause", "Play"):
        page.keyboard.press("k")
        page.get_by_text(word, exact=True).first.wait_for()
    page.keyboard.press("n")
    at(page, "opt_scenario", scenarios("optimizers")[1])  # one listener: one step


def test_a_page_without_scenarios_keeps_its_filters(visit: Callable[..., Any]) -> None:
    page = visit("claims?claims_topic=Dropout&claims_words=mask")
    settled(page)
    page.wait_for_timeout(600)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    start = page.url
    for key in "npl":
        page.keyboard.press(key)
    page.get_by_text("Link copied", exact=True).wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == start == page.url
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keys")
    found = dialog.inner_text()
    assert [each.act for each in SHORTCUTS if each.does in found] == ["link", "help"]


def test_keys_leave_alone_what_has_the_focus_and_are_listed(visit: Callable[..., Any]) -> None:
    page = visit("dropout")
    settled(page)
    page.wait_for_timeout(600)
    start = page.url
    page.keyboard.press("Control+l")
    page.locator(f"{SIDEBAR} [data-testid=stSelectbox] input").first.focus()
    page.keyboard.press("n")
    page.keyboard.press("?")
    page.keyboard.press("Escape")
    dialog = page.get_by_role("dialog", name="Keys")
    assert not dialog.is_visible()
    slider(page, "p_drop").focus()
    page.keyboard.press("?")
    found = dialog.inner_text()
    # Nothing plays on this page.
    assert [each.act for each in SHORTCUTS if each.does not in found] == ["play"]
    held = []
    for _ in range(3):
        held.append(page.evaluate(HELD))
        page.keyboard.press("Tab")
    assert held == ["Close", "checkbox", "Close"]
    page.keyboard.press("n")  # rests under the list
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    assert slider(page, "p_drop").evaluate("input => input === document.activeElement")

    toolbar(page).get_by_role("button", name="Show the keyboard shortcuts").click()
    dialog.get_by_role("checkbox").uncheck()
    page.mouse.click(8, 8)
    assert not dialog.is_visible()
    page.keyboard.press("n")
    page.wait_for_timeout(600)
    settled(page)
    assert page.url == start
    toolbar(page).get_by_role("button", name="Show the keyboard shortcuts").click()
    dialog.get_by_role("checkbox").check()
    dialog.get_by_role("button", name="Close").click()

    slider(page, "p_drop").focus()
    page.keyboard.press("p")
    at(page, "drop_scenario", scenarios("dropout")[-1])
