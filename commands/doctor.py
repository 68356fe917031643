"""`doctor`: checks what a run needs."""

from __future__ import annotations

from commands import shared
from commands.command import TOOLS, Command
from options.device import DeviceOptions
from options.tools import DoctorOptions

VARIANTS = {
    "doctor": Command(
        name="doctor",
        program="python doctor.py",
        purpose=TOOLS,
        summary="Checks what a run needs, and says how to fix what is missing.",
        examples=(
            "--device=auto",
            "--device=npu --dataset_dir=RECORDS --tf_initial_checkpoint=pretrained/model.ckpt",
        ),
        takes=(DoctorOptions, *shared.DATA_OF_CHECKS, DeviceOptions, shared.RANKS_OF_CHECKS),
        groups=(("Checked", ("device", "dataset_dir", "tf_initial_checkpoint")),),
        engine="commands.engines.doctor",
    )
}
