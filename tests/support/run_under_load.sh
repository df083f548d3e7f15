#!/usr/bin/env bash
# usage: run_under_load.sh TIMES [PYTEST ARGUMENT...]
# Runs the suite TIMES times while one busy process per core competes with it. Prints one line per run, with its number,
# exit status, duration and summary; the output of each run is in $LOG_FOLDER (default: a new temporary folder).
# PYTHON names the interpreter. Exit status: the number of failed runs, at most 125.
set -uo pipefail
times=$1
shift
python=${PYTHON:-.venv/bin/python}
logs=${LOG_FOLDER:-$(mktemp -d)}
mkdir -p "$logs"

busy=()
trap 'kill "${busy[@]}" 2>/dev/null' EXIT
for _ in $(seq "$(nproc)"); do
  "$python" -c "while True: pass" &
  busy+=($!)
done

failed=0
for number in $(seq "$times"); do
  start=$(date +%s)
  "$python" -m pytest "$@" >"$logs/run-$number.log" 2>&1
  status=$?
  [ "$status" -eq 0 ] || failed=$((failed + 1))
  result=$(grep -E "^(FAILED|ERROR) " "$logs/run-$number.log" | cut -c1-150 | paste -sd ";" -)
  echo "run $number of $times: exit status $status, $(($(date +%s) - start)) s, load $(cut -d " " -f 1 /proc/loadavg). $result"
done
echo "$failed of $times runs failed; logs: $logs"
exit $((failed > 125 ? 125 : failed))
