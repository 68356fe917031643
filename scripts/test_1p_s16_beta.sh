#!/usr/bin/env bash
# Evaluates the newest ResNet-101 beta of output stride 16 on one device, at one scale.
source "$(dirname "$0")/lib.sh"
evaluate resnet_101_beta single_s16 "s16_beta/r2 1p_s16_beta/r1" "$@"
