"""Checks what a run needs: Python, TensorFlow, device, data, checkpoint; says how to fix the rest.

  python doctor.py
  python doctor.py --device=gpu
  python doctor.py --device=npu --dataset_dir=DIR --tf_initial_checkpoint=pretrained/model.ckpt

The exit status is 1 if something would keep a run from working.
"""

from commands import running

if __name__ == "__main__":
    running.start("doctor")
