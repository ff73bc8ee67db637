"""What the tables of `experiments.repair` share; it needs no engine."""


def healed_rows(results, number):
    """Returns the rows below that table: how many are healed, and what one of them costs.

    Args:
        results: Dictionary that `run` returned.
        number: Function that writes a number, or `None`.
    """
    found = results["healed"].values()
    healed = [f"{one['networks']} of {one['of']}" for one in found]
    cost = [number(one["trainings_for_each"]) for one in found]
    return [["healed", *healed], ["trainings in all, for each healed one", *cost]]
