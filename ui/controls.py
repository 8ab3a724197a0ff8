"""Controls: a topic's knobs as widgets that live in the URL, always within their ranges."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from charts.topic import CUSTOM, WHY, Group, Link, Scenario, Tab, Topic, Values, foreign
from core.knobs import Knob, KnobError, Value
from core.knobs import number as write

_RATIO = 1.12  # one key press on a logarithmic slider
_PAGE = "_page"
LEAN = True  # controls that are folded away are made when they are opened


class Panel:
    """The control panel of one topic in one visitor's session.

    A link is read with the knobs before any widget exists, so that what it got wrong can be said; values that no
    widget shows for now are kept; choosing a scenario, a reset or a click on a figure sets many widgets at once. What
    holds at the end of a run is written into the address, all of it at once (``history``). Streamlit could bind each
    widget to a parameter; then the browser draws the whole page anew for the address before it sends what was changed.
    """

    def __init__(self, topic: Topic) -> None:
        """Read the values of this run from the link, the widgets and what was kept."""
        self.topic = topic
        self._kept = f"_{topic.prefix}_values"
        self._said = f"_{topic.prefix}_problems"
        self._pinned = f"_{topic.prefix}_pin"
        self._scenario = topic.key("scenario")
        self.refused: dict[str, str] = {}  # by knob, what is wrong with a text that was typed
        self._fresh = True  # until a fragment runs on its own, the values are those of this run
        self._drawn: set[str] = set()  # knobs with a control in view
        self._beside: frozenset[str] = frozenset()  # those of them outside the fragment
        self._new = self._kept not in st.session_state  # to this session
        self._first = f"_{topic.prefix}_first"  # values that the session began with
        self._missed = f"_{topic.prefix}_missed"
        self.entered = st.session_state.get(_PAGE) != topic.name or self._new
        st.session_state[_PAGE] = topic.name
        for key in st.session_state.pop(self._missed, ()):
            self._catch_up(key)
        self.values = self._enter() if self.entered else self._read()
        st.session_state[self._kept] = self.values

    # Reading

    def _enter(self) -> dict[str, Value]:
        """Take the link's values on arrival at the page, or those of an earlier visit if the link names none."""
        query = self.topic.canonical(_present())
        own = any(name.startswith(f"{self.topic.prefix}_") for name in query)
        values, problems = self.topic.parse(query)
        if not own and self._kept in st.session_state:
            values = st.session_state[self._kept]
        self._open_for(query)
        st.session_state[self._said] = (problems, dict(values))
        for name in self.topic.knobs:
            st.session_state.pop(self.topic.key(name), None)
        if self._new:
            st.session_state[self._first] = dict(values)
        else:
            self._show(values)
        return values

    def _read(self) -> dict[str, Value]:
        """Take the widgets' values; a knob without a widget keeps the value it had."""
        # One copy of the state: to ask it for a name costs more than all names cost together.
        held = st.session_state.to_dict()
        values: dict[str, Value] = dict(held[self._kept])
        self.refused = {}
        for name in self.topic.knobs:
            key = self.topic.key(name)
            if key in held:
                values[name] = self._taken(name, held[key])
        return values

    def _taken(self, name: str, raw: Any) -> Value:
        """Return a widget's value as the knob has it; the default, and why, if the knob refuses it."""
        knob = self.topic.knobs[name]
        self.refused.pop(name, None)
        try:
            return _from_widget(knob, raw)
        except KnobError as error:
            self.refused[name] = str(error)
            return knob.default

    @property
    def problems(self) -> list[str]:
        """What the link got wrong, until a control is changed."""
        problems, seen = st.session_state.get(self._said, ([], None))
        return problems if seen == self.values else []

    # Setting

    def set(self, changes: Values) -> None:
        """Set some values from a callback; widgets and URL follow."""
        values = {**self._read(), **changes}
        st.session_state[self._kept] = values
        self._show(values)

    def arrive(self, query: Mapping[str, Sequence[str]]) -> None:
        """Show what an address holds, from a callback: the browser has gone back or forward to it."""
        query = self.topic.canonical(query)
        values, problems = self.topic.parse(query)
        st.session_state[self._said] = (problems, dict(values))
        self.set(values)
        self._open_for(query)

    def _open_for(self, query: Mapping[str, Sequence[str]]) -> None:
        """Open the tab that an address names, or else the one that its scenario is about."""
        tab = query.get(self.topic.key("tab"), [""])[-1]
        chosen = self.topic.scenario(query.get(self._scenario, [""])[-1])
        if tab not in self.topic.tab_names:
            tab = chosen.tab if chosen is not None and chosen.tab else WHY
        self.open(tab)

    def _show(self, values: Values) -> None:
        """Give the widgets these values, touching only those that differ."""
        held = st.session_state.to_dict()
        shown = self.topic.shown(values)
        for name, knob in self.topic.knobs.items():
            key = self.topic.key(name)
            if name not in shown:
                # What no control shows lives in the kept values alone: a key left over would bring an old value back.
                if key in held:
                    del st.session_state[key]
                continue
            if name in self.refused and values[name] == knob.default:
                continue  # what was typed stays, to be mended
            wanted = _to_widget(knob, values[name])
            if held.get(key) != wanted:
                st.session_state[key] = wanted
        scenario = self.topic.scenario_of(self.topic.settle(values))
        if held.get(self._scenario) != scenario:
            st.session_state[self._scenario] = scenario

    def _changed(self, name: str) -> None:
        """Follow a control: values that depend on it, and whether a scenario still holds."""
        values = self._read()
        if name in self.topic.depends:
            values |= self.topic.complete(values)
        st.session_state[self._kept] = values
        self._show(values)

    def _catch_up(self, key: str) -> None:
        """Follow a control that was changed while there was no server, or another one.

        The browser brings what its controls hold to a session that knows only the address, and no callback is called.
        """
        name = self.topic.knob_of(key)
        if name is None:
            self.choose()
        else:
            self._changed(name)

    def choose(self, scenario: str | None = None) -> None:
        """Set every value to a scenario's, by name or as the menu says, and open the tab it is about."""
        chosen = self.topic.scenario(scenario or str(st.session_state[self._scenario]))
        # "Custom" itself is no set of values: choosing it changes nothing, and the menu says what holds.
        self.set(self.topic.scenario_values(chosen) if chosen is not None else {})
        if chosen is not None:
            self.open(chosen.tab)

    def open(self, tab: str) -> None:
        """Open a tab from a callback; nothing for no name."""
        if tab:
            st.session_state[self.topic.key("tab")] = tab

    @property
    def tab(self) -> str:
        """The open tab."""
        tab = st.session_state.get(self.topic.key("tab"))
        return tab if tab in self.topic.tab_names else WHY

    def go(self, link: Link) -> None:
        """Show the view of a link to this page: what it does not set returns to the defaults."""
        self.set(self.topic.fill(link.values))
        self.open(link.tab)

    def reset(self) -> None:
        """Return to the default view and drop the pinned run."""
        st.session_state.pop(self._pinned, None)
        self.choose(self.topic.scenarios[0].name)

    def draw_seed(self) -> None:
        """Set another seed than the present one."""
        knob = self.topic.knobs["seed"]
        other = int(np.random.default_rng().integers(int(knob.low), int(knob.high)))
        present = int(self._read()["seed"])  # type: ignore[arg-type]
        self.set({"seed": other if other < present else other + 1})

    # The address

    def query(self) -> dict[str, str | list[str]]:
        """Return the page's own parameters of the address: the values, and the open tab."""
        found = self.topic.address(self.values)
        if self.tab != WHY:
            found[self.topic.key("tab")] = self.tab
        return found

    def address(self) -> dict[str, list[str]]:
        """Return all parameters of the address as they should be: the page's own, and what is no page's concern."""
        others = {name: texts for name, texts in _present().items() if foreign(name)}
        own = self.query().items()
        return others | {name: text if isinstance(text, list) else [text] for name, text in own}

    def write(self) -> None:
        """Have Streamlit write the address where ``history.watch`` does not, or not yet.

        That is where a fragment runs on its own, and where a run takes long.
        """
        wanted = self.address()
        if wanted != _present():
            st.query_params.from_dict(wanted)

    # Pinning

    @property
    def pin(self) -> dict[str, Value] | None:
        """The values of the pinned run, if any."""
        pinned: dict[str, Value] | None = st.session_state.get(self._pinned)
        return pinned

    def toggle_pin(self) -> None:
        """Keep the present run behind the next ones, or let it go."""
        if self._pinned in st.session_state:
            del st.session_state[self._pinned]
        else:
            st.session_state[self._pinned] = self.topic.settle(self._read())

    def pin_text(self) -> str:
        """Say in what the pinned run differs from the present one."""
        pinned, present = self.pin or {}, self.topic.settle(self.values)
        parts = [
            f"{knob.label or name} {show(knob, pinned[name])}"
            for name, knob in self.topic.knobs.items()
            if name in pinned and name != "edit" and pinned[name] != present[name]
        ]
        return (
            "Gray: the pinned run, " + ("with " + ", ".join(parts) if parts else "the same as this one") + "."
        )

    # Drawing

    def draw(self) -> None:
        """Draw the panel into the sidebar."""
        topic, values = self.topic, self.values
        names = [scenario.name for scenario in topic.scenarios]
        first = topic.scenario_of(topic.settle(st.session_state[self._first]))
        index = [*names, CUSTOM].index(first)
        said = st.selectbox("Scenario", [*names, CUSTOM], index, key=self._scenario, on_change=self.choose)
        missed = [self._scenario] if self._new and said != first else []
        groups = [group for group in topic.layout(values) if group.knobs and not group.resting]
        for title, together in groupby(groups, lambda group: group.title):
            # What has no title stands in one container however many groups it is, so that what folds keeps its place.
            place: DeltaGenerator
            if title:
                place = fold = st.expander(title, key=f"_{topic.prefix}_{title}", on_change="rerun")
                if LEAN and not fold.open:
                    continue  # what nobody sees would be sent, and drawn anew, at every change
            else:
                place = st.container()
            with place:
                for group in together:
                    for name in group.knobs:
                        self._widget(topic.knobs[name])
                    self._presets(group)
        with st.container(horizontal=True, gap="small"):
            if "seed" in topic.shown(values):
                st.button("New seed", key=f"_{topic.prefix}_reseed", on_click=self.draw_seed, type="tertiary")
            st.button(
                "Unpin" if self.pin else "Pin this run",
                key=f"_{topic.prefix}_pinner",
                on_click=self.toggle_pin,
                type="tertiary",
                help="Keep the present curves in gray behind the next ones.",
            )
            st.button("Reset", key=f"_{topic.prefix}_reset", on_click=self.reset, type="tertiary")
        if self._new:
            missed += [topic.key(name) for name in topic.knobs if self.values[name] != values[name]]
        if missed:
            st.session_state[self._missed] = missed
            st.rerun()

    def _presets(self, group: Group) -> None:
        """Draw the buttons that set several of a group's knobs at once."""
        offered = self.topic.presets(self.values).get(group.title, {})
        if not offered:
            return
        with st.container(horizontal=True, gap="small"):
            for label, changes in offered.items():
                key = f"_{self.topic.prefix}_{group.title}_{label}"
                st.button(label, key=key, on_click=self.set, args=(changes,), type="tertiary")

    def refresh(self) -> bool:
        """Take over what the widgets say now: a fragment runs again with the panel of the page's last run.

        In that run itself they have said it: to the panel when it was made, and each when it was drawn.

        Returns:
            whether the fragment runs on its own.
        """
        alone = not self._fresh
        if alone:
            self.values = self._read()
            st.session_state[self._kept] = self.values
            self._drawn = set(self._beside)
        else:
            self._beside = frozenset(self._drawn)
        self._fresh = False
        return alone

    def release(self) -> None:
        """Forget the widgets that are not in view, when all that are have been drawn; their values are kept.

        Streamlit drops what such a widget last held, and what it had been given at first would come back.
        """
        held = st.session_state.to_dict()
        for name in self.topic.knobs:
            key = self.topic.key(name)
            if name not in self._drawn and key in held:
                del st.session_state[key]

    def controls(self, tab: Tab) -> Values:
        """Draw a tab's own controls side by side, at most four a row, and return all values as they now are."""
        for row in tab.rows(self.values):
            for name in [
                n for n in row if self.topic.knobs[n].kind == "choices"
            ]:  # needs the width for its chips
                self._widget(self.topic.knobs[name])
            names = [n for n in row if self.topic.knobs[n].kind != "choices"]
            across = 3 if len(names) <= 3 else 4
            for start in range(0, len(names), across):
                for place, name in zip(st.columns(across), names[start : start + across], strict=False):
                    with place:
                        self._widget(self.topic.knobs[name])
        # What no control shows does not act, here as in the link.
        return self.topic.settle(self.values)

    def scenario(self) -> Scenario | None:
        """Return the scenario in force, None when the values are the visitor's own."""
        return self.topic.scenario(self.topic.scenario_of(self.topic.settle(self.values)))

    def _widget(self, knob: Knob) -> None:
        """Draw one knob's control, and take over what it holds if that is not its value."""
        key, value = self.topic.key(knob.name), self.values[knob.name]
        self._drawn.add(knob.name)
        shown = _to_widget(knob, value)
        # A new session gives its controls what they begin with, and no state: so one that the browser brings is heard of.
        default = _to_widget(knob, st.session_state[self._first][knob.name])
        if not self._new and key not in st.session_state:
            st.session_state[key] = shown
        raw: Any
        shared: dict[str, Any] = {
            "key": key,
            "help": knob.help or None,
            "on_change": self._changed,
            "args": (knob.name,),
        }
        label = knob.label or knob.name
        if knob.symbol and not label.endswith(f" {knob.symbol}"):
            label += f", {knob.symbol}"
        if knob.kind == "bool":
            raw = st.toggle(label, value=default, **shared)
        elif knob.kind == "choice":
            options = self._choices(knob)
            if shown not in options:
                st.session_state[key] = options[0]
            if len(options) <= 3 and sum(map(len, options)) <= 26:
                first = default if default in options else options[0]
                raw = st.segmented_control(label, options, default=first, required=True, **shared)
            else:
                raw = st.selectbox(
                    label, options, index=options.index(default) if default in options else 0, **shared
                )
        elif knob.kind == "text":
            raw = st.text_input(label, value=default, max_chars=knob.most, **shared)
        elif knob.kind == "choices":
            raw = st.multiselect(
                label, knob.choices, default=default, max_selections=knob.most or None, **shared
            )
        elif knob.log:
            stops = _grid(knob, value)
            raw = st.select_slider(label, stops, value=default if default in stops else shown, **shared)
        else:
            # The range never changes: to Streamlit a slider of another range is another widget, and the old one's
            # value would stay in the URL.
            number = int if knob.kind == "int" else float
            step = knob.step or (1 if knob.kind == "int" else (knob.high - knob.low) / 100)
            raw = st.slider(
                label,
                min_value=number(knob.low),
                max_value=number(knob.high),
                value=default,
                step=number(step),
                format=None if knob.kind == "int" else f"%.{_places(step)}f{knob.unit}",
                **shared,
            )
        if raw != shown:
            self.values = {**self.values, knob.name: self._taken(knob.name, raw)}
            st.session_state[self._kept] = self.values

    def _choices(self, knob: Knob) -> tuple[str, ...]:
        """Offer only the choices that make sense beside the other values."""
        offered = self.topic.offers(self.values).get(knob.name)
        return offered if offered else knob.choices


def leave() -> bool:
    """Forget which page was open last, so that the next one reads its link; return whether there was one."""
    return st.session_state.pop(_PAGE, None) is not None


def _present() -> dict[str, list[str]]:
    """Return the parameters of the address as the run knows it."""
    return {name: st.query_params.get_all(name) for name in st.query_params}


def show(knob: Knob, value: Value) -> str:
    """Write a value for people."""
    if isinstance(value, tuple):
        return ", ".join(value)
    if isinstance(value, bool | str):
        return str(value)
    return write(float(value), 4) + knob.unit


def _places(step: float) -> int:
    """Return the decimals that show one step."""
    return max(0, -int(np.floor(np.log10(step) + 1e-9)))


def _grid(knob: Knob, value: Value) -> tuple[str, ...]:
    """Return the stops of a logarithmic slider: steps of 12 % around the default, and the value itself."""
    assert isinstance(value, int | float)
    assert isinstance(knob.default, int | float)
    stops, texts = _stops(knob.kind == "int", knob.low, knob.high, knob.default)
    at = bisect_left(stops, value)
    if at < len(stops) and stops[at] == value:
        return texts
    return (*texts[:at], str(knob.text(value)), *texts[at:])


@lru_cache(maxsize=256)
def _stops(whole: bool, low: float, high: float, default: float) -> tuple[tuple[float, ...], tuple[str, ...]]:
    """Return the stops of a logarithmic slider that do not hang on its value, and each as the slider shows it."""
    lowest_stop = low if low > 0 else high * 1e-12
    anchor = float(default) or high
    ratio = 2.0 if whole else _RATIO
    lowest = int(np.ceil(np.log(lowest_stop / anchor) / np.log(ratio) - 1e-9))
    highest = int(np.floor(np.log(high / anchor) / np.log(ratio) + 1e-9))
    stops: set[float] = {default, low, high}
    for power in range(lowest, highest + 1):
        stop = anchor * ratio**power
        stops.add(round(stop) if whole else float(f"{stop:.3g}"))
    number = int if whole else float
    inside = tuple(number(stop) for stop in sorted(stops) if low <= stop <= high)
    return inside, tuple(str(Knob.text(stop)) for stop in inside)


def _to_widget(knob: Knob, value: Value) -> Any:
    """Return the value as the knob's widget holds it."""
    if knob.kind == "choices":
        assert isinstance(value, tuple)
        return list(value)
    return knob.text(value) if knob.log else value


def _from_widget(knob: Knob, raw: Any) -> Value:
    """Return a widget's value as the knob has it; raises KnobError outside its range."""
    if knob.log:
        return knob.parse(str(raw))
    if knob.kind == "choices":
        return knob.check(tuple(raw))
    return knob.check(raw)
