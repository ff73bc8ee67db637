"""Announcer: tells a person what a diagnosis while training found, in the way that was asked for."""

import warnings
from collections.abc import Callable

import keras

from gradlog.diagnosis.finding import Finding
from gradlog.history import names

_RULE = "\n\n---\n\n"  # between two findings, in Markdown


class Announcer:
    """Writes findings to the Text tab, and warns, stops the training or calls a function, as asked.

    Args:
        on_finding: `"warn"`, `"stop"`, `"ignore"`, or a function of a `Finding`.
        writer: The writer of the run.
        log_dir: String, the run's directory, for warnings.
        model: The Keras model that trains.
    """

    def __init__(self, on_finding: str | Callable[[Finding], None], writer, log_dir: str, model: keras.Model):
        self._on_finding, self._writer, self._log_dir, self._model = on_finding, writer, log_dir, model

    def tell(self, news: list[Finding], findings: list[Finding], step: int) -> None:
        """Takes what is new, and all that stands at a step; what is not new is written alone."""
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
                f"gradlog stops the training of {self._log_dir!r} after step {step:,}: {standing[0].title}. "
                'Log with on_finding="warn" to train on.',
                stacklevel=2,
            )
