r"""Evaluates checkpoints on a split: per-class IoU, mIoU, and a report to look at.

  python eval.py --checkpoint_dir=RUN --dataset_dir=DIR
  python eval.py --checkpoint_dir=RUN --dataset_dir=DIR --eval_split=test \
      --eval_scales=0.5 --eval_scales=1.0 --eval_scales=1.5 --add_flipped_images
  python eval.py --checkpoint_dir=RUN --dataset_dir=DIR --watch

The options of the network are those that training saved beside the checkpoint; docs/evaluation.md
describes the results.
"""

from commands import running

if __name__ == "__main__":
    running.start("evaluate")
