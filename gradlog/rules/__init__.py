"""Rules: what each finds wrong in a run. One file a rule; `RULES` is their ordered table.

A rule is a frozen dataclass whose fields are its thresholds, so that another one is a rule with other arguments:
`Vanishing(ratio=1e-4)`. Its `signs` look at the `Evidence` of a run and say at which of the logged steps it is so; what
makes findings of that is the same for all, in `gradlog.rules.rule`.
"""

from gradlog.rules.collapsing import Collapsing
from gradlog.rules.dead import Dead
from gradlog.rules.erratic import Erratic
from gradlog.rules.exploding import Exploding
from gradlog.rules.nonfinite import Nonfinite
from gradlog.rules.not_improving import NotImproving
from gradlog.rules.saturated import Saturated
from gradlog.rules.unchanged import Unchanged
from gradlog.rules.update_ratio import UpdateRatio
from gradlog.rules.vanishing import Vanishing

RULES = (
    Vanishing(),
    Exploding(),
    Nonfinite(),
    Dead(),
    Saturated(),
    UpdateRatio(),
    Unchanged(),
    Collapsing(),
    NotImproving(),
    Erratic(),
)
