#!/usr/bin/env bash
# Evaluates the newest ResNet-101 beta of output stride 8 on one device, at one scale.
source "$(dirname "$0")/lib.sh"
evaluate resnet_101_beta single_s8 "s8_beta/r2 1p_s8_beta/r1" "$@"
