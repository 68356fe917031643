"""Shows what a checkpoint holds and how it fits a network, or makes one of other weights.

python checkpoint_tool.py --checkpoint_path=RUN/model.ckpt-1000
python checkpoint_tool.py --checkpoint_path=... --fit --model_variant=... --num_classes=21
python checkpoint_tool.py --checkpoint_path=... --compact_to=FOLDER/model.ckpt-1000
python checkpoint_tool.py --source=torchvision --input=FILE.pth --output=FOLDER/model.ckpt ...

With --source it is `seg.py convert_weights`; `--source=NAME --help` shows the flags.
"""

from commands import checkpoint, running

if __name__ == "__main__":
    running.start("checkpoint", by_flag=checkpoint.BY_FLAG)
