"""How long a first visit takes, from the server's start to the first painted chart, and what is imported for it.

    python -m benchmarks.arrival [--page NAME ...] [--rounds N] [--imports]

Server after server is started in turn, the app's and that of a bare page that imports Streamlit and Altair and draws
the same figure from a file; each gets one visitor, with an empty cache, who opens the page. The clock starts with the
server's process and stops when the first frame with a chart has been painted. Files compiled to bytecode are there in
both cases. What compares is the ratio.

Then what is imported, by ``python -X importtime``: in the app's server up to the end of its first page and in the bare
page's, what the app adds and its ten dearest imports, which large libraries are in; and for every topic and for the
pages' code in a process of their own, by owner. ``--imports`` prints that alone.
"""

import argparse
import json
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from playwright.sync_api import Browser, sync_playwright
from playwright.sync_api import Error as Unreachable

from benchmarks.interaction import HOOK, PATIENCE, SCREEN
from benchmarks.prepared import topic_of
from charts import landing
from charts.figure import WIDE, Figure
from charts.topics import TOPICS
from tests.browser.driver import CHART, FLAGS, HOW_TO_GET, ROOT, find_chromium, running
from ui.figure import table

HOME = "home"
BARE = """\
import json
from pathlib import Path

import altair  # what a page imports that builds its chart itself
import pyarrow as pa
import streamlit as st

here = Path(__file__).parent
st.set_page_config(layout="wide")
chart = json.loads((here / "spec.json").read_text(encoding="utf-8"))
chart["datasets"] = {path.stem: pa.ipc.open_file(str(path)).read_all() for path in here.glob("*.arrow")}
st.vega_lite_chart(chart, width="content")
"""

# Large: file formats, other libraries, processes and pools. Which of them are in should have a reason.
HEAVY = (
    *(
        "matplotlib",
        "scipy",
        "sklearn",
        "torch",
        "vl_convert",
        "PIL",
        "contourpy",
        "plotly",
        "bokeh",
        "pydeck",
    ),
    *(
        "multiprocessing.pool",
        "concurrent.futures.process",
        "sqlite3",
        "jinja2",
        "requests",
        "git",
        "watchdog",
    ),
)
OWN = ("core", "charts", "ui", "pages")


class Arrival(NamedTuple):
    """One first visit, in seconds from the start of the server: its port is open, the first chart is painted."""

    open: float
    painted: float


# Servers


def bare_page(folder: Path, figure: Figure, width: int) -> Path:
    """Write the script of the bare page with its figure beside it, and return its path."""
    folder.mkdir()
    (folder / "spec.json").write_text(json.dumps(figure.spec(width)), encoding="utf-8")
    for name, frame in figure.data.items():
        data = table(frame)
        with pa.ipc.new_file(str(folder / f"{name}.arrow"), data.schema) as file:
            file.write_table(data)
    script = folder / "bare.py"
    script.write_text(BARE, encoding="utf-8")
    return script


def _first(page: str) -> tuple[Figure, int]:
    """Return the first figure of a page and the width it has there."""
    if page == HOME:
        return landing.valley(), WIDE
    topic = topic_of(page)
    return topic.view(topic.defaults()).figure, WIDE


@contextmanager
def started(script: str, log: Path, options: Sequence[str] = ()) -> Iterator[tuple[str, float]]:
    """Start a server; yields its address at once, and when it was started in seconds of ``time.time``."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        *(sys.executable, *options, "-m", "streamlit", "run", script),
        *("--server.port", str(port), "--server.address", "127.0.0.1", "--server.headless", "true"),
        *("--server.fileWatcherType", "none"),
    ]
    begun = time.time()
    with running(command, log):
        yield f"http://127.0.0.1:{port}", begun


def _opened(address: str) -> float:
    """Wait until a server takes connections and return when that was."""
    host, port = address.removeprefix("http://").split(":")
    until = time.monotonic() + PATIENCE / 1e3
    while time.monotonic() < until:
        try:
            with socket.create_connection((host, int(port)), timeout=1):
                return time.time()
        except OSError:
            time.sleep(0.005)
    raise RuntimeError(f"no server at {address}")


def visit(browser: Browser, script: str, path: str, log: Path, options: Sequence[str] = ()) -> Arrival:
    """Start a server, open a page with an empty cache, and end the server once its first chart is there.

    Args:
        browser: where to open it.
        script: of the server.
        path: of the page.
        log: takes what the server prints.
        options: of the interpreter.
    """
    context = browser.new_context(viewport=SCREEN)  # type: ignore[arg-type]
    context.add_init_script(HOOK)
    page = context.new_page()
    try:
        with started(script, log, options) as (address, begun):
            ready = _opened(address)
            page.goto(f"{address}/{path}", wait_until="commit")
            page.wait_for_selector(f"{CHART} :is(svg, canvas).marks", timeout=2 * PATIENCE)
            page.wait_for_function("__press.first > 0", polling=50, timeout=PATIENCE)
            painted = page.evaluate("performance.timeOrigin + __press.first") / 1e3
            page.wait_for_function(
                "document.querySelector('[data-test-script-state]')?.dataset.testScriptState === 'notRunning'",
                polling=100,
                timeout=PATIENCE,
            )
            return Arrival(ready - begun, painted - begun)
    except Unreachable as error:
        raise RuntimeError(f"{script} did not draw:\n{log.read_text(encoding='utf-8')[-2000:]}") from error
    finally:
        context.close()


# Imports


def imports(text: str) -> dict[str, tuple[float, float]]:
    """Read what ``-X importtime`` printed.

    Returns:
        module → milliseconds of its own and with what it imported itself.
    """
    found = {}
    for own, whole, name in re.findall(r"^import time:\s+(\d+) \|\s+(\d+) \|\s+(\S+)$", text, re.MULTILINE):
        found[name] = (int(own) / 1e3, int(whole) / 1e3)
    return found


def owners(found: Mapping[str, tuple[float, float]]) -> Counter[str]:
    """Add up the modules' own milliseconds by the top of their names."""
    total: Counter[str] = Counter()
    for name, (own, _) in found.items():
        total[name.split(".")[0]] += own  # type: ignore[assignment]
    return total


def alone(module: str) -> dict[str, tuple[float, float]]:
    """Import a module in a process of its own."""
    command = [sys.executable, "-X", "importtime", "-c", f"import {module}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return imports(done.stderr)


def _shares(total: Counter[str]) -> str:
    """Write whose imports take how long: ours, then the dearest of the others."""
    ours = [f"{name} {total[name]:.0f}" for name in OWN if total[name]]
    others = [(name, spent) for name, spent in total.most_common() if name not in OWN]
    rest = sum(spent for _, spent in others[5:])
    return ", ".join([*ours, *(f"{name} {spent:.0f}" for name, spent in others[:5]), f"others {rest:.0f}"])


def compare(
    page: str, mine: Mapping[str, tuple[float, float]], bare: Mapping[str, tuple[float, float]]
) -> str:
    """Write what the app's server imports beside the bare page's when a page is its first."""
    added = {name: times for name, times in mine.items() if name not in bare}
    dearest = sorted(added.items(), key=lambda item: -item[1][0])[:10]
    heavy = [name for name in HEAVY if name in mine]
    extra = [name for name in heavy if name not in bare]
    others = tuple(f"charts.{other.removesuffix('s')}" for other in TOPICS if other != page)
    foreign = {name: own for name, (own, _) in mine.items() if name.startswith(others)}
    return "\n".join(
        (
            f"    app {sum(own for own, _ in mine.values()):.0f} ms in {len(mine)} modules, "
            f"bare {sum(own for own, _ in bare.values()):.0f} ms in {len(bare)}",
            f"    only in the app: {sum(own for own, _ in added.values()):.0f} ms; {_shares(owners(added))}",
            "    dearest of these: " + ", ".join(f"{name} {own:.1f}" for name, (own, _) in dearest),
            f"    charts of other pages: {sum(foreign.values()):.0f} ms in {len(foreign)} modules",
            f"    large ones in the app: {', '.join(heavy) or 'none'}; not in the bare page: "
            f"{', '.join(extra) or 'none'}",
        )
    )


# Report


def report(page: str, mine: Sequence[Arrival], bare: Sequence[Arrival]) -> str:
    """Write one row of the table."""
    cells = [
        f"{statistics.median(each.open for each in them):7.2f} {statistics.median(each.painted for each in them):8.2f}"
        for them in (mine, bare)
    ]
    by_round = [a.painted / b.painted for a, b in zip(mine, bare, strict=True)]
    ratio = statistics.median(a.painted for a in mine) / statistics.median(b.painted for b in bare)
    return (
        f"{page:15s} {len(mine):3d} {cells[0]} {cells[1]} {ratio:7.2f}   "
        f"{min(by_round):.2f} to {max(by_round):.2f}"
    )


HEAD = (
    f"{'page':15s} {'n':>3s} {'app: open':>7s} {'painted':>6s} {'bare: open':>7s} {'painted':>5s} {'ratio':>7s}   by round\n"
    f"{'':19s} {'s':>7s} {'s':>8s} {'s':>7s} {'s':>8s}"
)


def arrive_all(browser: Browser, pages: Sequence[str], rounds: int, folder: Path) -> None:
    """Measure the first visits to some pages and print a row for each."""
    # As the image has it. A server does so itself, but not everywhere: PYTHONDONTWRITEBYTECODE may be set.
    subprocess.run([sys.executable, "-m", "compileall", "-q", *OWN], cwd=ROOT, check=True)
    print(HEAD, flush=True)
    for page in pages:
        script = str(bare_page(folder / page, *_first(page)))
        path = "" if page == HOME else page
        mine, bare = [], []
        for number in range(rounds + 1):
            pair = (
                visit(browser, "app.py", path, folder / "app.log"),
                visit(browser, script, "", folder / "bare.log"),
            )
            if number or not rounds:  # the first round fills the disk's cache
                mine.append(pair[0])
                bare.append(pair[1])
        print(report(page, mine, bare), flush=True)


def import_all(browser: Browser, pages: Sequence[str], folder: Path) -> None:
    """Print what the first visit to some pages imports, then each topic and the pages' code alone."""
    for page in pages:
        script = folder / page / "bare.py"
        if not script.exists():
            script = bare_page(folder / page, *_first(page))
        logs = {"app.py": folder / "app_imports.log", str(script): folder / "bare_imports.log"}
        for each, log in logs.items():
            path = page if each == "app.py" and page != HOME else ""
            visit(browser, each, path, log, ("-X", "importtime"))
        found = [imports(log.read_text(encoding="utf-8")) for log in logs.values()]
        print(f"imports of a server whose first page is {page}:\n{compare(page, *found)}", flush=True)
    print("imports in a process of their own, ms:")
    modules = ["core.propagation", *(f"charts.{page}" for page in pages if page != HOME), "ui.page"]
    for module in modules:
        total = owners(alone(module))
        print(f"    {module:22s} {sum(total.values()):6.0f}: {_shares(total)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known: Any = (HOME, *TOPICS)
    parser.add_argument("--page", action="append", choices=known, help="only this page; may be repeated")
    parser.add_argument("--rounds", type=int, default=4, help="first visits to each page (default 4)")
    parser.add_argument("--imports", action="store_true", help="only say what is imported")
    options = parser.parse_args()
    pages = options.page or known
    folder = Path(tempfile.mkdtemp())
    with sync_playwright() as playwright:
        executable = find_chromium(playwright.chromium.executable_path)
        if executable is None:
            parser.exit(2, HOW_TO_GET + "\n")
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        if not options.imports:
            arrive_all(browser, pages, options.rounds, folder)
        import_all(browser, pages, folder)
        browser.close()


if __name__ == "__main__":
    main()
