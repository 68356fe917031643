"""The options of a conversion: a common part, and what formats take of the rest.

A new format adds one record here if it has flags of its own.
"""

from __future__ import annotations

import dataclasses

from absl import flags

from common import Options, option


@dataclasses.dataclass(frozen=True)
class ConvertOptions(Options):
    """What `python -m datasets.convert` takes with every format."""

    SECTION = "conversion"

    output_dir: str = option(flags.DEFINE_string, "./tfrecord", "Folder to write to.")
    splits: tuple[str, ...] | None = option(
        flags.DEFINE_list, None, "Splits to convert, comma separated; unset: all.", convert=str
    )
    dataset_name: str | None = option(
        flags.DEFINE_string,
        None,
        "Name of the data in reports; unset: that of the class table or the format, else the name "
        "of the output folder.",
    )
    num_shards: int | None = option(
        flags.DEFINE_integer,
        None,
        "Files per split; unset: 4, or 10 for cityscapes.",
        minimum=1,
        maximum=99999,
    )
    num_workers: int | None = option(
        flags.DEFINE_integer,
        None,
        "Number of processes, at most one per file that is written; unset: one per core.",
        minimum=1,
    )
    image_format: str = option(
        flags.DEFINE_string,
        "png",
        "Preferred image format where a folder holds a name in several; all formats are found.",
        choices=("jpg", "jpeg", "png"),
    )
    label_format: str = option(flags.DEFINE_string, "png", "Format of the masks.", choices=("png",))
    on_bad_item: str = option(
        flags.DEFINE_string,
        "fail",
        "What to do with images, masks and annotations that cannot be used; all are named. fail: "
        "nothing is converted. skip: they are left out.",
        choices=("fail", "skip"),
    )
    task: str | None = option(
        flags.DEFINE_string,
        None,
        "multiclass: each pixel has one of several classes. binary: background or object, by "
        "default what is not 0 in masks. multilabel: a pixel may have several classes, or none. "
        "Unset: what the format gives first, usually multiclass.",
        choices=("multiclass", "binary", "multilabel"),
    )


class FormatOptions(Options):
    """Base of the records that only some formats take; a format lists its flags."""


@dataclasses.dataclass(frozen=True)
class PairOptions(FormatOptions):
    """Where images and masks are."""

    SECTION = "pairs"

    image_folder: str = option(
        flags.DEFINE_string,
        "./VOCdevkit/VOC2012/JPEGImages",
        "Folder of the images. This path, like those below, may lead into a .tar or .zip file.",
    )
    semantic_segmentation_folder: str = option(
        flags.DEFINE_string,
        "./VOCdevkit/VOC2012/SegmentationClassRaw",
        "Folder of the masks: PNG files of class numbers, grey or with a palette. For coco: of the "
        "panoptic PNG files.",
    )
    mask_suffix: str = option(
        flags.DEFINE_string,
        "",
        "What the names of masks have behind those of their images: _mask where that of a.jpg is "
        "a_mask.png.",
    )
    list_folder: str = option(
        flags.DEFINE_string,
        "./VOCdevkit/VOC2012/ImageSets/Segmentation",
        "Folder of the lists SPLIT.txt: a line is the name of an image, or the paths of an image "
        "and its mask. Without this flag the format folders takes sub-folders as splits.",
    )


@dataclasses.dataclass(frozen=True)
class ClassOptions(FormatOptions):
    """Which classes masks hold, where the format does not define them."""

    SECTION = "classes"

    num_classes: int | None = option(
        flags.DEFINE_integer,
        None,
        "Number of classes, where neither the format nor --class_table gives it.",
        minimum=1,
        maximum=255,
    )
    ignore_label: int | None = option(
        flags.DEFINE_integer,
        None,
        "Mask value of ignored pixels; unset: that of the class table, or 255.",
        minimum=0,
        maximum=255,
    )
    class_table: str | None = option(
        flags.DEFINE_string,
        None,
        "File with the names, and optionally the colours and mask values, of the classes: .json, "
        ".csv or .txt; see datasets/class_table.py.",
    )
    mask_values: tuple[str, ...] | None = option(
        flags.DEFINE_list,
        None,
        "Meaning of the values in masks: 0:membrane,255:cell; VALUE:ignore marks ignored pixels.",
        convert=str,
    )
    reduce_zero_label: bool = option(
        flags.DEFINE_bool,
        False,
        "Whether ids in masks begin at 1: id n becomes class n - 1, and 0 is ignored.",
    )


@dataclasses.dataclass(frozen=True)
class DrawOptions(FormatOptions):
    """How splits are drawn, where the data have none."""

    SECTION = "draw"

    val_fraction: float | None = option(
        flags.DEFINE_float,
        None,
        "Fraction of the images for the split val, drawn with --split_seed; the others become "
        "train.",
        above=0.0,
        maximum=0.99,
    )
    split_seed: int = option(
        flags.DEFINE_integer, 0, "Seed of the random split of --val_fraction.", minimum=0
    )


@dataclasses.dataclass(frozen=True)
class VocOptions(FormatOptions):
    """Of the formats pascal_voc and voc_aug."""

    SECTION = "voc"

    voc_root: str | None = option(
        flags.DEFINE_string,
        None,
        "The devkit of PASCAL VOC, a folder or a .tar file, in place of the folders above.",
    )


@dataclasses.dataclass(frozen=True)
class SbdOptions(FormatOptions):
    """Of the formats sbd and voc_aug."""

    SECTION = "sbd"

    sbd_folder: str | None = option(
        flags.DEFINE_string,
        None,
        "The folder of SBD that holds cls, train.txt and val.txt (benchmark_RELEASE/dataset).",
    )


@dataclasses.dataclass(frozen=True)
class VocAugOptions(FormatOptions):
    """Of the format voc_aug."""

    SECTION = "voc_aug"

    aug_folder: str | None = option(
        flags.DEFINE_string,
        None,
        "SegmentationClassAug, a folder or a .zip file; or pass --sbd_folder.",
    )
    trainaug_list: str | None = option(
        flags.DEFINE_string,
        None,
        "List of the augmented training images; unset: trainaug.txt of --list_folder, or with "
        "--sbd_folder all images of SBD and train that are not in val.",
    )


@dataclasses.dataclass(frozen=True)
class CocoOptions(FormatOptions):
    """Of the format coco."""

    SECTION = "coco"

    annotations: tuple[str, ...] | None = option(
        flags.DEFINE_list,
        None,
        "Annotation files (instances, stuff or panoptic JSON), one per split; the splits are named "
        "by --splits, or by the files.",
        convert=str,
    )
    coco_classes: str = option(
        flags.DEFINE_string,
        "all",
        "all: background and all categories of the file (81 classes for COCO). voc: background and "
        "the 20 classes of PASCAL VOC.",
        choices=("all", "voc"),
    )
    overlap: str = option(
        flags.DEFINE_string,
        "area",
        "Where objects overlap: area puts the smaller one on top, ignore ignores the pixels.",
        choices=("area", "ignore"),
    )
    skip_empty: bool = option(
        flags.DEFINE_bool,
        False,
        "Whether to skip images without objects, as in the 117,266 images of DeepLab's split.",
    )


@dataclasses.dataclass(frozen=True)
class CityscapesOptions(FormatOptions):
    """Of the format cityscapes."""

    SECTION = "cityscapes"

    cityscapes_root: str = option(
        flags.DEFINE_string, "./cityscapes", "Folder of leftImg8bit and gtFine."
    )
    cityscapes_labels: str | None = option(
        flags.DEFINE_string,
        None,
        "Which masks; unset: labelTrainIds if all images have them, else labelIds.",
        choices=("labelIds", "labelTrainIds"),
    )
    cityscapes_ground_truth: str = option(
        flags.DEFINE_string, "gtFine", "Fine or coarse masks.", choices=("gtFine", "gtCoarse")
    )


@dataclasses.dataclass(frozen=True)
class Ade20kOptions(FormatOptions):
    """Of the format ade20k."""

    SECTION = "ade20k"

    train_image_folder: str = option(
        flags.DEFINE_string,
        "./ADE20K/ADEChallengeData2016/images/training",
        "Folder of the training images.",
    )
    train_image_label_folder: str = option(
        flags.DEFINE_string,
        "./ADE20K/ADEChallengeData2016/annotations/training",
        "Folder of the training masks.",
    )
    val_image_folder: str = option(
        flags.DEFINE_string,
        "./ADE20K/ADEChallengeData2016/images/validation",
        "Folder of the validation images.",
    )
    val_image_label_folder: str = option(
        flags.DEFINE_string,
        "./ADE20K/ADEChallengeData2016/annotations/validation",
        "Folder of the validation masks.",
    )


@dataclasses.dataclass(frozen=True)
class BinaryMasksOptions(FormatOptions):
    """Of the format binary_masks."""

    SECTION = "binary_masks"

    mask_folders: tuple[str, ...] | None = option(
        flags.DEFINE_list,
        None,
        "Folders of masks, one per class and named after it, or one folder that holds them. A "
        "pixel that is not 0 has the class; a missing mask means that no pixel has it.",
        convert=str,
    )


# All that a conversion takes; a format refuses flags that are not its own.
CONVERSION_RECORDS = (ConvertOptions, *FormatOptions.__subclasses__())
