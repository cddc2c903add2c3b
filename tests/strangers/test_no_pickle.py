"""Nothing of lagrad unpickles, evaluates or runs what somebody else wrote."""

import ast
from pathlib import Path

import pytest

import lagrad

ROOT = Path(lagrad.__file__).parent
#: Modules that make objects of any kind from bytes.
FORBIDDEN_MODULES = {
    *("pickle", "cPickle", "_pickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"),
    *("yaml", "jsonpickle", "copyreg"),
}
#: Calls that do, whole or by the last part of their name. `recv` of a connection unpickles;
#: `recv_bytes` does not.
FORBIDDEN_CALLS = {
    *("recv", "eval", "exec", "compile", "read_pickle", "to_pickle", "torch.load"),
    *("numpy.load", "np.load", "Manager", "Queue", "JoinableQueue", "Pool", "ProcessPoolExecutor"),
}
#: Where one of them is allowed, and why.
ALLOWED = {
    # Writes only, to find out whether a task can be sent to a process.
    ("tasks/_validate.py", "pickle"),
    # Processes of our own making compute cells; what they return is ours.
    ("experiments/_reproduce.py", "ProcessPoolExecutor"),
}
#: `x.eval()` of a module is PyTorch's other mode; these parse and run nothing.
METHODS_OF_MODELS = {"eval", "compile"}


def suspects(tree):
    """What of the forbidden a file holds, by name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found = {alias.name.split(".")[0] for alias in node.names}
            yield from found & FORBIDDEN_MODULES
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from {node.module.split(".")[0]} & FORBIDDEN_MODULES
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            last = name.rsplit(".", 1)[-1]
            method = isinstance(node.func, ast.Attribute)
            of_model = method and last in METHODS_OF_MODELS and not node.args
            if {name, last} & FORBIDDEN_CALLS and not of_model and name != "re.compile":
                yield last


def found_in(root):
    return {
        (str(file.relative_to(root)), name)
        for file in root.rglob("*.py")
        for name in suspects(ast.parse(file.read_text()))
    }


def test_only_the_documented_places():
    assert found_in(ROOT) == ALLOWED


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from pickle import loads",
        "import torch; torch.load(path)",
        "import torch; torch.load(path, weights_only=False)",
        "import numpy; numpy.load(path, allow_pickle=True)",
        "message = connection.recv()",
        "eval(text)",
        "from multiprocessing import Queue; Queue()",
        "pandas.read_pickle(path)",
    ],
)
def test_each_way_is_seen(tmp_path, line):
    (tmp_path / "_file.py").write_text(line)
    assert found_in(tmp_path)


def test_what_is_no_unpickling_is_let_be(tmp_path):
    (tmp_path / "_file.py").write_text("model.eval(); re.compile(x); connection.recv_bytes()")
    assert not found_in(tmp_path)
