"""The options of the commands of `datasets/`: conversion, audit, downloads, synthetic data."""

from __future__ import annotations

import dataclasses

from absl import flags

from common import Options, option


@dataclasses.dataclass(frozen=True)
class ConvertOptions(Options):
    """What `python -m datasets.convert` reads and writes; each format takes some of them."""

    SECTION = "conversion"

    output_dir: str = option(flags.DEFINE_string, "./tfrecord", "Folder to write to.")
    splits: tuple[str, ...] | None = option(
        flags.DEFINE_list, None, "Splits to convert, comma separated; unset: all.", convert=str
    )
    dataset_name: str | None = option(
        flags.DEFINE_string, None, "What reports call the data; unset: the class table's name."
    )
    num_shards: int | None = option(
        flags.DEFINE_integer,
        None,
        "Files per split; unset: 4, of cityscapes 10.",
        minimum=1,
        maximum=99999,
    )
    num_workers: int | None = option(
        flags.DEFINE_integer,
        None,
        "Processes, at most one per file that is written; unset: one per core.",
        minimum=1,
    )
    image_format: str = option(
        flags.DEFINE_string,
        "png",
        "Which image to take where a folder holds a name in several formats; all are found.",
        choices=("jpg", "jpeg", "png"),
    )
    label_format: str = option(flags.DEFINE_string, "png", "Format of the masks.", choices=("png",))

    image_folder: str = option(
        flags.DEFINE_string,
        "./VOCdevkit/VOC2012/JPEGImages",
        "Folder of the images. Here and below a path may lead through a .tar or .zip file.",
    )
    semantic_segmentation_folder: str = option(
        flags.DEFINE_string,
        "./VOCdevkit/VOC2012/SegmentationClassRaw",
        "Folder of the masks: PNG files that hold class numbers, grey or with a palette; coco: of "
        "the panoptic PNG files.",
    )
    list_folder: str = option(
        flags.DEFINE_string,
        "./VOCdevkit/VOC2012/ImageSets/Segmentation",
        "Folder of the lists, SPLIT.txt: a line is an image's name, or the paths of an image and "
        "its mask. The format folders takes the sub-folders as splits if the flag is not given.",
    )
    val_fraction: float | None = option(
        flags.DEFINE_float,
        None,
        "folders: share of the images that becomes the split val, drawn with --split_seed; the "
        "others become train.",
        above=0.0,
        maximum=0.99,
    )
    split_seed: int = option(
        flags.DEFINE_integer, 0, "folders: seed of the draw of --val_fraction.", minimum=0
    )

    num_classes: int | None = option(
        flags.DEFINE_integer,
        None,
        "Number of classes, where neither the format nor --class_table says.",
        minimum=1,
        maximum=255,
    )
    ignore_label: int | None = option(
        flags.DEFINE_integer,
        None,
        "Mask value of pixels that never count; 255 where the class table does not say.",
        minimum=0,
        maximum=255,
    )
    class_table: str | None = option(
        flags.DEFINE_string,
        None,
        "File with the names, and perhaps the colours and mask values, of the classes: .json, .csv "
        "or .txt; see datasets/class_table.py.",
    )
    mask_values: tuple[str, ...] | None = option(
        flags.DEFINE_list,
        None,
        "What the values in masks mean: 0:membrane,255:cell; VALUE:ignore never counts.",
        convert=str,
    )
    reduce_zero_label: bool = option(
        flags.DEFINE_bool,
        False,
        "Whether ids in masks begin at 1: id n becomes class n - 1, and 0 never counts.",
    )

    voc_root: str | None = option(
        flags.DEFINE_string,
        None,
        "pascal_voc, voc_aug: the devkit, unpacked or as .tar, in place of the folders above.",
    )
    aug_folder: str | None = option(
        flags.DEFINE_string,
        None,
        "voc_aug: SegmentationClassAug, a folder or .zip file; or pass --sbd_folder.",
    )
    trainaug_list: str | None = option(
        flags.DEFINE_string,
        None,
        "voc_aug: list of the augmented training images; unset: trainaug.txt of --list_folder, or "
        "with --sbd_folder all images of SBD and train that are not in val.",
    )
    sbd_folder: str | None = option(
        flags.DEFINE_string,
        None,
        "sbd, voc_aug: the folder of SBD that holds cls, train.txt and val.txt "
        "(benchmark_RELEASE/dataset).",
    )

    annotations: tuple[str, ...] | None = option(
        flags.DEFINE_list,
        None,
        "coco: annotation files (instances, stuff or panoptic JSON), one per split; the splits are "
        "called like --splits, or after the file.",
        convert=str,
    )
    coco_classes: str = option(
        flags.DEFINE_string,
        "all",
        "coco: all categories of the file and background (81 classes), or the 20 of PASCAL VOC and "
        "background (21).",
        choices=("all", "voc"),
    )
    overlap: str = option(
        flags.DEFINE_string,
        "area",
        "coco: where objects overlap, the smaller is on top (area), or nothing counts (ignore).",
        choices=("area", "ignore"),
    )

    skip_empty: bool = option(
        flags.DEFINE_bool,
        False,
        "coco: whether images without objects are left out, as in the 117,266 of DeepLab's split.",
    )

    cityscapes_root: str = option(
        flags.DEFINE_string, "./cityscapes", "cityscapes: folder of leftImg8bit and gtFine."
    )
    cityscapes_labels: str | None = option(
        flags.DEFINE_string,
        None,
        "cityscapes: which masks; unset: labelTrainIds if all images have them, else labelIds.",
        choices=("labelIds", "labelTrainIds"),
    )
    cityscapes_ground_truth: str = option(
        flags.DEFINE_string,
        "gtFine",
        "cityscapes: fine or coarse masks.",
        choices=("gtFine", "gtCoarse"),
    )

    train_image_folder: str = option(
        flags.DEFINE_string,
        "./ADE20K/ADEChallengeData2016/images/training",
        "ade20k: folder of the training images.",
    )
    train_image_label_folder: str = option(
        flags.DEFINE_string,
        "./ADE20K/ADEChallengeData2016/annotations/training",
        "ade20k: folder of their masks.",
    )
    val_image_folder: str = option(
        flags.DEFINE_string,
        "./ADE20K/ADEChallengeData2016/images/validation",
        "ade20k: folder of the validation images.",
    )
    val_image_label_folder: str = option(
        flags.DEFINE_string,
        "./ADE20K/ADEChallengeData2016/annotations/validation",
        "ade20k: folder of their masks.",
    )


@dataclasses.dataclass(frozen=True)
class AuditOptions(Options):
    """What `python -m datasets.audit` takes beside the options of a conversion."""

    SECTION = "audit"

    dataset: str | None = option(
        flags.DEFINE_string,
        None,
        "What records without a dataset.json are of: pascal_voc_seg, cityscapes, ade20k, coco2017; "
        "or pass --num_classes and --ignore_label.",
    )
    num_samples: int = option(
        flags.DEFINE_integer, 12, "Images with masks on the page.", minimum=0, maximum=200
    )
    near_duplicates: int = option(
        flags.DEFINE_integer,
        4,
        "Images of two splits look alike if so many of 64 bits differ at most; 0: not compared.",
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
        flags.DEFINE_integer, 5, "How often a broken connection is continued.", minimum=1
    )


@dataclasses.dataclass(frozen=True)
class SyntheticOptions(Options):
    """What `python -m datasets.synthetic` makes."""

    SECTION = "synthetic"

    output_dir: str = option(
        flags.DEFINE_string, "./synthetic", "Folder to make, in PASCAL VOC's layout."
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
