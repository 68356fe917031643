"""`convert`: writes images and masks as TFRecords."""

from __future__ import annotations

from commands.command import DATA, Command
from options.conversion import CONVERSION_RECORDS

VARIANTS = {
    "convert": Command(
        name="convert",
        program="python -m datasets.convert",
        purpose=DATA,
        summary="Converts images and masks to TFRecords; FORMAT is a module of datasets/formats.",
        examples=(
            "folders --image_folder=IMAGES --semantic_segmentation_folder=MASKS --num_classes=5 "
            "--output_dir=RECORDS",
            "voc_aug --voc_root=VOCtrainval_11-May-2012.tar --aug_folder=SegmentationClassAug.zip "
            "--trainaug_list=trainaug.txt --output_dir=RECORDS",
        ),
        takes=CONVERSION_RECORDS,
        groups=(
            ("Files", ("output_dir", "splits", "image_folder", "semantic_segmentation_folder")),
            ("Splits", ("list_folder", "val_fraction")),
            ("Classes", ("num_classes", "ignore_label", "class_table", "mask_values")),
        ),
        engine="commands.engines.convert",
        positional=("FORMAT",),
    )
}
