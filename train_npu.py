"""Trains or evaluates a network on the chosen device (NPU, GPU or CPU).

  python train_npu.py --dataset_dir=DIR --train_logdir=RUN --model_variant=resnet_v1_101_beta ...
  python train_npu.py --mode=evaluate --checkpoint_dir=RUN --dataset_dir=DIR

The same command continues a run that was interrupted. `--helpfull` lists every flag.
"""

from commands import running

if __name__ == "__main__":
    running.start("train", by_mode=True)
