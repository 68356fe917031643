# Sourced by .ci/run and .ci/release-check: steps with an outcome each, and their summary.
# shellcheck shell=bash

# Set by who sources it: the folder of the logs.
: "${logs:?}"
# Minutes after which a step is ended.
step_limit=30
summary=()
# 1 once a step has failed: the exit status of who sources this.
# shellcheck disable=SC2034
failed=0

find_resources() { # find_resources FOLDER: golden numbers and real data lie beside the checkout on a CI machine
  local pair variable folder
  for pair in DEEPLAB_GOLDEN:golden DEEPLAB_DATA:data; do
    variable=${pair%%:*} folder=$1/${pair##*:}
    if [[ -n "${!variable:-}" ]]; then
      echo "$variable=${!variable}, as given."
    elif [[ -d "$folder" ]]; then
      export "$variable=$folder"
      echo "$variable=$folder"
    else
      echo "WARNING: $variable is not set and $folder is not there: tests that need it are skipped."
    fi
  done
}

note() { # note TITLE OUTCOME SECONDS REMARK: adds a row to the summary
  summary+=("$(printf '%-16s %-8s %4d s  %s' "$1" "$2" "$3" "$4")")
}

step() { # step TITLE COMMAND...: runs it, shows and keeps what it prints, and notes how it ended
  local title=$1 started=$SECONDS status=0 outcome closing log
  shift
  log="$logs/${title// /-}.log"
  printf '\n===== %s: %s\n' "$title" "$*"
  timeout --kill-after=30 "${step_limit}m" "$@" </dev/null 2>&1 | tee "$log" || status=${PIPESTATUS[0]}
  outcome=ok
  if ((status == 124 || status == 137)); then
    outcome="FAILED (took too long)"
  elif ((status != 0)); then
    outcome=FAILED
  fi
  # shellcheck disable=SC2034
  ((status == 0)) || failed=1
  # pytest's closing line, without its frame.
  closing=$(grep -E '^=+ .*(passed|failed|error|no tests ran).* =+$' "$log" | tail -n 1 | sed -E 's/^=+ | =+$//g')
  note "$title" "$outcome" $((SECONDS - started)) "$closing"
  return "$status"
}

target() { # target TITLE TARGET [VARIABLE=VALUE...]: a step that is a target of make
  local title=$1
  shift
  step "$title" make --no-print-directory "$@"
}

has_python_for() { # has_python_for VERSION: whether an older TensorFlow's Python is on this machine
  scripts/environment.sh --interpreter "$1" >/dev/null
}

show_summary() {
  printf '\n===== Summary (%d s)\n' "$SECONDS"
  printf '%s\n' "${summary[@]}"
}
