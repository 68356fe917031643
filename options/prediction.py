"""The options of `predict.py` and `vis.py`."""

from __future__ import annotations

import dataclasses

from absl import flags

from common import option
from options.inference import CheckpointOptions, ScaleOptions
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
class PredictOptions(CheckpointOptions, ScaleOptions):
    """What is predicted, by which model, and what is saved."""

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
        f"What is saved of each image, comma separated: {', '.join(KINDS)}.",
        convert=str,
        choices=KINDS,
    )
    plain_names: bool = option(
        flags.DEFINE_bool,
        False,
        "Whether masks are called NAME.png, as servers of benchmarks want, without _index or "
        "_palette.",
    )
    label_ids: tuple[str, ...] | None = option(
        flags.DEFINE_list,
        None,
        "What index and palette masks hold instead of class numbers: cityscapes, or one number "
        "per class, comma separated.",
        convert=str,
    )
    skip_existing: bool = option(
        flags.DEFINE_bool,
        False,
        "Whether images whose results are all there are left out, to go on after an interruption.",
    )
    overwrite: bool = option(
        flags.DEFINE_bool, False, "Whether results that are there are replaced."
    )

    def check(self):
        """Raises OptionError for what cannot be meant."""
        super().check()
        if self.skip_existing and self.overwrite:
            raise OptionError(
                "--skip_existing keeps what is there and --overwrite replaces it; pass one of them."
            )
        if not self.save:
            raise OptionError(f"--save is empty; name some of {', '.join(KINDS)}.")
        if self.model and (self.checkpoint_path or self.checkpoint_dir):
            raise OptionError(
                "--model is a network of its own, and --checkpoint_path or --checkpoint_dir names "
                "another; pass one of them."
            )
        masks = set(MASKS).intersection(self.save)
        if self.plain_names and len(masks) != 1:
            raise OptionError(
                f"--plain_names gives one mask the name NAME.png, but --save={','.join(self.save)} "
                f"has {len(masks)}; save index or palette."
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
class VisOptions(CheckpointOptions, ScaleOptions):
    """What `vis.py` draws of a split; names, types and defaults are the DeepLab family's."""

    SECTION = "visualization"

    vis_logdir: str | None = option(flags.DEFINE_string, None, "Folder for the pictures.")
    vis_split: str = option(flags.DEFINE_string, "val", "Split to predict; needs no labels.")
    vis_crop_size: tuple[int, ...] = option(
        flags.DEFINE_list,
        (513, 513),
        "Height,width that images are padded to; larger ones are shrunk. Not given: the evaluation "
        "crop saved beside the checkpoint.",
        convert=int,
        length=2,
        minimum=1,
    )
    vis_batch_size: int = option(
        flags.DEFINE_integer,
        1,
        "Refused unless 1: images go one by one, each at its own size.",
        choices=(1,),
    )
    colormap_type: str = option(
        flags.DEFINE_string,
        "pascal",
        "Colours of the predictions; not given: those of the data set.",
        choices=("pascal", "cityscapes", "ade20k"),
    )
    also_save_raw_predictions: bool = option(
        flags.DEFINE_bool,
        False,
        "Whether class numbers are saved under the images' names, as servers of benchmarks want; "
        "Cityscapes' as its label ids.",
    )
    max_number_of_iterations: int = option(
        flags.DEFINE_integer,
        0,
        "Checkpoints to show, waiting for new ones while a training writes them; 0 and 1 both mean "
        "the newest, once.",
        minimum=0,
    )
    eval_interval_secs: int = option(
        flags.DEFINE_integer, 300, "Seconds between two looks for a checkpoint.", minimum=1
    )

    def check(self):
        """Raises OptionError for what cannot have an effect."""
        super().check()
        if self.watches and (self.checkpoint_path or self.checkpoint != "newest"):
            raise OptionError(
                f"--max_number_of_iterations={self.max_number_of_iterations} shows the newest "
                "checkpoints of --checkpoint_dir; leave out --checkpoint and --checkpoint_path."
            )

    @property
    def watches(self) -> bool:
        """Whether new checkpoints are waited for."""
        return self.max_number_of_iterations > 1
