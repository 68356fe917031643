"""`launch`: starts one process per device and watches them."""

from __future__ import annotations

from commands.command import TRAINING, Command
from options.launch import LaunchOptions

VARIANTS = {
    "launch": Command(
        name="launch",
        program="python -m deployment.launch",
        purpose=TRAINING,
        summary="Starts one process per device and watches them; if one fails, all are stopped.",
        examples=(
            "--devices=8 --rank_table=scripts/8p.json -- train_npu.py --rank=8 --train_logdir=RUN",
            "--device=gpu --hosts=a:4,b:4 -- train_npu.py --device=gpu --train_logdir=RUN",
        ),
        takes=(LaunchOptions,),
        groups=(
            ("Processes", ("devices", "device", "device_ids", "hosts", "rank_table")),
            ("Failures and logs", ("rank_logs", "max_restarts", "bind_cores")),
        ),
        engine="commands.engines.launch",
        rest="the command to start",
    )
}
