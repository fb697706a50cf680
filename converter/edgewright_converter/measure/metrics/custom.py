"""A metric of the user's own: a Python function, called in this process."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

from edgewright_manifests.errors import UsageError

from edgewright_converter.errors import ConverterError
from edgewright_converter.measure.metrics.kind import Answers, MetricKind, Option, Options, Score


def _build(options: Options) -> Score:
    name = options.text("function")
    function = _find(name)

    def score(answers: Answers) -> float:
        right = answers.labels if answers.truth is None else answers.truth
        try:
            value = function(dict(answers.reference), dict(answers.outputs), right)
            return float(value)  # type: ignore[arg-type]  # checked by float itself, right here
        except Exception as error:  # the user's own code may raise anything, and it is theirs
            word = " ".join(str(error).split())
            raise ConverterError(
                f"metric {name}: your function failed: {type(error).__name__}: {word}; it is "
                "called with (float outputs, outputs, labels), outputs being arrays by name, and "
                "gives a number"
            ) from error

    return score


def _find(name: str) -> Callable[..., object]:
    module, _, attribute = name.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)  # as `python -m` does
    try:
        found = getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        raise UsageError(f"--metric {name}: cannot be imported: {error}") from error
    except AttributeError as error:
        raise UsageError(f"--metric {name}: {error}") from error
    if not callable(found):
        raise UsageError(f"--metric {name}: is no function")
    return found  # type: ignore[no-any-return]  # callable() cannot say what it gives


KIND = MetricKind(
    name="custom",
    about="a function of your own, written --metric module:function: called with (float outputs, "
    "outputs, labels or truth), arrays by name; gives a number, higher is better",
    better="higher",
    unit="",
    build=_build,
    options=(Option("function", None, "module:function, importable from the current folder"),),
)
