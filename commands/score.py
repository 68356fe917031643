"""`score`: prints the mIoU that the log of an evaluation holds."""

from __future__ import annotations

from commands.command import EVALUATION, Command

VARIANTS = {
    "score": Command(
        name="score",
        program="python cal_miou.py",
        purpose=EVALUATION,
        summary="Prints the mIoU of each evaluation in a log, ours or the DeepLab family's.",
        examples=("RUN/eval/training.log",),
        takes=(),
        groups=(),
        engine="commands.engines.score",
        positional=("LOG",),
    )
}
