"""`audit`: finds what is wrong with a data set."""

from __future__ import annotations

from commands.command import DATA, Command, without
from options.conversion import CONVERSION_RECORDS, ConvertOptions
from options.data_tools import AuditOptions

_WITHOUT_WRITING = tuple(
    without(record, "num_shards", "label_format") if record is ConvertOptions else record
    for record in CONVERSION_RECORDS
)

VARIANTS = {
    "audit": Command(
        name="audit",
        program="python -m datasets.audit",
        purpose=DATA,
        summary="Finds what is wrong with a data set: a folder of records, or files to convert.",
        examples=(
            "RECORDS",
            "folders --image_folder=IMAGES --semantic_segmentation_folder=MASKS "
            "--class_table=classes.json --output_dir=audit",
        ),
        takes=(AuditOptions, *_WITHOUT_WRITING),
        groups=(
            ("Files", ("output_dir", "splits", "image_folder", "semantic_segmentation_folder")),
            ("Classes", ("dataset", "num_classes", "ignore_label", "class_table")),
            ("Findings", ("near_duplicates", "num_samples")),
        ),
        engine="commands.engines.audit",
        positional=("PATH",),
    )
}
