"""Figures from the command line: ``python -m charts`` lists them, with a name or a link it renders one to a file."""

import argparse
import difflib
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import NoReturn
from urllib.parse import parse_qs, urlsplit

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # while the rest is imported, Ctrl-C ends it without a word

from charts import gallery, progress
from charts.addresses import PAGES, page_of
from charts.export import ENDINGS, GROUNDS, SCALES, SIZES, file_name
from charts.gallery import COMMAND, Look, Place
from charts.topic import Topic, Values
from core.knobs import Knob, KnobError, Value, quote

_USAGE = f"""{COMMAND}
       {COMMAND} PAGE
       {COMMAND} PAGE/FIGURE [--PARAMETER VALUE ...] [-o FILE]
       {COMMAND} "LINK" [--figure NAME] [--PARAMETER VALUE ...] [-o FILE]
       {COMMAND} --all [PAGE] -o FOLDER/"""

_ABOUT = f"""\
Without a name it lists the figures of every page; with a page it lists all of that page, those behind a choice of a
tab too, and its scenarios. A figure is named as in the list; a page alone means its main figure. A link copied from
the app gives the figure that it was copied under, or with --figure another one of that view.

Parameters have the names they have in links, with or without the prefix of the page. A short name stands for the one
parameter that ends in it (learning_rate is lr): first among the controls of the page's panel (which shows the settings
of one optimizer, that of --edit, at first the first one chosen), then among all that act beside the other values, then
among all of the page. If several end in it they are listed and nothing is drawn. Several choices are given by commas or
by repeating; a parameter that is on or off is switched on by its name alone. "{COMMAND} PAGE --help" lists the
parameters of a page."""

_MOST_FIELDS = 2000  # parameters of a link
_BOTH = "both"
_PROCESSES = 2  # each renders one page at a time; more would mostly wait for the longest page

# What other libraries call it: the short name here.
_SYNONYMS: Mapping[str, str] = {
    "learning_rate": "lr", "epsilon": "eps", "beta_1": "beta1", "beta_2": "beta2", "wd": "weight_decay",
}  # fmt: skip


class Refused(ValueError):
    """A command that cannot be carried out; the message names what is wrong and what exists."""


# What a parameter was given, as often as it was; None where its name stands alone.
Given = Mapping[str, Sequence[str | None]]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Refused(message)


def _parser(prog: str = COMMAND, usage: str = _USAGE, about: str = _ABOUT) -> argparse.ArgumentParser:
    """Build the parser of what every figure takes; the parameters of the pages are read by their knobs."""
    parser = _Parser(
        prog=prog,
        usage=usage,
        description=about,
        add_help=False,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument_group("options").add_argument
    add(
        "-o",
        "--output",
        metavar="FILE",
        help="file to write (.png, .svg, .pdf, .csv, .json), or a folder with / at its end",
    )
    add("--figure", metavar="NAME", help="a figure of that page or link")
    add("--scenario", metavar="NAME", help="a scenario of the page; parameters given beside it change it")
    add(
        "--ending",
        action="append",
        metavar="ENDING",
        help="in a folder: kind of file (png); with --all, several",
    )
    add(
        "--size",
        default="page",
        metavar="SIZE",
        help="half (half a page's width), page (full width) or slide (16:9)",
    )
    add("--scale", default="2", metavar="N", help="pixels of a PNG by those of the drawing (2)")
    add(
        "--ground",
        default="white",
        metavar="GROUND",
        help="white (if not given), transparent or dark; with --all also both: white and dark",
    )
    add("--no-caption", action="store_true", help="leave out the caption")
    add(
        "--link", default="", metavar="ADDRESS", help="address of the app, to print the link below the figure"
    )
    add(
        "--all",
        action="store_true",
        help="every figure of every page or of one, every scenario, and an index",
    )
    add("-h", "--help", action="store_true", help="show this text, or with a page its parameters")
    return parser


# Reading the command


def _joined(argv: Sequence[str]) -> list[str]:
    """Write ``--name value`` of a parameter as ``--name=value``, so that values may begin with a minus."""
    with_value = {"--output", "--figure", "--scenario", "--ending", "--size", "--scale", "--ground", "--link"}
    tokens: list[str] = []
    waiting = iter(argv)
    token = next(waiting, None)
    while token is not None:
        following = next(waiting, None)
        bare = token.startswith("--") and "=" not in token
        if (token in with_value or token == "-o") and following is not None:
            tokens += [token, following]
            following = next(waiting, None)
        elif (
            bare
            and token[2:] not in gallery.OPTIONS
            and following is not None
            and not following.startswith("--")
            and following not in ("-o", "-h")
        ):
            tokens.append(f"{token}={following}")
            following = next(waiting, None)
        else:
            tokens.append(token)
        token = following
    return tokens


def _split(knob: Knob, text: str) -> list[str]:
    """Split choices at commas, but not within parentheses: N(0, 1),He normal."""
    if knob.kind != "choices":
        return [text]
    return [part.strip() for part in re.split(r",(?![^()]*\))", text)]


def _given(tokens: Sequence[str]) -> tuple[str, dict[str, list[str | None]]]:
    """Take the name or link and the parameters from what is no option of every figure."""
    target, given = "", dict[str, list[str | None]]()
    for token in tokens:
        if token.startswith("--") and len(token) > 2:
            name, equals, text = token[2:].partition("=")
            given.setdefault(name.replace("-", "_"), []).append(text if equals else None)
        elif token.startswith("-"):
            raise Refused(f"{quote(token)}: no such option; {COMMAND} --help lists them")
        elif not token.strip():
            raise Refused(f"an empty name; there are {', '.join(PAGES)}")
        elif target:
            raise Refused(f"{quote(token)}: one figure at a time, after {quote(target)}")
        else:
            target = token
    return target, given


class _Link:
    """What a link says: its page, its tab, the figure it was copied under, and the values it sets."""

    def __init__(self, text: str) -> None:
        """Read a link of the app, whole or from the page's name on.

        Raises:
            Refused: no page of the app, or parameters that the page would not take.
        """
        try:
            parts = urlsplit(text)
            query = parse_qs(parts.query, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
        except ValueError as error:
            raise Refused(f"{quote(text)}: not a link ({error})") from None
        page = page_of(parts.path.rstrip("/").rsplit("/", 1)[-1])
        if not page:
            owners = [name for name in PAGES if any(_owns(gallery.topic(name), key) for key in query)]
            if len(owners) != 1:
                raise Refused(f"{quote(text)}: a link to no page; there are {', '.join(PAGES)}")
            page = owners[0]
        self.topic = gallery.topic(page)
        query = self.topic.canonical(query)
        values, problems = self.topic.parse(query)
        if problems:
            raise Refused("; ".join(problems))
        self.tab = query.get(self.topic.key("tab"), [""])[-1]
        self.figure = query.get("figure", [""])[-1]
        scenario = self.topic.scenario(query.get(self.topic.key("scenario"), [""])[-1])
        own = {knob for key in query if (knob := self.topic.knob_of(key))}
        self.values: dict[str, Value] = {
            **(scenario.values if scenario else {}),
            **{knob: values[knob] for knob in own},
        }


def _owns(topic: Topic, key: str) -> bool:
    return key.startswith(f"{topic.prefix}_")


def _scenario(topic: Topic, name: str) -> Values:
    """Return what a scenario sets; its name may be a former one, or in another case.

    Raises:
        Refused: no such scenario; the message lists them.
    """
    same = (
        s for s in topic.scenarios if name.casefold() in (s.name.casefold(), *map(str.casefold, s.aliases))
    )
    found = topic.scenario(name) or next(same, None)
    if found is None:
        raise Refused(f"scenario = {quote(name)}: needs one of {', '.join(s.name for s in topic.scenarios)}")
    return found.values


def _exact(topic: Topic, name: str) -> str:
    """Find a knob by its name or a former one, alone or with the prefix of links; empty if there is none."""
    return topic.knob_of(topic.key(name)) or topic.knob_of(name) or ""


def _short(topic: Topic, name: str, values: Values) -> str:
    """Find the knob that a short name stands for beside these values.

    Raises:
        Refused: none ends in it, or several do where the search ends; the message lists them.
    """
    panel, shown = gallery.panel(topic, values), topic.shown(values)
    for names in (panel, [knob for knob in topic.knobs if knob in shown], list(topic.knobs)):
        found = list(dict.fromkeys(knob for knob in names if knob.endswith(f"_{name}")))
        if len(found) == 1:
            return found[0]
        if found:
            raise Refused(f"--{quote(name)} may be {', '.join(f'--{knob}' for knob in found)}")
    if name in _SYNONYMS:
        return _exact(topic, _SYNONYMS[name]) or _short(topic, _SYNONYMS[name], values)
    near = difflib.get_close_matches(name, topic.knobs, 3, 0.6)
    hint = f" Nearest: {', '.join(near)}." if near else ""
    raise Refused(
        f"--{quote(name)}: {topic.title} has no such parameter.{hint} The panel has {', '.join(panel)}; "
        f"{COMMAND} {topic.name} --help lists all"
    )


def _values(topic: Topic, before: Values, given: Given) -> tuple[dict[str, Value], dict[str, Value]]:
    """Return every knob's value, and those that the command sets by itself.

    Where a parameter that others depend on is changed (another surface has other starts and rates), those that a
    link or a scenario has set return to their defaults beside the new value, as on the page.

    Raises:
        Refused: an unknown or ambiguous name, a value too many or none.
        KnobError: a value out of range.
    """
    told: dict[str, Value] = {}
    short: dict[str, Sequence[str | None]] = {}
    for name, texts in given.items():
        knob = _exact(topic, name)
        if knob in told:
            raise Refused(f"--{name} is --{knob}, which is given too")
        if knob:
            told[knob] = _read(name, topic.knobs[knob], texts)
        else:
            short[name] = texts
    values = _changed(topic, before, told)
    for name, texts in short.items():
        knob = _short(topic, name, values)
        if knob in told:
            raise Refused(f"--{name} is --{knob}, which is given too")
        told[knob] = _read(name, topic.knobs[knob], texts)
    values = _changed(topic, before, told)
    for name, offered in topic.offers(values).items():
        if name in told and values[name] not in offered:
            raise Refused(f"{name} = {quote(str(values[name]))}: needs one of {', '.join(offered)}")
    return values, told


def _read(name: str, knob: Knob, texts: Sequence[str | None]) -> Value:
    """Read what a parameter was given; its name alone switches on what is on or off."""
    if None in texts and knob.kind != "bool":
        raise Refused(f"--{quote(name)}: its value is missing; it needs {knob.range_text}")
    told = ["true" if text is None else text for text in texts]
    if len(told) > 1 and knob.kind != "choices":
        raise Refused(f"--{quote(name)} is given {len(told)} times: {' and '.join(map(quote, told))}")
    return knob.parse([part for text in told for part in _split(knob, text)])


def _changed(topic: Topic, before: Values, told: Values) -> dict[str, Value]:
    earlier = topic.fill(before)
    if any(name in told and told[name] != earlier[name] for name in topic.depends):
        hanging = topic.complete({**before, **told})
        before = {name: value for name, value in before.items() if name not in hanging}
    return topic.fill({**before, **told})


# Finding the figure


def _place(target: str, options: argparse.Namespace, given: Given) -> Place:
    """Find the figure that a command names, with the values it has there.

    Raises:
        Refused: no such page, figure, scenario or parameter.
        KnobError: a value out of range.
    """
    before: Values = {}
    tab = wanted = linked = ""
    if _is_link(target):
        link = _Link(target)
        topic, before, tab, linked = link.topic, link.values, link.tab, link.figure
    else:
        page, _, wanted = target.partition("/")
        topic = _topic(page)
    asked = linked if options.figure is None else options.figure
    if asked:
        said = f"figure = {quote(asked)}" if options.figure is None else f"--figure {quote(asked)}"
        if wanted and asked not in (wanted, target):
            raise Refused(f"{said}: the figure is {quote(target)} already")
        page, slash, rest = asked.partition("/")
        if slash and page_of(page) != topic.name:
            raise Refused(f"{said}: not a figure of {topic.name}; {COMMAND} {topic.name} lists those")
        wanted = rest if slash else page
    if options.scenario is not None:
        before = {**before, **_scenario(topic, options.scenario)}
    values, told = _values(topic, before, given)
    if not wanted:
        place: Place | None = gallery.main_place(topic, values)
    else:
        # What a link says or the command sets stays as it is; any other choice may be made to show the figure.
        place, seen = gallery.find(topic, values, wanted, tab, {**before, **told})
        if place is None:
            there = ", ".join(dict.fromkeys(seen))
            raise Refused(
                f"{topic.name}/{quote(wanted)}: no such figure beside these values; there are {there}"
            )
    assert place is not None
    for name in told:
        _check_acts(place, name)
    return place


def _check_acts(place: Place, name: str) -> None:
    """Refuse a parameter that the figure does not depend on beside its values.

    Raises:
        Refused: no control shows it there, or only a tab that the figure is not in.
    """
    here = gallery.acting(place)
    if name in here:
        return
    tabs = place.topic.view(place.values).tabs
    tab = next((tab.name for tab in tabs if name in tab.shown(place.values)), "")
    why = f"it belongs to the tab {tab}" if tab else "beside these values nothing uses it"
    raise Refused(
        f"--{name} changes nothing about {place.figure.name}: {why}; this figure has {', '.join(here)}"
    )


def _topic(page: str) -> Topic:
    name = page_of(page)
    if not name:
        raise Refused(f"{quote(page)}: no such page; there are {', '.join(PAGES)}")
    return gallery.topic(name)


# Listing


def _list(pages: Sequence[str], everything: bool) -> None:
    """Print the figures of some pages as they are computed, with the choices that bring more, or with all of those."""
    for page in pages:
        topic = gallery.topic(page)
        values = topic.fill({})
        print(f"{topic.title}: {topic.question}")
        for place in gallery.places(topic, values):
            _line(place)
        if everything:
            for place in gallery.switched(topic, values):
                _line(place)
            print("Scenarios")
            for scenario in topic.scenarios:
                print(f"  {scenario.name}" + (f" (tab {scenario.tab})" if scenario.tab else ""))
        print(flush=True)
    if not everything:
        print(f"{COMMAND} PAGE lists all figures of a page and its scenarios, {COMMAND} --help the options.")


def _line(place: Place) -> None:
    how = [f"tab {place.tab}"] if place.tab else ["main figure"]
    how += [f'--{gallery.option(place.topic, name)} "{place.values[name]}"' for name in place.switched]
    print(f"  {place.figure.name:<32} {place.figure.title} ({', '.join(how)})", flush=True)


def _help(target: str) -> None:
    """Print the options, and with a page its parameters with ranges and defaults."""
    if not target:
        print(_parser().format_help(), end="")
        return
    topic = _Link(target).topic if _is_link(target) else _topic(target.partition("/")[0])
    parser = _parser(
        f"{COMMAND} {topic.name}",
        f"{COMMAND} {topic.name}[/FIGURE] [--PARAMETER VALUE ...] [-o FILE]",
        f"{topic.title}: {topic.question}",
    )
    for title, names in _groups(topic).items():
        add = parser.add_argument_group(title).add_argument
        for knob in (topic.knobs[name] for name in names):
            add(f"--{gallery.option(topic, knob.name)}", metavar=_METAVARS[knob.kind], help=_described(knob))
    print(parser.format_help(), end="")


_METAVARS = {
    "float": "NUMBER", "int": "N", "bool": "BOOL", "choice": "NAME", "choices": "NAMES", "text": "TEXT",
}  # fmt: skip


def _groups(topic: Topic) -> dict[str, list[str]]:
    """Group a page's knobs: those of its panel, of each tab, and those that other choices bring."""
    values = topic.fill({})
    found: dict[str, list[str]] = {}
    for group in topic.layout(values):
        if not group.resting:
            found.setdefault(group.title or "parameters", []).extend(group.knobs)
    seen = {name for names in found.values() for name in names}
    for tab in topic.view(values).tabs:
        own = [name for name in tab.shown(values) if name not in seen]
        if own:
            found[f"tab {tab.name}"] = own
            seen |= set(own)
    found["beside other choices"] = [name for name in topic.knobs if name not in seen]
    return {title: names for title, names in found.items() if names}


def _described(knob: Knob) -> str:
    text = knob.text(knob.default)
    default = text if isinstance(text, str) else ",".join(text)
    return f"{knob.label or knob.name}: {knob.range_text}; default {default or 'none'}".replace("%", "%%")


# Doing it


def _endings(asked: Sequence[str] | None) -> list[str]:
    """Return the kinds of file asked for, by commas or repeats; PNG if none is."""
    found = list(dict.fromkeys(part.strip().lower() for text in asked or ["png"] for part in text.split(",")))
    for ending in found:
        if ending not in ENDINGS:
            raise Refused(f"--ending {quote(ending)}: needs one of {', '.join(ENDINGS)}")
    return found


def _look(options: argparse.Namespace) -> Look:
    """Check how figures are to be rendered.

    Raises:
        Refused: no such size or ground, or an address that is none.
        KnobError: a scale out of range.
    """
    grounds = (*GROUNDS, _BOTH) if options.all else GROUNDS
    for name, value, allowed in (("size", options.size, SIZES), ("ground", options.ground, grounds)):
        if value not in allowed:
            raise Refused(f"--{name} {quote(value)}: needs one of {', '.join(allowed)}")
    if options.link and not re.match(r"https?://[^\s?#\"<>]+$", options.link):
        raise Refused(f"--link {quote(options.link)}: needs an address that begins with http:// or https://")
    scale = _SCALE.parse(options.scale)
    assert isinstance(scale, int)
    look = Look(options.size, scale, options.ground, caption=not options.no_caption, base=options.link)
    return replace(look, ground=GROUNDS[0], dark=True) if options.ground == _BOTH else look


_SCALE = Knob("scale", "int", 2, low=min(SCALES), high=max(SCALES))


def _is_folder(output: str) -> bool:
    return output.endswith(("/", os.sep)) or Path(output).is_dir()


def _check_output(output: str) -> None:
    """Refuse a place that a file or a folder cannot have.

    Raises:
        Refused: a file stands where a folder should, or the folder around it does not exist.
    """
    parent = Path(output).parent
    if _is_folder(output) and Path(output).exists() and not Path(output).is_dir():
        raise Refused(f"{quote(output)}: is a file, not a folder")
    if not parent.is_dir():
        raise Refused(f"{quote(output)}: there is no folder {quote(str(parent))}")


def _is_link(target: str) -> bool:
    return "?" in target or "://" in target or target.startswith("/")


def _render_one(target: str, options: argparse.Namespace, given: Given) -> None:
    """Render one figure to a file and print the file's name."""
    look, output = _look(options), options.output or ""
    folder = not output or _is_folder(output)
    if folder:
        endings = _endings(options.ending)
    else:
        endings = [Path(output).suffix.removeprefix(".").lower()]
        if endings[0] not in ENDINGS:
            raise Refused(f"{quote(output)}: needs a name that ends in one of .{', .'.join(ENDINGS)}")
        if options.ending:
            raise Refused("--ending goes with a folder; the name of the file says its kind")
    _check_output(output)
    if len(endings) != 1:
        raise Refused("--ending: one kind of file for one figure")
    with progress.listening(_report):
        place = _place(target, options, given)
    content = look.render(place, endings[0])
    path = Path(output)
    if folder:
        path.mkdir(exist_ok=True)
        path /= file_name(place.figure, endings[0], place.values, place.topic)
    gallery.write(path, content)
    print(path)


def _render_all(target: str, options: argparse.Namespace, given: Given) -> None:
    """Render all figures into a folder and print how many there are."""
    if given or options.scenario is not None or options.figure is not None:
        raise Refused("--all takes no parameters, scenario or figure: it renders them all")
    if not options.output:
        raise Refused("--all needs a folder: -o figures/")
    folder = Path(options.output)
    _check_output(f"{folder}/")
    pages = (_topic(target).name,) if target else PAGES
    look, endings = _look(options), _endings(options.ending)
    count = gallery.write_all(pages, folder, endings, look, gallery.say, min(_PROCESSES, os.cpu_count() or 1))
    print(f"{folder}: {count} figures, index.html, index.md")


def _report(share: float, text: str) -> None:
    """Show how far a long run is, to whoever watches a terminal."""
    if sys.stderr.isatty():
        end = "\n" if share == 1 else ""
        print(f"\r\x1b[K{text} ({share:.0%})", end=end, file=sys.stderr, flush=True)


class _Stopped(BaseException):
    """A signal that ends the process."""


_STOPS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}


@contextmanager
def _stoppable() -> Iterator[None]:
    """Let Ctrl-C and a request to end raise ``_Stopped`` once; what has to be cleared away then is not disturbed again.

    A signal that the process was started to ignore stays ignored.
    """

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        raise _Stopped(number)

    before = {}
    if threading.current_thread() is threading.main_thread():
        found = {each: signal.getsignal(each) for each in _STOPS}
        before = {each: how for each, how in found.items() if how not in (None, signal.SIG_IGN)}
    try:
        for each in before:
            signal.signal(each, stop)
        yield
    finally:
        for each, how in before.items():
            signal.signal(each, how)


def _carry_out(argv: Sequence[str]) -> None:
    """Do what the arguments say.

    Raises:
        Refused: they ask for what there is not.
        KnobError: a value out of range.
        OSError: a file could not be written.
        BrokenExecutor: a process that renders has ended before its time.
    """
    options, rest = _parser().parse_known_args(_joined(argv))
    target, given = _given(rest)
    for name in ("output", "figure"):
        if getattr(options, name) == "":
            raise Refused(f"--{name}: an empty name")
    nothing = not given and all(
        value in (None, False, "")
        for name, value in vars(options).items()
        if name not in ("size", "scale", "ground")
    )
    if options.help:
        _help(target)
    elif options.all:
        _render_all(target, options, given)
    elif nothing and not target:
        _list(PAGES, everything=False)
    elif nothing and page_of(target):
        _list([page_of(target)], everything=True)
    elif not target:
        first = "name a figure first, such as optimizers/trajectories, or give a link"
        if not given:
            raise Refused(first)
        raise Refused(
            f"--{quote(next(iter(given)))}: no option of the command, {COMMAND} --help lists those; "
            f"if it is a parameter, {first}"
        )
    else:
        _render_one(target, options, given)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: its arguments; those of the process if None.

    Returns:
        exit status: 0, 1 if a file could not be written, 2 if the command asks for what there is not, 130 and 143 if
        it was interrupted or terminated; then nothing is written.
    """
    try:
        with _stoppable():
            _carry_out(sys.argv[1:] if argv is None else argv)
    except _Stopped as stopped:
        number = signal.Signals(stopped.args[0])
        clear = "\r\x1b[K" if sys.stderr.isatty() else ""  # of a report of progress
        print(f"{clear}{_STOPS[number]}", file=sys.stderr)
        return 128 + number
    except (Refused, KnobError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenExecutor as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BrokenPipeError:  # whoever read the list has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
