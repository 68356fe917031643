#!/usr/bin/env bash
# Trains ResNet-101 beta on eight devices, output stride 16: round 1 on trainaug, round 2 on train.
source "$(dirname "$0")/lib.sh"
train s16_beta/r1 "resnet_101_beta s16_r1" 8 --tf_initial_checkpoint=pretrained/model.ckpt "$@"
round_1=$(CHECKPOINT="" newest s16_beta/r1)
train s16_beta/r2 "resnet_101_beta s16_r2" 8 "$@" --tf_initial_checkpoint="$round_1"
