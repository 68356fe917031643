"""Well-known data sets: class names, colours, ignore labels, sizes of splits.

They describe records without a `dataset.json`, and are the default classes of annotation formats.
"""

from __future__ import annotations

import dataclasses

from datasets.description import Description
from utils import colormap
from utils.classes import ClassSet, as_colors

_PASCAL_VOC = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat"),
    *("chair", "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant"),
    *("sheep", "sofa", "train", "tvmonitor"),
)

# The 19 train ids.
_CITYSCAPES = (
    *("road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign"),
    *("vegetation", "terrain", "sky", "person", "rider", "car", "truck", "bus", "train"),
    *("motorcycle", "bicycle"),
)

# The 150 classes of the scene parsing benchmark, by their first or short name; label 0, "other
# objects", is not among them.
_ADE20K = (
    *("wall", "building", "sky", "floor", "tree", "ceiling", "road", "bed", "windowpane", "grass"),
    *("cabinet", "sidewalk", "person", "earth", "door", "table", "mountain", "plant", "curtain"),
    *("chair", "car", "water", "painting", "sofa", "shelf", "house", "sea", "mirror", "rug"),
    *("field", "armchair", "seat", "fence", "desk", "rock", "wardrobe", "lamp", "bathtub"),
    *("railing", "cushion", "base", "box", "column", "signboard", "chest of drawers", "counter"),
    *("sand", "sink", "skyscraper", "fireplace", "refrigerator", "grandstand", "path", "stairs"),
    *("runway", "case", "pool table", "pillow", "screen door", "stairway", "river", "bridge"),
    *("bookcase", "blind", "coffee table", "toilet", "flower", "book", "hill", "bench"),
    *("countertop", "stove", "palm", "kitchen island", "computer", "swivel chair", "boat", "bar"),
    *("arcade machine", "hovel", "bus", "towel", "light", "truck", "tower", "chandelier", "awning"),
    *("streetlight", "booth", "television receiver", "airplane", "dirt track", "apparel", "pole"),
    *("land", "bannister", "escalator", "ottoman", "bottle", "buffet", "poster", "stage", "van"),
    *("ship", "fountain", "conveyer belt", "canopy", "washer", "plaything", "swimming pool"),
    *("stool", "barrel", "basket", "waterfall", "tent", "bag", "minibike", "cradle", "oven"),
    *("ball", "food", "step", "tank", "trade name", "microwave", "pot", "animal", "bicycle"),
    *("lake", "dishwasher", "screen", "blanket", "sculpture", "hood", "sconce", "vase"),
    *("traffic light", "tray", "ashcan", "fan", "pier", "crt screen", "plate", "monitor"),
    *("bulletin board", "shower", "radiator", "glass", "clock", "flag"),
)

# The labelIds of the 19 classes: what masks for Cityscapes' server hold in place of train ids.
# Source: cityscapesScripts, helpers/labels.py.
CITYSCAPES_LABEL_IDS = (
    *(7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33),
)

PASCAL_VOC = ClassSet(_PASCAL_VOC, ignore_color=(224, 224, 192), name="pascal_voc_seg")

CITYSCAPES = ClassSet(
    _CITYSCAPES,
    as_colors(colormap.cityscapes()[: len(_CITYSCAPES)]),
    ignore_color=(0, 0, 0),
    name="cityscapes",
)

# As in the DeepLab family: label 0 is a class, which is ignored.
ADE20K = ClassSet(("other", *_ADE20K), as_colors(colormap.ade20k()), ignore_label=0, name="ade20k")
ADE20K_150 = ClassSet(_ADE20K, ADE20K.colors[1:], name="ade20k_150")

# COCO's and labelme's names of PASCAL VOC's classes where they differ.
VOC_NAME_OF_COCO = {
    "airplane": "aeroplane",
    "motorcycle": "motorbike",
    "couch": "sofa",
    "potted plant": "pottedplant",
    "dining table": "diningtable",
    "tv": "tvmonitor",
    "tv/monitor": "tvmonitor",
}

# The data sets of the DeepLab family, by the value of --dataset.
KNOWN = {
    "pascal_voc_seg": Description(
        PASCAL_VOC, {"train": 1464, "trainaug": 10582, "trainval": 2913, "val": 1449}
    ),
    "cityscapes": Description(
        CITYSCAPES,
        {
            "train_fine": 2975,
            "train_coarse": 22973,
            "trainval_fine": 3475,
            "trainval_coarse": 23473,
            "val_fine": 500,
            "test_fine": 1525,
        },
    ),
    "ade20k": Description(ADE20K, {"train": 20210, "val": 2000}),
    # COCO's images with the 20 classes of PASCAL VOC.
    "coco2017": Description(
        dataclasses.replace(PASCAL_VOC, name="coco2017"),
        {"coco2017_train": 117266, "coco2017_trainval": 122218, "coco2017_val": 4952},
    ),
}
