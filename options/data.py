"""The options of the data: which records and classes, and the size of what the network sees."""

from __future__ import annotations

import dataclasses

from absl import flags

from common import Options, option
from options.augmentation import AugmentationOptions
from utils.errors import OptionError

AUTO = "auto"


def _pixels_or_auto(value):
    """Returns a side of a crop in pixels, or AUTO."""
    return AUTO if value == AUTO else int(value)


@dataclasses.dataclass(frozen=True)
class RecordsOptions(Options):
    """Which records and classes, and how records are read."""

    SECTION = "data"

    dataset_dir: str | None = option(
        flags.DEFINE_string,
        None,
        "Folder of the TFRecord shards and their dataset.json. Or raw data: a format of "
        'datasets.convert with its flags, in quotes, such as "folders --image_folder=DIR ..."; '
        "they are converted at the start, into a temporary folder.",
        changeable=True,
    )
    dataset: str = option(
        flags.DEFINE_string,
        "pascal_voc_seg",
        "For records without a dataset.json: the known data set that they are of, pascal_voc_seg, "
        "cityscapes, ade20k or coco2017.",
    )
    num_classes: int | None = option(
        flags.DEFINE_integer,
        None,
        "For records without a dataset.json, if --dataset does not apply: number of classes.",
        minimum=1,
        maximum=255,
    )
    ignore_label: int | None = option(
        flags.DEFINE_integer,
        None,
        "The same: label of pixels that never count.",
        minimum=0,
        maximum=255,
    )
    num_training_samples: int = option(
        flags.DEFINE_integer,
        10582,
        "Images of the training split; if given, compared with the records.",
        minimum=1,
    )
    num_evaluating_samples: int = option(
        flags.DEFINE_integer,
        4952,
        "Images of the evaluation split; if given, compared with the records.",
        minimum=1,
    )
    on_bad_record: str = option(
        flags.DEFINE_string,
        "fail",
        "Records that cannot be used: fail stops the run; skip reads all records at the start and "
        "skips the bad ones, with a warning that names them.",
        choices=("fail", "skip"),
    )
    max_bad_records: int = option(
        flags.DEFINE_integer,
        100,
        "With --on_bad_record=skip: maximum number of bad records in a split.",
        minimum=0,
    )
    cache: str = option(
        flags.DEFINE_string,
        "none",
        "Where decoded images are cached: none, memory (of each process) or disk. Batches do not "
        "change; the log says how much space the cache takes.",
        choices=("none", "memory", "disk"),
        changeable=True,
    )
    cache_dir: str | None = option(
        flags.DEFINE_string,
        None,
        "Folder of --cache=disk; unset: the folder of the records.",
        changeable=True,
    )

    @property
    def is_raw(self) -> bool:
        """Whether `dataset_dir` is a format with its flags, not a folder of records."""
        return " --" in (self.dataset_dir or "")

    def check(self):
        """Raises OptionError for a cache that has no place or no use."""
        if self.is_raw and self.cache == "disk" and self.cache_dir is None:
            raise OptionError("--cache=disk of raw data needs --cache_dir.")
        if self.cache_dir is not None and self.cache != "disk":
            raise OptionError(
                f"--cache_dir={self.cache_dir} has no effect without --cache=disk; pass both."
            )


@dataclasses.dataclass(frozen=True)
class InputOptions(Options):
    """The size of what the network sees: crops, and the resize before them."""

    SECTION = "input"

    train_crop_size: tuple[int, ...] = option(
        flags.DEFINE_list,
        (513, 513),
        "Height,width of the training crop.",
        convert=int,
        length=2,
        minimum=1,
        maximum=1 << 14,
    )
    eval_crop_size: tuple[int | str, ...] = option(
        flags.DEFINE_list,
        (513, 513),
        "Height,width that evaluation images are padded to (no image may be larger), or auto: each "
        "image at its own size.",
        convert=_pixels_or_auto,
    )
    min_resize_value: int | None = option(
        flags.DEFINE_integer,
        None,
        "Resize images so that the shorter side has this length.",
        minimum=1,
    )
    max_resize_value: int | None = option(
        flags.DEFINE_integer, None, "Maximum longer side after that resize.", minimum=1
    )
    resize_factor: int | None = option(
        flags.DEFINE_integer, None, "Sizes after that resize are multiples of it plus 1.", minimum=1
    )
    keep_aspect_ratio: bool = option(
        flags.DEFINE_bool, True, "Keep the aspect ratio in that resize."
    )
    augmentation: str = option(
        flags.DEFINE_string,
        "deeplab",
        "How crops are made. deeplab: random scale, crop and padding in training, padding in "
        "evaluation. imagenet: a crop of random area and aspect ratio resized to the crop size in "
        "training, a resized center crop in evaluation.",
        choices=("deeplab", "imagenet"),
    )

    @property
    def eval_size(self) -> tuple[int, int] | None:
        """(height, width) that evaluation images are padded to; None: each has its own size."""
        return None if self.eval_crop_size == (AUTO,) else self.eval_crop_size

    def check(self):
        """Raises OptionError for sizes that contradict each other."""
        if self.augmentation == "imagenet":
            self._check_imagenet()
        size = self.eval_size
        if size is not None and not (
            len(size) == 2 and all(side != AUTO and side >= 1 for side in size)
        ):
            raise OptionError(
                f"--eval_crop_size is {','.join(map(str, size))}, but must be HEIGHT,WIDTH in "
                "pixels, or auto for each image's own size."
            )
        self._check_resize()

    def _check_imagenet(self):
        if self.min_resize_value is not None:
            raise OptionError(
                f"--min_resize_value={self.min_resize_value} contradicts --augmentation=imagenet, "
                "which resizes by itself; drop one of them."
            )
        if self.eval_size is None:
            raise OptionError(
                "--eval_crop_size=auto contradicts --augmentation=imagenet, which cuts a crop out "
                "of each image; pass --eval_crop_size=HEIGHT,WIDTH."
            )

    def _check_resize(self):
        low, high = self.min_resize_value, self.max_resize_value
        if low is not None and high is not None and low > high:
            raise OptionError(f"--min_resize_value={low} is above --max_resize_value={high}.")
        if low is None:
            for name in ("max_resize_value", "resize_factor"):
                if getattr(self, name) is not None:
                    raise OptionError(
                        f"--{name}={getattr(self, name)} has no effect without "
                        "--min_resize_value; pass both."
                    )


# All records of the data.
DATA_RECORDS = (RecordsOptions, InputOptions, AugmentationOptions)
