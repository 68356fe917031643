r"""Exports a checkpoint for other programs: frozen graph, SavedModel, TFLite, ONNX, Ascend's om.

  python export_model.py --checkpoint_dir=RUN --export_path=OUT/model.pb
  python export_model.py --checkpoint_path=RUN/model.ckpt-30000 --export_path=OUT/model.pb \
      --format=frozen,savedmodel,tflite,onnx,om --check_images=PHOTOS

The options of the network are those that training saved beside the checkpoint. Each file is
compared with the checkpoint before it gets its name; docs/export.md describes them.
"""

from commands import running

if __name__ == "__main__":
    running.start("export")
