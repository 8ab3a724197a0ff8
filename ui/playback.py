"""Play: a button that moves the scrubber of the main figure by itself, in the browser alone."""

import json

from ui.squeeze import part, squeezed

SECONDS = 6  # for the whole run, however many steps it has

_BUTTON = """
<button type="button" class="play" aria-label="Play the run"><span class="sign">▶</span> <span class="word">Play</span></button>
"""

_STYLE = """
.play { font: inherit; font-size: .875rem; color: var(--st-text-color); background: none; border: 0;
        border-radius: .5rem; padding: .35rem .6rem; min-height: 2.5rem; cursor: pointer; }
.play:hover { color: var(--st-primary-color); }
.play:focus-visible { outline: 2px solid var(--st-primary-color); }
.sign { display: inline-block; width: 1.1em; }
@media (pointer: coarse) { .play { min-height: 2.7rem; } }
"""

# While the button is there ``page.play`` presses it.
_SCRIPT = f"""
const HTML = {json.dumps(squeezed(_BUTTON), ensure_ascii=False)};
const CSS = {json.dumps(squeezed(_STYLE))};
return ({{ parentElement }}) => {{
  const button = parentElement.querySelector('.play') ?? page.put(parentElement, HTML, CSS).querySelector('.play');
  const sign = button.querySelector('.sign'), word = button.querySelector('.word');
  const find = () => document.querySelector('[data-testid="stVegaLiteChart"] .vega-bind input[type=range]');
  let running = 0, began = 0, from = 0, told = null;
  const show = (on) => {{ sign.textContent = on ? '❚❚' : '▶'; word.textContent = on ? 'Pause' : 'Play'; }};
  const stop = () => {{ cancelAnimationFrame(running); running = 0; show(false); }};
  const tick = (now) => {{
    const input = find();
    // A hand on the scrubber, or a figure drawn anew, ends the play.
    if (!input || (told !== null && input.value !== told)) return stop();
    const low = +input.min, high = +input.max;
    const at = Math.min(high, from + (high - low) * (now - began) / {SECONDS * 1000});
    const next = String(Math.round(at));
    if (next !== input.value) {{
      input.value = next;
      input.dispatchEvent(new Event('input', {{ bubbles: true }}));
    }}
    told = input.value;
    if (at >= high) return stop();
    running = requestAnimationFrame(tick);
  }};
  const press = page.play = button.onclick = () => {{
    if (running) return stop();
    const input = find();
    if (!input) return;
    from = +input.value >= +input.max ? +input.min : +input.value;
    began = performance.now(); told = null; show(true);
    running = requestAnimationFrame(tick);
  }};
  return () => {{ stop(); if (page.play === press) page.play = null; }};
}};
"""

_component = part("play", _SCRIPT)


def draw() -> None:
    """Draw the button; it needs nothing from the server once it is there."""
    _component(key="_play")
