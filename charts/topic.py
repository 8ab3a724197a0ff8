"""A Topic: a page's knobs, scenarios and figures, shared by the page, the command line and the tests."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

from charts.figure import Figure
from core.knobs import Knob, KnobError, Value, quote

Values = Mapping[str, Value]

CUSTOM = "Custom"
WHY, CODE, NOTES = "Why", "Code", "From the notes"


@dataclass(frozen=True)
class Link:
    """A way to another view: the default values with ``values`` set, on this page or on that of another topic.

    ``tab`` names the tab to open there; the link itself is ``label``.
    """

    label: str
    values: Values = field(default_factory=lambda: MappingProxyType({}))
    page: str = ""
    tab: str = ""


@dataclass(frozen=True)
class Action:
    """Work that is done on a click only, because what it gives depends on the machine or the moment."""

    name: str
    label: str
    run: Callable[[], Sequence["Block"]]


Block = str | Figure | Link | Action


@dataclass(frozen=True)
class Code:
    """A program of its own that computes what the main figure shows."""

    title: str
    text: str


@dataclass(frozen=True)
class Scenario:
    """A named set of knob values with one line on what to notice and, where it helps, a question first.

    ``tab`` names the tab that shows it, if it is not the main figure.
    """

    name: str
    notice: str
    values: Values = field(default_factory=lambda: MappingProxyType({}))
    question: str = ""
    tab: str = ""


@dataclass(frozen=True)
class Group:
    """Knobs shown together in the control panel; a group with a title folds away.

    A resting group has no controls for now (another optimizer's settings), but its values act.
    """

    knobs: tuple[str, ...]
    title: str = ""
    resting: bool = False


@dataclass(frozen=True)
class Tab:
    """A tab below the main figure; its blocks (Markdown or figures) are made only when it is open.

    ``knobs`` are controls that only this tab uses, or a function of the values that names them; a change of theirs
    redraws the tab alone, with ``blocks(values)``. Without an argument the values are those of the view that the
    tab belongs to. ``clicks`` turns a click on a figure, by its name, into values.
    """

    name: str
    blocks: Callable[..., Sequence[Block]]
    knobs: tuple[str, ...] | Callable[[Values], tuple[str, ...]] = ()
    clicks: Mapping[str, Callable[[Mapping[str, Any]], Values]] = field(
        default_factory=lambda: MappingProxyType({})
    )

    def rows(self, values: Values) -> list[tuple[str, ...]]:
        """Name the controls of the tab beside these values; an empty name begins a new row of them."""
        names = self.knobs(values) if callable(self.knobs) else self.knobs
        rows: list[list[str]] = [[]]
        for name in names:
            rows[-1].append(name) if name else rows.append([])
        return [tuple(row) for row in rows if row]

    def shown(self, values: Values) -> tuple[str, ...]:
        """Name the controls of the tab beside these values."""
        return tuple(name for row in self.rows(values) for name in row)


class Fold(NamedTuple):
    """A part of the derivation with figures of its own, folded away; its blocks are made when it is opened."""

    title: str
    blocks: Callable[[], Sequence[Block]]


@dataclass(frozen=True)
class View:
    """What one set of values shows: the main figure, its reading, the events of the run, and the tabs.

    A large run is drawn while it grows: ``done`` is the share of it that this view shows, and ``rest`` computes the
    view with more of it, None when nothing is left. ``folds`` stand below the derivation.
    """

    figure: Figure
    reading: str
    why: str
    events: tuple[str, ...] = ()
    tabs: tuple[Tab, ...] = ()
    code: tuple[Code, ...] = ()
    folds: tuple[Fold, ...] = ()
    done: float = 1.0
    rest: "Callable[[], View] | None" = None


@dataclass(frozen=True)
class Section:
    """A tab of a page before there are values: what it draws, its own knobs, and which of them are in view.

    ``shown`` names the controls beside some values, all of ``knobs`` if it is None.
    """

    name: str
    blocks: Callable[[Values], Sequence[Block]]
    knobs: tuple[Knob, ...]
    shown: Callable[[Values], tuple[str, ...]] | None = None
    clicks: Mapping[str, Callable[[Mapping[str, Any]], Values]] = field(
        default_factory=lambda: MappingProxyType({})
    )

    def tab(self, values: Values) -> Tab:
        """Return the tab, which draws these values unless it is given others."""
        own = tuple(knob.name for knob in self.knobs)
        return Tab(self.name, lambda now=values: self.blocks(now), self.shown or own, self.clicks)


def resting(sections: Sequence[Section], values: Values) -> Group:
    """Return the group of the controls that stand in the tabs, beside these values."""
    return Group(tuple(name for each in sections for name in each.tab(values).shown(values)), resting=True)


class Measured(NamedTuple):
    """What a measurement says about a claim of the notes.

    ``holds`` is whether the claim, as it is worded, came out true; None where nothing numeric decides it.
    """

    holds: bool | None
    text: str


@dataclass(frozen=True)
class Topic:
    """A page in data.

    ``make(values)`` computes and draws; ``layout(values)`` says which knobs the panel shows; ``complete`` fills
    in what a link leaves out, where one default depends on another value; ``offers`` narrows a control
    to what is sensible beside the other values; ``presets`` offers, by the title of a group, buttons that set several
    of its knobs; ``depends`` names the knobs whose change resets such defaults;
    ``tabs`` names the topic's own tabs, as ``make`` returns them;
    ``free`` names the knobs that a scenario leaves open unless it sets them (the seed, what is being edited);
    ``click`` turns a click on the main figure into values; ``code`` says whether views come with programs;
    ``measures`` holds, by id, what the app measures to judge a claim of the notes.
    """

    name: str
    prefix: str
    title: str
    question: str
    icon: str
    knobs: Mapping[str, Knob]
    scenarios: tuple[Scenario, ...]
    make: Callable[[Values], View]
    layout: Callable[[Values], tuple[Group, ...]]
    complete: Callable[[Values], dict[str, Value]] = dict
    offers: Callable[[Values], Mapping[str, tuple[str, ...]]] = lambda _: {}
    presets: Callable[[Values], Mapping[str, Mapping[str, Values]]] = lambda _: {}
    depends: tuple[str, ...] = ()
    free: tuple[str, ...] = ("seed",)
    tabs: tuple[str, ...] = ()
    click: Callable[[Mapping[str, float], Values], dict[str, Value]] | None = None
    code: bool = False
    measures: Mapping[str, Callable[[], Measured]] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        """Refuse scenarios that name unknown knobs or values out of range, and a first one that is no default."""
        for scenario in self.scenarios:
            for name, value in scenario.values.items():
                self.knobs[name].check(value)
            if scenario.tab and scenario.tab not in self.tab_names:
                raise ValueError(f"{self.name}: scenario {scenario.name} opens no tab of the page")
        if self.scenarios[0].values:
            raise ValueError(f"{self.name}: the first scenario is the default view and sets nothing")

    def defaults(self) -> dict[str, Value]:
        """Return the values of the default view."""
        return {name: knob.default for name, knob in self.knobs.items()}

    @property
    def tab_names(self) -> tuple[str, ...]:
        """Name all tabs of the page, in order."""
        return (*self.tabs, WHY, *((CODE,) if self.code else ()), NOTES)

    def fill(self, given: Values) -> dict[str, Value]:
        """Complete a partial set of values: given ones, then dependent defaults, then the knobs' own."""
        return {**self.defaults(), **self.complete(given), **given}

    def scenario(self, name: str) -> Scenario | None:
        """Return the scenario of that name, or None."""
        return next((s for s in self.scenarios if s.name == name), None)

    def scenario_values(self, scenario: Scenario) -> dict[str, Value]:
        """Return every knob's value in a scenario."""
        return self.fill(scenario.values)

    def scenario_of(self, values: Values) -> str:
        """Name the scenario whose values these are, whatever the free ones it does not set; ``Custom`` if none."""
        for scenario in self.scenarios:
            expected = self.scenario_values(scenario)
            open_ = set(self.free) - set(scenario.values)
            if all(values[k] == v for k, v in expected.items() if k not in open_):
                return scenario.name
        return CUSTOM

    def key(self, name: str) -> str:
        """Return the name a knob has in a link."""
        return f"{self.prefix}_{name}"

    def parse(self, query: Mapping[str, Sequence[str]]) -> tuple[dict[str, Value], list[str]]:
        """Read the parameters of a link.

        Args:
            query: every parameter of the link with the list of its values.

        Returns:
            the complete values, and one line for each parameter that could not be used.
        """
        problems: list[str] = []
        given: dict[str, Value] = {}
        chosen: Scenario | None = None
        for name in query:
            if name == self.key("scenario"):
                text = query[name][-1] if query[name] else ""
                chosen = self.scenario(text)
                if chosen is None and text != CUSTOM:
                    names = ", ".join(s.name for s in self.scenarios)
                    problems.append(f"scenario = {quote(text)}: needs one of {names}")
                continue
            if name == self.key("tab"):
                if query[name][-1:] and query[name][-1] not in self.tab_names:
                    problems.append(
                        f"tab = {quote(query[name][-1])}: needs one of {', '.join(self.tab_names)}"
                    )
                continue
            knob = self.knobs.get(name.removeprefix(f"{self.prefix}_"))
            if knob is None or not name.startswith(f"{self.prefix}_"):
                if not name.startswith(_FOREIGN):
                    problems.append(f"{quote(name)}: this page has no such parameter")
                continue
            try:
                given[knob.name] = knob.parse(query[name])
            except KnobError as error:
                problems.append(str(error))
        return self.fill({**(chosen.values if chosen else {}), **given}), problems

    def query(self, values: Values) -> dict[str, str | list[str]]:
        """Write every value that these values show or use, as the parameters of a link."""
        shown = self.shown(values)
        link: dict[str, str | list[str]] = {
            self.key(name): knob.text(values[name]) for name, knob in self.knobs.items() if name in shown
        }
        return {self.key("scenario"): self.scenario_of(self.settle(values)), **link}

    def shown(self, values: Values) -> frozenset[str]:
        """Name the knobs that the panel shows beside these values; only these act."""
        return frozenset(name for group in self.layout(values) for name in group.knobs)

    def settle(self, values: Values) -> dict[str, Value]:
        """Return the values with every knob that is not shown at its default: what the link says, no more."""
        shown = self.shown(values)
        return self.fill({name: value for name, value in values.items() if name in shown})

    def view(self, values: Values) -> View:
        """Compute and draw, or return the view kept from the last time these values were asked for."""
        while self.glance(values).rest is not None:
            self.refine(values)
        return self.glance(values)

    def glance(self, values: Values) -> View:
        """Return what is there by now of a view that grows; its beginning is computed if nothing is."""
        return self._growing(values).view

    def refine(self, values: Values) -> None:
        """Compute the next part of a view that grows."""
        growing = self._growing(values)
        if growing.view.rest is not None:
            growing.view = growing.view.rest()

    def _growing(self, values: Values) -> "_Growing":
        return _growing(self.name, self.make, tuple(sorted(self.settle(values).items())))


def real(values: Values, name: str) -> float:
    """Return a value as a number; refuses text."""
    value = values[name]
    if isinstance(value, str | tuple):
        raise TypeError(f"{name} holds {value}, not a number")
    return float(value)


def whole(values: Values, name: str) -> int:
    """Return a value as a whole number; refuses text."""
    return int(real(values, name))


def word(values: Values, name: str) -> str:
    """Return the choice of a knob."""
    return str(values[name])


def words(values: Values, name: str) -> tuple[str, ...]:
    """Return the choices of a knob that takes several."""
    value = values[name]
    if not isinstance(value, tuple):
        raise TypeError(f"{name} holds {value}, not a set of choices")
    return value


# Parameters of Streamlit, of ours on every page, and of links that pass through other sites.
_FOREIGN = ("embed", "hide", "utm_", "fbclid", "gclid")


@dataclass
class _Growing:
    """The view of some values, as far as it has been computed; visitors with the same values share it."""

    view: View


@lru_cache(maxsize=64)
def _growing(_name: str, make: Callable[[Values], View], items: tuple[tuple[str, Value], ...]) -> _Growing:
    return _Growing(make(MappingProxyType(dict(items))))
