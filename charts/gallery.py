"""All figures of the app without a browser: found by name, reproduced by a link or a command, gathered on one page."""

import html
import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

from charts import export, theme
from charts.export import slug
from charts.figure import Figure
from charts.topic import WHY, Block, Scenario, Topic, Values
from core.knobs import Knob, Value

# Each page is imported when it is asked for: one takes half the time of all.
PAGES = ("activations", "initialization", "batchnorm", "dropout", "optimizers")
COMMAND = "python -m charts"

# Options of the command itself; a knob of the same name is given by its name in links.
OPTIONS = {
    "output", "figure", "scenario", "size", "scale", "ground", "no-caption", "link", "ending", "all", "help",
}  # fmt: skip


_DOZEN = 12


def topic(page: str) -> Topic:
    """Return a page's topic.

    Raises:
        KeyError: no such page in ``PAGES``.
    """
    if page not in PAGES:
        raise KeyError(page)
    found: Topic = import_module(f"charts.{page}").TOPIC
    return found


# Finding


class Place(NamedTuple):
    """A figure with the page, the complete values and the tab that show it; the main figure has no tab.

    ``switched`` names the knobs that were set to bring it into view.
    """

    topic: Topic
    values: dict[str, Value]
    figure: Figure
    tab: str = ""
    switched: tuple[str, ...] = ()


def _in(blocks: Sequence[Block]) -> list[Figure]:
    return [block for block in blocks if isinstance(block, Figure)]


def _main(topic: Topic, values: Values) -> Iterator[Place]:
    settled = topic.settle(values)
    yield Place(topic, settled, topic.view(settled).figure)


def _of_tabs(topic: Topic, values: Values, names: Sequence[str]) -> Iterator[Place]:
    """Yield the figures that some tabs show beside these values."""
    settled = topic.settle(values)
    tabs = {tab.name: tab for tab in topic.view(settled).tabs}
    for name in names:
        if name in tabs:
            for figure in _in(tabs[name].blocks()):
                yield Place(topic, settled, figure, name)


def _of_folds(topic: Topic, values: Values) -> Iterator[Place]:
    """Yield the figures that are folded away below the derivation."""
    settled = topic.settle(values)
    for fold in topic.view(settled).folds:
        for figure in _in(fold.blocks()):
            yield Place(topic, settled, figure, WHY)


def _switched(topic: Topic, values: Values, names: Sequence[str], fixed: Values) -> Iterator[Place]:
    """Yield the figures that some tabs show only after one of their choices is made, each figure once.

    Whether a choice brings other figures is tried with the last of its names; only then all of them are drawn. A list
    longer than a dozen is a registry (of optimizers, of schemes), not a switch between views.
    """
    settled = topic.settle(values)
    tabs = {tab.name: tab for tab in topic.view(settled).tabs}
    offers = topic.offers(settled)
    for name in names:
        here = {figure.name for figure in _in(tabs[name].blocks())}
        seen = set(here)
        for knob in (topic.knobs[each] for each in tabs[name].shown(settled)):
            if knob.kind != "choice" or knob.name in fixed or len(knob.choices) > _DOZEN:
                continue
            others = [c for c in offers.get(knob.name, knob.choices) if c != settled[knob.name]]
            there = topic.settle({**settled, knob.name: others[-1] if others else settled[knob.name]})
            if {figure.name for figure in _in(tabs[name].blocks(there))} == here:
                continue
            for choice in others:
                there = topic.settle({**settled, knob.name: choice})
                for figure in _in(tabs[name].blocks(there)):
                    if figure.name not in seen:
                        seen.add(figure.name)
                        yield Place(topic, there, figure, name, (knob.name,))


def main_place(topic: Topic, values: Values) -> Place:
    """Return the main figure's place; what no control shows is at its default, as on the page."""
    return next(_main(topic, values))


def places(topic: Topic, values: Values) -> Iterator[Place]:
    """Yield every figure of a view, computed one after the other as they are asked for: main, tabs, derivation."""
    yield from _main(topic, values)
    yield from _of_tabs(topic, values, topic.tabs)
    yield from _of_folds(topic, values)


def switched(topic: Topic, values: Values) -> Iterator[Place]:
    """Yield the figures that a tab shows only after one of its choices is made; those of the view are left out."""
    shown = [tab.name for tab in topic.view(topic.settle(values)).tabs]
    yield from _switched(topic, values, shown, {})


def find(
    topic: Topic, values: Values, wanted: str, tab: str = "", fixed: Values | None = None
) -> tuple[Place | None, list[str]]:
    """Find a figure by its name, ``optimizers/step`` or ``step``, in a view or behind one choice of a tab.

    Args:
        topic: the page.
        values: of all its knobs.
        wanted: the figure's name.
        tab: where it is looked for first; then come the tabs whose name or knobs begin as the figure's name does,
            for some of the others compute for seconds.
        fixed: knobs that stay as they are.

    Returns:
        the figure's place, None if there is none, and the names of all that was looked at.
    """
    name = wanted if "/" in wanted else f"{topic.name}/{wanted}"
    word = re.split("[_-]", name.partition("/")[2])[0].casefold()
    settled = topic.settle(values)
    likely: list[str] = []
    unlikely: list[str] = []
    for each in sorted(topic.view(settled).tabs, key=lambda each: each.name != tab):
        starts = {each.name.casefold()[: len(word)], *(knob.split("_")[0] for knob in each.shown(settled))}
        (likely if each.name == tab or word in starts else unlikely).append(each.name)
    seen: list[str] = []
    for search in (
        _main(topic, values),
        _of_tabs(topic, values, likely),
        _switched(topic, values, likely, fixed or {}),
        _of_folds(topic, values),
        _of_tabs(topic, values, unlikely),
        _switched(topic, values, unlikely, fixed or {}),
    ):
        for place in search:
            seen.append(place.figure.name)
            if place.figure.name == name:
                return place, seen
    return None, seen


# Reproducing


def address(topic: Topic, values: Values, tab: str = "", base: str = "") -> str:
    """Write the link to a view: with every parameter that acts, below ``base`` or relative to the app."""
    query = {**topic.query(values), **({topic.key("tab"): tab} if tab else {})}
    path = f"{topic.name}?{urlencode(query, doseq=True)}"
    return f"{base.rstrip('/')}/{path}" if base else path


def option(topic: Topic, knob: str) -> str:
    """Return what the command calls a knob: its name, or that in links where the command has such an option."""
    return topic.key(knob) if knob.replace("_", "-") in OPTIONS else knob


def arguments(topic: Topic, values: Values) -> list[str]:
    """Write the values that the command needs to be told, as few as give all of them back."""
    wanted, given = topic.settle(values), dict[str, Value]()
    # What is told changes the defaults of the rest, so that these are compared again.
    for _ in topic.knobs:
        filled = topic.settle(topic.fill(given))
        differ = {name: value for name, value in wanted.items() if filled[name] != value}
        if not differ:
            break
        ahead = {name: differ[name] for name in topic.depends if name in differ}
        given |= ahead or differ
    return [f"--{option(topic, name)}={_written(topic.knobs[name], given[name])}" for name in given]


def _written(knob: Knob, value: Value) -> str:
    text = knob.text(value)
    return text if isinstance(text, str) else ",".join(text)


def command(place: Place, ending: str = "svg") -> str:
    """Write the command that renders a figure anew."""
    told = arguments(place.topic, place.values)
    return shlex.join(
        [*COMMAND.split(), place.figure.name, *told, "-o", f"{slug(place.figure.name)}.{ending}"]
    )


# Writing


def write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: under a temporary name first.

    Raises:
        OSError: the folder does not exist or cannot be written to; then nothing is left behind.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(name).chmod(0o666 & ~_mask())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@cache
def _mask() -> int:
    """Return the process's mask for new files, which a temporary file ignores."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


Render = Callable[..., bytes]


@dataclass(frozen=True)
class Look:
    """How figures are rendered: the arguments of ``export.render``; no ground means white and dark."""

    size: str = "page"
    scale: int = 2
    ground: str = ""
    caption: bool = True
    base: str = ""

    def render(self, place: Place, ending: str) -> bytes:
        """Render a figure to a file's content."""
        link = address(place.topic, place.values, place.tab, self.base) if self.base else ""
        return export.render(
            place.figure,
            ending,
            size=self.size,
            scale=self.scale,
            ground=self.ground or "white",
            caption=self.caption,
            link=link,
        )


class Entry(NamedTuple):
    """A figure of the gallery: where it is, under which scenario, and its files by ending."""

    place: Place
    scenario: Scenario
    files: Mapping[str, str]
    dark: str = ""


def views(page: Topic) -> Iterator[tuple[Scenario, Callable[[], Iterator[Place]]]]:
    """Yield what the gallery shows of a page, scenario by scenario.

    Of the default view these are the main figure and those of every tab, behind its choices too; of a scenario the
    main figure and those of the tab it is about.
    """
    for scenario in page.scenarios:
        values = page.scenario_values(scenario)
        if scenario is page.scenarios[0]:
            yield scenario, lambda v=values: _everything(page, v)  # type: ignore[misc]
        else:
            yield scenario, lambda v=values, tab=scenario.tab: _shown(page, v, tab)  # type: ignore[misc]


def _everything(topic: Topic, values: Values) -> Iterator[Place]:
    yield from places(topic, values)
    yield from switched(topic, values)


def _shown(topic: Topic, values: Values, tab: str) -> Iterator[Place]:
    yield from _main(topic, values)
    yield from _of_tabs(topic, values, (tab,))


def write_all(
    pages: Sequence[str],
    folder: Path,
    endings: Sequence[str],
    look: Look,
    tell: Callable[[str], object],
) -> int:
    """Render the figures of some pages into a folder, with ``index.html`` and ``index.md``.

    Everything is rendered beside the folder and moved into it at the end, so that a failure leaves nothing.

    Args:
        pages: names in ``PAGES``.
        folder: made if it does not exist, in one that does; other files in it stay.
        endings: of ``export.ENDINGS``; the index shows the first of PNG and SVG.
        look: how the figures are rendered.
        tell: called with a line on every figure.

    Returns:
        how many figures there are.
    """
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        entries = list(_rendered(pages, work, endings, look, tell))
        (work / "index.html").write_text(_html(entries, look), encoding="utf-8")
        (work / "index.md").write_text(_markdown(entries, look), encoding="utf-8")
        folder.mkdir(exist_ok=True)
        for file in sorted(work.iterdir()):
            file.replace(folder / file.name)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return len(entries)


def _rendered(
    pages: Sequence[str],
    work: Path,
    endings: Sequence[str],
    look: Look,
    tell: Callable[[str], object],
) -> Iterator[Entry]:
    pictured = next((e for e in ("png", "svg") if e in endings), "")
    plan = [(page, *view) for page in pages for view in views(topic(page))]
    taken: set[str] = set()
    for number, (page, scenario, found) in enumerate(plan, 1):
        for place in found():
            tell(f"[{number}/{len(plan)}] {topic(page).title}, {scenario.name}: {place.figure.name}")
            name = _file(place, scenario, taken)
            files = {ending: f"{name}.{ending}" for ending in endings}
            for ending, file in files.items():
                (work / file).write_bytes(look.render(place, ending))
            dark = f"{name}-dark.{pictured}" if pictured and not look.ground else ""
            if dark:
                (work / dark).write_bytes(replace(look, ground="dark").render(place, pictured))
            yield Entry(place, scenario, files, dark)


def _file(place: Place, scenario: Scenario, taken: set[str]) -> str:
    """Name a figure's files after the page, the scenario if it is not the default view, and the figure."""
    page, figure = place.figure.name.split("/", 1)
    first = scenario is place.topic.scenarios[0]
    stem = slug("-".join((page, figure) if first else (page, scenario.name, figure)))
    name, count = stem, 1
    while name in taken:
        count += 1
        name = f"{stem}-{count}"
    taken.add(name)
    return name


# The index


def _told(place: Place) -> str:
    """State the parameters that differ from the page's default view."""
    topic = place.topic
    return (
        ", ".join(
            f"{name} = {_written(topic.knobs[name], value) or 'none'}"
            for name, value in place.values.items()
            if value != topic.knobs[name].default
        )
        or "all as in the default view"
    )


def _chapters(entries: Sequence[Entry]) -> dict[str, dict[str, list[Entry]]]:
    """Group the figures by page and scenario, in order."""
    found: dict[str, dict[str, list[Entry]]] = {}
    for entry in entries:
        page = found.setdefault(entry.place.topic.name, {})
        page.setdefault(entry.scenario.name, []).append(entry)
    return found


def _markdown(entries: Sequence[Entry], look: Look) -> str:
    lines = ["# Layerwise: figures", ""]
    for scenarios in _chapters(entries).values():
        first = next(iter(scenarios.values()))[0].place.topic
        lines += [f"## {first.title}", "", first.question, ""]
        for name, group in scenarios.items():
            scenario = group[0].scenario
            lines += [f"### {name}", "", " ".join(filter(None, (scenario.question, scenario.notice))), ""]
            for place, _, files, _dark in group:
                shown = next((files[e] for e in ("png", "svg") if e in files), next(iter(files.values())))
                link = address(place.topic, place.values, place.tab, look.base)
                lines += [
                    export.markdown(place.figure, shown, link if look.base else "").strip(),
                    "",
                    f"- Figure: `{place.figure.name}`" + (f", tab {place.tab}" if place.tab else ""),
                    f"- Parameters: `{_told(place)}`",
                    f"- Link: {link if look.base else f'`{link}`'}",
                    f"- Command: `{command(place)}`",
                    "- Files: " + ", ".join(f"[{e.upper()}]({file})" for e, file in files.items()),
                    "",
                ]
    return "\n".join(lines)


def _html(entries: Sequence[Entry], look: Look) -> str:
    chapters = _chapters(entries)
    body: list[str] = []
    menu: list[str] = []
    for page, scenarios in chapters.items():
        first = next(iter(scenarios.values()))[0].place.topic
        menu.append(f'<a href="#{page}">{html.escape(first.title)}</a>')
        body.append(f'<section id="{page}"><h2>{html.escape(first.title)}</h2>')
        body.append(f"<p>{html.escape(first.question)}</p>")
        inside = [f'<a href="#{page}-{slug(name)}">{html.escape(name)}</a>' for name in scenarios]
        body.append(f'<nav class="inner">{" ".join(inside)}</nav>')
        for name, group in scenarios.items():
            scenario = group[0].scenario
            question = f"<i>{html.escape(scenario.question)}</i> " if scenario.question else ""
            body.append(f'<h3 id="{page}-{slug(name)}">{html.escape(name)}</h3>')
            body.append(f"<p>{question}{html.escape(scenario.notice)}</p>")
            body += [_card(entry, look) for entry in group]
        body.append("</section>")
    return _PAGE.format(style=_style(look), menu=" ".join(menu), body="\n".join(body))


def _card(entry: Entry, look: Look) -> str:
    place, figure = entry.place, entry.place.figure
    shown = next((entry.files[e] for e in ("png", "svg") if e in entry.files), "")
    link = address(place.topic, place.values, place.tab, look.base)
    written = html.escape(link)
    where = f"{html.escape(figure.name)}" + (f", tab {html.escape(place.tab)}" if place.tab else "")
    dense = (
        f" {look.scale}x" if shown.endswith(".png") else ""
    )  # a drawing's size does not hang on its pixels
    dark = f'<source srcset="{entry.dark}{dense}" media="(prefers-color-scheme: dark)">' if entry.dark else ""
    image = f'<img src="{shown}" srcset="{shown}{dense}" alt="{html.escape(figure.alt)}" loading="lazy">'
    picture = f"<picture>{dark}{image}</picture>" if shown else ""
    files = " ".join(f'<a href="{file}">{ending.upper()}</a>' for ending, file in entry.files.items())
    caption = f"<b>{html.escape(figure.title)}.</b> {html.escape(f'{figure.caption} {figure.key}'.strip())}"
    # A picture that states its caption does not need it below; there it can be copied.
    stated = look.caption and shown
    below = "" if stated else f"<figcaption>{caption}</figcaption>\n"
    inside = f"<dt>Caption</dt><dd>{caption}</dd>\n" if stated else ""
    return f"""<figure>
{picture}
{below}<p class="files">{files}</p>
<details><summary>{where}: parameters, link, command</summary>
<dl>{inside}<dt>Parameters</dt><dd>{html.escape(_told(place))}</dd>
<dt>Link</dt><dd>{f'<a href="{written}">{written}</a>' if look.base else f"<code>{written}</code>"}</dd>
<dt>Command</dt><dd><code>{html.escape(command(place))}</code></dd></dl></details>
</figure>"""


def _style(look: Look) -> str:
    """Write the index's colors from the theme; with one ground for all pictures, the page around them keeps to it."""
    grounds = ("light", "dark") if not look.ground else (("dark",) if look.ground == "dark" else ("light",))

    def colors(ground: str) -> str:
        page = theme.PAGE[ground]
        return (
            f":root {{ --ground: {page['backgroundColor']}; --ink: {page['textColor']}; "
            f"--link: {page['linkColor']}; --line: {page['borderColor']}; color-scheme: {ground}; }}"
        )

    return colors(grounds[0]) + "".join(
        f"\n@media (prefers-color-scheme: {ground}) {{ {colors(ground)} }}" for ground in grounds[1:]
    )


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Layerwise: figures</title>
<style>
{style}
body {{ margin: 0 auto; max-width: 1120px; padding: 1.5rem 1rem 4rem; background: var(--ground); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; font-variant-numeric: tabular-nums; }}
a {{ color: var(--link); }}
nav a {{ margin-right: .9rem; }}
nav.inner {{ font-size: .85rem; }}
h2 {{ margin-top: 3rem; border-top: 1px solid var(--line); padding-top: 1.5rem; }}
h3 {{ margin-top: 2.5rem; }}
figure {{ margin: 1.5rem 0 2.5rem; }}
picture, img {{ display: block; max-width: 100%; height: auto; }}
img {{ margin: .6rem 0; }}
figcaption, .files, details {{ font-size: .88rem; }}
dd {{ margin: 0 0 .6rem; overflow-wrap: anywhere; }}
.files {{ margin: .4rem 0; }}
.files a {{ margin-right: .6rem; }}
</style>
</head>
<body>
<h1>Layerwise: figures</h1>
<nav>{menu}</nav>
{body}
</body>
</html>
"""
