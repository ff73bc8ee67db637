"""Announcer: reports the findings of a training in progress, as `on_finding` says."""

import warnings
from collections.abc import Callable

import keras

from gradlog.diagnosis.finding import Finding
from gradlog.history import names

_RULE = "\n\n---\n\n"  # Markdown between two findings


class Announcer:
    """Writes findings to the Text tab, and warns, stops the training or calls a function.

    Args:
        on_finding: `"warn"`, `"stop"`, `"ignore"`, or a function that takes a `Finding`.
        writer: The run's writer.
        log_dir: String, the run's directory, named in warnings.
        model: The Keras model in training.
    """

    def __init__(self, on_finding: str | Callable[[Finding], None], writer, log_dir: str, model: keras.Model):
        self._on_finding, self._writer, self._log_dir, self._model = on_finding, writer, log_dir, model

    def tell(self, news: list[Finding], findings: list[Finding], step: int) -> None:
        """Reports the new findings; the Text tab gets all findings that hold at a step."""
        self._writer.write_text(step, names.FINDINGS_TAG, _RULE.join(map(Finding.markdown, findings)))
        for finding in news:
            if callable(self._on_finding):
                self._on_finding(finding)
            elif self._on_finding != "ignore" and finding.last_step is None:
                warnings.warn(f"in {self._log_dir!r}\n{finding}", stacklevel=2)
        standing = [finding for finding in news if finding.last_step is None]
        if standing and self._on_finding == "stop" and not self._model.stop_training:
            self._model.stop_training = True
            warnings.warn(
                f"gradlog stopped the training of {self._log_dir!r} after step {step:,}: {standing[0].title}. "
                'Use on_finding="warn" to keep training.',
                stacklevel=2,
            )
