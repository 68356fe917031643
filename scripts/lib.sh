# Shared code of the scripts in this folder; each sources it and calls one or two functions.
#
#   DEVICE=npu|cpu|gpu   device (--device=... does the same); npu if unset
#   DEVICES=N            processes, one device each; the recipe's number if unset, 1 on other devices than NPUs
#   RANK_TABLE=FILE      HCCL rank table for several NPUs; scripts/8p.json if unset
#   CHECKPOINT=PREFIX    checkpoint to test or export instead of the newest of the recipe
#   PYTHON=FILE          interpreter; .venv/bin/python if it exists, else python3
#   DRY_RUN=1            only print the commands
#
# Flags on a script's command line override the recipe; a list flag such as --atrous_rates replaces
# the recipe's list. Nothing is ever deleted: a finished training is kept, an interrupted one
# resumes.
# shellcheck shell=bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [[ -z "${PYTHON:-}" ]]; then
  PYTHON=python3
  [[ -x .venv/bin/python ]] && PYTHON=.venv/bin/python
fi

say() { printf '===== %s\n' "$*"; }

fail() { # fail STATUS MESSAGE
  echo "Error: $2" >&2
  exit "$1"
}

show() { # prints a command in copyable form
  printf '$'
  printf ' %q' "$@"
  printf '\n'
}

run() { # prints a command, then runs it
  show "$@"
  [[ -n "${DRY_RUN:-}" ]] || "$@"
}

run_and_pass_signals() { # like run; what would end this script ends the command, which may save
  show "$@"
  if [[ -n "${DRY_RUN:-}" ]]; then
    return
  fi
  local child passed=1 status=0
  # A process group of its own: Ctrl-C reaches the command once, through this script.
  set -m
  "$@" &
  child=$!
  set +m
  # shellcheck disable=SC2064 # The child is known now.
  for signal in TERM INT HUP; do
    trap "passed=1; kill -$signal $child 2>/dev/null" "$signal"
  done
  # A signal ends wait, but not the command.
  while [[ -n "$passed" ]]; do
    passed='' status=0
    wait "$child" || status=$?
  done
  trap - TERM INT HUP
  return "$status"
}

name_of() { # name_of FLAG: its name without dashes and value; the no of a negated flag stays
  local name=${1%%=*}
  name=${name#-}
  echo "${name#-}"
}

recipe() { # recipe NAME: the flags of recipes/NAME.flags and its included files, one per line
  local line
  while IFS= read -r line || [[ -n "$line" ]]; do
    case "$line" in
      '' | '#'*) ;;
      --flagfile=*) recipe "$(basename "${line#--flagfile=}" .flags)" ;;
      *) echo "$line" ;;
    esac
  done <"scripts/recipes/$1.flags"
}

merged() { # merged RECIPES FLAG...: sets the array flags to the recipes' flags, then the given ones
  local names=$1 name line flag
  shift
  flags=()
  local -A given=()
  for flag in "$@"; do
    [[ "$flag" == -* ]] && given[$(name_of "$flag")]=1
  done
  for name in $names; do
    while IFS= read -r line; do
      # Without this, a repeated flag would extend the recipe's list instead of replacing it.
      [[ -n "${given[$(name_of "$line")]:-}" ]] || flags+=("$line")
    done < <(recipe "$name")
  done
  flags+=("$@")
}

choose_device() { # choose_device NUMBER FLAG...: sets device, and devices (NUMBER by default)
  local number=$1 flag previous=''
  shift
  device=${DEVICE:-npu}
  for flag in "$@"; do
    [[ "$flag" == --device=* ]] && device=${flag#--device=}
    [[ "$previous" == --device ]] && device=$flag
    previous=$flag
  done
  devices=${DEVICES:-$number}
  if [[ "$device" != npu && -z "${DEVICES:-}" && "$number" != 1 ]]; then
    devices=1
    say "Starting one process on $device; the recipe is for $number NPUs. Set DEVICES=N to start N."
  fi
}

start() { # start RESULT PROGRAM FLAG...: runs a program on $devices devices of kind $device
  local result=$1
  shift
  if [[ "$device" != npu && "$devices" == 1 ]]; then
    run_and_pass_signals "$PYTHON" "$@"
    return
  fi
  local launcher=(-m deployment.launch --device="$device" --devices="$devices" --rank_logs="$result/logs" --bind_cores="${BIND_CORES:-true}")
  if [[ "$device" == npu && "$devices" != 1 && -z "${CM_CHIEF_IP:-}" ]]; then
    launcher+=(--rank_table="${RANK_TABLE:-${RANK_TABLE_FILE:-scripts/8p.json}}")
  fi
  run_and_pass_signals "$PYTHON" "${launcher[@]}" -- "$@"
}

train() { # train RESULT RECIPES NUMBER FLAG...: trains into results/RESULT/0 on NUMBER devices
  local result=results/$1 names=$2 number=$3
  shift 3
  choose_device "$number" "$@"
  merged "$names" "$@"
  say "Training ${names##* } into $result/0"
  start "$result" train_npu.py --mode=train --train_logdir="$result/0" --device="$device" \
    --rank="$devices" "${flags[@]}"
}

newest() { # newest RESULT...: the newest checkpoint of these results
  if [[ -n "${CHECKPOINT:-}" ]]; then
    echo "$CHECKPOINT"
    return
  fi
  local result index found='' folders=()
  for result in "$@"; do
    folders+=("results/$result/0")
    for index in "results/$result"/0/model.ckpt-*.index; do
      if [[ -e "$index" && (-z "$found" || "$index" -nt "$found") ]]; then
        found=$index
      fi
    done
  done
  if [[ -z "$found" && -n "${DRY_RUN:-}" ]]; then
    found=${folders[0]}/model.ckpt-STEP.index
  fi
  [[ -n "$found" ]] || fail 1 "no checkpoint in ${folders[*]}; train first, or set CHECKPOINT=PREFIX."
  echo "${found%.index}"
}

network_of() { # network_of VARIANT CHECKPOINT: recipes of its network if it has no options.json
  [[ -e "$(dirname "$2")/options.json" ]] || echo "network $1"
}

evaluate() { # evaluate VARIANT RECIPE RESULTS FLAG...: evaluates the newest checkpoint of the results
  local variant=$1 name=$2 checkpoint logdir
  # shellcheck disable=SC2086 # RESULTS is a list of words.
  checkpoint=$(newest $3)
  shift 3
  choose_device 1 "$@"
  merged "$(network_of "$variant" "$checkpoint") $name" "$@"
  logdir=$(dirname "$checkpoint")/eval_$name
  say "Evaluating $checkpoint into $logdir"
  start "$logdir" train_npu.py --mode=evaluate --checkpoint_path="$checkpoint" \
    --eval_logdir="$logdir" --device="$device" "${flags[@]}"
}

export_graph() { # export_graph VARIANT RECIPE RESULTS FLAG...: exports the newest checkpoint of the results
  local variant=$1 name=$2 checkpoint
  # shellcheck disable=SC2086 # RESULTS is a list of words.
  checkpoint=$(newest $3)
  shift 3
  merged "$(network_of "$variant" "$checkpoint") $name" "$@"
  say "Exporting $checkpoint"
  run_and_pass_signals "$PYTHON" export_model.py --checkpoint_path="$checkpoint" --device=cpu "${flags[@]}"
}
