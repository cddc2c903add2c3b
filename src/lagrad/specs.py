"""Names for things: `dynamic-momentum(lr=0.05,weight=exponential(0.5))` and back.

The command line, the configuration of a run and its replay speak of rules, policies, weights,
delays and tasks by such specifications. `name:args` is short for `name(args)`; the last colon form
may be nested once per argument, `dynamic:lr=0.05,weight=exponential:0.5`. `recorded:RUN` names the
folder of a run, whose job times are the delays.
"""

import ast
import dataclasses
import difflib
import inspect
import math
import re
import types
import typing
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from lagrad import aggregations, chaos, delays, policies, rules, schedules, sets, weights
from lagrad.core import Guard, Rule, Weight
from lagrad.trace import job_durations

#: Names under which a thing is known besides the kebab-case of its class.
ALIASES = {
    "dynamic": "dynamic-momentum",
    "async": "asynchronous",
    "sync": "synchronous",
    "bsp": "synchronous",
    "ssp": "bounded-staleness",
    "rennala": "k-batch-sync",
    "soft-sync": "k-batch-async",
}


def kebab(name: str) -> str:
    """The name on the command line of a class.

    >>> kebab("KBatchAsync"), kebab("SGD"), kebab("DynamicMomentum")
    ('k-batch-async', 'sgd', 'dynamic-momentum')
    """
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name).lower()


@cache
def catalogue(kind: str) -> Mapping[str, Callable[..., Any]]:
    """Name -> maker of all that lagrad knows of a kind.

    kind: "rule", "policy", "weight", "schedule", "set", "delays", "lookahead", "fault",
    "guard", "aggregation" or "task".
    """
    if kind == "task":
        from lagrad.tasks import BUILT_IN

        return BUILT_IN
    if kind == "guard":
        return {"guard": Guard}
    if kind == "lookahead":
        return {"roll-forward": rules.RollForward}
    rooms: dict[str, types.ModuleType] = {
        "rule": rules,
        "policy": policies,
        "weight": weights,
        "schedule": schedules,
        "set": sets,
        "delays": delays,
        "fault": chaos,
        "aggregation": aggregations,
    }
    exported = {name: getattr(rooms[kind], name) for name in rooms[kind].__all__}
    members: dict[str, Callable[..., Any]] = {
        kebab(name): thing
        for name, thing in exported.items()
        if inspect.isclass(thing) and dataclasses.is_dataclass(thing) and thing.__name__ == name
    }
    if kind == "rule":
        del members["roll-forward"]  # the look-ahead; the rule of that name is a function
        published = {name: thing for name, thing in exported.items() if inspect.isfunction(thing)}
        members |= {name.replace("_", "-"): thing for name, thing in published.items()}
    if kind == "delays":
        members["recorded"] = _recorded
    return members


def _recorded(durations: tuple[tuple[float, ...], ...] | str) -> delays.Recorded:
    """Durations of a recorded run, replayed in a cycle: recorded:RUN, in seconds.

    durations: of each worker, or the folder of a run, or its trace.jsonl. Jobs that were under way
    when the run ended are left out.
    """
    if isinstance(durations, str):
        path = Path(durations).expanduser()
        trace = path / "trace.jsonl" if path.is_dir() else path
        if not trace.is_file():
            raise ValueError(
                f"Expected the folder of a run, or its trace.jsonl, got {durations!r}; "
                "quote a path with commas, parentheses or =."
            )
        durations = job_durations(trace)
    return delays.Recorded(durations)


def parse(kind: str, text: str) -> Any:
    """Make what a specification says.

    Raises: ValueError for an unknown name (with the near ones), a malformed text, an unknown or
    unfit argument, or values that the thing itself refuses.

    >>> parse("rule", "dynamic:lr=0.05,weight=exponential:0.5").weight
    Exponential(rate=0.5)
    >>> parse("policy", "k-batch-async:3")
    KBatchAsync(quorum=3)
    >>> parse("delays", "sampled:gamma(100, scale=0.01)").distribution
    'gamma(100, scale=0.01)'
    >>> parse("fault", "pause:worker=1,for=5s")
    Pause(worker=1, at=0.0, seconds=5)
    >>> parse("delays", "bursts:base=sampled:gamma(100, scale=0.01)").base
    Sampled(gamma(100, scale=0.01))
    """
    if kind == "fault":
        # `for` is no name in Python, and the s of 5s no digit.
        text = re.sub(r"\bfor(?==)", "seconds", re.sub(r"(?<=\d)s\b", "", text))
    try:
        return _build(kind, ast.parse(_to_python(text), mode="eval").body, text)
    # A text that is nested too deep, or a number that no float can hold, is as malformed.
    except (SyntaxError, RecursionError, MemoryError, OverflowError) as error:
        raise ValueError(
            f"Expected {kind} as name or name:argument,name=argument, got {text:.200}; "
            "for instance sgd:lr=0.1."
        ) from error


#: What is taken as it stands: quoted text, and the path in `recorded:runs/my-run`.
_VERBATIM = re.compile(r"""'[^']*'|"[^"]*"|(?<=\brecorded:)[^,()'"=]+(?=[,)]|$)""")


def _to_python(text: str) -> str:
    verbatim = iter(
        piece if piece[0] in "'\"" else repr(piece.strip()) for piece in _VERBATIM.findall(text)
    )
    source = _reworded(_VERBATIM.sub("''", text))
    return re.sub("''", lambda _: next(verbatim), source)


def _reworded(text: str) -> str:
    # k-batch-async -> k_batch_async, but not 1e-3 nor lr=-1: a hyphen between two letters.
    source = re.sub(r"(?<=[A-Za-z])-(?=[A-Za-z])", "_", text.strip())
    source = re.sub(r"\basync\b", ALIASES["async"], source)  # a keyword of Python
    head = re.match(r"([A-Za-z_]\w*):", source)
    if head:
        source = f"{head[1]}({source[head.end() :]})"
    return re.sub(r"([A-Za-z_]\w*):([^,()]+(?:\([^()]*\))?)", r"\1(\2)", source)


def _build(kind: str, node: ast.expr, text: str) -> Any:
    if isinstance(node, ast.Name):
        name, positional, named = node.id, [], []
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        name, positional, named = node.func.id, node.args, node.keywords
    else:
        raise ValueError(
            f"Expected the name of a {kind}, got {ast.unparse(node)!r} in {text!r}; "
            "`lagrad list` shows the names."
        )
    maker = _look_up(kind, name.replace("_", "-"))
    parameters = inspect.signature(maker).parameters
    expected = _expected_kinds(maker)
    free = [p.name for p in parameters.values() if p.kind is not p.KEYWORD_ONLY]
    if len(positional) > len(free):
        raise ValueError(
            f"{name} takes at most {len(free)} unnamed arguments ({', '.join(free)}), "
            f"got {len(positional)} in {text!r}; write the others as name=value."
        )
    arguments = {free[i]: node for i, node in enumerate(positional)}
    for keyword in named:
        if keyword.arg is None or keyword.arg not in parameters:
            raise ValueError(
                f"{name.replace('_', '-')} has no argument {keyword.arg!r}; "
                f"it has {', '.join(parameters) or 'none'}."
            )
        if keyword.arg in arguments:
            raise ValueError(
                f"{name.replace('_', '-')} got {keyword.arg!r} twice in {text!r}; give it once."
            )
        arguments[keyword.arg] = keyword.value
    hints = typing.get_type_hints(maker)
    values = {
        key: ast.unparse(node)
        if str in _options(hints.get(key)) and isinstance(node, ast.Call)
        else _value(expected.get(key, ""), node, text)
        for key, node in arguments.items()
    }
    for key, value in values.items():
        if key in hints and not any(_fits(value, option) for option in _options(hints[key])):
            options = " or ".join(_in_words(option) for option in _options(hints[key]))
            raise ValueError(
                f"Expected {key} of {name.replace('_', '-')} as {options}, "
                f"got {value!r} in {text!r}; `lagrad list` shows what there is."
            )
    try:
        return maker(**values)
    except TypeError as error:
        raise ValueError(
            f"{text!r} does not fit {name.replace('_', '-')}: {error}; "
            f"it takes {', '.join(parameters) or 'nothing'}."
        ) from error


def _look_up(kind: str, name: str) -> Callable[..., Any]:
    known = catalogue(kind)
    name = ALIASES.get(name, name)
    if name not in known:
        names = [*known, *(short for short, long in ALIASES.items() if long in known)]
        near = difflib.get_close_matches(name, names, n=3) or sorted(known)
        raise ValueError(f"Unknown {kind} {name!r}; did you mean {', '.join(near)}?")
    return known[name]


#: Bare words that are values and no names.
_WORDS: dict[str | None, Any] = {
    "true": True,
    "false": False,
    "none": None,
    "inf": math.inf,
    "nan": math.nan,
}


def _value(kind: str, node: ast.expr, text: str) -> Any:
    word = node.id.lower() if isinstance(node, ast.Name) else None
    if kind and word not in _WORDS and not isinstance(node, ast.Constant | ast.UnaryOp):
        return _build(kind, node, text)
    if isinstance(node, ast.Name):
        return _WORDS.get(node.id.lower(), node.id)  # else a bare word: memory=ring
    try:
        if isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.Name):
            return -_value("", node.operand, text)
        return ast.literal_eval(node)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"Cannot read the value {ast.unparse(node)!r} in {text!r}; "
            "write it out as a number, text or tuple."
        ) from error


#: What an argument's type hint says of the kind to look a name up in.
_KIND_OF: dict[Any, str] = {
    Weight: "weight",
    Rule: "rule",
    schedules.Schedule: "schedule",
    sets.ConvexSet: "set",
    delays.Delays: "delays",
    aggregations.Aggregation: "aggregation",
    rules.RollForward: "lookahead",
}


def _expected_kinds(maker: Callable[..., Any]) -> dict[str, str]:
    return {
        name: _KIND_OF[option]
        for name, hint in typing.get_type_hints(maker).items()
        for option in _options(hint)
        if option in _KIND_OF
    }


def _options(hint: Any) -> tuple[Any, ...]:
    unions = (types.UnionType, typing.Union)  # int | Literal["server"] is the older kind
    return typing.get_args(hint) if typing.get_origin(hint) in unions else (hint,)


def _fits(value: Any, option: Any) -> bool:
    if typing.get_origin(option) is typing.Literal:
        return value in typing.get_args(option)
    if option in _KIND_OF:  # made from its name, or a plain value in its place
        return not isinstance(value, bool | int | float | str | tuple | list | dict | None)
    if option is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if option is int:
        return isinstance(value, int) and not isinstance(value, bool)
    plain = typing.get_origin(option) or option
    checkable = isinstance(plain, type) and not getattr(plain, "_is_protocol", False)
    return not checkable or isinstance(value, plain)


def _in_words(option: Any) -> str:
    if typing.get_origin(option) is typing.Literal:
        return " or ".join(typing.get_args(option))
    return (
        _KIND_OF.get(option) or str(getattr(option, "__name__", option)).replace("Type", "").lower()
    )


def describe(thing: Any) -> str:
    """The specification that `parse` turns back into an equal thing.

    >>> describe(policies.KBatchAsync(3))
    'k-batch-async(quorum=3)'
    """
    if not dataclasses.is_dataclass(thing):
        return str(thing) if isinstance(thing, bool) or thing is None else repr(thing)
    arguments = [
        f"{field.name}={describe(getattr(thing, field.name))}"
        for field in dataclasses.fields(thing)
        if field.init and field.repr
    ]
    name = kebab(type(thing).__name__)
    return f"{name}({','.join(arguments)})" if arguments else name


def arguments(maker: Callable[..., Any]) -> str:
    """What a specification may say between its parentheses: names, with the defaults they have.

    >>> arguments(rules.Clipped)
    'rule, factor=2.0, longest=None'
    """
    return ", ".join(
        parameter.name
        if parameter.default is parameter.empty
        else f"{parameter.name}={describe(parameter.default)}"
        for parameter in inspect.signature(maker).parameters.values()
    )


def summary(thing: Callable[..., Any]) -> str:
    """The first line of its docstring."""
    return (inspect.getdoc(thing) or "").split("\n", 1)[0]
