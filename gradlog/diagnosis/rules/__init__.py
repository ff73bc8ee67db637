"""Rules: one file per problem that gradlog looks for.

The `Evidence` of a run comes in; symptoms go out, each with the logged steps at which something is wrong. A rule is a
frozen dataclass whose fields are its thresholds: `Vanishing(ratio=1e-4)` is the same rule with another threshold.
`rule.py` turns symptoms into findings; `table.py` lists all rules with their defaults.
"""
