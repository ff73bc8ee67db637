"""Whatever function of gradlog raises while a model trains, the training is the one without it, and it is said once.

Which functions there are is found by looking: all that run while a small network trains are made to raise, each in a
training of its own. The ordinary run breaks one of each module; `pytest -m faults` breaks all, in every way to train.
"""

import faults
import pytest

MODULES = sorted(
    path.relative_to(faults.ROOT).as_posix()
    for path in faults.ROOT.rglob("*.py")
    if not {"commands", "tensorboard", "__main__.py"} & set(path.relative_to(faults.ROOT).parts)
)
HOOKS = (
    "on_train_begin",
    "on_epoch_begin",
    "on_train_batch_begin",
    "on_train_batch_end",
    "on_test_end",
    "on_train_end",
)


@pytest.fixture(scope="module")
def reached_in(tmp_path_factory):
    """A function of a way to train that returns the code of the functions that run meanwhile."""
    log_dir = tmp_path_factory.mktemp("reached")
    return lambda way: faults.reached_in(way, log_dir)


def of_module(codes, module):
    return [code for code in codes if faults.module_of(code) == module]


def complaints_of_all(way, codes, tmp_path, **arguments):
    found = {
        faults.name_of(code): faults.complaints(way, code, tmp_path / str(number), **arguments)
        for number, code in enumerate(codes)
    }
    return "\n".join(f"{name}: {'; '.join(complaints)}" for name, complaints in found.items() if complaints)


@pytest.mark.parametrize("module", MODULES)
def test_the_first_function_of_a_module_raises(tmp_path, reached_in, module):
    codes = of_module(reached_in("fit eagerly"), module)[:1]

    assert not complaints_of_all("fit eagerly", codes, tmp_path)


@pytest.mark.parametrize("way", ["fit", "train", "attach compiled"])
def test_a_function_that_computes_raises(tmp_path, reached_in, way):
    codes = of_module(reached_in("fit eagerly"), "stats/buckets.py")[:1]

    assert not complaints_of_all(way, codes, tmp_path)


@pytest.mark.faults
@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("way", faults.WAYS)
def test_any_function_of_a_module_raises(tmp_path, reached_in, way, module):
    assert not complaints_of_all(way, of_module(reached_in(way), module), tmp_path)


@pytest.mark.faults
@pytest.mark.parametrize("module", MODULES)
def test_any_function_of_a_module_raises_once(tmp_path, reached_in, module):
    assert not complaints_of_all("fit", of_module(reached_in("fit"), module), tmp_path, is_permanent=False)
