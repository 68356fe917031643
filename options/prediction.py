"""The options of `predict.py` and `vis.py`."""

from __future__ import annotations

import dataclasses

from absl import flags

from common import option
from options.averaging import ScaleOptions
from options.inference import CheckpointOptions
from options.postprocessing import PostprocessOptions
from utils.errors import OptionError

# Kind -> the end of its file's name; run lengths of all images share one file.
SUFFIXES = {
    "index": "_index.png",
    "palette": "_palette.png",
    "overlay": "_overlay.png",
    "prob": "_prob.npz",
}
# The kinds that hold class numbers. Where a pixel may have several classes, either of them stands
# for one mask per class.
MASKS = ("index", "palette")
RLE = "rle"
KINDS = (*SUFFIXES, RLE)


@dataclasses.dataclass(frozen=True)
class PredictOptions(CheckpointOptions, ScaleOptions, PostprocessOptions):
    """Photos, model and results of a prediction."""

    SECTION = "prediction"

    input: tuple[str, ...] | None = option(
        flags.DEFINE_multi_string,
        None,
        "Image, folder, list of paths (.txt), pattern, or - for paths on standard input; repeat "
        "the flag for more.",
        convert=str,
    )
    output_dir: str | None = option(flags.DEFINE_string, None, "Folder for the results.")
    model: str | None = option(
        flags.DEFINE_string, None, "Frozen graph (.pb) or folder of a SavedModel."
    )
    save: tuple[str, ...] = option(
        flags.DEFINE_list,
        ("palette", "overlay"),
        f"What to save for each image, comma separated: {', '.join(KINDS)}.",
        convert=str,
        choices=KINDS,
    )
    plain_names: bool = option(
        flags.DEFINE_bool,
        False,
        "Name masks NAME.png, as benchmark servers require, without _index or _palette.",
    )
    label_ids: tuple[str, ...] | None = option(
        flags.DEFINE_list,
        None,
        "Values of index and palette masks instead of class ids: cityscapes, or one number per "
        "class, comma separated.",
        convert=str,
    )
    skip_existing: bool = option(
        flags.DEFINE_bool,
        False,
        "Skip images whose results exist, to resume after an interruption.",
    )
    overwrite: bool = option(flags.DEFINE_bool, False, "Replace existing results.")

    def check(self):
        """Raises OptionError for flags that contradict each other."""
        super().check()
        if self.skip_existing and self.overwrite:
            raise OptionError(
                "--skip_existing keeps results and --overwrite replaces them; pass one of them."
            )
        if not self.save:
            raise OptionError(f"--save is empty; name some of {', '.join(KINDS)}.")
        if self.model and (self.checkpoint_path or self.checkpoint_dir):
            raise OptionError(
                "--model and --checkpoint_path or --checkpoint_dir name two networks; pass one of "
                "them."
            )
        masks = set(MASKS).intersection(self.save)
        if self.plain_names and len(masks) != 1:
            raise OptionError(
                f"--plain_names names one mask NAME.png, but --save={','.join(self.save)} has "
                f"{len(masks)}; save index or palette."
            )

    def check_complete(self):
        """Raises OptionError unless model, input and output are named."""
        if not (self.model or self.checkpoint_path or self.checkpoint_dir):
            raise OptionError(
                "pass one of --checkpoint_path=RUN/model.ckpt-STEP (repeated for several), "
                "--checkpoint_dir=RUN or --model=FILE.pb; none of them is given."
            )
        for name in ("output_dir", "input"):
            if not getattr(self, name):
                raise OptionError(f"--{name} is missing; see --help.")


@dataclasses.dataclass(frozen=True)
class VisOptions(CheckpointOptions, ScaleOptions, PostprocessOptions):
    """What vis.py draws; names, types and defaults are the DeepLab family's."""

    SECTION = "visualization"

    vis_logdir: str | None = option(flags.DEFINE_string, None, "Folder for the pictures.")
    vis_split: str = option(flags.DEFINE_string, "val", "Split to draw; it needs no labels.")
    vis_crop_size: tuple[int, ...] = option(
        flags.DEFINE_list,
        (513, 513),
        "Height,width that images are padded to; larger ones are downscaled. Unset: the evaluation "
        "crop saved beside the checkpoint.",
        convert=int,
        length=2,
        minimum=1,
    )
    vis_batch_size: int = option(
        flags.DEFINE_integer,
        1,
        "Refused unless 1: images are predicted one by one, each at its own size.",
        choices=(1,),
    )
    colormap_type: str = option(
        flags.DEFINE_string,
        "pascal",
        "Colours of the predictions; unset: those of the data set.",
        choices=("pascal", "cityscapes", "ade20k"),
    )
    also_save_raw_predictions: bool = option(
        flags.DEFINE_bool,
        False,
        "Save class ids under the image names too, as benchmark servers require (Cityscapes: its "
        "label ids).",
    )
    max_number_of_iterations: int = option(
        flags.DEFINE_integer,
        0,
        "Number of checkpoints to draw, waiting for new ones while a training writes them; 0 and "
        "1: the newest, once.",
        minimum=0,
    )
    eval_interval_secs: int = option(
        flags.DEFINE_integer, 300, "Seconds between checks for a new checkpoint.", minimum=1
    )

    def check(self):
        """Raises OptionError for two ways to choose checkpoints."""
        super().check()
        if self.watches and (self.checkpoint_path or self.checkpoint != "newest"):
            raise OptionError(
                f"--max_number_of_iterations={self.max_number_of_iterations} draws the newest "
                "checkpoints of --checkpoint_dir; leave out --checkpoint and --checkpoint_path."
            )

    @property
    def watches(self) -> bool:
        """Whether it waits for new checkpoints."""
        return self.max_number_of_iterations > 1
