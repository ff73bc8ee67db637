"""Whatever function of gradlog raises while a model trains: the training is the one without it, and one warning says it.

Which functions there are, is found by looking: all that run while a small network trains are made to raise, each in a
training of its own. The ordinary run breaks one of each module; `pytest -m faults` breaks every one, in every way to
train.
"""

import faults
import pytest

MODULES = sorted(
    path.relative_to(faults.ROOT).as_posix()
    for path in faults.ROOT.rglob("*.py")
    if path.relative_to(faults.ROOT).parts[0] not in ("commands", "tensorboard") and path.name != "__main__.py"
)


@pytest.fixture(scope="module")
def reached_in(tmp_path_factory):
    """A function of a way to train that returns the code of the functions that run meanwhile."""
    return lambda way: faults.reached_in(way, tmp_path_factory.getbasetemp() / "reached")


def broken_in(codes, module):
    return [code for code in codes if faults.module_of(code) == module]


@pytest.mark.parametrize("module", MODULES)
def test_a_module_whose_first_function_raises(tmp_path, reached_in, module):
    for code in broken_in(reached_in("fit eagerly"), module)[:1]:
        assert faults.complaints("fit eagerly", code, tmp_path / "run") == []


@pytest.mark.faults
@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("way", faults.WAYS)
def test_a_module_any_of_whose_functions_raises(tmp_path, reached_in, way, module):
    codes = broken_in(reached_in(way), module)
    found = {
        faults.name_of(code): faults.complaints(way, code, tmp_path / f"{number}") for number, code in enumerate(codes)
    }

    found = {name: complaints for name, complaints in found.items() if complaints}

    assert not found, "\n".join(f"{name}: {'; '.join(complaints)}" for name, complaints in found.items())
