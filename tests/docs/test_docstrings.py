"""Every public function, class and method names its own parameters, what it returns and the errors that it raises itself."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import textwrap
from operator import attrgetter

import pytest

import fastimg as fi

from ..test_import import OPTIONAL, modules

INHERITED = ("Transport", "main")  # a protocol has no parameters; Click reads those of the command line
_AS_FOR = re.compile(r"as\s+(?:for|in)\s+`([\w.]+)`", re.IGNORECASE)
ERRORS = {name for name in dir(fi.errors) if name.endswith("Error")}


def parameters(thing):
    """Of a call; of a class those of its own making: not an exception's, nor those of a NumPy array."""
    if inspect.isclass(thing):
        made = [call for call in (thing.__init__, thing.__new__) if inspect.isfunction(call)]
        return list(inspect.signature(made[0]).parameters)[1:] if made else []
    return [name for name in inspect.signature(thing).parameters if name not in ("self", "cls")]


def text_of(thing):
    """A docstring, with that of `__init__`."""
    return f"{inspect.getdoc(thing) or ''}\n{(inspect.isclass(thing) and inspect.getdoc(thing.__init__)) or ''}"


def texts_of(thing, homes):
    """Its docstring, and those of the functions that it names by "as for" or "as in"."""
    texts = [text_of(thing)]
    for name in _AS_FOR.findall(texts[0]):
        for home in homes:
            try:
                texts.append(text_of(attrgetter(name.removeprefix("fastimg."))(home)))
                break
            except AttributeError:
                continue
        else:
            raise AssertionError(f"{thing.__name__}: no `{name}` to look at")
    return texts


def missing(thing, homes, more=""):
    """Parameters that none of its texts names, nor `more`."""
    texts = [*texts_of(thing, homes), more]
    return [name for name in parameters(thing) if not any(re.search(rf"\b{name}\b", text) for text in texts)]


def untold(thing, homes, more=""):
    """Errors of fastimg that it raises in its own lines and that none of its texts names."""
    call = thing.__init__ if inspect.isclass(thing) else inspect.unwrap(thing)
    if not inspect.isfunction(call) or call.__code__.co_filename.startswith("<"):  # what a dataclass makes
        return set()
    tree = ast.parse(textwrap.dedent(inspect.getsource(call)))
    made = (node.exc.func for node in ast.walk(tree) if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call))
    raised = {ast.unparse(error).split(".")[-1] for error in made} & ERRORS
    texts = "\n".join([*texts_of(thing, homes), more])
    return {name for name in raised if name not in texts}


def returns_nothing_said(thing):
    """Whether it lists parameters and returns something of which no section tells."""
    text, gives = text_of(thing), inspect.signature(thing).return_annotation
    silent = gives in (inspect.Signature.empty, None, "None") or "Self" in str(gives)
    listed = re.search(r"^Parameters\n-+$", text, re.MULTILINE)
    return bool(listed and not silent and not re.search(r"^(Returns|Yields)\n-+$", text, re.MULTILINE))


def methods(thing):
    """(name, function) of a class's public methods, those of its bases in fastimg too."""
    for name in sorted(
        {name for base in thing.__mro__ if base.__module__.startswith("fastimg") for name in vars(base)}
    ):
        found = inspect.getattr_static(thing, name)
        function = found.fget if isinstance(found, property) else getattr(found, "__func__", found)
        if not name.startswith("_") and inspect.isfunction(function):
            yield name, function


def public(module):
    """Functions and classes of `__all__`; names of types, such as Severity, take no parameters."""
    for name in getattr(module, "__all__", ()):
        thing = getattr(module, name)
        if callable(thing) and not hasattr(thing, "__origin__") and name not in INHERITED:
            yield name, thing


def pages():
    """Public modules; `fastimg.testing.x` hold the plain references of tests, whose parameters are those of the kernels."""
    found = (name for name in modules() if "._" not in name and not name.startswith("fastimg.testing."))
    return ["fastimg", *sorted(found)]


def lacking_of(thing, homes, more=""):
    """What a docstring lacks, in words."""
    found = [f"parameter {name}" for name in missing(thing, homes, more)]
    found += [f"error {name}" for name in sorted(untold(thing, homes, more))]
    if not text_of(thing).strip():
        found.append("docstring")
    if inspect.isfunction(thing) and returns_nothing_said(thing):
        found.append("returns")
    return found


@pytest.mark.parametrize("name", pages())
def test_docstrings_tell_what_they_must(name):
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        if (error.name or "").split(".")[0] not in OPTIONAL:
            raise
        pytest.skip(f"optional package {error.name} is not installed")
    lacking = {}
    for thing_name, thing in public(module):
        homes = (importlib.import_module(thing.__module__), module, fi)
        lacking[thing_name] = lacking_of(thing, homes)
        for method, function in methods(thing) if inspect.isclass(thing) else ():
            told = f"{inspect.getdoc(getattr(thing, method)) or ''}\n{text_of(thing)}"
            lacking[f"{thing_name}.{method}"] = lacking_of(function, (thing, *homes), told)
    assert {place: found for place, found in lacking.items() if found} == {}


def test_a_parameter_without_a_word_is_seen():
    class Home:
        @staticmethod
        def other(threads):
            """Work with `threads`."""

    def made_up(image, level, threads):
        """Takes an image; the rest as for `other`."""

    def lost(image):
        """An image, as for `nowhere`."""

    class Shape:
        """A shape of some width."""

        def __new__(cls, *arguments, **named):
            return super().__new__(cls)

        def __init__(self, width, height):
            pass

    assert missing(made_up, (Home,)) == ["level"]
    assert missing(Shape, ()) == ["height"]
    with pytest.raises(AssertionError, match="nowhere"):
        missing(lost, (Home,))


def test_public_names_are_found():
    found = dict(public(fi.config))
    assert {"use", "set_threads"} <= set(found)
    assert parameters(found["use"]) == ["threads", "isa", "memory_limit", "kept_memory"]
    assert not set(dict(public(fi.findings))) & {"Severity", "State"}


def test_what_is_not_told_is_seen():
    class Box:
        """A box of some width."""

        def wide(self, width, depth):
            """Whether it is.

            Parameters
            ----------
            width : float
            """

        def heavy(self, load) -> bool:
            """Whether it is.

            Parameters
            ----------
            load : float
            """
            if load < 0:
                raise fi.errors.ArgumentError("load")
            raise ValueError("no error of ours")

    assert [name for name, _ in methods(fi.Image)] > []
    assert dict(methods(fi.Image))["spacing"].__name__ == "spacing"
    assert lacking_of(Box.wide, (fi,)) == ["parameter depth"]
    assert lacking_of(Box.heavy, (fi,)) == ["error ArgumentError", "returns"]
    assert lacking_of(Box.heavy, (fi,), "ArgumentError of a class") == ["returns"]
