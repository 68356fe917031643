#!/usr/bin/env bash
# Exports the newest ResNet-101 of output stride 8 as a frozen graph at six scales, each also flipped.
source "$(dirname "$0")/lib.sh"
export_graph resnet_101 export_ms_flip "s8/r2 1p_s8/r1" --export_path=pb_model/s8_ms_flip.pb "$@"
