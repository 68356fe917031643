"""The files of public data sets in miniature, in their own layouts."""

import io
import json
import tarfile
import zipfile

import numpy as np
from PIL import Image

from tests.small_data import labels, make_voc, pixels, save_image, save_mask

COCO_SIZE = (20, 30)
COCO_CATEGORIES = [
    {"id": 3, "name": "car"},
    {"id": 1, "name": "person"},
    {"id": 17, "name": "kitten"},
]
ADE20K_MASK = np.tile(np.arange(0, 151, dtype=np.uint8), [10, 1])


def make_devkit(root, archive):
    """Writes VOC's devkit with 3 + 2 images and one more that only SBD has.

    Args:
      root: Its folder VOCdevkit/VOC2012.
      archive: A .tar file of it.
    """
    made = root.parent.parent / "made"
    make_voc(made, palette=True, train=3, val=2)
    (root / "ImageSets").mkdir(parents=True)
    (made / "Images").rename(root / "JPEGImages")
    (made / "Masks").rename(root / "SegmentationClass")
    (made / "Lists").rename(root / "ImageSets" / "Segmentation")
    made.rmdir()
    save_image(root / "JPEGImages" / "sbd_0.jpg", pixels(9, 20, 30))
    with tarfile.open(str(archive), "w") as content:
        content.add(str(root), "VOCdevkit/VOC2012")


def make_sbd(folder):
    """Writes SBD's `dataset` with masks of the devkit's train_0, val_0 and sbd_0, all class 5."""
    from scipy import io as scipy_io

    (folder / "cls").mkdir(parents=True)
    for name, size in (("train_0", (20, 31)), ("val_0", (20, 31)), ("sbd_0", (20, 30))):
        content = {"GTcls": {"Segmentation": np.full(size, 5, np.uint8)}}
        scipy_io.savemat(str(folder / "cls" / f"{name}.mat"), content)
    (folder / "train.txt").write_text("train_0\nsbd_0\n")
    (folder / "val.txt").write_text("val_0\n")


def make_augmented(archive, listing):
    """Writes SegmentationClassAug.zip with masks of train_0 and sbd_0, as macOS packs it."""
    with zipfile.ZipFile(str(archive), "w") as content:
        for name, size in (("train_0", (20, 31)), ("sbd_0", (20, 30))):
            buffer = io.BytesIO()
            Image.fromarray(labels(7, *size)).save(buffer, "PNG")
            content.writestr(f"SegmentationClassAug/{name}.png", buffer.getvalue())
        content.writestr("__MACOSX/._SegmentationClassAug", b"x")
    listing.write_text(
        "".join(
            f"/JPEGImages/{n}.jpg /SegmentationClassAug/{n}.png\n" for n in ("sbd_0", "train_0")
        )
    )


def square(left, top, side):
    """Returns the polygon of a square, as COCO writes it."""
    right, bottom = left + side, top + side
    return [[left, top, right, top, right, bottom, left, bottom]]


def annotation(number, category, outline, **values):
    """Returns an object of COCO's."""
    entry = {"id": number, "image_id": 7, "category_id": category, "segmentation": outline}
    return {**entry, "iscrowd": 0, **values}


def coco_annotations():
    """Returns two overlapping objects and a crowd on one image, and an image without objects."""
    height, width = COCO_SIZE
    crowd = {"counts": [0, 20, 580], "size": [height, width]}
    return {
        "images": [
            {"id": 7, "file_name": "a.jpg", "height": height, "width": width},
            {"id": 9, "file_name": "b.jpg", "height": height, "width": width},
        ],
        "annotations": [
            annotation(1, 1, square(5, 5, 4)),
            annotation(2, 3, square(4, 4, 10)),
            annotation(3, 1, crowd, iscrowd=1),
        ],
        "categories": COCO_CATEGORIES,
    }


def make_coco(images, annotations):
    """Writes a split of COCO: a folder of images, a file of annotations."""
    for name in ("a.jpg", "b.jpg"):
        save_image(images / name, pixels(1, *COCO_SIZE))
    annotations.parent.mkdir(parents=True, exist_ok=True)
    annotations.write_text(json.dumps(coco_annotations()))


def make_cityscapes(root):
    """Writes Cityscapes' folders with 2 + 1 + 1 images; those of `test` have no masks."""
    for split, city, number in (("train", "aachen", 2), ("val", "ulm", 1), ("test", "bonn", 1)):
        for index in range(number):
            name = f"{city}_{index:06d}_000019"
            image = root / "leftImg8bit" / split / city / f"{name}_leftImg8bit.png"
            save_image(image, pixels(index, 20, 35))
            if split != "test":
                mask = np.tile(np.arange(35, dtype=np.uint8), [20, 1])
                folder = root / "gtFine" / split / city
                mask[:, 34] = 255
                save_mask(folder / f"{name}_gtFine_labelIds.png", mask)


def make_ade20k(root):
    """Writes ADE20K's folders with 3 + 1 images, each mask with every class."""
    for split, folder, number in (("train", "training", 3), ("val", "validation", 1)):
        for index in range(number):
            name = f"ADE_{split}_{index:08d}"
            save_image(root / "images" / folder / f"{name}.jpg", pixels(index, 10, 151))
            save_mask(root / "annotations" / folder / f"{name}.png", ADE20K_MASK)


def pack(archive, root):
    """Packs the files below a folder in a .zip file, by their paths from that folder on."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(str(archive), "w") as content:
        for path in sorted(root.rglob("*")):
            if path.is_file():
                content.write(str(path), str(path.relative_to(root)))
