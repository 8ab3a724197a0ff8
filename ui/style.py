"""The few rules of style that Streamlit's theme has no setting for: the page on screen, and as a handout on paper."""

import streamlit as st

from charts.theme import INKS, PAGE
from ui.squeeze import SCRIPTS, send, squeezed

# Containers whose key begins so are on paper only, or on screen only.
PRINT, SCREEN = "print", "screen"

# What holds the page's place: sent on its own, before anything is drawn.
_SCREEN = f"""
:root {{ --layerwise-column: ours; }}
[data-testid="stMainBlockContainer"] {{ padding: 4.2rem 2.5rem 3rem; max-width: 1640px; }}
[data-testid="stMainBlockContainer"] > [data-testid="stVerticalBlock"] {{ gap: 0.6rem; }}
[data-testid="stSidebarUserContent"] [data-testid="stVerticalBlock"] {{ gap: 0.7rem; }}
[data-testid="stSidebarHeader"] {{ min-height: 0; height: 2.2rem; padding-bottom: 0; }}
@media (max-width: 640px) {{ [data-testid="stMainBlockContainer"] {{ padding: 4.2rem 1rem 3rem; }} }}
@media screen {{ [class*="st-key-{PRINT}_"] {{ display: none; }} }}
.st-key-{SCRIPTS} {{ display: none; }}
"""

# What waits for a run is not faded: Streamlit would make a layer of every element, and the browser spend as long on those
# as on the figure.
_DETAIL = """
[data-testid="stSidebarContent"], .vega-bind, [data-testid="stVegaLiteChart"] { font-variant-numeric: tabular-nums; }
[data-testid="stMarkdownContainer"] table { display: block; width: fit-content; max-width: 100%; overflow-x: auto; }
.katex-display { overflow-x: auto; overflow-y: hidden; }
[data-testid="stElementContainer"], [data-testid="stTabs"] > * { opacity: 1 !important; transition: none !important; }
@media screen { [data-testid="stVegaLiteChart"] svg :is(.role-axis-label, .role-axis-title) text {
  fill: color-mix(in srgb, currentColor 72%, transparent); } }
[data-testid="stCaptionContainer"] { opacity: 1; color: color-mix(in srgb, currentColor 68%, transparent); }
[data-testid="stSliderThumbValue"] { color: inherit; }
.st-key-predict_card { max-width: 46rem; }
.st-key-predict_card button * { justify-content: flex-start; text-align: start; }
.vega-bind { display: flex; gap: .6rem; align-items: center; font-size: .85rem; }
.vega-bind-name { min-width: 0 !important; width: auto !important; }
.vega-bind input[type=range] { width: min(320px, 45vw); }
"""

# Where a finger points nothing is smaller than 40 pixels. The buttons over a figure, which come with a mouse, stay away:
# our own toolbar below it has all they do. The drawer's button says what it opens, and the open tab stays in view.
_TOUCH = """
@media (pointer: coarse), (max-width: 640px) {
  [data-testid^="stTabsScroll"], [data-testid="stExpandSidebarButton"], [data-testid^="stBaseButton"],
  [data-testid="stMainMenuButton"], [data-testid="stSidebarCollapseButton"] button,
  [data-testid="stSelectbox"] [role="group"] button, [data-testid="stMultiSelect"] [role="group"] > button,
  [data-testid="stMultiSelectTagsContainer"] button { min-width: 40px !important; min-height: 40px !important; }
  [data-testid="stSelectbox"] [role="group"], [data-testid="stMultiSelectTagsContainer"] span:has(> button),
  [data-testid="stSelectbox"] input, [data-testid="stMultiSelect"] input,
  [data-testid="stCheckbox"] label, [data-testid="stExpander"] summary, [data-testid="stSlider"] [role="group"],
  .vega-bind label, .vega-bind input[type=range] { min-height: 40px; }
  [data-testid="stTab"] { flex: none; min-width: 40px; min-height: 40px; padding-inline: 6px; }
  [data-testid="stCheckbox"] label { align-items: center; }
  [data-testid="stMultiSelectTagsContainer"] { max-height: none; }
  [data-testid="stPageLink-NavLink"] { min-height: 40px; }
  [data-testid="stTooltipIcon"] button { padding: 13px; margin: -13px; box-sizing: content-box; }
  [data-testid="stMainBlockContainer"] [data-testid="stElementToolbar"], [data-testid="stHeaderActionElements"] {
    display: none !important; }
  [data-testid="stTabs"] [role="tab"][aria-selected="true"] {
    position: sticky; left: 2.6rem; right: 2.6rem; z-index: 1; background: GROUND;
    box-shadow: 0 0 0 .5rem GROUND; clip-path: inset(0 -.5rem); }
  [data-testid="stExpandSidebarButton"]::after { content: "Menu"; padding-inline: .4rem; font-size: .9rem; }
  .stApp:has([data-testid="stSidebar"] [data-testid="stSelectbox"]) [data-testid="stExpandSidebarButton"]::after {
    content: "Menu and controls"; }
}
""".replace("GROUND", f"light-dark({PAGE['light']['backgroundColor']}, {PAGE['dark']['backgroundColor']})")

# On paper: figure, reading and caption on one sheet, the derivation on the next. What is pressed or typed stays away.
_PAPER = f"""
@page {{ margin: 14mm; }}
@media print {{
  :root {{ color-scheme: light; }}
  [data-testid="stSidebar"], [data-testid="stHeader"], [data-testid="stToolbar"], [data-testid="stElementToolbar"],
  [data-testid="stTabs"] [role="tablist"], [data-testid="stTabs"] [data-testid="stExpander"],
  .stApp:has(.st-key-{PRINT}_why) [data-testid="stTabs"], [data-testid="stStatusWidget"],
  [data-testid="stTooltipIcon"], .vega-bind, iframe,
  [class*="st-key-"][class*="_toolbar"], .st-key-_play, [data-testid="stProgress"] {{ display: none !important; }}
  html, body, #root, .stApp, [data-testid="stAppViewContainer"], [data-testid="stMain"],
  [data-testid="stMainBlockContainer"] {{
    position: static !important; display: block !important; height: auto !important; min-height: 0 !important;
    overflow: visible !important; }}
  [data-testid="stMainBlockContainer"] {{ padding: 0 !important; max-width: none !important; }}
  [data-testid="stVegaLiteChart"], [data-testid="stVegaLiteChart"] > div {{ width: 100% !important; overflow: visible; }}
  [data-testid="stVegaLiteChart"] svg {{ width: 100% !important; height: auto !important; max-height: 150mm; }}
  [data-testid="stVegaLiteChart"] {{ break-inside: avoid; }}
  [class*="st-key-{SCREEN}_"] {{ display: none !important; }}
  [class*="st-key-{PRINT}_"] {{ display: flex; }}
  .st-key-{PRINT}_caption a {{ color: inherit !important; text-decoration: none; word-break: break-all; }}
  .st-key-{PRINT}_why {{ break-before: page; display: block; }}
  [data-testid="stTabs"] {{ break-before: page; }}
  [data-testid="stElementContainer"], [data-testid="stVerticalBlock"] {{ opacity: 1 !important; }}
  [data-testid="stMarkdownContainer"] {{ font-size: 9.5pt; line-height: 1.4; }}
  [data-testid="stMarkdownContainer"] .katex {{ font-size: 1.05em; }}
  [data-testid="stMarkdownContainer"] :is(td, th) {{ padding: 2pt 5pt !important; }}
  [data-testid="stMarkdownContainer"] p, [data-testid="stMarkdownContainer"] li, .katex-display {{ break-inside: avoid; }}
}}
"""

# Whoever reads in the dark prints on white all the same: every ink of the dark theme becomes that of the light one.
_PAGE = PAGE["light"]
_LIGHT = {ink.use: ink.light for ink in INKS}
_INKS = "\n".join(
    f'  svg [{part}="{ink.dark}"] {{ {part}: {ink.light}; }}' for ink in INKS for part in ("fill", "stroke")
)
_WHITE = f"""
@media print {{
  html, body, #root, .stApp, .stApp *, [data-testid="stVegaLiteChart"] svg {{ background-color: transparent !important; }}
  [data-testid="stVegaLiteChart"] svg {{ background: {_PAGE["backgroundColor"]} !important; }}
  [data-testid="stMarkdownContainer"], [data-testid="stMarkdownContainer"] * {{ color: {_PAGE["textColor"]} !important; }}
  [data-testid="stCaptionContainer"], [data-testid="stCaptionContainer"] * {{
    color: {_LIGHT["muted"]} !important; opacity: 1 !important; }}
  svg .role-axis-label text, svg .role-axis-title text {{ fill: {_LIGHT["muted"]}; }}
  svg .role-axis-grid line {{ stroke: {_PAGE["borderColor"]}; }}
{_INKS}
}}
"""

# In a frame of another page there is no menu to leave room for.
FRAMED = '<style>[data-testid="stMainBlockContainer"] { padding-top: .6rem !important; }</style>'

_FIRST = squeezed(f"<style>{_SCREEN}</style>")
_THEN = squeezed(_DETAIL + _TOUCH + _PAPER + _WHITE)


def lay() -> None:
    """Send the rules; those that hold no place go with the scripts of our components, in what is sent once a page."""
    st.html(_FIRST)
    send(_THEN)
