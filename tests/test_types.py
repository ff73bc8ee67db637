"""Types: what a user's type checker sees. That they are right is for `mypy`, which runs beside the linter."""

import ast
import inspect
from pathlib import Path

import gradlog

ROOT = Path(gradlog.__file__).parent
# Arguments without a type: what Keras has no types for, and what it takes in any form.
OF_KERAS = {"model", "optimizer", "dataset", "batch", "inputs", "targets", "x", "y", "validation_data", "activations"}
# By package: what belongs to an engine, and what imports that point one way cannot name.
TENSORS = {"tensor", "array", "variable", "structure", "query", "key", "mask", "mean", "variance", "output"}
TENSORS |= {"moment", "gradient", "updates", "results"}
UNTYPED = {
    "backends": TENSORS | {"guard", "recorder", "recording"},
    "diagnosis": {"writer"},
    "history": {"history"},
    "repair": {"repair"},
}


def public_functions(tree, owner=""):
    """Yields each function that has no leading underscore, and what makes an object, with the name of its class."""
    for node in tree.body:
        name = getattr(node, "name", "_")
        is_public = not name.startswith("_") or name in ("__init__", "__call__")
        if isinstance(node, ast.ClassDef) and is_public:
            yield from public_functions(node, node.name)
        elif isinstance(node, ast.FunctionDef) and is_public:
            yield owner, node


def without_type(source, allowed=frozenset()):
    """Returns the arguments of public functions that have no type, and as `->` the results that have none."""
    found = []
    for owner, function in public_functions(ast.parse(source)):
        is_static = any(getattr(one, "id", "") == "staticmethod" for one in function.decorator_list)
        one = function.args
        arguments = [*one.posonlyargs, *one.args][bool(owner) and not is_static :] + one.kwonlyargs
        missing = [each.arg for each in arguments if each.annotation is None and each.arg not in allowed]
        has_result = function.returns is not None or function.name == "__init__"
        found += [f"{owner}.{function.name}: {name}" for name in [*missing, *["->"] * (not has_result)]]
    return found


def test_every_public_function_has_types():
    found = {}
    for path in ROOT.rglob("*.py"):
        allowed = OF_KERAS | UNTYPED.get(path.relative_to(ROOT).parts[0], set())
        if missing := without_type(path.read_text(), allowed):
            found[path.name] = missing
    assert not found


def test_a_missing_type_is_found():
    source = """
def f(a, b: int, *, c=1): ...
def _f(a): ...
class C:
    def __init__(self, d, e: int): ...
    @staticmethod
    def g(a) -> int: ...
    def _h(self, a): ...
"""
    assert without_type(source, {"a"}) == [".f: c", ".f: ->", "C.__init__: d"]
    assert without_type(source, {"a", "c", "d"}) == [".f: ->"]


def test_the_stub_has_the_names_of_the_package():
    """Names that are imported when they are first used are unknown to a type checker; the stub says whence they are."""
    imports = [node for node in ast.parse((ROOT / "__init__.pyi").read_text()).body if isinstance(node, ast.ImportFrom)]
    modules = {alias.asname: node.module for node in imports for alias in node.names}
    own = {name: modules.pop(name) for name in ("rules", "writers")}

    assert own == {"rules": "gradlog", "writers": "gradlog"}
    assert {*modules, "__version__"} == set(gradlog.__all__)
    for name, module in modules.items():
        assert inspect.getmodule(getattr(gradlog, name)).__name__ == module
