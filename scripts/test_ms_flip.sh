#!/usr/bin/env bash
# Evaluates the newest ResNet-101 of output stride 8 at six scales, each also flipped.
source "$(dirname "$0")/lib.sh"
evaluate resnet_101 ms_flip "s8/r2 1p_s8/r1" "$@"
