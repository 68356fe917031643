"""What happens at the end of a loop: saving, logging, stopping on a bad loss. One hook, one job.

A hook's `after_run` is called once per loop of `iterations_per_loop` steps. An interval that is no
multiple of the loop is therefore rounded up to the next loop end.
"""

from __future__ import annotations

import json
import math
import os
import time

import numpy as np
from absl import logging

import common
from core import checkpoint, layers, model
from core.options import TrainOptions
from core.train import TrainStep
from utils.compat import tf
from utils.errors import UserError
from utils.log import Progress, RunLog

METRICS_FILE = "metrics.jsonl"


class StopOnBadLoss(tf.train.SessionRunHook):
    """Ends training when the loss is not a finite number; nothing is saved after that."""

    def __init__(self, step: TrainStep):
        self._step = step
        self._last_good = None

    def before_run(self, unused_context):
        """Asks for the losses and the learning rate."""
        return tf.train.SessionRunArgs(
            {
                "loss": self._step.loss,
                "reg_loss": self._step.reg_loss,
                "learning_rate": self._step.learning_rate,
            }
        )

    def after_run(self, run_context, run_values):
        """Raises UserError naming the steps and the learning rate if a loss is not finite."""
        step = run_context.session.run(self._step.global_step)
        values = run_values.results
        if math.isfinite(values["loss"]) and math.isfinite(values["reg_loss"]):
            self._last_good = step
            return
        since = 1 if self._last_good is None else self._last_good + 1
        steps = f"step {step}" if since >= step else f"a step from {since} to {step}"
        raise UserError(
            f"the loss is {values['loss']:g} (regularisation {values['reg_loss']:g}) since "
            f"{steps}, at learning rate {values['learning_rate']:g}; the last checkpoint is "
            "unharmed. Try a lower --base_learning_rate, or check the data."
        )


class SaveCheckpoints(tf.train.SessionRunHook):
    """Saves `model.ckpt-STEP` every so many steps or seconds, and when training ends."""

    def __init__(self, folder: str, step: TrainStep, options: TrainOptions):
        self._folder = folder
        self._step = step
        self._options = options
        self._last_step = None
        self._last_time = time.time()

    def begin(self):
        """Makes a saver of all variables; called before the graph is finalized."""
        self._saver = tf.train.Saver(max_to_keep=self._options.max_to_save)
        self._saver.recover_last_checkpoints(checkpoint.find_all(self._folder))

    def after_create_session(self, session, unused_coordinator):
        """Notes the step that training starts from."""
        self._last_step = session.run(self._step.global_step)

    def after_run(self, run_context, unused_values):
        """Saves when an interval has passed."""
        step = run_context.session.run(self._step.global_step)
        every = self._options.save_checkpoints_steps
        passed = step // every > self._last_step // every
        if passed or time.time() - self._last_time >= self._options.save_interval_secs:
            self._save(run_context.session, step)

    def end(self, session):
        """Saves the last step; not called after a failure."""
        step = session.run(self._step.global_step)
        if step != self._last_step or not checkpoint.find_all(self._folder):
            self._save(session, step)

    def _save(self, session, step):
        prefix = os.path.join(self._folder, checkpoint.PREFIX)
        try:
            self._saver.save(session, prefix, global_step=step, write_meta_graph=False)
        except tf.errors.OpError as error:
            reason = error.message.strip().split("\n")[0]
            raise UserError(
                f"cannot write checkpoint {prefix}-{step} ({reason}); earlier checkpoints are "
                "unharmed. Free some space or pass another --train_logdir."
            ) from error
        self._last_step = step
        self._last_time = time.time()
        logging.info("Saved %s-%d.", prefix, step)


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
        self._first_step = None

    def after_create_session(self, session, unused_coordinator):
        """Opens the files, and drops lines behind the step that training continues from."""
        step = session.run(self._step.global_step)
        self._metrics_path = os.path.join(self._folder, METRICS_FILE)
        _drop_lines_after(self._metrics_path, step)
        self._log = RunLog(os.path.join(self._folder, self._options.log_name))
        if step:
            self._log.line(f"continued from step {step}")
        self._writer = tf.summary.FileWriter(self._folder)
        # Makes TensorBoard forget what an interrupted run wrote behind this step.
        self._writer.add_session_log(tf.SessionLog(status=tf.SessionLog.START), int(step))
        self._progress = Progress(
            self._options.training_number_of_steps, unit="steps", initial=int(step)
        )
        self._logged_step = self._displayed_step = int(step)
        # The first loop also prepares the kernels: rates start behind it, where it was not all.
        self._clock = {"log": None, "display": None}
        self._begin = (int(step), time.time())

    def before_run(self, unused_context):
        """Asks for the losses and the learning rate."""
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
                self._clock[name] = (step, time.time())
        if self._is_due(self._options.log_steps, self._logged_step, step):
            self._log_metrics(step, values)
            self._logged_step = step
        if self._is_due(self._options.display_every, self._displayed_step, step):
            self._log_line(step, values)
            self._displayed_step = step
        self._progress.update(
            step, loss=values["total_loss"], images_per_second=self._rate("log", step)
        )

    def end(self, unused_session):
        """Closes the files."""
        self._progress.close()
        self._writer.close()

    def _is_due(self, every, last, step):
        return step // every > last // every or step == self._options.training_number_of_steps

    def _rate(self, name, step):
        """Returns images per second since the clock of this name was set."""
        since_step, since_time = self._clock[name]
        if step == since_step:
            since_step, since_time = self._begin
        return (step - since_step) * self._images_per_step / (time.time() - since_time)

    def _log_metrics(self, step, values):
        rate = self._rate("log", step)
        record = {"step": step, **values, "images_per_second": rate, "time": round(time.time(), 3)}
        with open(self._metrics_path, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        summary = tf.Summary()
        for name, value in {**values, "images_per_second": rate}.items():
            summary.value.add(tag=f"train/{name}", simple_value=value)
        self._writer.add_summary(summary, step)
        self._writer.flush()
        self._clock["log"] = (step, time.time())

    def _log_line(self, step, values):
        # Columns are separated by blanks and the losses follow their names directly: scripts of
        # this recipe's users cut the sixth column (FPS) and what stands behind "loss:".
        epoch = step * self._images_per_step / self._num_images
        self._log.line(
            f"step: {step}  epoch: {epoch:.2f}  FPS: {self._rate('display', step):.2f}  "
            f"loss:{values['loss']:.4f}  reg_loss:{values['reg_loss']:.4f}  "
            f"total_loss:{values['total_loss']:.4f}  lr:{values['learning_rate']:.7f}"
        )
        self._clock["display"] = (step, time.time())


class LogImages(tf.train.SessionRunHook):
    """Shows a batch in TensorBoard every so many seconds: images, labels, predictions."""

    def __init__(self, folder: str, step: TrainStep, seconds: int, *, colors, ignore_label: int):
        """Makes the hook.

        Args:
          folder: Where event files go.
          step: The training step.
          seconds: Time between two batches.
          colors: (red, green, blue), 0..255, of each class.
          ignore_label: Label shown in white.
        """
        self._folder = folder
        self._step = step
        self._seconds = seconds
        self._colors = colors
        self._ignore_label = ignore_label
        self._due = 0.0

    def begin(self):
        """Builds the pictures; called before the graph is finalized."""
        labels = self._step.labels
        predictions = tf.argmax(self._step.logits[model.MERGED], 3, output_type=tf.int32)
        predictions = layers.resize_nearest(predictions[..., None], layers.spatial_size(labels))
        self._summary = tf.summary.merge(
            [
                tf.summary.image("train/image", tf.cast(self._step.images, tf.uint8)),
                tf.summary.image("train/label", self._painted(labels)),
                tf.summary.image("train/prediction", self._painted(predictions)),
            ],
            collections=[],
        )
        self._writer = tf.summary.FileWriter(self._folder, filename_suffix=".images")

    def _painted(self, labels):
        palette = np.full([256, 3], 255, np.uint8)
        palette[: len(self._colors)] = self._colors
        palette[self._ignore_label] = 255
        return tf.gather(tf.constant(palette), labels[..., 0])

    def before_run(self, unused_context):
        """Asks for the pictures of the batch that is being trained on, if they are due."""
        return tf.train.SessionRunArgs(self._summary) if time.time() >= self._due else None

    def after_run(self, run_context, run_values):
        """Writes the pictures."""
        if run_values.results is None:
            return
        step = run_context.session.run(self._step.global_step)
        self._writer.add_summary(run_values.results, step)
        self._writer.flush()
        self._due = time.time() + self._seconds

    def end(self, unused_session):
        """Closes the file."""
        self._writer.close()


def _drop_lines_after(path: str, step: int):
    """Removes the records of steps that will be made again."""
    if not os.path.exists(path):
        return
    with open(path, encoding="utf-8") as file:
        lines = file.readlines()
    kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step]
    if len(kept) != len(lines):
        common.write_text(path, "".join(kept))
