"""The package: what a wheel holds, and that the first page of the documentation works with it alone."""

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STATIC = ROOT / "gradlog" / "tensorboard" / "static"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The wheel and the source archive, made without a network, of a copy: building leaves files behind."""
    pytest.importorskip("build.__main__")  # a folder of that name is not it
    copy, directory = tmp_path_factory.mktemp("source") / "gradlog", tmp_path_factory.mktemp("dist")
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "build", "*.egg-info", "logs", "__pycache__"))
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(directory), str(copy)]
    made = subprocess.run(command, capture_output=True, text=True)
    assert made.returncode == 0, made.stdout + made.stderr
    (wheel,), (archive,) = directory.glob("*.whl"), directory.glob("*.tar.gz")
    return wheel, archive


def test_the_wheel_holds_the_package_the_tab_and_the_types(built):
    with zipfile.ZipFile(built[0]) as wheel:
        held = {name for name in wheel.namelist() if ".dist-info/" not in name}

    source = {path.relative_to(ROOT).as_posix() for path in (ROOT / "gradlog").rglob("*.py")}
    page = {path.relative_to(ROOT).as_posix() for path in STATIC.rglob("*") if path.is_file()}
    assert held == source | page | {"gradlog/__init__.pyi", "gradlog/py.typed", "gradlog/tensorboard/http_api.md"}


def test_the_source_archive_can_be_built_from(built):
    with tarfile.open(built[1]) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}

    assert {"setup.cfg", "pyproject.toml", "README.md", "LICENSE", "gradlog/py.typed"} <= held
    assert not [name for name in held if name.startswith(("logs/", ".ci"))]


@pytest.mark.combinations
def test_the_first_page_works_with_the_wheel(built, tmp_path):
    """In an environment that has what gradlog depends on, and gradlog from the wheel alone."""
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    (site,) = environment.glob("lib/python*/site-packages")
    with zipfile.ZipFile(built[0]) as wheel:
        wheel.extractall(site)
    beside = [path for path in sys.path if path.endswith("site-packages")]
    (site / "beside.pth").write_text("\n".join(beside))
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "index.md").read_text(), re.S)
    (tmp_path / "page.py").write_text("\n".join([*blocks, "print(gradlog.__file__)", _COMMAND]))

    python = [str(environment / "bin" / "python"), "page.py"]
    ran = subprocess.run(python, cwd=tmp_path, capture_output=True, text=True, timeout=300)

    assert ran.returncode == 0, ran.stderr
    assert "GL101 alarm · vanishing gradient" in ran.stdout
    assert str(site / "gradlog" / "__init__.py") in ran.stdout
    assert "tab Gradients is known" in ran.stdout


_COMMAND = """
from tensorboard import default

assert "GradientsLoader" in {plugin.__name__ for plugin in default.get_dynamic_plugins()}
print("the tab Gradients is known")
"""
