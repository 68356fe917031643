"""The options of the tools of `datasets/`: audit, index masks, downloads, synthetic data."""

from __future__ import annotations

import dataclasses

from absl import flags

from common import Options, option


@dataclasses.dataclass(frozen=True)
class AuditOptions(Options):
    """What `python -m datasets.audit` takes beside the options of a conversion."""

    SECTION = "audit"

    dataset: str | None = option(
        flags.DEFINE_string,
        None,
        "Known data set that describes records without a dataset.json: pascal_voc_seg, cityscapes, "
        "ade20k or coco2017; or pass --num_classes and --ignore_label.",
    )
    num_samples: int = option(
        flags.DEFINE_integer, 12, "Images with masks on the page.", minimum=0, maximum=200
    )
    near_duplicates: int = option(
        flags.DEFINE_integer,
        4,
        "Images of two splits are near duplicates if at most this many of 64 bits differ; 0: no "
        "comparison.",
        minimum=0,
        maximum=16,
    )


@dataclasses.dataclass(frozen=True)
class IndexMasksOptions(Options):
    """What `python -m datasets.index_masks` reads and writes."""

    SECTION = "index_masks"

    original_gt_folder: str = option(
        flags.DEFINE_string, "./VOCdevkit/VOC2012/SegmentationClass", "Folder of the masks."
    )
    segmentation_format: str = option(
        flags.DEFINE_string, "png", "Format of the masks.", choices=("png",)
    )
    output_dir: str = option(
        flags.DEFINE_string, "./VOCdevkit/VOC2012/SegmentationClassRaw", "Folder to write to."
    )


@dataclasses.dataclass(frozen=True)
class FetchOptions(Options):
    """Where `python -m datasets.fetch` puts things."""

    SECTION = "fetch"

    download_dir: str = option(flags.DEFINE_string, "./downloads", "Folder to download to.")
    attempts: int = option(
        flags.DEFINE_integer, 5, "How often to resume a broken download.", minimum=1
    )


@dataclasses.dataclass(frozen=True)
class SyntheticOptions(Options):
    """What `python -m datasets.synthetic` makes."""

    SECTION = "synthetic"

    output_dir: str = option(
        flags.DEFINE_string, "./synthetic", "Folder to write, in PASCAL VOC's layout."
    )
    num_train: int = option(flags.DEFINE_integer, 400, "Images of split train.", minimum=1)
    num_val: int = option(flags.DEFINE_integer, 80, "Images of split val.", minimum=1)
    seed: int = option(flags.DEFINE_integer, 0, "Seed of the scenes.", minimum=0)
    difficulty: float = option(
        flags.DEFINE_float,
        0.3,
        "From 0 (strong patterns, few overlaps) to 1 (weak ones, noise, small and hidden objects).",
        minimum=0.0,
        maximum=1.0,
    )
