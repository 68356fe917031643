#!/usr/bin/env bash
# Trains ResNet-101 beta on trainaug on one device, output stride 16.
source "$(dirname "$0")/lib.sh"
train 1p_s16_beta/r1 "resnet_101_beta 1p_s16" 1 --tf_initial_checkpoint=pretrained/model.ckpt "$@"
