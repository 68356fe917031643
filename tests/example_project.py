"""A checkout with everything in miniature that the commands of the documents name.

  python -m tests.example_project FOLDER

fills FOLDER: data sets as they are downloaded, images and masks, records, and checkpoints of small
networks, all at the paths that stand in the documents.
"""

import json
import os
import pathlib
import shutil
import sys
import tarfile

import numpy as np

import common
from core import network
from options.data import InputOptions
from options.network import NetworkSpec
from tests import converting, small_data, small_trees
from utils import colormap
from utils.compat import tf

ROOT = pathlib.Path(common.__file__).parent
# What the copy of the checkout holds; the rest is for developers.
PARTS = (
    "commands",
    "core",
    "datasets",
    "deployment",
    "options",
    "utils",
    "benchmarks",
    "scripts",
    "docs",
)
NETWORK = NetworkSpec.of(depth_multiplier=0.25, aspp_convs_filters=8)
RESNET = {"multi_grid": (1, 2), "aspp_convs_filters": 8}
CROP = (65, 65)
CAMVID_CLASSES = 11


def copy_checkout(folder):
    """Copies the programs and the pages."""
    leave_out = shutil.ignore_patterns("__pycache__", "eval")
    for part in PARTS:
        shutil.copytree(str(ROOT / part), str(folder / part), ignore=leave_out)
    for path in [*ROOT.glob("*.py"), *ROOT.glob("*.md"), ROOT / "Makefile"]:
        shutil.copy(str(path), str(folder / path.name))


def make(folder):
    """Fills a folder that holds a copy of the checkout."""
    own_images(folder)
    downloads(folder)
    records(folder)
    checkpoints(folder)
    for name in ("street.jpg", "photos/a.jpg", "photos/more/b.jpg", "PHOTOS/a.jpg"):
        small_data.save_image(folder / name, small_data.pixels(1, 90, 120))
    (folder / "more.txt").write_text("street.jpg\n")
    (folder / "my.json").write_bytes((folder / "scripts" / "8p.json").read_bytes())
    addresses = "".join(f"address_{number}=192.168.10{number}.101\n" for number in range(8))
    (folder / "hccn.conf").write_text(addresses)


def pairs(folder, images, masks, splits, num_classes, ignore_label=255):
    """Writes images, masks and lists; no two images are alike.

    Args:
      folder: Where.
      images: The images' folder; `{split}` in it stands for their split.
      masks: The masks' folder.
      splits: Split -> number of images.
      num_classes: Values of the masks, beside `ignore_label`.
      ignore_label: Value of pixels that do not count.
    """
    seed = 0
    for split, number in splits.items():
        names = [f"{split}_{index}" for index in range(number)]
        for name in names:
            seed += 1
            label = small_data.labels(seed, 40, 60, num_classes)
            label[label == 255] = ignore_label
            image = folder / images.format(split=split) / f"{name}.png"
            small_data.save_image(image, small_data.pixels(seed, 40, 60))
            small_data.save_mask(folder / masks.format(split=split) / f"{name}.png", label)
        (folder / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))


def own_images(folder):
    """Writes my/: images, masks of five classes, lists and a class table; and CamVid's folders."""
    mine = folder / "my"
    pairs(mine, "images", "masks", {"train": 6, "val": 2}, 5)
    (mine / "splits").mkdir()
    for split in ("train", "val"):
        shutil.move(str(mine / f"{split}.txt"), str(mine / "splits"))
    classes = [{"name": f"class {number}"} for number in range(5)]
    (mine / "classes.json").write_text(json.dumps({"name": "mine", "classes": classes}))
    camvid = folder / "CAMVID"
    pairs(camvid, "{split}", "{split}annot", {"train": 4, "val": 2}, CAMVID_CLASSES, CAMVID_CLASSES)
    # Its lists name both files of a pair.
    for split, number in (("train", 4), ("val", 2)):
        names = [f"{split}_{index}.png" for index in range(number)]
        lines = [
            f"/SegNet/CamVid/{split}/{name} /SegNet/CamVid/{split}annot/{name}\n" for name in names
        ]
        (camvid / f"{split}.txt").write_text("".join(lines))
    salt(folder / "SALT")
    overlapping(folder / "SET")


def salt(folder):
    """Writes images with masks of 0 and 65535 in 16 bits."""
    for number in range(6):
        name = f"{number}.png"
        small_data.save_image(folder / "images" / name, small_data.pixels(number, 40, 40))
        mask = np.where(small_data.labels(number, 40, 40, 2) == 1, 65535, 0).astype(np.uint16)
        small_data.save_mask(folder / "masks" / name, mask)


def overlapping(folder):
    """Writes images with a folder of masks for each of four labels, and lists."""
    names = {"train": ["0", "1", "2", "3"], "val": ["4", "5"]}
    for number in range(6):
        small_data.save_image(
            folder / "images" / f"{number}.png", small_data.pixels(number, 40, 40)
        )
        for label, name in enumerate(("ground", "object", "moving", "structure")):
            mask = np.where(small_data.labels(10 * label + number, 40, 40, 2) == 1, 255, 0)
            small_data.save_mask(folder / name / f"{number}.png", mask.astype(np.uint8))
    (folder / "lists").mkdir()
    for split, listed in names.items():
        (folder / "lists" / f"{split}.txt").write_text("".join(f"{name}\n" for name in listed))


def downloads(folder):
    """Writes what PASCAL VOC, SBD, COCO, Cityscapes and ADE20K are downloaded as."""
    voc = folder / "VOCtrainval_11-May-2012.tar"
    small_trees.make_devkit(folder / "unpacked" / "VOCdevkit" / "VOC2012", voc)
    (folder / "downloads").mkdir()
    shutil.copy(str(voc), str(folder / "downloads"))
    sbd = folder / "unpacked" / "benchmark_RELEASE" / "dataset"
    small_trees.make_sbd(sbd)
    for name, width in (("train_0", 31), ("val_0", 31), ("sbd_0", 30)):
        small_data.save_image(sbd / "img" / f"{name}.jpg", small_data.pixels(9, 20, width))
    with tarfile.open(str(folder / "downloads" / "benchmark.tgz"), "w:gz") as archive:
        archive.add(str(folder / "unpacked" / "benchmark_RELEASE"), "benchmark_RELEASE")
    small_trees.make_augmented(folder / "SegmentationClassAug.zip", folder / "trainaug.txt")
    for split in ("train", "val"):
        annotations = folder / "unpacked" / "coco" / "annotations" / f"instances_{split}2017.json"
        small_trees.make_coco(folder / "coco" / f"{split}2017", annotations)
    small_trees.pack(folder / "coco" / "annotations_trainval2017.zip", folder / "unpacked" / "coco")
    small_trees.make_cityscapes(folder / "cityscapes")
    small_trees.make_ade20k(folder / "unpacked" / "ade" / "ADEChallengeData2016")
    small_trees.pack(folder / "ADEChallengeData2016.zip", folder / "unpacked" / "ade")


def records(folder):
    """Converts a small data set to every folder of records that a page begins with."""
    pairs(folder / "made", "images", "masks", {"trainaug": 4, "train": 4, "val": 2}, 4)
    made = {
        "image_folder": str(folder / "made" / "images"),
        "semantic_segmentation_folder": str(folder / "made" / "masks"),
        "list_folder": str(folder / "made"),
        "num_classes": 4,
    }
    for output in ("datasets/pascal_voc_seg/tfrecord", "data/voc", "data/records", "my/records"):
        converting.convert("folders", made, output_dir=str(folder / output))
    camvid = str(folder / "CAMVID")
    converting.convert(
        "folders",
        {"image_folder": camvid, "semantic_segmentation_folder": camvid, "list_folder": camvid},
        class_table=str(folder / "datasets" / "tables" / "camvid.json"),
        output_dir=str(folder / "data" / "camvid"),
    )


def checkpoints(folder):
    """Saves small networks of random weights: of runs, published ones, and backbones alone."""
    facts = {
        "num_classes": 4,
        "class_names": [f"class {number}" for number in range(4)],
        "colors": colormap.pascal(4).tolist(),
        "ignore_label": 255,
    }
    for run in ("runs/first", "RUN"):
        save(folder / run / "model.ckpt-1", NETWORK, 4)
        sections = {"model": NETWORK, "input": InputOptions(eval_crop_size=CROP), "run": facts}
        common.save_options(str(folder / run), sections)
    save(folder / "deeplabv3_mnv2_dm05_pascal" / "model.ckpt", NETWORK, 21)
    backbone = folder / "pretrained" / "mobilenet_v2_1.0_224_imagenet" / "model.ckpt"
    save(backbone, NETWORK, 21, scope="MobilenetV2/")
    beta = NetworkSpec.of(model_variant="resnet_v1_18_beta", **RESNET)
    save(folder / "pretrained" / "model.ckpt", beta, 21, scope="resnet_v1_18/")
    resnet = NetworkSpec.of(model_variant="resnet_v1_18", **RESNET)
    save(folder / "my" / "model.ckpt-7000", resnet, 4)
    common.save_options(str(folder / "my"), {"model": resnet, "run": facts})


def save(prefix, options, num_classes, scope=""):
    """Saves the variables of a network below a scope, and the step in the prefix's name."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(0)
        network.build(tf.zeros([1, *CROP, 3]), options, num_classes)
        session.run(tf.global_variables_initializer())
        chosen = [item for item in tf.global_variables() if item.op.name.startswith(scope)]
        assert chosen, scope
        tf.train.Saver(chosen).save(session, str(prefix), write_meta_graph=False)


if __name__ == "__main__":
    make(pathlib.Path(os.path.abspath(sys.argv[1])))
