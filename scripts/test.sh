#!/usr/bin/env bash
# The tests of `make test`, in two processes that take about equally long: together half the time on two cores.
# PYTHON chooses the interpreter.
set -u
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-.venv/bin/python}
FIRST=(tests/data tests/kernels tests/layers tests/ssm tests/tuning)

log=$(mktemp)
"$PYTHON" -m pytest -m "not slow" "${FIRST[@]}" >"$log" 2>&1 &
first=$!
trap 'kill "$first" 2>/dev/null; rm -f "$log"' EXIT
"$PYTHON" -m pytest -m "not slow" "${FIRST[@]/#/--ignore=}"
second=$?
wait "$first"
first_code=$?
cat "$log"
exit $((first_code || second))
