"""First step: what a run is made of, with what its first recorded step shows of the set-up."""

import dataclasses
from collections.abc import Sequence

from gradlog.backends.engine import engine
from gradlog.diagnosis.checks.setup import Setup
from gradlog.diagnosis.checks.table import OF_A_BATCH
from gradlog.history import names
from gradlog.history.history import Snapshot
from gradlog.history.run import Run
from gradlog.session.describe import described


def described_at(snapshot: Snapshot, model, optimizers: Sequence, has_checks: bool) -> Run:
    """Returns what a training is made of.

    Args:
        snapshot: `Snapshot` of its first recorded step.
        model: The Keras model.
        optimizers: The Keras optimizers that take part; the first is described.
        has_checks: Boolean, whether the set-up is checked: its mistakes are then among what is described.
    """
    metrics = [tag.removeprefix("train/") for tag in snapshot.scalars if tag.startswith("train/")]
    metrics = [name for name in metrics if name not in names.NO_METRICS]
    engine().sync(model)
    run = described(model, optimizers[0], metrics, snapshot.batch_size)
    return _checked(snapshot, run) if has_checks else run


def _checked(snapshot, run):
    setup = _setup(snapshot, run)
    mistakes = tuple(finding.to_dict() for check in OF_A_BATCH for finding in check.findings(setup))
    outputs = tuple(
        dataclasses.replace(one, majority=trained.largest_share)
        for one, trained in zip(run.outputs, setup.outputs, strict=True)
    )
    return dataclasses.replace(run, outputs=outputs, mistakes=mistakes)


def _setup(snapshot, run):
    loss = snapshot.scalars.get("train/loss") if snapshot.step == 0 else None
    return Setup.of(
        run.outputs,
        snapshot.targets if len(snapshot.targets) == len(run.outputs) else (),
        [snapshot.inputs] if snapshot.inputs else [],
        run.layers,
        metrics=run.metrics,
        optimizer=run.optimizer,
        batch_size=run.batch_size,
        first_loss=None if loss is None else loss - snapshot.scalars.get(names.PENALTY_TAG, 0.0),
    )
