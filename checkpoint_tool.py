"""Shows what a checkpoint holds and how it fits a network, or writes a compact copy.

python checkpoint_tool.py --checkpoint_path=RUN/model.ckpt-1000
python checkpoint_tool.py --checkpoint_path=... --fit --model_variant=... --num_classes=21
python checkpoint_tool.py --checkpoint_path=... --compact_to=FOLDER/model.ckpt-1000
"""

from commands import running

if __name__ == "__main__":
    running.start("checkpoint")
