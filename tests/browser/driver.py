"""Drive the app in a browser: find a Chromium, start a server, wait until a page is done."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

HOW_TO_GET = (
    "needs a browser: pip install -r requirements-dev.txt and a Chromium "
    "(apt install chromium, or playwright install chromium)"
)

_NAMES = ("/usr/bin/chromium", "/usr/bin/chromium-browser", "google-chrome", "chromium", "chrome")

APP = "[data-testid=stApp]"
CHART = "[data-testid=stVegaLiteChart]"


def find_chromium(bundled: str = "") -> str | None:
    """Return a browser to start: the environment's choice, the system's, else Playwright's own; None if none."""
    wanted = os.environ.get("LAYERWISE_CHROMIUM")
    candidates = [wanted] if wanted else [*_NAMES, bundled]
    return next((found for name in candidates if name and (found := shutil.which(name))), None)


@contextmanager
def serve(script: str, log: Path, options: Sequence[str] = ()) -> Iterator[str]:
    """Run a Streamlit script from the project's root on a free port; yields its address and ends it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        *(sys.executable, "-m", "streamlit", "run", script),
        *("--server.port", str(port), "--server.address", "127.0.0.1", "--server.headless", "true"),
        *("--server.fileWatcherType", "none", *options),
    ]
    address = f"http://127.0.0.1:{port}"
    with running(command, log) as process:
        _await_health(address, process, log)
        yield address


@contextmanager
def running(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command from the project's root with its output in ``log``; ends it."""
    with log.open("w", encoding="utf-8") as out:
        process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _await_health(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=1) as answer:
                if answer.read() == b"ok":
                    return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"the server did not start:\n{log.read_text(encoding='utf-8')}")
