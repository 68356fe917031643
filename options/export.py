"""The options of an export."""

from __future__ import annotations

import dataclasses

from absl import flags

from common import option
from options.averaging import SymmetryOptions
from options.inference import CheckpointOptions
from options.postprocessing import PostprocessOptions
from utils.errors import OptionError


@dataclasses.dataclass(frozen=True)
class ExportOptions(CheckpointOptions, SymmetryOptions, PostprocessOptions):
    """Formats, files and checks of an export."""

    SECTION = "export"

    # One, as in the reference: an export is one network.
    checkpoint_path: str | None = option(
        flags.DEFINE_string, None, "Checkpoint, as a prefix such as FOLDER/model.ckpt-1000."
    )
    export_path: str | None = option(
        flags.DEFINE_string, None, "File of the frozen graph; the other formats are named after it."
    )
    format: tuple[str, ...] = option(
        flags.DEFINE_list,
        ("frozen",),
        "Formats to write, comma separated: frozen, savedmodel, tflite, onnx, om.",
        convert=str,
    )
    crop_size: tuple[int, ...] = option(
        flags.DEFINE_multi_integer,
        (513, 513),
        "Height, then width, of the network's input; repeat the flag. Unset: the evaluation crop "
        "saved beside the checkpoint, else 513x513.",
        length=2,
        minimum=1,
    )
    inference_scales: tuple[float, ...] = option(
        flags.DEFINE_multi_float,
        (1.0,),
        "Input scale; repeat the flag to average the probabilities of several.",
        above=0.0,
    )
    save_inference_graph: bool = option(
        flags.DEFINE_bool,
        False,
        "Write the graph with its variables as inference_graph.pbtxt too.",
    )
    check_images: str | None = option(
        flags.DEFINE_string,
        None,
        "Folder of the images to check each export on; unset: --check_split of --dataset_dir, else "
        "synthetic ones.",
    )
    check_split: str = option(
        flags.DEFINE_string, "val", "Split of --dataset_dir with the images to check on."
    )
    num_check_images: int = option(
        flags.DEFINE_integer, 3, "Number of images to check each export on.", minimum=1
    )
    representative_images: str | None = option(
        flags.DEFINE_string,
        None,
        "Folder of the images that calibrate the full-integer TFLite file; unset: "
        "--representative_split of --dataset_dir; without both that file is not written.",
    )
    representative_split: str = option(
        flags.DEFINE_string, "train", "Split of --dataset_dir with the calibration images."
    )
    num_representative_images: int = option(
        flags.DEFINE_integer, 50, "Number of calibration images.", minimum=1
    )
    int8_label_agreement: float = option(
        flags.DEFINE_float,
        0.9,
        "Minimum fraction of pixels whose label the full-integer TFLite file must keep.",
        minimum=0.0,
        maximum=1.0,
    )
    soc_version: str = option(
        flags.DEFINE_string, "Ascend310", "Ascend processor that the om file is made for."
    )

    def check(self):
        """Raises OptionError for what cannot be exported."""
        super().check()
        if not self.format:
            raise OptionError("--format is empty; name a format, such as frozen.")
        if len(set(self.format)) != len(self.format):
            raise OptionError(f"--format={','.join(self.format)} names a format twice.")

    def check_complete(self):
        """Raises OptionError unless the file to write is named."""
        if not self.export_path or self.export_path.endswith("/"):
            raise OptionError("--export_path is missing; name the file, such as OUT/model.pb.")

    @property
    def prefixes(self) -> tuple:
        """The prefix that --checkpoint_path names."""
        return (self.checkpoint_path,) if self.checkpoint_path else ()


def base_of(export_path: str) -> str:
    """Returns the path that the names of the other formats begin with: without `.pb`."""
    return export_path[: -len(".pb")] if export_path.endswith(".pb") else export_path
