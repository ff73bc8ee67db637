"""Other settings of the optimizer: clipping, decay, scaling of the loss, what it remembers."""

from gradlog.diagnosis.changes.of_run import clips, layers_of, number
from gradlog.diagnosis.finding import Finding
from gradlog.history.run import Run


def clipping(finding: Finding, run: Run) -> str:
    """Proposes to clip the gradient where the optimizer does not."""
    if finding.first_step == 0 or not run.optimizer or clips(run):
        return ""
    rate, kind = number(run.optimizer, "learning_rate"), run.optimizer.get("class", "")
    return f"keras.optimizers.{kind}(learning_rate={rate:.3g}, global_clipnorm=1.0)" if kind and rate else ""


def weaker_decay(finding: Finding, run: Run) -> str:
    """Proposes a tenth of the regularization, or of the weight decay."""
    for layer in layers_of(finding, run):
        for variable, one in layer.regularizers.items():
            for name in ("l2", "l1", "factor"):
                if strength := number(one, name):
                    return f"{variable}_regularizer=keras.regularizers.{one.get('class')}({name}={strength / 10:.3g})"
    decay = number(run.optimizer, "weight_decay")
    return f"weight_decay={decay / 10:.3g} (it is {decay:.3g})" if decay else ""


def loss_scaling(finding: Finding, run: Run) -> str:
    """Proposes to scale the loss, where weights are kept in float32."""
    if "mixed_float16" not in run.precision:
        return 'keras.config.set_dtype_policy("mixed_float16") before the model is made (its weights are in float16)'
    rate, kind = number(run.optimizer, "learning_rate"), run.optimizer.get("class", "")
    inner = f"keras.optimizers.{kind}(learning_rate={rate:.3g})" if kind and rate else ""
    return f"keras.optimizers.LossScaleOptimizer({inner})" if inner else ""


def smaller_epsilon(finding: Finding, run: Run) -> str:
    """Proposes Keras' default epsilon, or where it is that, one that no gradient reaches."""
    epsilon = number(run.optimizer, "epsilon")
    return f"epsilon={1e-7 if epsilon > 2e-7 else 1e-15:g} (it is {epsilon:g})" if epsilon else ""


def quicker_moment(finding: Finding, run: Run) -> str:
    """Proposes a second moment that follows the gradient sooner."""
    beta = number(run.optimizer, "beta_2")
    return f"beta_2=0.95 (it is {beta:g})" if beta and beta > 0.98 else ""
