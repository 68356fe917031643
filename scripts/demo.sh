#!/usr/bin/env bash
# Creates and converts a data set, trains a small DeepLabV3 on it, evaluates it and writes reports.
#
#   make demo
#
# All output is written to demo/ in the checkout. The data is created once. An interrupted demo
# resumes; a finished one is kept, and the next one writes to demo/run-2, demo/run-3...
set -euo pipefail
cd "$(dirname "$0")/.."

python=.venv/bin/python
data=demo/voc
records=demo/records

say() { printf '\n===== %s\n' "$*"; }

run() { # prints a command in copyable form, then runs it
  printf '$'
  printf ' %s' "$@"
  printf '\n'
  "$@"
}

numbers() { # numbers FILE: prints the main scores of a metrics.json
  "$python" - "$1" <<'END'
import json
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    metrics = json.load(file)
print(f"mIoU {metrics['miou']:.4f}, pixel accuracy {metrics['pixel_accuracy']:.4f}")
END
}

run_folder=demo/run
for ((number = 2; ; number++)); do
  [[ -e "$run_folder/eval_scales/report.html" ]] || break
  run_folder=demo/run-$number
done

# The network options come from the options.json next to the checkpoint.
evaluation=(--checkpoint_dir="$run_folder" --dataset_dir="$records" "--eval_crop_size=129,129")

say "1 of 5: a synthetic data set in PASCAL VOC layout"
run "$python" -m datasets.synthetic --output_dir="$data"

say "2 of 5: TFRecords"
run "$python" -m datasets.convert pascal_voc \
  --image_folder="$data/JPEGImages" \
  --semantic_segmentation_folder="$data/SegmentationClass" \
  --list_folder="$data/ImageSets/Segmentation" \
  --class_table="$data/classes.json" \
  --output_dir="$records"

say "3 of 5: training, with the backbone of the checkpoint in docs/results"
run "$python" train_npu.py --mode=train \
  --dataset_dir="$records" \
  --train_logdir="$run_folder" \
  --tf_initial_checkpoint=docs/results/camvid/model.ckpt-2400 \
  --noinitialize_last_layer \
  --model_variant=mobilenet_v2 \
  --output_stride=16 \
  --atrous_rates=3 --atrous_rates=6 \
  --aspp_convs_filters=128 \
  --decoder_output_stride=4 --decoder_filters=64 \
  --batch_norm_decay=0.98 \
  --train_crop_size=129,129 \
  --min_scale_factor=0.75 --max_scale_factor=1.25 \
  --train_batch_size=8 \
  --training_number_of_steps=900 \
  --base_learning_rate=0.05

say "4 of 5: evaluation at one scale"
run "$python" eval.py "${evaluation[@]}"

say "5 of 5: evaluation at three scales, flipped"
run "$python" eval.py "${evaluation[@]}" --eval_logdir="$run_folder/eval_scales" \
  --eval_scales=0.75 --eval_scales=1.0 --eval_scales=1.25 --add_flipped_images

cat <<END

===== Done in $SECONDS s
One scale:               $(numbers "$run_folder/eval/metrics.json")
Three scales, flipped:   $(numbers "$run_folder/eval_scales/metrics.json")

Open in a browser:
  $PWD/$run_folder/eval/report.html
  $PWD/$run_folder/eval_scales/report.html

With your own images and masks (see README.md):
  $python -m datasets.convert pascal_voc --help
  $python train_npu.py --dataset_dir=RECORDS --train_logdir=runs/first
  $python eval.py --checkpoint_dir=runs/first --dataset_dir=RECORDS
END
