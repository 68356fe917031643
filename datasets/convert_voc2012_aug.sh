#!/usr/bin/env bash
# PASCAL VOC 2012 with the augmented training split, from three files in the current folder:
# VOCtrainval_11-May-2012.tar, SegmentationClassAug.zip (or the unpacked folder) and trainaug.txt.
# Records go to pascal_voc_seg/tfrecord. More flags are passed on. docs/data.md says where the files
# come from.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
masks=SegmentationClassAug
[[ -e "$masks" ]] || masks=SegmentationClassAug.zip
exec "${PYTHON:-python3}" "$root/datasets/build_voc2012_aug_data.py" \
  --voc_root=VOCtrainval_11-May-2012.tar --aug_folder="$masks" --trainaug_list=trainaug.txt \
  --output_dir=pascal_voc_seg/tfrecord "$@"
