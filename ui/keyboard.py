"""Keys: one letter steps through the scenarios, plays the figure or copies the link; "?" lists them."""

import html
import json
from typing import Any, NamedTuple

from charts.topic import Topic
from ui.squeeze import squeezed


class Shortcut(NamedTuple):
    """One key: what it does, in words and as the script's own name, and what of a page it needs, any of ``NEEDS``."""

    key: str
    does: str
    act: str
    needs: frozenset[str] = frozenset()


# Parts that not every page has: controls, which a link may hide; more scenarios than one; a figure with a toolbar.
CONTROLS, SCENARIOS, TOOLBAR = NEEDS = ("controls", "scenarios", "toolbar")


# Letters that neither Streamlit (r, c) nor a browser takes; arrows, Home and End belong to sliders and menus.
SHORTCUTS = (
    Shortcut("n", "Next scenario", "next", frozenset({CONTROLS, SCENARIOS})),
    Shortcut("p", "Previous scenario", "previous", frozenset({CONTROLS, SCENARIOS})),
    Shortcut("k", "Play or pause the figure", "play", frozenset({TOOLBAR})),
    Shortcut("l", "Copy the link to this view", "link", frozenset({CONTROLS})),
    Shortcut("?", "Show this list", "help"),
)


def _row(key: str, does: str, act: str = "") -> str:
    return f'<div data-act="{act}"><dt><kbd>{html.escape(key)}</kbd></dt><dd>{html.escape(does)}</dd></div>'


_HTML = "".join(
    (
        '<dialog aria-labelledby="title"><h2 id="title">Keys</h2><dl>',
        *(_row(each.key, each.does, each.act) for each in SHORTCUTS),
        _row("Esc", "Close this list"),
        "</dl><p>Keys do nothing while you type in a field.</p><footer>",
        '<label><input type="checkbox" checked> Use single keys</label>',
        '<button type="button" autofocus>Close</button></footer></dialog>',
        '<div class="note" role="status" aria-live="polite"></div>',
    )
)

# The list lies in the browser's top layer; the note at the lower edge says what a key did where nothing else shows it.
_STYLE = """
dialog, .note { color: var(--st-text-color); background: var(--st-background-color); font-family: var(--st-font);
                border: 1px solid var(--st-border-color); border-radius: var(--st-base-radius); }
dialog { box-sizing: border-box; width: min(24rem, calc(100vw - 2rem)); max-height: calc(100vh - 2rem); overflow: auto;
         padding: 1.1rem 1.3rem; line-height: 1.4; font-size: .95rem; }
dialog::backdrop { background: color-mix(in srgb, var(--st-background-color) 60%, transparent); }
h2 { margin: 0 0 .7rem; font-size: 1.15rem; font-weight: 600; }
dl { margin: 0; display: grid; gap: .45rem; }
dl div { display: grid; grid-template-columns: 3.2rem 1fr; align-items: baseline; }
dl div[hidden] { display: none; }
dt, dd { margin: 0; }
kbd { display: inline-block; min-width: 1.1rem; padding: .05rem .4rem; text-align: center; font: inherit; font-size: .9em;
      border: 1px solid var(--st-widget-border-color, var(--st-border-color)); border-radius: var(--st-base-radius);
      background: var(--st-secondary-background-color); }
p { margin: .8rem 0 .6rem; opacity: .75; }
footer { display: flex; align-items: center; justify-content: space-between; gap: 1rem; }
label { display: inline-flex; align-items: center; gap: .45rem; min-height: 2.7rem; cursor: pointer; }
input { margin: 0; accent-color: var(--st-primary-color); }
button { font: inherit; color: inherit; background: none; min-height: 2.7rem; padding: .3rem .9rem; cursor: pointer;
         border: 1px solid var(--st-border-color); border-radius: var(--st-button-radius); }
button:hover { color: var(--st-link-color); }
button:focus-visible, input:focus-visible { outline: 2px solid var(--st-primary-color); outline-offset: 1px; }
.note { position: fixed; z-index: 1000; bottom: 1.2rem; left: 50%; transform: translateX(-50%); padding: .4rem .9rem;
        font-size: .875rem; max-width: calc(100vw - 3rem); box-sizing: border-box; pointer-events: none; }
.note:empty { opacity: 0; }
.note.unseen { clip-path: inset(50%); }
@media print { dialog, .note { display: none; } }
"""

# ``page.watchKeys`` is for the component that is on every page and reports every run. The listener is one function: to
# add it again adds nothing. React Aria ends the way of a key at a control, so the window hears it first.
SCRIPT = (
    f"""
const HTML = {json.dumps(_HTML, ensure_ascii=False)};
const CSS = {json.dumps(squeezed(_STYLE), ensure_ascii=False)};
const ACTS = {json.dumps({each.key: each.act for each in SHORTCUTS})};
"""
    + """
const OFF = 'layerwise-keys-off';
const isOff = () => { try { return localStorage.getItem(OFF) === '1'; } catch { return false; } };
const turn = (on) => { try { on ? localStorage.removeItem(OFF) : localStorage.setItem(OFF, '1'); } catch { /* no storage */ } };
const TYPING = 'input:not([type=range], [type=checkbox], [type=radio], [type=button]), textarea, select, [contenteditable], '
  + '[role=combobox], [role=textbox], [role=searchbox], [role=spinbutton], [role=listbox], [role=menu], [role=dialog], dialog';
const LATE = 8000;  // milliseconds after which an answer is no longer waited for
let now = null;

function onKey(event) {
  if (!now || event.ctrlKey || event.altKey || event.metaKey || event.isComposing || event.repeat || isOff()) return;
  if (event.composedPath().some((each) => each.matches?.(TYPING))) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : '';
  if (!Object.hasOwn(ACTS, key) || (event.shiftKey && key !== '?')) return;
  const act = ACTS[key];
  if (!now.data.acts.includes(act)) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  now.acts[act]();
}

// What stands on the screen anyway is said to those only who do not see it.
function say(own, text, seen = false) {
  clearTimeout(own.clear);
  own.note.classList.toggle('unseen', seen);
  own.note.textContent = text;
  own.clear = setTimeout(() => { own.note.textContent = ''; }, 3000);
}

function make(parent) {
  const made = page.put(parent, HTML, CSS), dialog = made.querySelector('dialog');
  const close = made.querySelector('button'), single = made.querySelector('input');
  const own = { dialog, note: made.querySelector('.note'), from: '', by: 0, last: 0, clear: 0, data: null, tell: null };
  // Several presses may be on their way at once: each says how far it is from the last scenario that was answered.
  const step = (by) => {
    if (Date.now() - own.last > LATE) { own.from = own.data.place; own.by = 0; }
    own.by += by;
    own.last = Math.max(Date.now(), own.last + 1);
    own.tell('step', { from: own.from, by: own.by, number: own.last });
  };
  const help = () => {
    if (dialog.open) return dialog.close();
    made.querySelectorAll('[data-act]').forEach((row) => {
      const act = row.dataset.act;
      row.hidden = act && (!own.data.acts.includes(act) || (act === 'play' && !page.play));
    });
    single.checked = !isOff();
    own.before = document.activeElement;
    while (own.before?.shadowRoot?.activeElement) own.before = own.before.shadowRoot.activeElement;
    dialog.showModal();
    close.focus();
  };
  own.acts = {
    next: () => step(1),
    previous: () => step(-1),
    play: () => page.play ? page.play() : say(own, 'This figure has nothing to play.'),
    link: async () => {
      const it = page.bar;
      if (!own.data.toolbar) {  // the address says all there is
        const copied = navigator.clipboard?.writeText(location.href).then(() => true, () => false);
        return say(own, await copied ? 'Link copied' : 'This browser lets nothing be copied here');
      }
      if (!it) return say(own, 'There is no figure yet to link to.');
      const told = await it.link(), box = it.bar.getBoundingClientRect();
      if (!it.shown || box.top < 0 || box.bottom > innerHeight) say(own, told);
    },
    help,
  };
  single.onchange = () => turn(single.checked);
  close.onclick = () => dialog.close();
  dialog.onclick = (event) => {
    const box = dialog.getBoundingClientRect(), inside = (at, from, to) => at >= from && at <= to;
    if (event.target !== dialog) return;
    if (!inside(event.clientX, box.left, box.right) || !inside(event.clientY, box.top, box.bottom)) dialog.close();
  };
  dialog.onclose = () => { if (own.before?.isConnected) own.before.focus(); };
  dialog.onkeydown = (event) => {
    event.stopPropagation();
    if (event.key === '?') { event.preventDefault(); dialog.close(); }
    if (event.key !== 'Tab') return;
    event.preventDefault();
    (dialog.getRootNode().activeElement === close ? single : close).focus();
  };
  return own;
}

page.watchKeys = (parent, data, tell) => {
  const own = parent.layerwiseKeys ??= make(parent);
  const answered = own.last && data.stepped === own.last;
  own.data = data; own.tell = tell;
  if (answered || Date.now() - own.last > LATE) {
    if (answered && own.by) say(own, data.place, document.querySelector('[data-testid=stMain]').scrollTop < 80);
    own.from = data.place; own.by = 0;
  }
  now = own;
  page.help = own.acts.help;
  addEventListener('keydown', onKey, true);
  return () => {
    clearTimeout(own.clear);
    if (now !== own) return;
    now = page.help = null;
    removeEventListener('keydown', onKey, true);
  };
};
"""
)


def acts(topic: Topic, fixed: bool, toolbar: bool) -> tuple[str, ...]:
    """Return what the keys of a page do, in the script's names.

    Args:
        topic: of the page.
        fixed: its controls are hidden.
        toolbar: its figure has one.
    """
    there = {CONTROLS: not fixed, SCENARIOS: len(topic.scenarios) > 1, TOOLBAR: toolbar}
    return tuple(each.act for each in SHORTCUTS if all(there[need] for need in each.needs))


def scenario(topic: Topic, asked: Any) -> str:
    """Return the scenario that some steps through the menu lead to, or nothing if the browser asks for no such thing.

    Args:
        topic: whose scenarios; behind the last one comes the first. With a single one there are no steps.
        asked: what the browser sent: ``from``, the scenario in force or any other text for a visitor's own settings,
            which stand between the last scenario and the first; ``by``, how many steps on from there; and ``number``,
            by which it knows the answer.
    """
    if not isinstance(asked, dict) or not isinstance(asked.get("number"), int):
        return ""
    start, by = asked.get("from"), asked.get("by")
    if not isinstance(start, str) or not isinstance(by, int) or isinstance(by, bool):
        return ""
    names = [each.name for each in topic.scenarios]
    if len(names) < 2:
        return ""
    at = names.index(start) if start in names else -1 if by > 0 else len(names)
    return names[(at + by) % len(names)]
