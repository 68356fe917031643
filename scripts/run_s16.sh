#!/usr/bin/env bash
# Trains ResNet-101 on eight devices, output stride 16: round 1 on trainaug, round 2 on train.
source "$(dirname "$0")/lib.sh"
train s16/r1 "resnet_101 s16_r1" 8 --tf_initial_checkpoint=pretrained/resnet_v1_101.ckpt "$@"
round_1=$(CHECKPOINT="" newest s16/r1)
train s16/r2 "resnet_101 s16_r2" 8 "$@" --tf_initial_checkpoint="$round_1"
