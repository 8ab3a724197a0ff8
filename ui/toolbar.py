"""The toolbar under a figure: files, the figure as Markdown, the link; also ties the reading to the chart for screen readers."""

import json
import mimetypes
import re
from collections.abc import Mapping
from typing import Any

import streamlit as st

from charts.export import ENDINGS, GROUNDS, PICTURES, SCALES, SIZES, file_name, markdown
from charts.figure import Figure
from charts.topic import Topic, Values
from ui import delivery
from ui.squeeze import part, squeezed

_MIME = {"json": "application/vnd.vegalite+json", "svg": "image/svg+xml"}
_SIZE_LABELS = {name: size.label for name, size in SIZES.items()}
_GROUND_LABELS = {name: name.capitalize() for name in GROUNDS}


def _button(label: str, says: str, **what: object) -> str:
    """Write a button: its label, its name for those who do not see it, and what the script reads off it."""
    data = " ".join(f'data-{name}="{value}"' for name, value in what.items())
    return f'<button type="button" {data} aria-label="{says}" title="{says}">{label}</button>'


def _group(says: str, *parts: str) -> str:
    return f'<span class="group" role="group" aria-label="{says}">{"".join(parts)}</span>'


def _select(name: str, says: str, choices: Mapping[str, str], chosen: str) -> str:
    options = (
        f'<option value="{choice}"{" selected" if choice == chosen else ""}>{label}</option>'
        for choice, label in choices.items()
    )
    return f'<select class="{name}" aria-label="{says}">{"".join(options)}</select>'


_HTML = "\n".join(
    (
        '<div class="bar" role="group" aria-label="Save or share this figure">',
        _group(
            "Copy",
            _button("Copy link", "Copy the link to this view, with every parameter", what="link"),
            _button("Copy Markdown", "Copy picture, caption and link as Markdown", what="markdown"),
        ),
        _group(
            "Save as a picture",
            '<span class="word">PNG</span>',
            *(
                _button(f"{n}×", f"Save PNG, {n} pixels for one", ending="png", scale=n)
                for n in SCALES
                if n > 1
            ),
            _button("SVG", "Save SVG", ending="svg"),
            _button("PDF", "Save PDF", ending="pdf"),
        ),
        _group(
            "Save the data",
            _button("CSV", "Save the drawn numbers as CSV", ending="csv"),
            _button("JSON", "Save the Vega-Lite JSON, with data and theme", ending="json"),
        ),
        _group(
            "How pictures look",
            _select("size", "Size of the picture", _SIZE_LABELS, "page"),
            _select("ground", "Ground of the picture", _GROUND_LABELS, "white"),
            '<label><input type="checkbox" class="caption" checked> Caption</label>',
        ),
        '<span class="group keys">' + _button("Keys", "Show the keyboard shortcuts", what="keys") + "</span>",
        '<span class="said" role="status" aria-live="polite"></span>',
        "</div>",
    )
)

_STYLE = """
.bar { display: flex; flex-wrap: wrap; align-items: center; gap: .1rem 1.1rem; font: inherit; font-size: .82rem;
       color: var(--st-text-color); }
.bar.bare, .keys[hidden] { display: none; }
.group { display: inline-flex; flex-wrap: wrap; align-items: center; gap: .1rem; }
.word, label { opacity: .75; }
.word { padding: 0 .25rem 0 .3rem; }
button, select { font: inherit; color: inherit; background: none; border: 0; border-radius: .3rem; cursor: pointer;
                 padding: .3rem .42rem; min-height: 2rem; opacity: .75; }
select { padding-right: .1rem; } option { color: var(--st-text-color); background: var(--st-background-color); }
label { display: inline-flex; align-items: center; gap: .3rem; padding: .3rem .42rem; cursor: pointer; min-height: 1.4rem; }
input { margin: 0; accent-color: var(--st-primary-color); }
button:hover, select:hover, label:hover { opacity: 1; color: var(--st-link-color);
                                          background: var(--st-secondary-background-color); }
button:focus-visible, select:focus-visible, input:focus-visible { outline: 2px solid var(--st-primary-color); opacity: 1; }
button[aria-disabled=true] { cursor: default; opacity: .4; }
.said { opacity: .85; padding: 0 .4rem; }
@media (pointer: coarse) { button, select, label { min-height: 2.7rem; min-width: 2.7rem; } }
"""

# Stands in the Markdown that is sent for the link, which is sent once.
_LINK = "\N{OBJECT REPLACEMENT CHARACTER}"

# The buttons stay reachable while a file is made, or the keyboard would lose its place.
_SCRIPT = (
    f"""
const HTML = {json.dumps(_HTML, ensure_ascii=False)};
const CSS = {json.dumps(squeezed(_STYLE), ensure_ascii=False)};
const LINK = {json.dumps(_LINK)};
"""
    + """
const KEY = 'layerwise-save';
const remembered = () => { try { return JSON.parse(sessionStorage.getItem(KEY)) || {}; } catch { return {}; } };
const remember = (what) => { try { sessionStorage.setItem(KEY, JSON.stringify(what)); } catch { /* no storage */ } };

// The reading describes the chart that stands before the toolbar; what loads later is waited for.
function describe(parent, key, tries = 20) {
  const text = document.querySelector('.st-key-' + key), host = parent.getRootNode().host ?? parent;
  const chart = [...document.querySelectorAll('[data-testid=stVegaLiteChart]')]
    .filter((each) => host.compareDocumentPosition(each) & Node.DOCUMENT_POSITION_PRECEDING).at(-1);
  if (text && chart) { text.id = key; chart.setAttribute('aria-describedby', key); }
  else if (tries && parent.isConnected) setTimeout(() => describe(parent, key, tries - 1), 250);
}

async function copy(text) {
  try { await navigator.clipboard.writeText(text); return true; } catch { /* only on https and localhost */ }
  const area = document.createElement('textarea');
  area.value = text; area.style.position = 'fixed'; area.style.opacity = '0';
  document.body.append(area); area.select();
  const done = document.execCommand('copy');
  area.remove();
  return done;
}

return ({ parentElement, data, setTriggerValue }) => {
  const bar = parentElement.querySelector('.bar') ?? page.put(parentElement, HTML, CSS).querySelector('.bar');
  const said = bar.querySelector('.said'), keys = bar.querySelector('.keys');
  const size = bar.querySelector('.size'), ground = bar.querySelector('.ground'), caption = bar.querySelector('.caption');
  const own = bar.own ??= { waiting: 0, picture: '', clear: 0, slow: 0 };
  bar.classList.toggle('bare', data.bare);
  describe(parentElement, data.reading);
  keys.hidden = !data.main;
  keys.firstElementChild.onclick = () => page.help?.();
  const say = (text, keep) => {
    clearTimeout(own.clear); said.textContent = text;
    if (text && !keep) own.clear = setTimeout(() => { said.textContent = ''; }, 6000);
  };
  const buttons = [...bar.querySelectorAll('[data-ending]')];
  const busy = (on) => buttons.forEach((button) => { button.ariaDisabled = on ? 'true' : 'false'; });

  // What was chosen under one figure holds for all.
  const adopt = () => {
    const kept = remembered(), offers = (select, value) => [...select.options].some((each) => each.value === value);
    if (offers(size, kept.size)) size.value = kept.size;
    if (offers(ground, kept.ground)) ground.value = kept.ground;
    caption.checked = kept.caption !== false;
  };
  adopt();
  bar.onpointerenter = adopt;
  if (!own.listens) { own.listens = true; bar.addEventListener('focusin', adopt); }
  [size, ground, caption].forEach((control) => {
    control.onchange = () => remember({ size: size.value, ground: ground.value, caption: caption.checked });
  });

  // Says here what it says, and returns it.
  const give = async (text, done) => {
    const told = await copy(text) ? done : 'This browser lets nothing be copied here';
    say(told);
    return told;
  };
  const link = () => give(data.link, 'Link copied, with every parameter');
  bar.querySelector('[data-what=link]').onclick = link;
  bar.querySelector('[data-what=markdown]').onclick = () => give(
    data.markdown.replace(data.file, own.picture || data.file).replaceAll(LINK, () => data.link), 'Markdown copied');
  buttons.forEach((button) => {
    button.onclick = () => {
      if (own.waiting) return;
      const ending = button.dataset.ending;
      own.waiting = Date.now();
      busy(true); say('Preparing the ' + ending.toUpperCase() + ' …', true);
      own.slow = setTimeout(() => { own.waiting = 0; busy(false); say('No answer; try again'); }, 90000);
      setTriggerValue('order', { number: own.waiting, ending, scale: +(button.dataset.scale || 2), size: size.value,
        ground: ground.value, caption: caption.checked });
    };
  });
  const all = window.layerwiseToolbars ??= {};
  const mine = all[data.key] = (answer) => {
    if (answer.number !== own.waiting) return;
    own.waiting = 0; clearTimeout(own.slow); busy(false);
    if (answer.problem) return say(answer.problem, true);
    if (/\\.(png|svg)$/.test(answer.name)) own.picture = answer.name;
    say('Saved ' + answer.name);
  };
  if (data.main) page.bar = { bar, link, shown: !data.bare };
  return () => {
    if (all[data.key] === mine) delete all[data.key];
    if (page.bar?.link === link) page.bar = null;
  };
};
"""
)

_component = part("toolbar", _SCRIPT)


def draw(
    figure: Figure,
    key: str,
    topic: Topic,
    values: Values,
    link: str,
    brief: str,
    reading: str,
    bare: bool = False,
) -> None:
    """Draw the toolbar of a figure.

    Args:
        figure: what is saved.
        key: identity of the figure's chart on the page; its reading stands in the container ``reading_key(key)``.
        topic: of the page.
        values: that the figure shows.
        link: address of this view with every parameter, to be copied.
        brief: a shorter address of it, to be printed.
        reading: the Markdown below the figure, for the alternative text of files.
        bare: draw nothing, only tie reading and chart together.
    """
    mine = f"{key}_toolbar"

    def ordered() -> None:
        asked = st.session_state[mine].get("order")
        if isinstance(asked, dict):
            _order(mine, asked, figure, topic, values, brief, reading)

    name = file_name(figure, "png", values, topic)
    _component(
        key=mine,
        data={
            "key": mine,
            "link": link,
            "markdown": markdown(figure, name, _LINK),
            "file": name,
            "reading": reading_key(key),
            "main": key == f"{topic.prefix}_main",
            "bare": bare,
        },
        on_order_change=ordered,
    )


def reading_key(key: str) -> str:
    """Return the key of the container of a figure's reading; it is an identifier in the browser too."""
    return re.sub(r"[^a-zA-Z0-9_-]", "-", key) + "_reading"


def _order(
    toolbar: str,
    asked: Mapping[str, Any],
    figure: Figure,
    topic: Topic,
    values: Values,
    brief: str,
    reading: str,
) -> None:
    """Have the file made that the browser asks for; what it sends is checked like any input."""
    from ui.files import make

    number, ending, scale = asked.get("number"), asked.get("ending"), asked.get("scale")
    size, ground, caption = asked.get("size"), asked.get("ground"), asked.get("caption")
    if not isinstance(number, int):
        return
    if (
        not (isinstance(ending, str) and isinstance(size, str) and isinstance(ground, str))
        or not (isinstance(scale, int) and not isinstance(scale, bool) and isinstance(caption, bool))
        or not (ending in ENDINGS and size in SIZES and ground in GROUNDS and scale in SCALES)
    ):
        delivery.refuse(toolbar, number, "No such file; reload the page.")
        return
    how = [f"{scale}x"] if ending == "png" and scale != 2 else []
    if ending in PICTURES:
        how += [size] if size != "page" else []
        how += [ground] if ground != "white" else []
    name = (
        "-".join((file_name(figure, ending, values, topic).removesuffix(f".{ending}"), *how)) + f".{ending}"
    )

    def content() -> bytes:
        return make(
            figure,
            ending,
            size=size,
            scale=scale,
            ground=ground,
            caption=caption,
            link=brief,
            reading=reading,
        )

    mime = _MIME.get(ending) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    delivery.order(toolbar, number, name, mime, content)
