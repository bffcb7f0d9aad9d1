"""Every public function and class names all of its own parameters in its docstring."""

from __future__ import annotations

import importlib
import inspect
import re
from operator import attrgetter

import pytest

import fastimg as fi

from ..test_import import OPTIONAL, modules

INHERITED = ("Transport", "main")  # a protocol has no parameters; Click reads those of the command line
_AS_FOR = re.compile(r"as\s+for\s+`([\w.]+)`", re.IGNORECASE)


def parameters(thing):
    """Of a call; of a class those of its own making: not an exception's, nor those of a NumPy array."""
    if inspect.isclass(thing):
        made = [call for call in (thing.__init__, thing.__new__) if inspect.isfunction(call)]
        return list(inspect.signature(made[0]).parameters)[1:] if made else []
    return list(inspect.signature(thing).parameters)


def text_of(thing):
    """A docstring, with that of `__init__`."""
    return f"{inspect.getdoc(thing) or ''}\n{(inspect.isclass(thing) and inspect.getdoc(thing.__init__)) or ''}"


def missing(thing, homes):
    """Parameters that neither its docstring names nor that of a function which it names by "as for"."""
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
    return [name for name in parameters(thing) if not any(re.search(rf"\b{name}\b", text) for text in texts)]


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


@pytest.mark.parametrize("name", pages())
def test_all_parameters_are_named(name):
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        if (error.name or "").split(".")[0] not in OPTIONAL:
            raise
        pytest.skip(f"optional package {error.name} is not installed")
    lacking = {}
    for thing_name, thing in public(module):
        home = importlib.import_module(thing.__module__)
        if not (inspect.getdoc(thing) or "").strip() or missing(thing, (home, module, fi)):
            lacking[thing_name] = missing(thing, (home, module, fi))
    assert not lacking


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
    assert parameters(found["use"]) == ["threads", "isa", "memory_limit"]
    assert not set(dict(public(fi.findings))) & {"Severity", "State"}
