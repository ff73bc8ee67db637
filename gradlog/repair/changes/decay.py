"""Weaker regularization: penalties and weight decay that do not pull the weights to zero."""

from dataclasses import dataclass

from gradlog.repair.changes.change import Observed, optimizer_code
from gradlog.repair.surgery import can_be_made_anew, cloned, flattened, rebuilt
from gradlog.repair.training import Training

_STRENGTHS = ("l1", "l2", "factor")
_STRONG = 0.05  # of a penalty
_FAST = 1e-3


@dataclass(frozen=True)
class WeakerDecay:
    """Regularizers and weight decay, each so many times as strong.

    Attributes:
        factor: Number; 0 leaves them out.
    """

    factor: float
    name = "regularization"

    def applied(self, training: Training) -> Training:
        """Returns the training with another model and optimizer."""
        changed = training.changed(model=rebuilt(training.model, lambda layer: [cloned(layer, **self._weaker(layer))]))
        decay = training.settings.get("weight_decay")
        return changed.with_settings(weight_decay=decay * self.factor) if decay else changed

    def code(self, training: Training) -> str:
        """Returns regularizers and optimizer."""
        lines = []
        for layer in flattened(training.model) if can_be_made_anew(training.model) else ():
            for name, config in _regularizers(layer).items():
                strengths = {one: config["config"][one] for one in _STRENGTHS if config["config"].get(one)}
                weaker = ", ".join(f"{one}={value * self.factor:.3g}" for one, value in strengths.items())
                was = ", ".join(f"{one}={value:.3g}" for one, value in strengths.items())
                made = f"keras.regularizers.{config['class_name']}({weaker})" if self.factor else "None"
                lines.append(f"{name}={made}  # in every layer that has one; was {was}")
        decay = training.settings.get("weight_decay")
        if decay:
            weaker = optimizer_code(training, weight_decay=decay * self.factor)
            lines.append(f"optimizer={weaker}  # weight_decay was {decay:g}")
        return "\n".join(dict.fromkeys(lines))

    def _weaker(self, layer):
        found = {}
        for name, config in _regularizers(layer).items():
            strengths = {one: value * self.factor for one, value in config["config"].items() if one in _STRENGTHS}
            found[name] = config | {"config": config["config"] | strengths} if self.factor else None
        return found


def proposals(observed: Observed) -> list[WeakerDecay]:
    """Proposes a hundredth, and none, where there are any."""
    training = observed.training
    has_penalties = can_be_made_anew(training.model) and any(map(_regularizers, flattened(training.model)))
    has_any = training.settings.get("weight_decay") or has_penalties
    return [WeakerDecay(0.01), WeakerDecay(0.0)] if has_any else []


def unusual(observed: Observed) -> list[WeakerDecay]:
    """Proposes none where one is so strong that the weights have no chance."""
    training = observed.training
    decay = (training.settings.get("weight_decay") or 0.0) * (training.rate or 0.0)  # share of the weights, in a step
    found = [_STRONG if decay >= _FAST else 0.0]
    if can_be_made_anew(training.model):
        found += [
            float(config["config"].get(name) or 0.0)
            for layer in flattened(training.model)
            for config in _regularizers(layer).values()
            for name in _STRENGTHS
        ]
    return [WeakerDecay(0.0)] if max(found) >= _STRONG else []


def _regularizers(layer):
    """Returns a layer's regularizers, as Keras serializes them, by argument."""
    found = layer.get_config().items()
    return {
        name: value
        for name, value in found
        if name.endswith("_regularizer") and isinstance(value, dict) and isinstance(value.get("config"), dict)
    }
