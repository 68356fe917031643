"""The records of a run: training.log, metrics.jsonl, TensorBoard scalars, progress."""

from __future__ import annotations

import contextlib
import os
import time

from core.runs import records
from core.training import intervals, timing
from core.training.step import TrainStep
from options.training import TrainOptions
from utils.compat import tf
from utils.log import Progress, RunLog


class LogTraining(tf.train.SessionRunHook):
    """Writes training.log, metrics.jsonl and TensorBoard scalars, and shows progress."""

    def __init__(
        self,
        folder: str,
        step: TrainStep,
        options: TrainOptions,
        *,
        images_per_step: int,
        num_images: int,
    ):
        self._folder = folder
        self._step = step
        self._options = options
        self._images_per_step = images_per_step
        self._num_images = num_images
        self._times = {
            name: timing.TimeShares(step, warns=name == "log") for name in ("log", "display")
        }

    def after_create_session(self, session, unused_coordinator):
        """Opens the files, and drops records after the step that training continues from."""
        step = session.run(self._step.global_step)
        records.drop_after(self._folder, step)
        self._log = RunLog(os.path.join(self._folder, self._options.log_name))
        if step:
            self._log.line(f"continued from step {step}")
        self._writer = tf.summary.FileWriter(self._folder)
        # Makes TensorBoard discard what an interrupted run wrote after this step.
        self._writer.add_session_log(tf.SessionLog(status=tf.SessionLog.START), int(step))
        self._progress = Progress(
            self._options.training_number_of_steps, unit="steps", initial=int(step)
        )
        self._logged_step = self._displayed_step = int(step)
        # The first loop also prepares the kernels, so rates start after it if there is another.
        self._clock = {"log": None, "display": None}
        self._begin = (int(step), time.monotonic())

    def before_run(self, unused_context):
        """Fetches the losses and the learning rate."""
        return tf.train.SessionRunArgs(
            {
                "loss": self._step.loss,
                "reg_loss": self._step.reg_loss,
                "total_loss": self._step.total_loss,
                "learning_rate": self._step.learning_rate,
            }
        )

    def after_run(self, run_context, run_values):
        """Writes what is due."""
        step = int(run_context.session.run(self._step.global_step))
        values = {name: float(value) for name, value in run_values.results.items()}
        for name in self._clock:
            if self._clock[name] is None:
                self._clock[name] = (step, time.monotonic())
                self._times[name].measure(run_context.session, step)
        if self._is_due("log_steps", self._logged_step, step):
            shares = self._times["log"].measure(run_context.session, step)
            self._log_metrics(step, {**values, **shares})
            self._logged_step = step
        if self._is_due("display_every", self._displayed_step, step):
            shares = self._times["display"].measure(run_context.session, step)
            self._log_line(step, values, shares)
            self._displayed_step = step
        self._progress.update(
            step, loss=values["total_loss"], images_per_second=self._rate("log", step)
        )

    @contextlib.contextmanager
    def pause(self):
        """Excludes the time spent inside from the rates."""
        begin = time.monotonic()
        yield
        waited = time.monotonic() - begin
        for name, since in self._clock.items():
            if since is not None:
                self._clock[name] = (since[0], since[1] + waited)
            self._times[name].exclude(waited)

    def line(self, text: str):
        """Writes a line to training.log."""
        self._log.line(text)

    def add_evaluation(self, record: dict, shown, class_names, is_best: bool):
        """Writes the scores of an evaluation.

        Args:
          record: Its record for `metrics.jsonl`.
          shown: The `core.metrics.Score`s of the log line.
          class_names: Names of the classes.
          is_best: Whether no earlier evaluation was as good.
        """
        scores = {
            f"eval/{name[len('eval_') :]}": value
            for name, value in record.items()
            if isinstance(value, float)
        }
        for name, iou in zip(class_names, record["eval_iou_per_class"]):
            if iou is not None:
                scores[f"eval/iou/{name}"] = iou
        self._add_scalars(record["step"], scores)
        columns = [f"evaluation at step {record['step']} on {record['eval_split']}"]
        columns += [score.as_text() for score in shown]
        self._log.line("  ".join([*columns, *["best"] * is_best]))
        records.append(self._folder, record)

    def end(self, unused_session):
        """Closes the files."""
        self._progress.close()
        self._writer.close()

    def _is_due(self, interval, last, step):
        ends = step == self._options.training_number_of_steps
        return ends or intervals.passed(self._options, interval, last, step)

    def _rate(self, name, step):
        """Returns images per second since the clock of this name was set."""
        since_step, since_time = self._clock[name]
        if step == since_step:
            since_step, since_time = self._begin
        return (step - since_step) * self._images_per_step / (time.monotonic() - since_time)

    def _log_metrics(self, step, values):
        rate = self._rate("log", step)
        record = {**values, "images_per_second": rate}
        records.append(self._folder, {"step": step, **record})
        self._add_scalars(step, {f"train/{name}": value for name, value in record.items()})
        self._clock["log"] = (step, time.monotonic())

    def _add_scalars(self, step, values: dict):
        summary = tf.Summary()
        for tag, value in values.items():
            summary.value.add(tag=tag, simple_value=value)
        self._writer.add_summary(summary, step)
        self._writer.flush()

    def _log_line(self, step, values, shares):
        # Columns are separated by blanks and the losses follow their names directly: users' scripts
        # cut the sixth column (FPS) and what follows "loss:".
        epoch = step * self._images_per_step / self._num_images
        self._log.line(
            f"step: {step}  epoch: {epoch:.2f}  FPS: {self._rate('display', step):.2f}  "
            f"loss:{values['loss']:.4f}  reg_loss:{values['reg_loss']:.4f}  "
            f"total_loss:{values['total_loss']:.4f}  lr:{values['learning_rate']:.7f}"
            + "".join(f"  {column}" for column in timing.log_columns(shares))
        )
        self._clock["display"] = (step, time.monotonic())
