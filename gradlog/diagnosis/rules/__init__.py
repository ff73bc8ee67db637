"""Rules: what each finds wrong in a run, a file for each.

The `Evidence` of a run comes in; signs go out, at which logged steps something is wrong. A rule is a frozen dataclass
whose fields are its thresholds, so that `Vanishing(ratio=1e-4)` is another rule. `rule.py` makes findings of signs, in
the same way for all; `table.py` lists all rules with their defaults.
"""
