"""The overhead experiment measures what it says; how fast it is is not for a test."""

from experiments import overhead


def test_it_times_both_sides_by_turns(tmp_path):
    results = overhead.run(overhead.Config(rounds=2, every=4), tmp_path)

    loop = results["loop"]
    assert loop["ours_ms_per_step"] > 0
    assert loop["ordinary_ms_per_step"] > 0
    low, high = loop["times_as_fast"]["quartiles"]
    assert low <= loop["times_as_fast"]["median"] <= high
