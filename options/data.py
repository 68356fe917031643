"""The options of the data: which records, which classes, how images are prepared."""

from __future__ import annotations

import dataclasses

from absl import flags

from common import Options, option
from utils.errors import OptionError

AUTO = "auto"


def _pixels_or_auto(value):
    """Returns a side of a crop in pixels, or AUTO."""
    return AUTO if value == AUTO else int(value)


@dataclasses.dataclass(frozen=True)
class DataOptions(Options):
    """The data set and its preprocessing."""

    SECTION = "data"

    dataset_dir: str | None = option(
        flags.DEFINE_string,
        None,
        "Folder of the TFRecord shards and their dataset.json. Or data as they are: a format of "
        'datasets.convert with its flags, in quotes, such as "folders --image_folder=DIR ..."; '
        "their records are made at the start, in the system's temporary folder.",
    )
    dataset: str = option(
        flags.DEFINE_string,
        "pascal_voc_seg",
        "Known data set that describes records without a dataset.json: pascal_voc_seg, "
        "cityscapes, ade20k or coco2017.",
    )
    num_classes: int | None = option(
        flags.DEFINE_integer,
        None,
        "Classes of records without a dataset.json, if --dataset does not fit.",
        minimum=1,
        maximum=255,
    )
    ignore_label: int | None = option(
        flags.DEFINE_integer,
        None,
        "Label of pixels that never count, for records without a dataset.json.",
        minimum=0,
        maximum=255,
    )
    num_training_samples: int = option(
        flags.DEFINE_integer,
        10582,
        "Images of the training split; only checked against the records when given.",
        minimum=1,
    )
    num_evaluating_samples: int = option(
        flags.DEFINE_integer,
        4952,
        "Images of the evaluation split; only checked against the records when given.",
        minimum=1,
    )
    train_crop_size: tuple[int, ...] = option(
        flags.DEFINE_list,
        (513, 513),
        "Height,width of training images.",
        convert=int,
        length=2,
        minimum=1,
    )
    eval_crop_size: tuple[int | str, ...] = option(
        flags.DEFINE_list,
        (513, 513),
        "Height,width that evaluation images are padded to, no image may be larger; auto: each "
        "image is evaluated whole at its own size.",
        convert=_pixels_or_auto,
    )
    min_resize_value: int | None = option(
        flags.DEFINE_integer, None, "Resize images so that the shorter side is this.", minimum=1
    )
    max_resize_value: int | None = option(
        flags.DEFINE_integer, None, "Largest longer side after that resize.", minimum=1
    )
    resize_factor: int | None = option(
        flags.DEFINE_integer, None, "Sizes after that resize are multiples of it plus 1.", minimum=1
    )
    keep_aspect_ratio: bool = option(
        flags.DEFINE_bool, True, "Whether that resize keeps the aspect ratio."
    )
    min_scale_factor: float = option(
        flags.DEFINE_float, 0.5, "Smallest random scale in training.", above=0.0
    )
    max_scale_factor: float = option(
        flags.DEFINE_float, 2.0, "Largest random scale in training.", above=0.0
    )
    scale_factor_step_size: float = option(
        flags.DEFINE_float, 0.25, "Step between random scales; 0: any in the range.", minimum=0.0
    )
    augmentation: str = option(
        flags.DEFINE_string,
        "deeplab",
        "How crops are chosen. deeplab: random scale, crop, padding; evaluation pads. imagenet: "
        "random area and aspect ratio, resized to the crop; evaluation resizes, takes the middle.",
        choices=("deeplab", "imagenet"),
    )
    random_crop_area: tuple[float, ...] = option(
        flags.DEFINE_list,
        (0.08, 1.0),
        "Smallest,largest share of the image in a crop, with --augmentation=imagenet.",
        convert=float,
        length=2,
        above=0.0,
        maximum=1.0,
    )
    random_crop_aspect: tuple[float, ...] = option(
        flags.DEFINE_list,
        (0.75, 4 / 3),
        "Smallest,largest width / height of a crop before it is resized, likewise.",
        convert=float,
        length=2,
        above=0.0,
    )
    brightness_delta: float = option(
        flags.DEFINE_float, 0.0, "Largest random change, as a share of white.", minimum=0, maximum=1
    )
    contrast_delta: float = option(
        flags.DEFINE_float, 0.0, "Largest random change of contrast.", minimum=0, maximum=1
    )
    saturation_delta: float = option(
        flags.DEFINE_float, 0.0, "Largest random change of saturation.", minimum=0, maximum=1
    )
    hue_delta: float = option(
        flags.DEFINE_float, 0.0, "Largest random change, in turns.", minimum=0, maximum=0.5
    )
    max_blur_sigma: float = option(
        flags.DEFINE_float, 0.0, "Largest random blur, in pixels.", minimum=0, maximum=20
    )
    max_rotation: float = option(
        flags.DEFINE_float, 0.0, "Largest random rotation, in degrees.", minimum=0, maximum=180
    )
    on_bad_record: str = option(
        flags.DEFINE_string,
        "fail",
        "What a record that cannot be used does: fail stops the run; skip reads every record at "
        "the start and leaves the bad ones out, with a warning that names them.",
        choices=("fail", "skip"),
    )
    max_bad_records: int = option(
        flags.DEFINE_integer,
        100,
        "With --on_bad_record=skip: how many bad records of a split are accepted.",
        minimum=0,
    )
    cache: str = option(
        flags.DEFINE_string,
        "none",
        "Where decoded images are kept after the start: none, memory (of each process) or disk. "
        "Batches are the same; the room that it takes is said at the start.",
        choices=("none", "memory", "disk"),
        changeable=True,
    )
    cache_dir: str | None = option(
        flags.DEFINE_string,
        None,
        "Folder of --cache=disk; unset: that of the records.",
        changeable=True,
    )

    @property
    def is_raw(self) -> bool:
        """Whether `dataset_dir` is a format with its flags, not a folder of records."""
        return " --" in (self.dataset_dir or "")

    @property
    def eval_size(self) -> tuple[int, int] | None:
        """(height, width) that evaluation images are padded to; None: each has its own size."""
        return None if self.eval_crop_size == (AUTO,) else self.eval_crop_size

    def check(self):
        """Raises OptionError for ranges that are empty."""
        for name in ("random_crop_area", "random_crop_aspect"):
            low, high = getattr(self, name)
            if low > high:
                raise OptionError(f"--{name}={low},{high}: the first number is above the second.")
        if self.augmentation == "imagenet" and self.min_resize_value is not None:
            raise OptionError(
                f"--min_resize_value={self.min_resize_value} does not go with "
                "--augmentation=imagenet, which resizes by itself; drop one of them."
            )
        if self.augmentation == "imagenet" and self.eval_size is None:
            raise OptionError(
                "--eval_crop_size=auto does not go with --augmentation=imagenet, which cuts a crop "
                "out of each image; pass --eval_crop_size=HEIGHT,WIDTH."
            )
        size = self.eval_size
        if size is not None and not (
            len(size) == 2 and all(side != AUTO and side >= 1 for side in size)
        ):
            raise OptionError(
                f"--eval_crop_size is {','.join(map(str, size))}, but must be HEIGHT,WIDTH in "
                "pixels, or auto for each image's own size."
            )
        if self.is_raw and self.cache == "disk" and self.cache_dir is None:
            raise OptionError("--cache=disk of data that are not converted needs --cache_dir.")
        if self.cache_dir is not None and self.cache != "disk":
            raise OptionError(
                f"--cache_dir={self.cache_dir} does nothing without --cache=disk; pass both."
            )
        if self.min_scale_factor > self.max_scale_factor:
            raise OptionError(
                f"--min_scale_factor={self.min_scale_factor} is above "
                f"--max_scale_factor={self.max_scale_factor}."
            )
        if (
            self.min_resize_value is not None
            and self.max_resize_value is not None
            and self.min_resize_value > self.max_resize_value
        ):
            raise OptionError(
                f"--min_resize_value={self.min_resize_value} is above "
                f"--max_resize_value={self.max_resize_value}."
            )
        if self.min_resize_value is None:
            for name in ("max_resize_value", "resize_factor"):
                if getattr(self, name) is not None:
                    raise OptionError(
                        f"--{name}={getattr(self, name)} does nothing without --min_resize_value; "
                        "pass both."
                    )
