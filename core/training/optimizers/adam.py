"""Adam, AdamW and AMSGrad.

m and v are averages of g and g^2 that start at zero; dividing by 1 - beta^t corrects their bias.
Where epsilon is added is a choice (--epsilon_placement):

- uncorrected: m * sqrt(1 - beta2^t) / (1 - beta1^t) / (sqrt(v) + epsilon), as TensorFlow and Keras;
  the "epsilon hat" at the end of section 2 of the paper.
- corrected: m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + epsilon), algorithm 1 of the paper, as
  PyTorch.

Where a schedule moves beta1, the correction of m divides by 1 minus the product of all betas so
far, the sum of its weights; PyTorch takes a power of the present one instead.

Sources: Adam (arXiv 1412.6980); AdamW (arXiv 1711.05101), Adam with decoupled weight decay; AMSGrad
(OpenReview ryQu7f-RZ), Adam with the largest v so far.
"""

from __future__ import annotations

from core.training.optimizers import Optimizer
from utils.compat import tf


class Adam(Optimizer):
    """Adam and AdamW, which differ in what decays, by TensorFlow's fused operation."""

    NAME = "Adam"
    SLOTS = ("m", "v")

    def scalars(self):
        """Returns the powers of both betas; that of beta1 counts the first one as the option's."""
        return {"beta1_power": self._options.adam_beta1, "beta2_power": self._options.adam_beta2}

    def next_scalars(self):
        """Returns the powers in the next step."""
        return {
            "beta1_power": self.scalar("beta1_power") * self._beta1(),
            "beta2_power": self.scalar("beta2_power") * self._options.adam_beta2,
        }

    def update(self, gradient, variable, rate):
        """Returns the update of a variable."""
        return tf.raw_ops.ApplyAdam(
            var=variable,
            m=self.get_slot(variable, "m"),
            v=self.get_slot(variable, "v"),
            beta1_power=self._power(),
            beta2_power=self.scalar("beta2_power"),
            lr=rate,
            beta1=self._beta1(),
            beta2=self._options.adam_beta2,
            epsilon=self._epsilon(),
            grad=gradient,
        ).op

    def _beta1(self):
        momentum = self._settings.momentum
        return self._options.adam_beta1 if momentum is None else momentum

    def _power(self):
        """Returns the product of all first betas, that of this step included."""
        kept = self.scalar("beta1_power")
        momentum = self._settings.momentum
        return kept if momentum is None else kept * momentum / self._options.adam_beta1

    def _epsilon(self):
        """Returns what is added to the uncorrected root."""
        epsilon = self._options.adam_epsilon
        if self._options.placement == "uncorrected":
            return epsilon
        return epsilon * tf.sqrt(1.0 - self.scalar("beta2_power"))


class AMSGrad(Adam):
    """Adam with the largest second moment so far, before the correction of its bias."""

    NAME = "AMSGrad"
    SLOTS = ("m", "v", "vhat")

    def update(self, gradient, variable, rate):
        """Returns the update of a variable."""
        beta1, beta2 = self._beta1(), self._options.adam_beta2
        m = beta1 * self.slot(variable, "m") + (1.0 - beta1) * gradient
        v = beta2 * self.slot(variable, "v") + (1.0 - beta2) * tf.square(gradient)
        largest = tf.maximum(self.slot(variable, "vhat"), v)
        corrected = rate * tf.sqrt(1.0 - self.scalar("beta2_power")) / (1.0 - self._power())
        return self.assign(
            variable,
            corrected * m / (tf.sqrt(largest) + self._epsilon()),
            m=m,
            v=v,
            vhat=largest,
        )


VARIANTS = {"adam": Adam, "adamw": Adam, "amsgrad": AMSGrad}
