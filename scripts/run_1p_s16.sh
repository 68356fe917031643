#!/usr/bin/env bash
# Trains ResNet-101 on trainaug on one device, output stride 16.
source "$(dirname "$0")/lib.sh"
train 1p_s16/r1 "resnet_101 1p_s16" 1 --tf_initial_checkpoint=pretrained/resnet_v1_101.ckpt "$@"
