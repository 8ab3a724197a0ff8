"""Back and forward: one step of the browser's history for each scenario and page, not one for each parameter."""

import json
from urllib.parse import parse_qs, urlencode

import streamlit as st

from charts.topic import FOREIGN
from ui import hide, keyboard, navigation, viewport
from ui.controls import Panel
from ui.squeeze import part

# At its end a run says what the address should hold. A place is a scenario, or the visitor's own settings: another one is
# a new step of the history, anything else goes into the step that is there. What passes other places on its way, within
# a moment, is one step. A page that is left while it is still being sent says no more: the address is another's by then.
_SCRIPT = """
const FOREIGN = NAMES, PAGES = OFFERED, BURST = 400;
const foreign = (name) => FOREIGN.includes(name) || name.startsWith('utm_');
const scenario = (search) => [...new URLSearchParams(search)].filter(([name]) => name.endsWith('_scenario')).join();
const history_ = (() => {
  const push = history.pushState.bind(history), replace = history.replaceState.bind(history);
  const it = { step: null, went: 0, lost: 0, seen: 0, pushed: false, tell: () => {} };
  const write = (how, search) => how(history.state, '', location.pathname + search + location.hash);
  it.isHere = (name) => {
    const last = location.pathname.split('/').pop();
    return name ? last === name : !PAGES.includes(last);
  };
  it.report = ({ place, query, answered }) => {
    if (it.went && answered !== it.went) return;
    const params = new URLSearchParams(query), before = it.step, path = location.pathname, now = Date.now();
    for (const [name, value] of new URLSearchParams(location.search)) if (foreign(name)) params.append(name, value);
    const search = params.size ? '?' + params : '';
    const burst = now - it.seen < BURST;
    const moved = !it.went && before?.path === path && before.place !== place;
    if (moved && !(burst && it.pushed)) {
      // The step that is left keeps the address it had, whatever has been written into it since.
      if (location.search !== before.search) write(replace, before.search);
      write(push, search);
      it.pushed = true;
    } else {
      if (location.search !== search) write(replace, search);
      if (!burst) it.pushed = false;
    }
    it.step = { path, place, search };
    it.seen = now; it.went = 0;
  };
  // What else Streamlit writes into a page's address belongs to the step that is there: what a tab changes, and what a run
  // that takes long is about, unless that is another place.
  history.pushState = (state, title, url) => {
    if (new URL(url, location.href).pathname === location.pathname) {
      replace(state, title, url);
      if (it.step && scenario(it.step.search) === scenario(location.search)) it.step.search = location.search;
      return;
    }
    // On the way to another page Streamlit takes the parameters out of this one's address.
    if (it.step?.path === location.pathname) write(replace, it.step.search);
    it.step = null; it.went = 0;
    push(state, title, url);
  };
  addEventListener('popstate', (event) => {
    if (it.step?.path !== location.pathname) { it.step = null; it.went = 0; return; }
    event.stopImmediatePropagation();
    const number = it.went = Date.now();
    clearTimeout(it.lost);
    it.lost = setTimeout(() => { if (it.went === number) it.went = 0; }, 8000);
    it.tell({ number, search: location.search });
  }, true);
  return it;
})();

// Calls what a component does on its page, once the address is that page's. What it says to the server later would open
// that page again, should it be said when the visitor has left: so it is not said then.
page.onceHere = (name, tell, begin) => {
  let stop = null, timer = 0;
  const look = () => {
    if (history_.isHere(name)) stop = begin((key, value) => { if (history_.isHere(name)) tell(key, value); });
    else timer = setTimeout(look, 50);
  };
  look();
  return () => { clearTimeout(timer); stop?.(); };
};

return ({ parentElement, data, setStateValue, setTriggerValue }) => page.onceHere(data.page, setStateValue, (setWidth) => {
  history_.tell = (where) => setTriggerValue('went', where);
  history_.report(data);
  const stops = [page.watchWidth(parentElement, data.width, setWidth), page.watchKeys(parentElement, data, setTriggerValue)];
  return () => stops.forEach((stop) => stop());
});
"""

_component = part(
    "history",
    keyboard.SCRIPT
    + _SCRIPT.replace("NAMES", json.dumps(FOREIGN)).replace(
        "OFFERED", json.dumps([*navigation.ENTRIES, "claims"])
    ),
)


def watch(panel: Panel, bar: bool = True) -> None:
    """Keep the address up to date, follow the browser back and forward, heed the keys, ask how wide the column is.

    Call it once a page, at its end. One component does all of it, for each costs a run something.

    Not in a fragment: going back would take two runs there, and of what the first one lets expire in the browser
    Streamlit would send the second one a reference only.

    Args:
        panel: of the page.
        bar: the page's figure has a toolbar, or will have one; without it a key copies the address.
    """
    panel.release()
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
            "page": topic.name,
            "place": topic.scenario_of(topic.settle(panel.values)),
            "query": urlencode(panel.query(), doseq=True),
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
