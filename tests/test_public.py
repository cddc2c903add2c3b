import subprocess
import sys

import pytest

import lagrad


def test_the_public_names_are_few_and_all_there():
    assert 12 <= len(lagrad.__all__) <= 24
    assert lagrad.__all__ == sorted(set(lagrad.__all__))
    assert {"train", "replay", "Until", "Result", "Task", "rules", "policies"} <= set(
        lagrad.__all__
    )


@pytest.mark.parametrize("name", lagrad.__all__)
def test_a_public_name_resolves(name):
    assert getattr(lagrad, name) is getattr(lagrad, name)
    namespace: dict[str, object] = {}
    exec(f"from lagrad import {name}", namespace)
    assert namespace[name] is getattr(lagrad, name)


def test_dir_shows_the_public_names():
    assert set(lagrad.__all__) <= set(dir(lagrad))


@pytest.mark.parametrize("name", ["trian", "_nothing", "Trainer"])
def test_an_unknown_name_is_an_attribute_error(name):
    assert not hasattr(lagrad, name)
    with pytest.raises(AttributeError, match=f"module 'lagrad' has no attribute '{name}'"):
        getattr(lagrad, name)


def test_the_package_and_the_command_load_without_torch():
    code = (
        "import sys, lagrad, lagrad.cli._commands\n"
        "assert lagrad.__version__ and dir(lagrad)\n"
        "loaded = {'torch', 'numpy', 'scipy', 'matplotlib'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_version_is_that_of_the_distribution():
    from importlib.metadata import version

    assert lagrad.__version__ == version("lagrad")
