"""Ways into the pages that the browser chooses: the search over everything, and the link of the valley's angle.

What can be found goes to the browser once, and the results are found there. Every result is a real link; a plain click
sends the number of its entry instead, so that the app is not loaded anew. The scripts stand on the landing page alone, so
that they are no part of what every page is sent: the field's script holds all of them, the other two only call theirs.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import streamlit as st

from ui.navigation import CLAIMS, Entry, offered
from ui.squeeze import squeezed

if TYPE_CHECKING:  # what can be found comes after the first paint
    from charts.search import Place
    from charts.topic import Topic

Found = Callable[[], Sequence["Topic"]]  # the pages on offer; asked for when something needs them

MOST = 8  # results shown at once
_FIELD_KEY, _WAY_KEY = "_search", "_valley_way"
_CLAIMS = "claims"  # in the address

_HTML = """
<div class="search">
<svg class="glass" viewBox="0 0 20 20" aria-hidden="true"><circle cx="8.5" cy="8.5" r="5.5"/><path d="M13 13l4.5 4.5"/></svg>
<input type="text" role="combobox" aria-expanded="false" aria-controls="found" aria-autocomplete="list"
aria-label="Search all pages, scenarios, functions and notes" autocomplete="off" autocapitalize="off" spellcheck="false"
placeholder="Search a function, optimizer, claim or symptom">
<kbd aria-hidden="true">/</kbd>
<div class="results" hidden>
<div class="none" hidden></div>
<div id="found" role="listbox" aria-label="Results"></div>
<div class="more" hidden></div>
</div>
<span class="said" role="status" aria-live="polite"></span>
</div>
"""

_STYLE = """
.search { position: relative; font: inherit; color: var(--st-text-color); }
input { font: inherit; font-size: 1.05rem; color: inherit; width: 100%; box-sizing: border-box; min-height: 3.2rem;
        padding: .6rem 3rem .6rem 2.9rem; background: var(--st-background-color); border-radius: .4rem;
        border: 1px solid color-mix(in srgb, var(--st-text-color) 45%, transparent); }
input::placeholder { color: inherit; opacity: .65; text-overflow: ellipsis; }
input:focus { outline: 2px solid var(--st-primary-color); outline-offset: -1px; border-color: transparent; }
.glass { position: absolute; left: 1rem; top: 1.05rem; width: 1.1rem; height: 1.1rem; fill: none; stroke: currentColor;
         stroke-width: 1.6; stroke-linecap: round; opacity: .65; pointer-events: none; }
kbd { position: absolute; right: .9rem; top: .95rem; font: inherit; font-size: .8rem; line-height: 1.3rem; padding: 0 .45rem;
      border: 1px solid var(--st-border-color); border-radius: .25rem; opacity: .7; pointer-events: none; }
input:focus ~ kbd { display: none; }
@media (pointer: coarse), (max-width: 640px) {
kbd { display: none; }
.glass { left: .8rem; }
input { font-size: 16px; padding: .6rem .3rem .6rem 2.4rem; text-overflow: ellipsis; }
}
.results { position: absolute; z-index: 50; left: 0; right: 0; top: calc(100% + .3rem); padding: .3rem; border-radius: .4rem;
           background: var(--st-background-color); border: 1px solid var(--st-border-color);
           box-shadow: 0 6px 24px color-mix(in srgb, var(--st-text-color) 18%, transparent); }
.results[hidden] { display: none; }
a { display: flex; align-items: center; gap: 1rem; min-height: 2.75rem; padding: .25rem .7rem; border-radius: .3rem;
    box-sizing: border-box; color: inherit; text-decoration: none; }
a[aria-selected=true], a:hover { background: var(--st-secondary-background-color); }
a[aria-selected=true] { box-shadow: inset 2px 0 0 var(--st-primary-color); }
.title { flex: 1; min-width: 0; line-height: 1.25; display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 2;
         overflow: hidden; }
.kind { flex: none; font-size: .85rem; opacity: .75; }
.none, .more { padding: .55rem .7rem; font-size: .9rem; opacity: .8; }
.said { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
@media (max-width: 640px) {
a { flex-direction: column; align-items: stretch; gap: .05rem; padding: .45rem .7rem; }
}
"""

# Streamlit writes the parameters of a page that is switched to into this one's address first, as a step of its own: going
# back would lead to them.
_SHARED = """
function leave(send) {
  const push = history.pushState, home = location.href;
  const away = (state, title, url) => {
    if (new URL(url, home).pathname === location.pathname) return history.replaceState(state, title, url);
    settle();
    history.replaceState(history.state, '', home);
    history.pushState(state, title, url);
  };
  const settle = () => { clearTimeout(late); if (history.pushState === away) history.pushState = push; };
  const late = setTimeout(settle, 10000);
  history.pushState = away;
  send();
}
// Links stand beside the landing page, wherever the app is mounted.
function href(page, query) {
  const params = new URLSearchParams();
  query.forEach(([name, value]) => [value].flat().forEach((each) => params.append(name, each)));
  return location.pathname.replace(/[^/]*$/, '') + page + (params.size ? '?' + params : '');
}
"""

_FIND = r"""
const GREEK = { α: 'alpha', β: 'beta', γ: 'gamma', δ: 'delta', ε: 'epsilon', ζ: 'zeta', η: 'eta', θ: 'theta', ι: 'iota',
  κ: 'kappa', λ: 'lambda', μ: 'mu', ν: 'nu', ξ: 'xi', ο: 'omicron', π: 'pi', ρ: 'rho', σ: 'sigma', ς: 'sigma', τ: 'tau',
  υ: 'upsilon', φ: 'phi', χ: 'chi', ψ: 'psi', ω: 'omega' };
// Small letters without accents, Greek by name, one dash and one apostrophe.
const fold = (text) => text.normalize('NFKD').replace(/[\u0300-\u036f]/g, '').toLowerCase()
  .replace(/[α-ω]/g, (letter) => GREEK[letter] ?? letter).replace(/[‐-―−]/g, '-').replace(/[‘’′]/g, "'");
const words = (text) => text.split(/[^\p{L}\p{N}]+/u).filter(Boolean);

function unpack(data) {
  const found = [];
  data.entries.forEach(([kind, page, title, query, more = '']) => {
    const own = typeof title === 'number' ? data.entries[title][4] : title;
    const flat = typeof query === 'number' ? found[query].query : Array.from({ length: query.length / 2 },
      (_, k) => [data.names[query[2 * k]], query[2 * k + 1]]);
    const folded = fold(own), rest = fold([more, data.pages[page][1], data.kinds[kind]].join(' '));
    found.push({ kind: data.kinds[kind], page: data.pages[page], title: own, query: flat, folded, rest,
      titled: words(folded), all: words(folded + ' ' + rest), id: /^[A-Z]\d+$/.test(more) ? more : '' });
  });
  return found;
}

// How well an entry fits: the lower the better, −1 if a part of the search is nowhere in it.
function fit(entry, whole, parts) {
  if (entry.folded === whole) return 0;
  if (entry.folded.startsWith(whole)) return /[\p{L}\p{N}]/u.test(entry.folded[whole.length]) ? 2 : 1;
  const each = (test) => parts.every(test);
  if (each((part) => entry.titled.includes(part))) return 3;
  if (each((part) => entry.titled.some((word) => word.startsWith(part)))) return 4;
  if (each((part) => entry.all.includes(part))) return 5;
  if (each((part) => entry.all.some((word) => word.startsWith(part)))) return 6;
  return each((part) => entry.folded.includes(part) || entry.rest.includes(part)) ? 7 : -1;
}

function find(index, text) {
  const whole = fold(text).trim().replace(/\s+/g, ' ');
  if (!whole || !index) return [];
  const parts = whole.split(' ');
  return index.map((entry, number) => [fit(entry, whole, parts), number]).filter(([rank]) => rank >= 0)
    .sort((a, b) => a[0] - b[0] || a[1] - b[1]).map(([, number]) => number);
}
"""

_FIELD = f"""
const MOST = {MOST};
function field({{ parentElement, setTriggerValue }}) {{
  const root = parentElement.querySelector('.search');
  const [input, results, list] = ['input', '.results', '#found'].map((name) => root.querySelector(name));
  const [none, more, said] = ['.none', '.more', '.said'].map((name) => root.querySelector(name));
  let at = -1, rows = [];
  const mark = (to) => {{
    at = to;
    rows.forEach((row, k) => row.setAttribute('aria-selected', String(k === at)));
    if (at < 0) input.removeAttribute('aria-activedescendant');
    else {{ input.setAttribute('aria-activedescendant', rows[at].id); rows[at].scrollIntoView({{ block: 'nearest' }}); }}
  }};
  const close = () => {{ results.hidden = true; input.setAttribute('aria-expanded', 'false'); mark(-1); }};
  const follow = (event, number) => {{
    if (event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    close(); said.textContent = '';
    leave(() => setTriggerValue('go', number));
  }};
  const row = (number, place) => {{
    const entry = it.index[number], link = document.createElement('a');
    link.id = 'row' + place; link.role = 'option'; link.tabIndex = -1; link.dataset.number = number;
    link.href = it.href(entry.page[0], entry.query);
    const own = entry.kind === 'page' ? 'page' : entry.page[1] + ' · ' + entry.kind + (entry.id ? ' ' + entry.id : '');
    for (const [name, text] of [['title', entry.title], ['kind', own]]) {{
      const part = document.createElement('span');
      part.className = name; part.textContent = text; link.append(part);
    }}
    link.onclick = (event) => follow(event, number);
    link.onpointermove = () => {{ if (at !== place) mark(place); }};
    return link;
  }};
  const show = () => {{
    const text = input.value.trim();
    if (!text || !it.index) {{ list.replaceChildren(); rows = []; said.textContent = ''; return close(); }}
    const found = it.find(text), pages = it.index.map((_, k) => k).filter((k) => it.index[k].kind === 'page');
    const drawn = found.length ? found.slice(0, MOST) : pages;
    rows = drawn.map(row);
    list.replaceChildren(...rows);
    none.hidden = found.length > 0;
    none.textContent = found.length ? '' : 'Nothing found for “' + text + '”. These are the pages:';
    const left = found.length - MOST;
    more.hidden = left <= 0;
    more.textContent = left > 0 ? left + ' more; another word narrows them down' : '';
    results.hidden = false; input.setAttribute('aria-expanded', 'true');
    said.textContent = found.length ? found.length + (found.length === 1 ? ' result' : ' results') : none.textContent;
    mark(found.length ? 0 : -1);
  }};
  it.changed = () => {{ it.find = (text) => find(it.index, text); if (input.value) show(); }};
  if (it.index) it.changed();
  input.oninput = show;
  input.onfocus = () => {{ if (input.value.trim()) show(); }};
  input.onkeydown = (event) => {{
    const step = {{ ArrowDown: 1, ArrowUp: -1 }}[event.key];
    if (step && rows.length && !results.hidden) {{
      event.preventDefault();
      mark((at + step + rows.length + (at < 0 && step < 0 ? 1 : 0)) % rows.length);
    }} else if (event.key === 'Enter' && !event.isComposing && at >= 0) {{
      event.preventDefault();
      rows[at].dispatchEvent(new MouseEvent('click',
        {{ bubbles: true, cancelable: true, ctrlKey: event.ctrlKey, metaKey: event.metaKey, shiftKey: event.shiftKey }}));
    }} else if (event.key === 'Escape') {{
      if (input.value) {{ event.preventDefault(); input.value = ''; show(); }} else input.blur();
    }} else if (event.key === 'Tab') close();
  }};
  // Inside the field events come from its host: it is typed into if it has the focus.
  const slash = (event) => {{
    if (event.key !== '/' || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const target = event.composedPath()[0];
    if (target.isContentEditable || target.closest?.('input:not([type=range]), textarea, select, [role=dialog]')) return;
    event.preventDefault(); input.focus(); input.select();
  }};
  const outside = (event) => {{ if (!event.composedPath().includes(root)) close(); }};
  document.addEventListener('keydown', slash);
  document.addEventListener('pointerdown', outside);
  return () => {{
    document.removeEventListener('keydown', slash); document.removeEventListener('pointerdown', outside);
  }};
}}
"""

_INDEX = """
function fill({ data }) {
  it.index = unpack(data);
  it.find = (text) => find(it.index, text);
  it.changed();
}
"""

# The slider of the figure stands in another part of the page; how it stands is asked whenever it may matter.
_WAY = """
function way({ parentElement, data, setTriggerValue }) {
  const link = parentElement.querySelector('a');
  const number = () => {
    const input = document.querySelector('[data-testid="stVegaLiteChart"] .vega-bind input[type=range]');
    const found = input ? data.stops.indexOf(+input.value) : -1;
    return found < 0 ? data.first : found;
  };
  const show = () => {
    const k = number();
    link.href = it.href(data.page, data.queries[k]);
    link.textContent = data.label.replace('{}', data.stops[k] + '°');
  };
  show();
  const moved = (event) => { if (event.target.matches?.('.vega-bind input[type=range]')) show(); };
  document.addEventListener('input', moved);
  link.onpointerenter = link.onfocus = show;
  link.onclick = (event) => {
    if (event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    leave(() => setTriggerValue('go', number()));
  };
  return () => document.removeEventListener('input', moved);
}
"""

_WAY_STYLE = """
a { display: inline-flex; align-items: center; min-height: 2.75rem; font: inherit; color: var(--st-link-color);
    text-decoration: none; }
a:hover { text-decoration: underline; }
a:focus-visible { outline: 2px solid var(--st-primary-color); border-radius: .2rem; }
"""

# The index and the link of the valley may come before the field or after it: they meet on the window.
_DOOR = """
const it = window.layerwiseSearch ??= (() => {
  const made = { index: null, changed() {}, find: () => [] };
  made.ready = new Promise((open) => { made.open = open; });
  return made;
})();
"""
_OPEN = """
Object.assign(it, { fill, way, href });
export default (own) => { const stop = field(own); it.open(); return stop; };
"""


def _call(name: str) -> str:
    """Write the script of a component that is a part of the field's."""
    return squeezed(f"{_DOOR}\nexport default (own) => it.ready.then(() => it.{name}(own));")


_field = st.components.v2.component(
    "layerwise_search",
    html=squeezed(_HTML),
    css=squeezed(_STYLE),
    js=squeezed(_DOOR + _SHARED + _FIND + _FIELD + _INDEX + _WAY + _OPEN),
)
_index = st.components.v2.component("layerwise_index", js=_call("fill"))
_way = st.components.v2.component(
    "layerwise_way", html='<a href="#"></a>', css=squeezed(_WAY_STYLE), js=_call("way")
)


def _take(component: str, most: int) -> int | None:
    """Return the number that a component has sent, checked like any input; None if it has sent none that there is."""
    number = st.session_state.pop(f"{component}_go", None)
    whole = isinstance(number, int) and not isinstance(number, bool)
    return number if whole and 0 <= number < most else None


def _keep(component: str) -> None:
    """Keep what a component sends, from its callback: a run that a resized window interrupts would lose it."""
    sent = st.session_state[component].get("go")
    if sent is not None:
        st.session_state[f"{component}_go"] = sent


def forget() -> None:
    """Drop what was chosen and not opened: the visitor has been on another page since."""
    for component in (_FIELD_KEY, _WAY_KEY):
        st.session_state.pop(f"{component}_go", None)


def follow(topics: Found) -> None:
    """Open what was chosen, before anything is computed for the page that it was chosen on."""
    if f"{_FIELD_KEY}_go" in st.session_state:
        from charts.search import index

        entries = index(tuple(topics()), _places())
        number = _take(_FIELD_KEY, len(entries))
        if number is not None:
            found = entries[number]
            _open(_entry(found.page), found.query)
    if f"{_WAY_KEY}_go" in st.session_state:
        from charts import landing

        number = _take(_WAY_KEY, len(landing.ANGLES))
        topic = next((topic for topic in topics() if topic.name == landing.PAGE), None)
        if number is not None and topic is not None:
            _open(_entry(landing.PAGE), landing.queries(topic)[number])


def _open(entry: Entry, query: Mapping[str, str | list[str]]) -> None:
    st.switch_page(entry.script, query_params=dict(query))


def _entry(page: str) -> Entry:
    return CLAIMS if page == _CLAIMS else offered()[page]


def _places() -> tuple["Place", ...]:
    """Return the pages that are found beside those with a topic."""
    from charts.search import Place

    return (Place(_CLAIMS, CLAIMS.title, f"{CLAIMS.question} {CLAIMS.sentence}"),)


def field() -> None:
    """Draw the field. What can be found may come later, with ``fill``."""
    _field(key=_FIELD_KEY, on_go_change=lambda: _keep(_FIELD_KEY))


def fill(topics: Sequence["Topic"]) -> None:
    """Send what can be found on some pages to the field."""
    from charts.search import index, packed

    places = _places()
    entries = index(tuple(topics), places)
    _index(key="_search_index", data=packed(entries, (*topics, *places)))


def way(
    label: str,
    page: str,
    stops: Sequence[float],
    first: float,
    queries: Sequence[Mapping[str, str | list[str]]],
) -> None:
    """Draw the link to a page that goes with the slider of the figure above it.

    Args:
        label: of the link, with ``{}`` where the slider's value stands.
        page: that it leads to.
        stops: values of the slider.
        first: of them, where it stands at first.
        queries: parameters of the link for each of them.
    """
    _way(
        key=_WAY_KEY,
        data={
            "label": label,
            "page": page,
            "stops": tuple(stops),
            "first": tuple(stops).index(first),
            "queries": tuple(tuple(query.items()) for query in queries),
        },
        on_go_change=lambda: _keep(_WAY_KEY),
    )
