#!/usr/bin/env bash
# Starts a container with the NPUs, the driver and this checkout.
#
#   scripts/docker_start.sh IMAGE DATA_FOLDER [COMMAND...]
#
# Build IMAGE with `docker build -t IMAGE -f scripts/Dockerfile --build-arg FROM=... .`. The data folder
# is mounted under its own path. Without a command a shell starts. DRY_RUN=1 only prints the command.
source "$(dirname "$0")/lib.sh"

(($# >= 2)) || fail 2 "usage: scripts/docker_start.sh IMAGE DATA_FOLDER [COMMAND...]"
image=$1
data=$2
shift 2
[[ -d "$data" ]] || fail 1 "the folder $data does not exist."

devices=()
for path in /dev/davinci[0-9]* /dev/davinci_manager /dev/devmm_svm /dev/hisi_hdc; do
  [[ -e "$path" ]] && devices+=(--device="$path")
done
((${#devices[@]})) || say "This machine has no NPU, so the container has none."

mounts=(-v "$PWD:$PWD" -v "$(cd "$data" && pwd):$(cd "$data" && pwd)")
for path in /usr/local/Ascend/driver /usr/local/Ascend/add-ons /usr/local/bin/npu-smi /usr/local/sbin/npu-smi \
  /etc/hccn.conf /var/log/npu; do
  [[ -e "$path" ]] && mounts+=(-v "$path:$path:ro")
done

(($#)) || set -- bash
run docker run -it --rm --ipc=host "${devices[@]}" "${mounts[@]}" -w "$PWD" "$image" "$@"
