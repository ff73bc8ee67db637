"""Announcer: tells a person what a diagnosis while training found, in the way that was asked for."""

import warnings
from collections.abc import Callable

from gradlog.diagnosis.finding import Finding
from gradlog.history import names

_RULE = "\n\n---\n\n"  # between two findings, in Markdown

_TO_TRAIN_ON = 'Log with on_finding="warn" to train on.'


class Announcer:
    """Writes findings to the Text tab, and warns, stops the training or calls a function, as asked.

    Args:
        on_finding: `"warn"`, `"stop"`, `"ignore"`, or a function of a `Finding`.
        writer: The writer of the run.
        log_dir: String, the run's directory, for warnings.
        model: The Keras model that trains.
        can_stop: Boolean, whether whoever trains looks at `model.stop_training`, as `fit` does.
    """

    def __init__(
        self, on_finding: str | Callable[[Finding], None], writer, log_dir: str, model, *, can_stop: bool = True
    ):
        self._on_finding, self._writer, self._log_dir, self._model = on_finding, writer, log_dir, model
        self._can_stop = can_stop

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
            warnings.warn(f"{self._stopping(step)}: {standing[0].title}. {_TO_TRAIN_ON}", stacklevel=2)

    def _stopping(self, step):
        if self._can_stop:
            return f"gradlog stops the training of {self._log_dir!r} after step {step:,}"
        return (
            f"gradlog cannot stop a custom training loop; it has set `model.stop_training` at step {step:,} of "
            f"{self._log_dir!r}, for the loop to check"
        )
