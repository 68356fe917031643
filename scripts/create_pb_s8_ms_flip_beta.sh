#!/usr/bin/env bash
# Exports the newest ResNet-101 beta of output stride 8 as a frozen graph at six scales, each also flipped.
source "$(dirname "$0")/lib.sh"
export_graph resnet_101_beta export_ms_flip "s8_beta/r2 1p_s8_beta/r1" --export_path=pb_model/s8_ms_flip_beta.pb "$@"
