"""Host the app on one machine without containers: nginx in front of several processes.

``python deploy/local.py`` starts them, Ctrl-C ends them. A process that ends by itself is started again, and its
visitors are with another one meanwhile. nginx reads the same file as in containers, ``deploy/nginx.conf``.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parents[1]
TEMPLATE = Path(__file__).with_name("nginx.conf")

HOW_TO_GET = (
    "needs nginx 1.20 or newer: apt install nginx-light, dnf install nginx, or brew install nginx; "
    "or name one in LAYERWISE_NGINX"
)
START = 60.0  # seconds in which a process has to answer
PAUSE = 1.0  # seconds between looks at the processes

_NAME = re.compile(r"\$\{(LAYERWISE_\w+)\}")


def find_nginx() -> str | None:
    """Return the nginx to start: the environment's choice, else the system's; None if there is none."""
    wanted = os.environ.get("LAYERWISE_NGINX")
    # /usr/sbin is on no one's path but root's.
    candidates = [wanted] if wanted else ["nginx", "/usr/sbin/nginx", "/usr/local/sbin/nginx"]
    return next((found for name in candidates if (found := shutil.which(name))), None)


def filled(template: str, names: Mapping[str, str]) -> str:
    """Return a template with every ``${LAYERWISE_…}`` replaced; nginx's own variables stay.

    Raises:
        KeyError: the template has a name that is not given.
    """
    return _NAME.sub(lambda found: names[found[1]], template)


def configuration(directory: str, listen: str, ports: Sequence[int]) -> str:
    """Return what nginx reads.

    Args:
        directory: where it may write.
        listen: address and port of the site.
        ports: of the processes, on this machine.
    """
    servers = [f"server 127.0.0.1:{port} max_fails=3 fail_timeout=5s;" for port in ports]
    return filled(
        TEMPLATE.read_text(encoding="utf-8"),
        {
            "LAYERWISE_DIRECTORY": directory,
            "LAYERWISE_LISTEN": listen,
            "LAYERWISE_UPSTREAMS": "\n        ".join(servers),
            "LAYERWISE_TRUSTED_PROXY": os.environ.get("LAYERWISE_TRUSTED_PROXY", "127.0.0.1"),
            "LAYERWISE_FRAME_ANCESTORS": os.environ.get("LAYERWISE_FRAME_ANCESTORS", "'self'"),
        },
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Start nginx and the processes, and keep them until a signal; return the exit status."""
    parser = argparse.ArgumentParser(description="nginx in front of several processes of the app.")
    parser.add_argument("--port", type=int, default=8080, help="of the site (8080)")
    parser.add_argument("--address", default="127.0.0.1", help="of the site (127.0.0.1; 0.0.0.0 for all)")
    parser.add_argument("--processes", type=int, default=2, help="about one a core (2)")
    parser.add_argument("--first", type=int, default=8501, help="port of the first process (8501)")
    parser.add_argument(
        "--restart",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="start a process again that has ended (yes)",
    )
    options = parser.parse_args(arguments)
    nginx = find_nginx()
    if nginx is None:
        print(f"deploy/local.py {HOW_TO_GET}", file=sys.stderr)
        return 2
    if options.processes < 1:
        parser.error("at least one process")

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    ports = range(options.first, options.first + options.processes)
    running: dict[int, subprocess.Popen[bytes]] = {}
    site = f"{options.address}:{options.port}"
    with tempfile.TemporaryDirectory(prefix="layerwise-") as directory:
        os.chmod(directory, 0o755)  # started by root, nginx works as another user
        config = Path(directory, "nginx.conf")
        config.write_text(configuration(directory, site, ports), encoding="utf-8")
        try:
            running |= {port: _app(port) for port in ports}
            for port in ports:
                _await(port, running[port])
            front = running[options.port] = subprocess.Popen(
                [nginx, "-p", directory, "-e", "stderr", "-c", str(config), "-g", "daemon off;"]
            )
            _await(options.port, front, options.address)
            print(f"http://{site} with {options.processes} processes; Ctrl-C ends them", flush=True)
            _keep(running, front, options.restart)
        except KeyboardInterrupt:
            return 0
        except RuntimeError as problem:
            print(problem, file=sys.stderr)
            return 1
        finally:
            _end(list(running.values()))


def _app(port: int) -> subprocess.Popen[bytes]:
    """Start a process of the app."""
    command = [
        *(sys.executable, "-m", "streamlit", "run", "app.py"),
        *("--server.port", str(port), "--server.address", "127.0.0.1", "--server.headless", "true"),
        *("--server.fileWatcherType", "none"),
    ]
    # With a process a core, more threads in one would only take turns with the others.
    return subprocess.Popen(command, cwd=ROOT, env={"OPENBLAS_NUM_THREADS": "1", **os.environ})


def _await(port: int, process: subprocess.Popen[bytes], address: str = "127.0.0.1") -> None:
    """Wait until the app answers at a port.

    Raises:
        RuntimeError: the process has ended, or is not ready in time.
    """
    host = "127.0.0.1" if address == "0.0.0.0" else address
    until = time.monotonic() + START
    while process.poll() is None and time.monotonic() < until:
        try:
            with urllib.request.urlopen(f"http://{host}:{port}/_stcore/health", timeout=2) as answer:
                if answer.read() == b"ok":
                    return
        except OSError:
            time.sleep(0.1)
    said = f"ended with status {process.returncode}" if process.returncode is not None else "does not answer"
    raise RuntimeError(f"the process at port {port} {said}")


def _keep(
    running: dict[int, subprocess.Popen[bytes]], front: subprocess.Popen[bytes], restart: bool
) -> NoReturn:
    """Watch over the processes; start those again that end, if asked to.

    Raises:
        RuntimeError: nginx has ended, or no process is left.
    """
    while True:
        time.sleep(PAUSE)
        if front.poll() is not None:
            raise RuntimeError(f"nginx ended with status {front.returncode}")
        for port, process in list(running.items()):
            if process.poll() is None:
                continue
            print(f"the process at port {port} ended with status {process.returncode}", flush=True)
            if restart:
                running[port] = _app(port)  # nginx finds out by itself when it answers
            else:
                del running[port]
        if list(running.values()) == [front]:
            raise RuntimeError("no process is left")


def _end(processes: Iterable[subprocess.Popen[bytes]]) -> None:
    """End processes, the stubborn ones by force."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)  # a second Ctrl-C would leave some of them behind
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


if __name__ == "__main__":
    sys.exit(main())
