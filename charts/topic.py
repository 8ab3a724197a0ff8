"""A Topic: a page's knobs, scenarios and figures, shared by the page, the command line and the tests."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import zip_longest
from types import MappingProxyType
from typing import Any, NamedTuple

from charts.figure import Figure
from core.kept import keep
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


def readings(blocks: Sequence[Block]) -> Iterator[tuple[Block, str]]:
    """Yield every block with its reading: for a figure the text that follows it, else nothing."""
    for block, following in zip_longest(blocks, blocks[1:], fillvalue=""):
        yield block, following if isinstance(block, Figure) and isinstance(following, str) else ""


@dataclass(frozen=True)
class Code:
    """A program of its own that computes what the main figure shows."""

    title: str
    text: str


@dataclass(frozen=True)
class Scenario:
    """A named set of knob values with one line on what to notice and, where it helps, a question first.

    ``tab`` names the tab that shows it, if it is not the main figure; ``aliases`` are names it once had, for links.
    """

    name: str
    notice: str
    values: Values = field(default_factory=lambda: MappingProxyType({}))
    question: str = ""
    tab: str = ""
    aliases: tuple[str, ...] = ()


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
class Words:
    """What is said of a main figure: its reading, the derivation with its numbers, and the events of the run."""

    reading: str
    why: str
    events: tuple[str, ...] = ()


@dataclass(frozen=True)
class View:
    """What one set of values shows: the main figure, the words about it, and the tabs.

    Nobody waits for words before the figure is there: ``say`` and ``programs`` are called when they are asked for.
    A large run is drawn while it grows: ``done`` is the share of it that this view shows, and ``rest`` computes the
    view with more of it, None when nothing is left. ``folds`` stand below the derivation.
    """

    figure: Figure
    say: Callable[[], Words]
    tabs: tuple[Tab, ...] = ()
    programs: Callable[[], tuple[Code, ...]] = tuple
    folds: tuple[Fold, ...] = ()
    done: float = 1.0
    rest: "Callable[[], View] | None" = None
    # What was asked for, once it was: the words, the programs.
    _words: list[Words] = field(default_factory=list, init=False, repr=False, compare=False)
    _code: list[tuple[Code, ...]] = field(default_factory=list, init=False, repr=False, compare=False)

    @property
    def words(self) -> Words:
        """The words about the main figure."""
        if not self._words:
            self._words.append(self.say())
        return self._words[0]

    @property
    def reading(self) -> str:
        """What the main figure shows, with its numbers."""
        return self.words.reading

    @property
    def why(self) -> str:
        """The derivation, with this run's numbers put in."""
        return self.words.why

    @property
    def events(self) -> tuple[str, ...]:
        """What happened in the run, one sentence each."""
        return self.words.events

    @property
    def code(self) -> tuple[Code, ...]:
        """Programs of their own that compute what the main figure shows."""
        if not self._code:
            self._code.append(self.programs())
        return self._code[0]


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


class Outcome(NamedTuple):
    """What a run says about a prediction: the number of the right answer, and one line for each that can be given.

    A line says what the answer missed, or why it is right, with the run's numbers.
    """

    answer: int
    said: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Topic:
    """A page in data; what follows from one set of values is found once, for all parts of a page ask for it.

    ``make(values)`` computes and draws; ``layout(values)`` says which knobs the panel shows; ``complete`` fills
    in what a link leaves out, where one default depends on another value; ``offers`` narrows a control
    to what is sensible beside the other values; ``presets`` offers, by the title of a group, buttons that set several
    of its knobs; ``depends`` names the knobs whose change resets such defaults;
    ``tabs`` names the topic's own tabs, as ``make`` returns them;
    ``free`` names the knobs that a scenario leaves open unless it sets them (the seed, what is being edited);
    ``click`` turns a click on the main figure into values; ``code`` says whether views come with programs;
    ``measures`` holds, by id, what the app measures to judge a claim of the notes;
    ``predictions`` holds, by id, what judges a prediction on the run of some values;
    ``aliases`` and ``tab_aliases`` map names that a knob or a tab once had to its name of today, so that old links live
    on (those of a scenario stand in the scenario, those of a choice in its knob).
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
    predictions: Mapping[str, Callable[[Values], Outcome]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    aliases: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    tab_aliases: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        """Refuse scenarios that name unknown knobs or values out of range, and a first one that is no default.

        So are former names that are in use, or that lead to nothing.
        """
        for scenario in self.scenarios:
            for name, value in scenario.values.items():
                self.knobs[name].check(value)
            if scenario.tab and scenario.tab not in self.tab_names:
                raise ValueError(f"{self.name}: scenario {scenario.name} opens no tab of the page")
        if self.scenarios[0].values:
            raise ValueError(f"{self.name}: the first scenario is the default view and sets nothing")
        if any(name in self.knobs for name in _RESERVED):
            raise ValueError(f"{self.name}: no knob is named {' or '.join(_RESERVED)}")
        former = [(alias, each.name) for each in self.scenarios for alias in each.aliases]
        if len({alias for alias, _ in former}) < len(former):
            raise ValueError(f"{self.name}: two scenarios have the same former name")
        names = [scenario.name for scenario in self.scenarios]
        for kind, aliases, living, taken in (
            ("knob", self.aliases, tuple(self.knobs), _RESERVED),
            ("tab", self.tab_aliases, self.tab_names, ()),
            ("scenario", dict(former), names, (CUSTOM,)),
        ):
            for alias, today in aliases.items():
                if alias in (*living, *taken):
                    raise ValueError(f"{self.name}: the former name {alias} of a {kind} is in use")
                if today not in living:
                    raise ValueError(f"{self.name}: the former name {alias} leads to no {kind}")

    def defaults(self) -> dict[str, Value]:
        """Return the values of the default view."""
        return dict(_defaults(self))

    @property
    def tab_names(self) -> tuple[str, ...]:
        """Name all tabs of the page, in order."""
        return (*self.tabs, WHY, *((CODE,) if self.code else ()), NOTES)

    def fill(self, given: Values) -> dict[str, Value]:
        """Complete a partial set of values: given ones, then dependent defaults, then the knobs' own."""
        return {**_defaults(self), **self.complete(given), **given}

    def scenario(self, name: str) -> Scenario | None:
        """Return the scenario that has that name, or once had it; None if there is none."""
        return next((s for s in self.scenarios if name in (s.name, *s.aliases)), None)

    def scenario_values(self, scenario: Scenario) -> dict[str, Value]:
        """Return every knob's value in a scenario."""
        return self.fill(scenario.values)

    def scenario_of(self, values: Values) -> str:
        """Name the scenario whose values these are, whatever the free ones it does not set; ``Custom`` if none."""
        for scenario, marks in _marks(self):
            if all(values[name] == value for name, value in marks):
                return scenario
        return CUSTOM

    def key(self, name: str) -> str:
        """Return the name a knob has in a link."""
        return f"{self.prefix}_{name}"

    def knob_of(self, parameter: str) -> str | None:
        """Name the knob that a parameter of a link sets, by its name of today or a former one; None if it sets none."""
        if not parameter.startswith(f"{self.prefix}_"):
            return None
        name = parameter.removeprefix(f"{self.prefix}_")
        name = self.aliases.get(name, name)
        return name if name in self.knobs else None

    def canonical(self, query: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
        """Write the parameters of a link with the names of today; a link of today stays as it is.

        Former names of knobs, of the scenario and of the tab are replaced. A parameter that is there by its name of
        today too counts by that alone. Values of knobs stay as they are: the knobs read them.

        Args:
            query: every parameter of the link with the list of its values.
        """
        found: dict[str, list[str]] = {}
        for parameter, texts in query.items():
            knob = self.knob_of(parameter)
            today = self.key(knob) if knob else parameter
            if today == parameter or today not in query:
                found[today] = [self._renamed(today, text) for text in texts]
        return found

    def _renamed(self, parameter: str, text: str) -> str:
        """Return the name of today if the parameter holds that of a scenario or a tab, the text itself if not."""
        if parameter == self.key("scenario"):
            scenario = self.scenario(text)
            return scenario.name if scenario else text
        return self.tab_aliases.get(text, text) if parameter == self.key("tab") else text

    def parse(self, query: Mapping[str, Sequence[str]]) -> tuple[dict[str, Value], list[str]]:
        """Read the parameters of a link; names that were in use once are understood.

        Args:
            query: every parameter of the link with the list of its values.

        Returns:
            the complete values, and one line for each parameter that could not be used.
        """
        problems: list[str] = []
        given: dict[str, Value] = {}
        chosen: Scenario | None = None
        for parameter, texts in self.canonical(query).items():
            text = texts[-1] if texts else ""
            knob = self.knob_of(parameter)
            if knob is not None:
                try:
                    given[knob] = self.knobs[knob].parse(texts)
                except KnobError as error:
                    problems.append(str(error))
            elif parameter == self.key("scenario"):
                chosen = self.scenario(text)
                if chosen is None and text != CUSTOM:
                    names = ", ".join(s.name for s in self.scenarios)
                    problems.append(f"scenario = {quote(text)}: needs one of {names}")
            elif parameter == self.key("tab"):
                if texts and text not in self.tab_names:
                    problems.append(f"tab = {quote(text)}: needs one of {', '.join(self.tab_names)}")
            elif not foreign(parameter):
                problems.append(f"{quote(parameter)}: this page has no such parameter")
        return self.fill({**(chosen.values if chosen else {}), **given}), problems

    def query(self, values: Values) -> dict[str, str | list[str]]:
        """Write every value that these values show or use, as the parameters of a link."""
        found = _query(self, self._packed(values))
        return {name: list(text) if isinstance(text, list) else text for name, text in found.items()}

    def told(self, values: Values, before: Values = MappingProxyType({})) -> dict[str, Value]:
        """Return the values that have to be said beside ``before``, as few as give all of them back."""
        wanted, given = self.settle(values), dict[str, Value]()
        # What is told changes the defaults of the rest, so that these are compared again.
        for _ in self.knobs:
            filled = self.settle(self.fill({**before, **given}))
            differ = {name: value for name, value in wanted.items() if filled[name] != value}
            if not differ:
                break
            ahead = {name: differ[name] for name in self.depends if name in differ}
            given |= ahead or differ
        return given

    def brief(self, values: Values, tab: str = "") -> dict[str, str | list[str]]:
        """Write a short link to a view: its scenario and what differs from it, or what differs from the defaults.

        It is for paper: unlike ``query`` it leads elsewhere once defaults or scenarios are changed.
        """
        scenario = self.scenario(self.scenario_of(self.settle(values)))
        first = scenario is None or not scenario.values
        told = self.told(values, MappingProxyType({}) if scenario is None else scenario.values)
        return {
            **({} if first or scenario is None else {self.key("scenario"): scenario.name}),
            **{self.key(name): self.knobs[name].text(value) for name, value in told.items()},
            **({self.key("tab"): tab} if tab else {}),
        }

    def address(self, values: Values) -> dict[str, str | list[str]]:
        """Write what the browser's address holds while a view is looked at.

        That is what is not at its default, and not the default scenario: an untouched page has an address without
        parameters. Unlike the short link on paper it names values that follow from others.
        """
        found = _address(self, self._packed(values))
        return {name: list(text) if isinstance(text, list) else text for name, text in found.items()}

    def shown(self, values: Values) -> frozenset[str]:
        """Name the knobs that the panel shows beside these values; only these act."""
        return _shown(self, self._packed(values))

    def settle(self, values: Values) -> dict[str, Value]:
        """Return the values with every knob that is not shown at its default: what the link says, no more."""
        return dict(_settled(self, self._packed(values)))

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
            _growing.grown(*self._place(values))

    def _growing(self, values: Values) -> "_Growing":
        return _growing(*self._place(values))

    def _place(self, values: Values) -> tuple[str, Callable[[Values], View], tuple[tuple[str, Value], ...]]:
        return self.name, self.make, tuple(sorted(_settled(self, self._packed(values)).items()))

    def _packed(self, values: Values) -> "_Packed":
        """Return values as a key of caches: in the order of the knobs, None where there is none."""
        return tuple([values.get(name) for name in self.knobs])


# What follows from the values of a run: the page, its panel, its toolbars and the browser's history all ask for it.

_Packed = tuple[Value | None, ...]


def _unpacked(topic: Topic, packed: _Packed) -> dict[str, Value]:
    return {name: value for name, value in zip(topic.knobs, packed, strict=True) if value is not None}


@lru_cache(maxsize=128)
def _shown(topic: Topic, packed: _Packed) -> frozenset[str]:
    groups = topic.layout(_unpacked(topic, packed))
    return frozenset(name for group in groups for name in group.knobs)


@lru_cache(maxsize=128)
def _settled(topic: Topic, packed: _Packed) -> Values:
    shown = _shown(topic, packed)
    given = {name: value for name, value in _unpacked(topic, packed).items() if name in shown}
    return MappingProxyType(topic.fill(given))


@lru_cache(maxsize=64)
def _query(topic: Topic, packed: _Packed) -> Mapping[str, str | list[str]]:
    shown, values = _shown(topic, packed), _unpacked(topic, packed)
    link = {topic.key(name): knob.text(values[name]) for name, knob in topic.knobs.items() if name in shown}
    return MappingProxyType({topic.key("scenario"): topic.scenario_of(_settled(topic, packed)), **link})


@lru_cache(maxsize=64)
def _address(topic: Topic, packed: _Packed) -> Mapping[str, str | list[str]]:
    found, settled = dict(_query(topic, packed)), _settled(topic, packed)
    first = found[topic.key("scenario")] == topic.scenarios[0].name
    if first:
        del found[topic.key("scenario")]
    chosen = None if first else topic.scenario(topic.scenario_of(settled))
    shown = _shown(topic, packed)
    given = {name: settled[name] for name in shown if settled[name] != topic.knobs[name].default}
    # A default may be no default beside other values: then it has to be said.
    follows = topic.settle(topic.fill({**(chosen.values if chosen else {}), **given}))
    for name in shown:
        if name not in given and follows[name] == settled[name]:
            found.pop(topic.key(name), None)
    return MappingProxyType(found)


# What is constant in a topic.


@lru_cache(maxsize=32)
def _defaults(topic: Topic) -> Values:
    return MappingProxyType({name: knob.default for name, knob in topic.knobs.items()})


@lru_cache(maxsize=32)
def _marks(topic: Topic) -> tuple[tuple[str, tuple[tuple[str, Value], ...]], ...]:
    """Return every scenario with the values that it is known by: all but the free ones that it does not set."""
    return tuple(
        (
            scenario.name,
            tuple(
                (name, value)
                for name, value in topic.scenario_values(scenario).items()
                if name not in topic.free or name in scenario.values
            ),
        )
        for scenario in topic.scenarios
    )


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


_RESERVED = ("scenario", "tab")  # parameters of a link beside the knobs

LEARNING = (
    "predict",
    "progress",
)  # parameters with which a page asks before it shows, and holds what was answered

# Parameters of Streamlit, of ours on every page, and of links that pass through other sites.
FOREIGN = ("embed", "embed_options", "hide", "figure", *LEARNING, "fbclid", "gclid")


def foreign(parameter: str) -> bool:
    """Say whether a parameter of a link is none of the page's concern."""
    return parameter in FOREIGN or parameter.startswith("utm_")


@dataclass
class _Growing:
    """The view of some values, as far as it has been computed; visitors with the same values share it."""

    view: View


# A view holds a tenth of a megabyte, one of the largest settings a third.
@keep(entries=64, most=24_000_000)
def _growing(_name: str, make: Callable[[Values], View], items: tuple[tuple[str, Value], ...]) -> _Growing:
    return _Growing(make(MappingProxyType(dict(items))))
