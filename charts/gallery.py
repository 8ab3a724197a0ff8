"""All figures of the app without a browser: found by name, reproduced by a link or a command, gathered on one page."""

import errno
import html
import io
import multiprocessing
import os
import re
import shlex
import shutil
import signal
import struct
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

from PIL import Image

from charts import export, theme
from charts.addresses import PAGES
from charts.export import slug
from charts.figure import Figure
from charts.topic import WHY, Block, Scenario, Topic, Values, readings
from core.knobs import Knob, Value

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

    ``switched`` names the knobs that were set to bring it into view; ``reading`` is what the page says below it, in
    Markdown.
    """

    topic: Topic
    values: dict[str, Value]
    figure: Figure
    tab: str = ""
    switched: tuple[str, ...] = ()
    reading: str = ""


def _in(blocks: Sequence[Block]) -> Iterator[tuple[Figure, str]]:
    """Yield the figures among some blocks, each with its reading."""
    for block, reading in readings(blocks):
        if isinstance(block, Figure):
            yield block, reading


def _names(blocks: Sequence[Block]) -> set[str]:
    return {block.name for block in blocks if isinstance(block, Figure)}


def _main(topic: Topic, values: Values) -> Iterator[Place]:
    settled = topic.settle(values)
    view = topic.view(settled)
    yield Place(topic, settled, view.figure, reading=view.reading)


def _of_tabs(topic: Topic, values: Values, names: Sequence[str]) -> Iterator[Place]:
    """Yield the figures that some tabs show beside these values."""
    settled = topic.settle(values)
    tabs = {tab.name: tab for tab in topic.view(settled).tabs}
    for name in names:
        if name in tabs:
            for figure, reading in _in(tabs[name].blocks()):
                yield Place(topic, settled, figure, name, reading=reading)


def _of_folds(topic: Topic, values: Values) -> Iterator[Place]:
    """Yield the figures that are folded away below the derivation."""
    settled = topic.settle(values)
    for fold in topic.view(settled).folds:
        for figure, reading in _in(fold.blocks()):
            yield Place(topic, settled, figure, WHY, reading=reading)


def _switched(topic: Topic, values: Values, names: Sequence[str], fixed: Values) -> Iterator[Place]:
    """Yield the figures that some tabs show only after one of their choices is made, each figure once.

    Whether a choice brings other figures is tried with the last of its names; only then all of them are drawn. A list
    longer than a dozen is a registry (of optimizers, of schemes), not a switch between views.
    """
    settled = topic.settle(values)
    tabs = {tab.name: tab for tab in topic.view(settled).tabs}
    offers = topic.offers(settled)
    for name in names:
        here = _names(tabs[name].blocks())
        seen = set(here)
        for knob in (topic.knobs[each] for each in tabs[name].shown(settled)):
            if knob.kind != "choice" or knob.name in fixed or len(knob.choices) > _DOZEN:
                continue
            others = [c for c in offers.get(knob.name, knob.choices) if c != settled[knob.name]]
            there = topic.settle({**settled, knob.name: others[-1] if others else settled[knob.name]})
            if _names(tabs[name].blocks(there)) == here:
                continue
            for choice in others:
                there = topic.settle({**settled, knob.name: choice})
                for figure, reading in _in(tabs[name].blocks(there)):
                    if figure.name not in seen:
                        seen.add(figure.name)
                        yield Place(topic, there, figure, name, (knob.name,), reading)


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


def panel(topic: Topic, values: Values) -> list[str]:
    """Name the controls of the page's panel; those at rest belong to tabs or to other entries."""
    return [knob for group in topic.layout(values) if not group.resting for knob in group.knobs]


def acting(place: Place) -> list[str]:
    """Name the knobs that a figure depends on beside its values.

    These are the controls of the panel, the settings that rest there (another optimizer's), and those of its tab.
    """
    tabs = {tab.name: tab.shown(place.values) for tab in place.topic.view(place.values).tabs}
    shown, of_tabs = place.topic.shown(place.values), {name for names in tabs.values() for name in names}
    rest = [name for name in place.topic.knobs if name in shown and name not in of_tabs]
    return list(dict.fromkeys((*panel(place.topic, place.values), *rest, *tabs.get(place.tab, ()))))


# Reproducing


def address(topic: Topic, values: Values, tab: str = "", base: str = "") -> str:
    """Write the link to a view: with every parameter that acts, below ``base`` or relative to the app."""
    return _below(base, topic, {**topic.query(values), **({topic.key("tab"): tab} if tab else {})})


def _paper(place: Place, base: str) -> str:
    """Write the short link that stands in a picture: it has to be typed, and needs the defaults of today."""
    return _below(base, place.topic, place.topic.brief(place.values, "" if place.tab == WHY else place.tab))


def _below(base: str, topic: Topic, query: Mapping[str, str | list[str]]) -> str:
    """Write the address of a page of the app, relative to it if ``base`` is empty."""
    path = topic.name + (f"?{urlencode(query, doseq=True)}" if query else "")
    return f"{base.rstrip('/')}/{path}" if base else path


def option(topic: Topic, knob: str) -> str:
    """Return what the command calls a knob: its name, or that in links where the command has such an option."""
    return topic.key(knob) if knob.replace("_", "-") in OPTIONS else knob


def arguments(topic: Topic, values: Values) -> list[str]:
    """Write the values that the command needs to be told, as few as give all of them back."""
    told = topic.told(values)
    return [f"--{option(topic, name)}={_written(topic.knobs[name], told[name])}" for name in told]


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
    """How figures are rendered: the arguments of ``export.render``; ``dark`` adds to a gallery its pictures on dark."""

    size: str = "page"
    scale: int = 2
    ground: str = "white"
    dark: bool = False
    caption: bool = True
    base: str = ""

    def render(self, place: Place, ending: str) -> bytes:
        """Render a figure to a file's content."""
        return export.render(
            place.figure,
            ending,
            size=self.size,
            scale=self.scale,
            ground=self.ground,
            caption=self.caption,
            link=_paper(place, self.base) if self.base else "",
            reading=place.reading,
        )


class Entry(NamedTuple):
    """A figure of the gallery: where it is, under which scenario, its parameters in words, and its files by ending.

    ``dark`` is the file of its picture on dark, ``size`` its picture's size in pixels.
    """

    place: Place
    scenario: Scenario
    told: str
    files: Mapping[str, str]
    dark: str = ""
    size: tuple[int, int] = (0, 0)

    @property
    def picture(self) -> str:
        """Name the file that the index shows; empty if there is none."""
        return next((self.files[ending] for ending in ("png", "svg") if ending in self.files), "")


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


def say(line: str) -> None:
    """Print a line of progress; it stands here because other processes do not import the command."""
    print(line, file=sys.stderr, flush=True)


class Chapter(NamedTuple):
    """A page of the gallery: its title, how many figures it has, and its part of both indexes."""

    title: str
    figures: int
    html: str
    markdown: str


def write_all(
    pages: Sequence[str],
    folder: Path,
    endings: Sequence[str],
    look: Look,
    tell: Callable[[str], object],
    processes: int = 1,
) -> int:
    """Render the figures of some pages into a folder, with ``index.html`` and ``index.md``.

    Everything is rendered in a hidden folder within it and moved at the end, so that a failure leaves nothing. Pages
    have nothing in common, and the files are the same in however many processes they are made.

    Args:
        pages: names in ``PAGES``.
        folder: made if it does not exist, in one that does; other files in it stay.
        endings: of ``export.ENDINGS``; the index shows the first of PNG and SVG.
        look: how the figures are rendered.
        tell: called with a line on every figure, in the process that renders it.
        processes: how many pages are rendered at a time.

    Returns:
        how many figures there are.

    Raises:
        OSError: the folder cannot be written to; this is known before anything is rendered.
        BrokenProcessPool: another process has ended before its time.
    """
    with _filled(folder) as work:
        if processes > 1 and len(pages) > 1:
            chapters = _in_processes(processes, pages, work, endings, look, tell)
        else:
            chapters = [_chapter(page, work, endings, look, tell) for page in pages]
        (work / "index.html").write_text(_html(dict(zip(pages, chapters, strict=True)), look), "utf-8")
        (work / "index.md").write_text(_markdown(chapters), "utf-8")
    return sum(chapter.figures for chapter in chapters)


@contextmanager
def _filled(folder: Path) -> Iterator[Path]:
    """Give a hidden folder to work in, whose files end in ``folder``; a failure leaves nothing of either.

    It is within the folder: beside it may be another file system, or no permission to write.
    """
    folder = Path(os.path.realpath(folder))
    made, moved = not folder.exists(), list[Path]()
    folder.mkdir(exist_ok=True)
    try:
        work = Path(tempfile.mkdtemp(prefix=".figures.", dir=folder))
        try:
            yield work
            for file in sorted(work.iterdir()):
                moved.append(folder / file.name)
                _move(file, moved[-1])
        finally:
            shutil.rmtree(work, ignore_errors=True)
    except BaseException:
        if made:
            for file in moved:
                file.unlink(missing_ok=True)
            with suppress(OSError):  # others may have put something there meanwhile
                folder.rmdir()
        raise


def _move(file: Path, target: Path) -> None:
    """Move a file, if need be to another file system; some have several below one folder."""
    try:
        file.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        write(target, file.read_bytes())


def _in_processes(
    processes: int,
    pages: Sequence[str],
    work: Path,
    endings: Sequence[str],
    look: Look,
    tell: Callable[[str], object],
) -> list[Chapter]:
    """Render pages in several processes, which end with this one's work, however that ends."""
    before = set(multiprocessing.active_children())
    start = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(processes, len(pages)), mp_context=start) as pool:
        try:
            waiting: dict[str, Future[Chapter]] = {}
            with _out_of_reach():
                for page in reversed(pages):  # the last page takes longest
                    waiting[page] = pool.submit(_chapter, page, work, endings, look, tell)
            return [waiting[page].result() for page in pages]
        except BaseException:
            for process in set(multiprocessing.active_children()) - before:
                process.terminate()
            raise


@contextmanager
def _out_of_reach() -> Iterator[None]:
    """Start processes that Ctrl-C does not reach: a terminal sends it to all, and one of them answers."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _chapter(
    page: str, work: Path, endings: Sequence[str], look: Look, tell: Callable[[str], object]
) -> Chapter:
    """Render the figures of a page and write its part of the indexes."""
    entries = list(_rendered(topic(page), work, endings, look, tell))
    grouped: dict[str, list[Entry]] = {}
    for entry in entries:
        grouped.setdefault(entry.scenario.name, []).append(entry)
    return Chapter(
        topic(page).title,
        len(entries),
        _html_chapter(topic(page), grouped, look),
        _markdown_chapter(topic(page), grouped, look),
    )


def _rendered(
    topic: Topic, work: Path, endings: Sequence[str], look: Look, tell: Callable[[str], object]
) -> Iterator[Entry]:
    pictured = next((e for e in ("png", "svg") if e in endings), "")
    taken: set[str] = set()
    for number, (scenario, found) in enumerate(views(topic), 1):
        for place in found():
            tell(f"[{number}/{len(topic.scenarios)}] {topic.title}, {scenario.name}: {place.figure.name}")
            name = _file(place, scenario, taken)
            files = {ending: f"{name}.{ending}" for ending in endings}
            size = (0, 0)
            for ending, file in files.items():
                content = _drawn(look, place, ending)
                (work / file).write_bytes(content)
                if ending == pictured:
                    size = _size(content, look.scale)
            dark = f"{name}-dark.{pictured}" if pictured and look.dark else ""
            if dark:
                (work / dark).write_bytes(_drawn(replace(look, ground="dark"), place, pictured))
            yield Entry(place, scenario, _told(place), files, dark, size)


def _drawn(look: Look, place: Place, ending: str) -> bytes:
    content = look.render(place, ending)
    return packed(content) if ending == "png" else content


def _size(content: bytes, scale: int) -> tuple[int, int]:
    """Return width and height of the drawing in a PNG or an SVG."""
    if content.startswith(b"<svg"):
        width, height = (float(found) for found in _SIZE.findall(content[:400])[0])
        return round(width), round(height)
    width, height = struct.unpack(">II", content[16:24])
    return round(width / scale), round(height / scale)


_SIZE = re.compile(rb'width="([\d.]+)" height="([\d.]+)"')


def packed(content: bytes) -> bytes:
    """Write a PNG anew with the same pixels in about a third of the bytes: the renderer packs fast, not small.

    A picture without transparency loses that channel; what the file says of itself and its density on paper stay as
    they are.
    """
    with Image.open(io.BytesIO(content)) as picture:
        opaque = "A" not in picture.getbands() or picture.getchannel("A").getextrema() == (255, 255)
        plain = picture.convert("RGB") if opaque else picture.convert("RGBA")
        plain.info.clear()  # or some of it would be written in another form
        buffer = io.BytesIO()
        plain.save(buffer, "PNG")
    small = buffer.getvalue()
    return small[:_HEAD] + b"".join(_said(content)) + small[_HEAD:]


_HEAD = 33  # bytes of signature and header, after which a density has to stand
_SAID = frozenset({b"pHYs", b"tEXt", b"zTXt", b"iTXt"})


def _said(content: bytes) -> Iterator[bytes]:
    """Yield the chunks of a PNG that hold its density on paper and its texts."""
    at = _HEAD
    while at < len(content):
        end = at + 12 + int(struct.unpack(">I", content[at : at + 4])[0])
        if content[at + 4 : at + 8] in _SAID:
            yield content[at:end]
        at = end


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
    """State the values that the figure depends on."""
    return "; ".join(
        f"{name} = {_stated(place.topic.knobs[name], place.values[name])}" for name in acting(place)
    )


def _stated(knob: Knob, value: Value) -> str:
    text = knob.text(value)
    return (text if isinstance(text, str) else ", ".join(text)) or "none"


def _scenario_link(topic: Topic, scenario: Scenario, look: Look) -> str:
    """Write the link to a scenario by its name; empty if the app's address is not known."""
    query = {"scenario": scenario.name, **({"tab": scenario.tab} if scenario.tab else {})}
    return (
        _below(look.base, topic, {topic.key(name): text for name, text in query.items()}) if look.base else ""
    )


def _markdown(chapters: Sequence[Chapter]) -> str:
    return "\n".join(("# Layerwise: figures", "", *(chapter.markdown for chapter in chapters)))


def _markdown_chapter(topic: Topic, scenarios: Mapping[str, Sequence[Entry]], look: Look) -> str:
    lines = [f"## {topic.title}", "", topic.question, ""]
    for name, group in scenarios.items():
        scenario = group[0].scenario
        opens = _scenario_link(topic, scenario, look)
        heading = f"[{name}](<{opens}>)" if opens else name
        lines += [f"### {heading}", "", " ".join(filter(None, (scenario.question, scenario.notice))), ""]
        for entry in group:
            place, shown = entry.place, entry.picture
            link = address(place.topic, place.values, place.tab, look.base)
            picture, _, below = export.markdown(place.figure, shown, link if look.base else "").partition(
                "\n\n"
            )
            lines += [
                *((f"[{picture}]({shown})", "") if shown else ()),
                below.strip(),
                "",
                f"- Figure: `{place.figure.name}`" + (f", tab {place.tab}" if place.tab else ""),
                f"- Parameters: `{entry.told}`",
                f"- Link: {link if look.base else f'`{link}`'}",
                f"- Command: `{command(place)}`",
                "- Files: " + ", ".join(f"[{e.upper()}]({file})" for e, file in entry.files.items()),
                "",
            ]
    return "\n".join(lines)


def _html(chapters: Mapping[str, Chapter], look: Look) -> str:
    menu = [f'<a href="#{page}">{html.escape(chapter.title)}</a>' for page, chapter in chapters.items()]
    body = [chapter.html for chapter in chapters.values()]
    return _PAGE.format(style=_style(look), menu=" ".join(menu), body="\n".join(body))


def _html_chapter(topic: Topic, scenarios: Mapping[str, Sequence[Entry]], look: Look) -> str:
    page = topic.name
    inside = [f'<a href="#{page}-{slug(name)}">{html.escape(name)}</a>' for name in scenarios]
    body = [
        f'<section id="{page}"><h2>{html.escape(topic.title)}</h2>',
        f"<p>{html.escape(topic.question)}</p>",
        f'<nav class="inner">{" ".join(inside)}</nav>',
    ]
    for name, group in scenarios.items():
        scenario = group[0].scenario
        question = f"<i>{html.escape(scenario.question)}</i> " if scenario.question else ""
        opens = html.escape(_scenario_link(topic, scenario, look))
        heading = f'<a href="{opens}">{html.escape(name)}</a>' if opens else html.escape(name)
        body.append(f'<h3 id="{page}-{slug(name)}">{heading}</h3>')
        body.append(f"<p>{question}{html.escape(scenario.notice)}</p>")
        body += [_card(entry, look) for entry in group]
    return "\n".join([*body, "</section>"])


def _card(entry: Entry, look: Look) -> str:
    place, figure = entry.place, entry.place.figure
    shown = entry.picture
    link = address(place.topic, place.values, place.tab, look.base)
    written = html.escape(link)
    where = f"{html.escape(figure.name)}" + (f", tab {html.escape(place.tab)}" if place.tab else "")
    dark = f'<source srcset="{entry.dark}" media="(prefers-color-scheme: dark)">' if entry.dark else ""
    alt = html.escape(f"{figure.alt} {export.plain(place.reading)}".strip())
    width, height = entry.size  # keeps its place until it is loaded
    image = f'<img src="{shown}" width="{width}" height="{height}" alt="{alt}" loading="lazy">'
    picture = f'<a href="{shown}"><picture>{dark}{image}</picture></a>' if shown else ""
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
<dl>{inside}<dt>Parameters</dt><dd>{html.escape(entry.told)}</dd>
<dt>Link</dt><dd>{f'<a href="{written}">{written}</a>' if look.base else f"<code>{written}</code>"}</dd>
<dt>Command</dt><dd><code>{html.escape(command(place))}</code></dd></dl></details>
</figure>"""


def _style(look: Look) -> str:
    """Write the index's colors from the theme; with one ground for all pictures, the page around them keeps to it."""
    grounds = ("dark",) if look.ground == "dark" else ("light", "dark") if look.dark else ("light",)

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
nav a {{ margin-right: .9rem; display: inline-block; }}
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
