#!/usr/bin/env bash
# Make .venv and install the package with the versions of constraints.txt: with uv where it is, else with venv and pip.
# VENV, CONSTRAINTS (may be empty: the newest versions there are) and INTERPRETER choose others.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${VENV:-.venv}
constraints=${CONSTRAINTS-constraints.txt}

find_python() {
  for candidate in ${INTERPRETER:-python3.11 python3 python3.12 python3.13 python3.14}; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; then
      echo "$candidate"
      return
    fi
  done
  echo "error: needs Python 3.11 or newer${INTERPRETER:+, and $INTERPRETER is not}; install it, or uv, and try again" >&2
  return 2
}

# One line in place of pip's hundreds; it grows on a terminal.
show_progress() {
  local found=0
  while read -r word next _; do
    case "$word $next" in
      Collecting\ * | Requirement\ already)
        found=$((found + 1))
        if [ -t 1 ]; then printf '\r  %d packages found' "$found"; fi
        ;;
      Installing\ collected) printf '\r  %d packages found; installing\n' "$found" ;;
    esac
  done
}

if command -v uv > /dev/null; then
  echo "Making $venv with uv"
  uv venv --quiet --allow-existing --python "${INTERPRETER:-3.11}" "$venv"
  uv pip install --python "$venv/bin/python" ${constraints:+--constraint "$constraints"} --editable '.[dev]'
else
  python=$(find_python)
  echo "Making $venv with $python; this takes a minute or two, most of it for torch"
  "$python" -m venv "$venv"
  "$venv/bin/python" -m pip install ${constraints:+--constraint "$constraints"} --editable '.[dev]' 2> "$venv/pip.log" | show_progress ||
    { cat "$venv/pip.log" >&2; exit 1; }
fi
