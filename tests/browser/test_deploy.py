"""The app behind nginx, as a host runs it: a process is lost while a visitor is there."""

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.driver import ROOT
from tests.browser.test_app import drawn, parameters, press, reads, settled, slider, toolbar
from tests.deploy.nginx import nginx

PROCESSES = 2


def _free(count: int) -> list[int]:
    """Return ports in a row that nothing listens at."""
    for first in range(20000 + time.monotonic_ns() % 10000, 60000, 7):
        sockets = [socket.socket() for _ in range(count)]
        try:
            for number, each in enumerate(sockets):
                each.bind(("127.0.0.1", first + number))
            return [first + number for number in range(count)]
        except OSError:
            continue
        finally:
            for each in sockets:
                each.close()
    raise RuntimeError("no free ports")


@pytest.fixture
def site(browser: Any, tmp_path: Path) -> Iterator[tuple[str, list[int]]]:
    """Start what the script starts; its address and the ports of the processes."""
    nginx()
    port, *processes = _free(1 + PROCESSES)
    log = tmp_path / "log"
    with log.open("w", encoding="utf-8") as out:
        script = subprocess.Popen(
            [
                *(sys.executable, "deploy/local.py", "--port", str(port), "--first", str(processes[0])),
                *("--processes", str(PROCESSES), "--no-restart"),
            ],
            cwd=ROOT,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        try:
            until = time.monotonic() + 60
            while "Ctrl-C" not in log.read_text(encoding="utf-8"):
                assert script.poll() is None, log.read_text(encoding="utf-8")
                assert time.monotonic() < until, log.read_text(encoding="utf-8")
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}", processes
        finally:
            script.send_signal(signal.SIGTERM)
            assert script.wait(20) == 0
    for each in (port, *processes):
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", each)) != 0, "all of it has ended"
    assert "Traceback" not in log.read_text(encoding="utf-8")


def _sockets(port: int, state: str) -> list[list[str]]:
    """Return the lines of the system's table of sockets at a local port: 01 is open, 0A listens."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="utf-8").splitlines()[1:]]
    return [line for line in lines if int(line[1].split(":")[1], 16) == port and line[3] == state]


def _process(port: int) -> int:
    """Return the process that listens at a port."""
    ((*_, inode),) = (line[:10] for line in _sockets(port, "0A"))
    for entry in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if entry.readlink().name == f"socket:[{inode}]":
                return int(entry.parts[2])
        except OSError:
            continue
    raise LookupError(port)


def _serving(ports: list[int]) -> list[int]:
    """Return the ports that hold a visitor's connection, once one is there and the short ones are over."""
    until = time.monotonic() + 10
    found = [port for port in ports if _sockets(port, "01")]
    while len(found) != 1 and time.monotonic() < until:
        time.sleep(0.1)
        found = [port for port in ports if _sockets(port, "01")]
    return found


def test_a_visitor_survives_the_process(site: tuple[str, list[int]], contexts: Callable[..., Any]) -> None:
    address, ports = site
    page = contexts(1440, 900, "light").new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(f"error: {error}"))
    page.add_init_script(
        """window.refused = [];
        addEventListener('securitypolicyviolation', (e) => window.refused.push(`${e.violatedDirective} ${e.blockedURI}`))"""
    )
    page.goto(f"{address}/dropout")
    settled(page)
    page.wait_for_timeout(500)
    press(page, "p_drop")
    page.wait_for_function("location.search.includes('drop_p=')")
    chosen, shown, picture = parameters(page)["drop_p"], reads(page, "p_drop"), drawn(page)
    assert [line for line in said if "/_stcore/" not in line and "status of 404" not in line] == []

    (before,) = _serving(ports)
    victim = _process(before)
    subprocess.run(["kill", "-KILL", str(victim)], check=True)
    (after,) = set(ports) - {before}
    until = time.monotonic() + 20
    while _serving(ports) != [after] and time.monotonic() < until:
        page.wait_for_timeout(100)
    assert _serving(ports) == [after]
    settled(page)
    assert parameters(page)["drop_p"] == chosen
    assert reads(page, "p_drop") == shown
    assert drawn(page) == picture
    # The first thing that the other process hears of is a control that is moved on: from where it is, to where it goes.
    slider(page, "p_drop").press("ArrowRight")
    page.wait_for_function(
        "(old) => new URLSearchParams(location.search).get('drop_p') !== old", arg=chosen[0]
    )
    settled(page)
    assert float(parameters(page)["drop_p"][0]) == float(str(reads(page, "p_drop"))) > float(chosen[0])
    assert drawn(page) != picture

    with page.expect_download(timeout=60_000) as waiting:
        toolbar(page).get_by_role("button", name="PNG, 2").click()
    assert Path(waiting.value.path()).read_bytes().startswith(b"\x89PNG")
    assert re.search(r"p0\.\d+\.png$", waiting.value.suggested_filename)
    assert page.evaluate("window.refused") == []
    page.close()
