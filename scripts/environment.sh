#!/usr/bin/env bash
# Makes, or reuses, the virtual environment of one TensorFlow version.
#
#   scripts/environment.sh 2.21                 .venv         on Python 3.11
#   scripts/environment.sh 2.6                  .venv-tf2.6   on Python 3.9
#   scripts/environment.sh 1.15                 .venv-tf1.15  on Python 3.7
#   scripts/environment.sh gpu                  .venv-gpu     TensorFlow 2.21 with CUDA on Python 3.11
#   scripts/environment.sh --interpreter 2.6    prints the Python it would use; makes nothing
#
# An environment that was made from the same pins is reused as it is. One that was made from other
# pins, or never finished, is made anew. PYTHON311, PYTHON39 and PYTHON37 name an interpreter that
# is to be used instead of the one found.
#
# Exit status: 0 the environment is there, 2 wrong argument, 3 no such interpreter, 1 anything else.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { # fail STATUS MESSAGE
  echo "Error: $2" >&2
  exit "$1"
}

works() { # works PYTHON VERSION: it runs, is of that version and can make environments
  [[ "$("$1" -c 'import ensurepip, sys, venv; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" == "$2" ]]
}

find_python() { # find_python VERSION: prints an interpreter, or prints nothing and fails
  local version=$1 variable="PYTHON${1/./}" candidate
  if [[ -n "${!variable:-}" ]]; then
    if works "${!variable}" "$version"; then
      echo "${!variable}"
      return
    fi
    echo "Error: $variable=${!variable} is no Python $version that can make environments." >&2
    return 3
  fi
  # pyenv's command of this name may be there without a version behind it, so each one is tried.
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

progress() { # shows of pip's output what a waiting person wants to know
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
  echo "Making $folder: TensorFlow $version on $("$python" --version 2>&1), from $*."
  echo "  This happens once; it takes one to five minutes and up to 2 GB."
  rm -rf "$folder"
  mkdir "$folder"
  touch "$folder/incomplete"
  local pip=("$folder/bin/python" -m pip)
  if ! {
    "$python" -m venv "$folder" &&
      "${pip[@]}" install -r requirements/installer.txt &&
      # The files pin everything, so nothing is left to resolve; the check proves it.
      "${pip[@]}" install --no-deps "${@/#/-r}" &&
      "${pip[@]}" check
  } 2>&1 | tee "$log" | progress; then
    tail -n 20 "$log" >&2
    rm -rf "$folder"
    fail 1 "$folder could not be made (above is the end of $log); once that is mended, run the same command again."
  fi
  mv "$log" "$folder/install.log"
  cat "$@" >"$folder/pins.txt"
  rm "$folder/incomplete"
  echo "Made $folder in $((SECONDS - started)) s ($(du -sh "$folder" | cut -f1))."
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
  *) fail 2 "'${1:-}' is no TensorFlow version with an environment; say 2.21, 2.6, 1.15 or gpu." ;;
esac
pins="requirements/tf$1.txt"
[[ "$1" == gpu ]] && pins=requirements/gpu.txt
files=("requirements/installer.txt" "$pins" requirements/dev.txt)

if $only_interpreter; then
  find_python "$python_version"
  exit
fi

status=0
# Two commands at once (two terminals, make -j) make an environment once.
exec 9<"$pins"
if command -v flock >/dev/null; then flock 9; fi

if [[ -e "$folder" && ! -e "$folder/pins.txt" && ! -e "$folder/incomplete" ]]; then
  fail 1 "$folder was not made by scripts/environment.sh; move it away and run the same command again."
fi
if [[ ! -e "$folder/incomplete" ]] && cat "${files[@]}" | cmp -s - "$folder/pins.txt" && works "$folder/bin/python" "$python_version"; then
  exit 0
fi
python=$(find_python "$python_version") || status=$?
if ((status == 3)); then
  exit 3
elif ((status != 0)); then
  fail 3 "TensorFlow $1 needs Python $python_version with its venv module, which was not found; install it, or name it: PYTHON${python_version/./}=/path/to/python."
fi
make_environment "$folder" "$1" "$python" "${files[@]}"
