"""The options of `predict.py` and `vis.py`."""

from __future__ import annotations

import dataclasses

from absl import flags

from common import Options, option
from core.prediction_kinds import KINDS
from utils.errors import OptionError


@dataclasses.dataclass(frozen=True)
class PredictOptions(Options):
    """What is predicted, by which model, and what is saved."""

    input: tuple[str, ...] | None = option(
        flags.DEFINE_multi_string,
        None,
        "Image, folder, list of paths (.txt), pattern, or - for paths on standard input; repeat "
        "the flag for more.",
        convert=str,
    )
    output_dir: str | None = option(flags.DEFINE_string, None, "Folder for the results.")
    checkpoint_path: tuple[str, ...] | None = option(
        flags.DEFINE_multi_string,
        None,
        "Checkpoint, as a prefix such as FOLDER/model.ckpt-1000; repeat the flag to average the "
        "probabilities of several.",
        convert=str,
    )
    checkpoint_dir: str | None = option(
        flags.DEFINE_string, None, "Folder of a run; --checkpoint says which of its checkpoints."
    )
    checkpoint: str = option(
        flags.DEFINE_string,
        "newest",
        "Which checkpoint of --checkpoint_dir: newest, best (the one that training kept as best) "
        "or a step.",
    )
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
    eval_scales: tuple[float, ...] = option(
        flags.DEFINE_multi_float,
        (1.0,),
        "Input scale; repeat the flag to average the probabilities of several.",
        above=0.0,
    )
    add_flipped_images: bool = option(
        flags.DEFINE_bool, False, "Whether each scale is also run on the mirrored image."
    )
    change_network: bool = option(
        flags.DEFINE_bool,
        False,
        "Lets explicit network flags win over the options saved beside the checkpoint, for "
        "example to predict at output stride 8 what was trained at 16.",
    )

    def check(self):
        """Raises OptionError for what cannot be meant."""
        if self.skip_existing and self.overwrite:
            raise OptionError(
                "--skip_existing keeps what is there and --overwrite replaces it; pass one of them."
            )
        if not self.save:
            raise OptionError(f"--save is empty; name some of {', '.join(KINDS)}.")
        if self.checkpoint not in ("newest", "best") and not self.checkpoint.isdigit():
            raise OptionError(
                f"--checkpoint is {self.checkpoint!r}, but must be newest, best or a step."
            )
        if self.checkpoint != "newest" and not self.checkpoint_dir:
            raise OptionError(f"--checkpoint={self.checkpoint} is for --checkpoint_dir; pass that.")
        masks = {"index", "palette"}.intersection(self.save)
        if self.plain_names and len(masks) != 1:
            raise OptionError(
                f"--plain_names gives one mask the name NAME.png, but --save={','.join(self.save)} "
                f"has {len(masks)}; save index or palette."
            )

    def source(self):
        """Returns the path of the model, or those of the checkpoints.

        Raises:
          OptionError: Unless one option names it.
        """
        named = [
            value for value in (self.checkpoint_path, self.checkpoint_dir, self.model) if value
        ]
        if len(named) != 1:
            raise OptionError(
                "pass one of --checkpoint_path=RUN/model.ckpt-STEP (repeated for several), "
                f"--checkpoint_dir=RUN or --model=FILE.pb; {len(named) or 'none'} of them "
                f"{'are' if len(named) > 1 else 'is'} given."
            )
        return named[0]


@dataclasses.dataclass(frozen=True)
class VisOptions(Options):
    """What `vis.py` shows of a split; names, types and defaults are the DeepLab family's."""

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
    checkpoint_dir: str | None = option(
        flags.DEFINE_string, None, "Folder of a run; its newest checkpoint is used."
    )
    eval_scales: tuple[float, ...] = option(
        flags.DEFINE_multi_float,
        (1.0,),
        "Input scale; repeat the flag to average the probabilities of several.",
        above=0.0,
    )
    add_flipped_images: bool = option(
        flags.DEFINE_bool, False, "Whether each scale is also run on the mirrored image."
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
    change_network: bool = option(
        flags.DEFINE_bool,
        False,
        "Lets explicit network flags win over the options saved beside the checkpoint.",
    )
    master: str = option(
        flags.DEFINE_string, "", "Refused unless empty: there is no session of another machine."
    )
    label_weights: tuple[float, ...] | None = option(
        flags.DEFINE_multi_float, None, "Refused: the weights of classes belong to training."
    )

    def check(self):
        """Raises OptionError for what cannot have an effect."""
        if self.master:
            raise OptionError(f"--master={self.master} is not supported; leave it out.")
        if self.label_weights is not None:
            raise OptionError("--label_weights belongs to training; leave it out.")
