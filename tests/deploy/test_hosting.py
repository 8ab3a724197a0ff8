"""What is written for hosts agrees with the app, with Streamlit as installed, and with itself."""

import base64
import hashlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
import streamlit

from deploy import audit, local
from tests.deploy.nginx import nginx

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
NAME = re.compile(r"\$\{(LAYERWISE_\w+)\}")


def read(name: str) -> str:
    return (DEPLOY / name).read_text(encoding="utf-8")


def copied() -> list[str]:
    """Return what the image's last stage copies from the project."""
    last = read("Dockerfile").split("\nFROM ")[-1]
    lines = [line.split() for line in last.splitlines() if line.startswith("COPY ")]
    return [source for line in lines if not line[1].startswith("--") for source in line[1:-1]]


def test_the_image_holds_everything_that_the_app_imports(tmp_path: Path) -> None:
    for source in copied():
        (tmp_path / source).symlink_to(ROOT / source)
    program = """
import importlib, pkgutil, sys
sys.path[0] = "."
sys.dont_write_bytecode = True
from streamlit.testing.v1 import AppTest
app = AppTest.from_file("app.py", default_timeout=60).run()
for page in ("home", "dropout"):
    app = app.switch_page(f"pages/{page}.py").run()
    assert not app.exception, app.exception
    assert len(app.get("vega_lite_chart"))
for name in ("core", "charts", "ui"):
    for module in pkgutil.walk_packages([name], f"{name}."):
        if module.name.split(".")[1] not in ("__main__", "fonts"):
            importlib.import_module(module.name)
from charts.notes import notes
from charts.press import measure
from charts.topics import TOPICS
assert all(notes(name).claims for name in TOPICS)
assert measure("Layerwise", 12) > 0
print("whole")
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "whole\n", done.stderr
    assert "Traceback" not in done.stderr


def test_docker_is_sent_what_is_copied_and_no_more() -> None:
    sent = [line[1:] for line in read("Dockerfile.dockerignore").splitlines() if line.startswith("!")]
    assert sorted(sent) == sorted([*copied(), "requirements.lock"])


def test_the_lock_has_the_pins_and_hashes_of_every_file() -> None:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    wanted = [re.sub(r"\s*[;#].*", "", line) for line in lines if "==" in line]
    blocks = re.findall(
        r"^([\w.-]+)==(\S+)(?: ; [^\\\n]+)? \\\n((?: +--hash=\S+(?: \\)?\n)+)",
        (ROOT / "requirements.lock").read_text(),
        re.M,
    )
    locked = {f"{name}=={version}" for name, version, _ in blocks}
    assert set(wanted) <= locked
    # Every line that names a package has been understood.
    assert len(blocks) == len(re.findall(r"^[\w.-]+==", (ROOT / "requirements.lock").read_text(), re.M))
    assert all(re.fullmatch(r"(\s+--hash=sha256:[0-9a-f]{64}( \\)?\n)+", hashes) for *_, hashes in blocks)
    names = {name.lower() for name, *_ in blocks}
    from importlib.metadata import requires

    for name in names & {"streamlit", "altair", "pandas"}:
        for need in requires(name) or []:
            if ";" not in need:
                word = re.match(r"[\w.-]+", need)
                assert word is not None
                assert word[0].lower().replace("_", "-") in names, f"{name} needs {need}"


def test_the_policy_names_streamlits_inline_script() -> None:
    page = (Path(streamlit.__file__).parent / "static" / "index.html").read_text(encoding="utf-8")
    scripts = re.findall(r"<script>(.*?)</script>", page, re.S)
    hashes = {base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts}
    assert hashes
    assert set(re.findall(r"'sha256-([^']+)'", read("nginx.conf"))) == hashes


def test_both_ways_fill_in_every_name() -> None:
    template = read("nginx.conf")
    names = set(NAME.findall(template))
    assert names
    front = read("compose.yaml").split("\n  nginx:\n")[1].split("\nnetworks:")[0]
    assert names <= set(re.findall(r"^      (LAYERWISE_\w+):", front, re.M))
    made = local.configuration("/nowhere", "127.0.0.1:8080", [8501, 8502])
    assert not NAME.search(made)
    assert re.findall(r"server (127\S+)", made) == ["127.0.0.1:8501", "127.0.0.1:8502"]
    with pytest.raises(KeyError):
        local.filled("${LAYERWISE_OTHER}", {})


def test_nginx_takes_it(tmp_path: Path) -> None:
    command = nginx()
    config = tmp_path / "nginx.conf"
    config.write_text(local.configuration(str(tmp_path), "127.0.0.1:8080", [8501, 8502]), encoding="utf-8")
    done = subprocess.run(
        [command, "-t", "-p", str(tmp_path), "-e", "stderr", "-c", str(config)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "[warn]" not in done.stderr, done.stderr


def test_an_advisory_is_told_from_a_package_that_is_not_found() -> None:
    report = {
        "dependencies": [
            {"name": "sound", "version": "1", "vulns": []},
            {"name": "other", "skip_reason": "not found"},
            {"name": "broken", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.1", "3"]}]},
        ]
    }
    found, missing, asked = audit.judged(report)
    assert found == ["broken 2: PYSEC-1, mended in 2.1, 3"]
    assert missing == ["other"]
    assert asked == 2


@pytest.mark.parametrize(
    ("report", "said", "status"),
    [
        ('{"dependencies": [{"name": "sound", "version": "1", "vulns": []}]}', "", 0),
        (
            '{"dependencies": [{"name": "b", "version": "2", "vulns": [{"id": "X", "fix_versions": []}]}]}',
            "",
            1,
        ),
        ("", "Traceback\nrequests.exceptions.ProxyError: no way", 0),
        ("", "ERROR:pip_audit._cli:requirement b==2 does not contain a hash", 2),
    ],
    ids=["sound", "advisory", "nobody answers", "the audit itself fails"],
)
def test_the_audit_fails_where_it_must(
    report: str, said: str, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = subprocess.CompletedProcess([], 1, report, said)
    monkeypatch.setattr(audit.subprocess, "run", lambda *_, **__: done)
    assert audit.main() == status
    told = capsys.readouterr()
    assert said.rpartition("\n")[2] in told.out + told.err
    assert "Traceback" not in told.out
