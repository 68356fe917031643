r"""Trains a network, under the name that it has in the DeepLab family.

  python train.py --logtostderr --dataset_dir=RECORDS --train_logdir=RUN \
      --model_variant=mobilenet_v2 --train_crop_size=513,513

The flags are those of train_npu.py in its mode `train`; docs/compatibility.md says what became of
the family's flags for clones, replicas and masters.
"""

from commands import running

if __name__ == "__main__":
    running.start_as_family()
