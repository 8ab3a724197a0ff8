"""Back and forward: one step of the browser's history for each scenario and page, not one for each parameter."""

from urllib.parse import parse_qs, urlencode

import streamlit as st

from charts.topic import LEARNING, Topic, Values
from ui import hide, keyboard, viewport
from ui.controls import Panel
from ui.squeeze import part

# Streamlit writes the parameters of a scenario into the address one by one, some as new steps of the history and some
# into the step that is there. Within a page all of them go into the step that is there; when a run has ended with
# another scenario than before, the step it came from gets back its address, as the server knew it, and the new one a
# step of its own.
_SCRIPT = """
const FOREIGN = ['hide', 'embed', 'embed_options', LEARNING];
const isTab = (name) => name.endsWith('_tab');
const tabOf = (params) => [...params].filter(([name]) => isTab(name));
const placeOf = (params) => [...params].filter(([name]) => name.endsWith('_scenario')).join();
const bare = (href) => {
  const url = new URL(href);
  [...url.searchParams.keys()].filter(isTab).forEach((name) => url.searchParams.delete(name));
  return url.pathname + url.searchParams;
};
// The address of a step: what the server says of it, with its tab and with what holds for all steps.
const address = (step) => {
  const params = new URLSearchParams(step.query), here = new URLSearchParams(location.search);
  step.tab.forEach(([name, value]) => params.set(name, value));
  FOREIGN.forEach((name) => here.getAll(name).forEach((value) => params.append(name, value)));
  return step.path + (params.size ? '?' + params : '') + location.hash;
};

function install() {
  const push = history.pushState.bind(history), replace = history.replaceState.bind(history);
  const it = { settled: null, waiting: null, went: 0, timer: 0, lost: 0, tell: () => {} };
  const settle = () => {
    clearTimeout(it.timer);
    const here = it.waiting, before = it.settled;
    it.waiting = null;
    if (!here || here.path !== location.pathname || (it.went && here.answered !== it.went)) return;
    keep(here.query);
    here.tab = tabOf(new URLSearchParams(location.search));
    here.mark = placeOf(new URLSearchParams(location.search));
    if (before && before.path === here.path && before.place !== here.place && !it.went) {
      const now = location.href;
      replace(history.state, '', address(before));
      push({}, '', now);
    }
    it.settled = here; it.went = 0;
  };
  const stay = (state, title, url) => {
    const before = location.href;
    replace(state, title, url);
    // Another tab is the same step of the history, unless it is that of a scenario whose step is still to come.
    const params = new URLSearchParams(location.search);
    if (it.settled?.mark === placeOf(params) && bare(before) === bare(location.href)) it.settled.tab = tabOf(params);
  };
  history.replaceState = stay;
  history.pushState = (state, title, url) => {
    if (new URL(url, location.href).pathname === location.pathname) return stay(state, title, url);
    settle();
    // On the way to another page Streamlit takes the parameters out of this one's address.
    if (it.settled) replace(history.state, '', address(it.settled));
    it.settled = null; it.went = 0;
    push(state, title, url);
  };
  // A control that is folded away takes its parameter out of the address, and its value goes on to hold.
  const keep = (query) => {
    if (document.querySelector('[data-test-script-state]')?.dataset.testScriptState !== 'notRunning') return;
    const wanted = new URLSearchParams(query), params = new URLSearchParams(location.search), size = params.size;
    new Set(wanted.keys()).forEach((name) => {
      if (params.has(name) || name.endsWith('_scenario')) return;
      wanted.getAll(name).forEach((value) => params.append(name, value));
    });
    if (params.size > size) replace(history.state, '', location.pathname + '?' + params + location.hash);
  };
  it.report = (place, query, answered) => {
    clearTimeout(it.timer);
    it.waiting = { path: location.pathname, place, query, answered, tab: [] };
    it.timer = setTimeout(settle, 250);  // until Streamlit has written all parameters
  };
  addEventListener('popstate', (event) => {
    clearTimeout(it.timer); it.waiting = null;
    if (!it.settled || it.settled.path !== location.pathname) { it.settled = null; it.went = 0; return; }
    event.stopImmediatePropagation();
    const number = it.went = Date.now();
    clearTimeout(it.lost);
    it.lost = setTimeout(() => { if (it.went === number) it.went = 0; }, 8000);
    it.tell({ number, search: location.search });
  }, true);
  return it;
}

return ({ parentElement, data, setStateValue, setTriggerValue }) => {
  const it = window.layerwiseHistory ??= install();
  it.tell = (where) => setTriggerValue('went', where);
  it.report(data.place, data.query, data.answered);
  const stops = [page.watchWidth(parentElement, data.width, setStateValue), page.watchKeys(parentElement, data, setTriggerValue)];
  return () => stops.forEach((stop) => stop());
};
"""

_component = part(
    "history", keyboard.SCRIPT + _SCRIPT.replace("LEARNING", ", ".join(f"'{name}'" for name in LEARNING))
)


def _query(topic: Topic, values: Values) -> dict[str, str | list[str]]:
    """Return the parameters as Streamlit has them in the address: what is not at a control's own default.

    Unlike the short link on paper it names values that follow from others: on the way back from another page Streamlit
    sets every control that the address does not name to its default.
    """
    parameters = topic.query(values)
    for name, knob in topic.knobs.items():
        if values[name] == knob.default:
            parameters.pop(topic.key(name), None)
    return parameters


def watch(panel: Panel, bar: bool = True) -> None:
    """Report which scenario is in force, follow the browser back and forward, heed the keys, ask how wide the column is.

    Call it once a page, at its end. One component does all of it, for each costs a run something.

    Not in a fragment: going back would take two runs there, and of what the first one lets expire in the browser
    Streamlit would send the second one a reference only.

    Args:
        panel: of the page.
        bar: the page's figure has a toolbar, or will have one; without it a key copies the address.
    """
    topic = panel.topic
    key, kept, stepped = f"{topic.prefix}_history", f"_{topic.prefix}_went", f"_{topic.prefix}_stepped"

    def went() -> None:
        where = st.session_state[key].get("went")
        if isinstance(where, dict):
            panel.arrive(parse_qs(str(where.get("search", ""))[1:], keep_blank_values=True))
            st.session_state[kept] = where.get("number")

    def step() -> None:
        asked = st.session_state[key].get("step")
        if chosen := keyboard.scenario(topic, asked):
            panel.choose(chosen)
            st.session_state[stepped] = asked.get("number")

    runs = st.session_state.get("_runs", 0) + 1  # so that every run reports
    st.session_state["_runs"] = runs
    told = _component(
        key=key,
        data={
            "run": runs,
            "place": topic.scenario_of(topic.settle(panel.values)),
            "query": urlencode(_query(topic, panel.values), doseq=True),
            "answered": st.session_state.get(kept),
            "width": viewport.width(),
            "stepped": st.session_state.get(stepped),
            "acts": keyboard.acts(topic, hide.CONTROLS in hide.hidden(), bar),
            "toolbar": bar,
        },
        on_went_change=went,
        on_step_change=step,
        on_width_change=lambda: viewport.changed(key),
    )
    viewport.take(told)
