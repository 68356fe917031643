#!/usr/bin/env bash
# Evaluates the newest ResNet-101 beta of output stride 8 at six scales, each also flipped.
source "$(dirname "$0")/lib.sh"
evaluate resnet_101_beta ms_flip "s8_beta/r2 1p_s8_beta/r1" "$@"
