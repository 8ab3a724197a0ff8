#!/usr/bin/env bash
# Write requirements.lock anew: requirements.txt with all that comes with it, each file by its hash.
#   deploy/lock.sh                          what is locked stays, as far as requirements.txt lets it
#   deploy/lock.sh --upgrade                the newest versions of everything that requirements.txt does not pin
#   deploy/lock.sh --upgrade-package urllib3
# It takes the oldest Python that the app supports, so that the lock holds for the newer ones.
set -euo pipefail
cd "$(dirname "$0")/.."

tools="$(mktemp -d)"
trap 'rm -rf "$tools"' EXIT
"${PYTHON:-python3.11}" -m venv "$tools"
"$tools/bin/python" -m pip install --quiet --disable-pip-version-check pip-tools==7.6.2
CUSTOM_COMPILE_COMMAND="deploy/lock.sh" "$tools/bin/pip-compile" --quiet --generate-hashes --strip-extras \
  --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --output-file=requirements.lock "$@" requirements.txt
