# Shared code of the acceptance scripts of the Ascend model zoo: their arguments and their output.
#
#   test/train_performance_1p.sh --data_path=RECORDS [--precision_mode=MODE] [--over_dump=True]
#       [--data_dump_flag=True] [--data_dump_step=STEPS] [--profiling=True] [--autotune=True]
#       [--bind_core=0|1] [-- FLAGS of train_npu.py...]
#
# The training writes to a new folder in results/acceptance/; logs and the summary are written to
# test/output/0/. DEVICE=cpu runs without an NPU.
# shellcheck shell=bash
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib.sh"

NETWORK=DeeplabV3_ID0047_for_TensorFlow

usage() { sed -n 's/^# \{0,1\}//p' test/acceptance.sh | head -n 9; }

parse() { # parse ARGUMENT...: sets data_path, options (flags of train_npu.py)
  data_path=''
  options=()
  local dump_step=''
  while (($#)); do
    case "$1" in
      --help | -h)
        usage
        exit 0
        ;;
      --data_path=*) data_path=${1#*=} ;;
      --precision_mode=*) options+=("$1") ;;
      --over_dump=[Tt]rue) options+=(--npu_overflow_path="$output/overflow_dump") ;;
      --data_dump_flag=[Tt]rue) options+=(--npu_dump_path="$output/data_dump") ;;
      --data_dump_step=*) dump_step=${1#*=} ;;
      --profiling=[Tt]rue) options+=(--npu_profile_path="$output/profiling") ;;
      --autotune=[Tt]rue) options+=(--npu_tune_path="$output/autotune") ;;
      --over_dump=[Ff]alse | --data_dump_flag=[Ff]alse | --profiling=[Ff]alse | --autotune=[Ff]alse) ;;
      --bind_core=0 | --bind_core=[Ff]alse) export BIND_CORES=false ;;
      --bind_core=1 | --bind_core=[Tt]rue) export BIND_CORES=true ;;
      --)
        shift
        options+=("$@")
        break
        ;;
      *) fail 2 "$1 is not an argument of this script; --help lists them, and flags of train_npu.py follow after --." ;;
    esac
    shift
  done
  [[ -z "$dump_step" ]] || options+=(--npu_dump_step="$dump_step")
  [[ -n "$data_path" ]] || fail 2 "--data_path is missing; set it to the folder of the TFRecords."
  [[ -d "$data_path" ]] || fail 1 "--data_path=$data_path is not a folder."
  options+=(--dataset_dir="$(cd "$data_path" && pwd)")
}

value_of() { # value_of FLAG: its last value in the array flags
  local flag found=''
  for flag in "${flags[@]}"; do
    [[ "$flag" == "--$1="* ]] && found=${flag#*=}
  done
  echo "$found"
}

last_of() { # last_of COLUMN LOG: the number in a column of the last training line of a log
  awk -v column="$1" '/^step: /{value = $column} END {sub(/.*:/, "", value); print value}' "$2"
}

acceptance() { # acceptance full|performance NUMBER ARGUMENT...: trains on NUMBER devices and writes a summary
  local kind=$1 number=$2 suffix=acc started=$SECONDS
  shift 2
  [[ "$kind" == full ]] || suffix=perf
  output=$PWD/test/output/0
  mkdir -p "$output"
  parse "$@"
  choose_device "$number" "${options[@]}"

  local recipe=s8_r1 initial=pretrained/model.ckpt result
  ((number > 1)) || recipe=1p_s8
  result=acceptance/${number}p_$kind-$(date +%Y%m%d-%H%M%S)
  local shortened=()
  # Two loops after the first one, which compiles the network, are enough to measure the speed.
  if [[ "$kind" == performance ]]; then
    shortened=(--iterations_per_loop=100 --display_every=100 --training_number_of_steps=300)
  fi
  train "$result/r1" "resnet_101_beta $recipe" "$number" --tf_initial_checkpoint="$initial" \
    "${shortened[@]}" "${options[@]}" 2>&1 | tee "$output/train_0.log"
  local last=$result/r1
  if [[ "$kind" == full && "$number" != 1 ]]; then
    initial=$(CHECKPOINT='' newest "$last")
    last=$result/r2
    train "$last" "resnet_101_beta s8_r2" "$number" "${options[@]}" --tf_initial_checkpoint="$initial" \
      2>&1 | tee -a "$output/train_0.log"
  fi
  merged "resnet_101_beta $recipe" "${shortened[@]}" "${options[@]}"
  summary "$suffix" "$last" $((SECONDS - started))
}

summary() { # summary acc|perf RESULT SECONDS: for acc also evaluates; prints the result, writes the files
  local suffix=$1 result=$2 seconds=$3 log=results/$2/0/training.log accuracy=None
  local batch case fps loss step_time
  batch=$(value_of train_batch_size)
  case=${NETWORK}_bs${batch}_${devices}p_$suffix
  fps=$(last_of 6 "$log")
  loss=$(last_of 9 "$log")
  step_time=$(awk -v images=$((batch * devices)) -v fps="$fps" 'BEGIN {printf "%.2f", images * 1000 / fps}')
  sed -n 's/.*total_loss:\([0-9.]*\).*/\1/p' "$log" >"$output/train_${case}_loss.txt"
  if [[ "$suffix" == acc ]]; then
    accuracy=$(accuracy_of "$result")
  fi
  {
    echo "Network = $NETWORK"
    echo "RankSize = $devices"
    echo "BatchSize = $batch"
    echo "DeviceType = $(uname -m)"
    echo "CaseName = $case"
    echo "ActualFPS = $fps"
    [[ "$accuracy" == None ]] || echo "TrainAccuracy = $accuracy"
    echo "TrainingTime = $step_time"
    echo "ActualLoss = $loss"
    echo "E2ETrainingTime = $seconds"
  } >"$output/$case.log"
  echo "------------------ Final result ------------------"
  echo "Final Performance images/sec : $fps"
  echo "Final Train Accuracy : $accuracy"
  echo "E2E Training Duration sec : $seconds"
}

accuracy_of() { # accuracy_of RESULT: mIoU of its newest checkpoint at six scales
  CHECKPOINT='' evaluate resnet_101_beta ms "$1" "${options[@]}" >"$output/eval_0.log" 2>&1 ||
    fail 1 "the evaluation failed; see $output/eval_0.log."
  sed -n 's/.*"miou": \([0-9.]*\).*/\1/p' "results/$1/0/eval_ms/metrics.json" | head -n 1
}
