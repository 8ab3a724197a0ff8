"""Ask the advisory database of PyPI about every package in requirements.lock; needs pip-audit.

``python deploy/audit.py`` fails where an advisory is known. Where the database cannot be asked it says so and does not
fail, for this says nothing about the packages.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LOCK = Path(__file__).resolve().parents[1] / "requirements.lock"


def judged(report: Mapping[str, Any]) -> tuple[list[str], list[str], int]:
    """Read a report of pip-audit.

    Returns:
        a line for each known advisory, the packages that were not found in the database, and how many were.
    """
    found, missing, asked = [], [], 0
    for package in report["dependencies"]:
        if "skip_reason" in package:
            missing.append(package["name"])
            continue
        asked += 1
        for advisory in package["vulns"]:
            mended = ", ".join(advisory["fix_versions"]) or "no version yet"
            found.append(f"{package['name']} {package['version']}: {advisory['id']}, mended in {mended}")
    return found, missing, asked


def main() -> int:
    """Audit the lock file; return 1 if an advisory is known, 2 if the audit itself fails."""
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes", "-r", str(LOCK)]
    done = subprocess.run(
        [*command, "--format", "json", "--progress-spinner", "off", "--timeout", "15"],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        found, missing, asked = judged(json.loads(done.stdout))
    except ValueError:
        if any(word in done.stderr for word in _AWAY):
            print("audit: the database could not be asked.", done.stderr.splitlines()[-1], sep="\n  ")
            return 0
        print(f"audit: no report.\n{done.stderr}", file=sys.stderr)
        return 2
    if missing:
        print(f"audit: not found in the database: {', '.join(missing)}")
    print(f"audit: {asked} packages, {len(found)} advisories", *found, sep="\n  ")
    return 1 if found else 0


_AWAY = ("requests.exceptions.", "Could not connect")  # where nothing answers, or something else does


if __name__ == "__main__":
    sys.exit(main())
