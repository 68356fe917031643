#!/usr/bin/env bash
# Evaluates the newest ResNet-101 of output stride 8 on one device, at one scale.
source "$(dirname "$0")/lib.sh"
evaluate resnet_101 single_s8 "s8/r2 1p_s8/r1" "$@"
