#!/usr/bin/env bash
# Trains ResNet-101 on eight devices, output stride 8: round 1 on trainaug, round 2 on train.
source "$(dirname "$0")/lib.sh"
train s8/r1 "resnet_101 s8_r1" 8 --tf_initial_checkpoint=pretrained/resnet_v1_101.ckpt "$@"
round_1=$(CHECKPOINT="" newest s8/r1)
train s8/r2 "resnet_101 s8_r2" 8 "$@" --tf_initial_checkpoint="$round_1"
