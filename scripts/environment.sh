#!/usr/bin/env bash
# Creates or reuses the virtual environment of one TensorFlow version.
#
#   scripts/environment.sh 2.21                 .venv         on Python 3.11
#   scripts/environment.sh 2.6                  .venv-tf2.6   on Python 3.9
#   scripts/environment.sh 1.15                 .venv-tf1.15  on Python 3.7
#   scripts/environment.sh gpu                  .venv-gpu     TensorFlow 2.21 with CUDA on Python 3.11
#   scripts/environment.sh --interpreter 2.6    only prints the Python it would use
#
# An environment with the same pins is reused. One with different pins, or an incomplete one, is
# rebuilt. PYTHON311, PYTHON39 and PYTHON37 override the interpreter found.
#
# Exit status: 0 the environment is ready, 2 wrong argument, 3 no such interpreter, 1 anything else.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { # fail STATUS MESSAGE
  echo "Error: $2" >&2
  exit "$1"
}

works() { # works PYTHON VERSION: it runs, has that version and can create environments
  [[ "$("$1" -c 'import ensurepip, sys, venv; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" == "$2" ]]
}

find_python() { # find_python VERSION: prints an interpreter, or prints nothing and fails
  local version=$1 variable="PYTHON${1/./}" candidate
  if [[ -n "${!variable:-}" ]]; then
    if works "${!variable}" "$version"; then
      echo "${!variable}"
      return
    fi
    echo "Error: $variable=${!variable} is not a Python $version that can create environments." >&2
    return 3
  fi
  # pyenv's shim of this name may exist without an installed version, so each candidate is tried.
  while read -r candidate; do
    if works "$candidate" "$version"; then
      echo "$candidate"
      return
    fi
  done < <(
    printf '%s\n' "python$version" python3 python
    printf '%s\n' "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version".*/bin/python | sort -rV
  )
  return 1
}

pins_of() { # pins_of FILE...: their pins; a changed comment rebuilds nothing
  grep -shvE '^(#|$)' "$@"
}

progress() { # reduces pip's output to progress lines
  awk '
    /^(Collecting|Processing) / {
      name = $2; sub(/.*\//, "", name)
      if (++found % 10 == 0 || name ~ /^tensorflow(_cpu|-cpu)?[=-]/) { print "  package " found ": " name; fflush() }
    }
    /^Installing collected packages/ { print "  unpacking " NF - 3 " packages"; fflush() }'
}

make_environment() { # make_environment FOLDER VERSION PYTHON FILE...
  local folder=$1 version=$2 python=$3 started=$SECONDS log="$1.log"
  shift 3
  echo "Creating $folder: TensorFlow $version on $("$python" --version 2>&1), from $*."
  echo "  This is done once; it takes one to five minutes and up to 2 GB."
  rm -rf "$folder"
  mkdir "$folder"
  touch "$folder/incomplete"
  local pip=("$folder/bin/python" -m pip)
  if ! {
    "$python" -m venv "$folder" &&
      "${pip[@]}" install -r requirements/installer.txt &&
      # The files pin every package, so no resolution is needed; pip check verifies that.
      "${pip[@]}" install --no-deps "${@/#/-r}" &&
      "${pip[@]}" check
  } 2>&1 | tee "$log" | progress; then
    tail -n 20 "$log" >&2
    rm -rf "$folder"
    fail 1 "could not create $folder (see the end of $log above); fix the problem and run the same command again."
  fi
  mv "$log" "$folder/install.log"
  cat "$@" >"$folder/pins.txt"
  rm "$folder/incomplete"
  echo "Created $folder in $((SECONDS - started)) s ($(du -sh "$folder" | cut -f1))."
}

only_interpreter=false
if [[ "${1:-}" == --interpreter ]]; then
  only_interpreter=true
  shift
fi
case "${1:-}" in
  2.21) folder=.venv python_version=3.11 ;;
  2.6) folder=.venv-tf2.6 python_version=3.9 ;;
  1.15) folder=.venv-tf1.15 python_version=3.7 ;;
  gpu) folder=.venv-gpu python_version=3.11 ;;
  *) fail 2 "'${1:-}' is not a TensorFlow version with an environment; use 2.21, 2.6, 1.15 or gpu." ;;
esac
pins="requirements/tf$1.txt"
[[ "$1" == gpu ]] && pins=requirements/gpu.txt
files=("requirements/installer.txt" "$pins" requirements/dev.txt)

if $only_interpreter; then
  find_python "$python_version"
  exit
fi

status=0
# Concurrent commands (two terminals, make -j) create an environment once.
exec 9<"$pins"
if command -v flock >/dev/null; then flock 9; fi

if [[ -e "$folder" && ! -e "$folder/pins.txt" && ! -e "$folder/incomplete" ]]; then
  fail 1 "$folder was not created by scripts/environment.sh; move it away and run the same command again."
fi
if [[ ! -e "$folder/incomplete" ]] &&
  cmp -s <(pins_of "${files[@]}") <(pins_of "$folder/pins.txt") && works "$folder/bin/python" "$python_version"; then
  exit 0
fi
python=$(find_python "$python_version") || status=$?
if ((status == 3)); then
  exit 3
elif ((status != 0)); then
  fail 3 "TensorFlow $1 needs Python $python_version with its venv module, which was not found; install it, or set PYTHON${python_version/./}=/path/to/python."
fi
make_environment "$folder" "$1" "$python" "${files[@]}"
