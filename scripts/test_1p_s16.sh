#!/usr/bin/env bash
# Evaluates the newest ResNet-101 of output stride 16 on one device, at one scale.
source "$(dirname "$0")/lib.sh"
evaluate resnet_101 single_s16 "s16/r2 1p_s16/r1" "$@"
