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
    shard: bool = option(
        flags.DEFINE_bool,
        False,
        "Accepted from older commands: with several ranks each always reads its own share.",
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


@dataclasses.dataclass(frozen=True)
class ConvertOptions(Options):
    """What `python -m datasets.convert` reads and writes; each format takes some of them."""

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

    download_dir: str = option(flags.DEFINE_string, "./downloads", "Folder to download to.")
    attempts: int = option(
        flags.DEFINE_integer, 5, "How often a broken connection is continued.", minimum=1
    )


@dataclasses.dataclass(frozen=True)
class SyntheticOptions(Options):
    """What `python -m datasets.synthetic` makes."""

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
