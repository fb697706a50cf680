"""Loads `package.module:attribute` from the current folder, and tells PyTorch from JAX."""

import inspect
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from edgewright_converter.errors import ConverterError, ModelFileError
from edgewright_converter.frontend.doors.choice import extra_with, missing_extra, require_extra
from edgewright_converter.frontend.doors.original import Original


def open_reference(model: Path) -> Original:
    """The nn.Module or JAX function behind the reference.

    A class or function that needs no arguments is called for what it gives. Raises
    ModelFileError when there is nothing of that kind, ConverterError for a missing extra.
    """
    found = _called(model, _load(model))
    # Whoever made an nn.Module has imported torch; nothing is imported here to find out.
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(found, torch.nn.Module):
        require_extra(model, "pytorch")
        from edgewright_converter.frontend.doors.torch_module import TorchOriginal

        return TorchOriginal(model, found)
    if not callable(found) or "jax" not in sys.modules:
        raise ModelFileError(
            model,
            f"is {_kind(found)}, neither a PyTorch nn.Module nor a JAX function",
            "name an nn.Module, a function without arguments that gives one, or a function of "
            "JAX arrays",
        )
    require_extra(model, "jax")
    from edgewright_converter.frontend.doors.jax_function import JaxOriginal

    return JaxOriginal(model, found)


def _load(model: Path) -> Any:  # Any: whatever the person's module holds
    name, _, attributes = str(model).partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        found: Any = import_module(name)  # Any: as above
    except ModuleNotFoundError as error:
        missing = error.name or ""
        extra = extra_with(missing.partition(".")[0])
        if extra is not None:
            raise ConverterError(missing_extra(model, extra, missing)) from error
        if name == missing or name.startswith(f"{missing}."):
            raise ModelFileError(
                model,
                f"there is no module {missing} in the current folder",
                "call edgewright where the module lies, or name an existing model file",
            ) from error
        raise ModelFileError(
            model, f"its module needs {missing}, which is not installed", "install it"
        ) from error
    for attribute in attributes.split("."):
        if not hasattr(found, attribute):
            raise ModelFileError(
                model, f"{name} has no attribute {attribute!r}", "check its spelling"
            )
        found = getattr(found, attribute)
    return found


def _called(model: Path, found: Any) -> Any:  # Any: as above
    """What a class or plain function without required parameters gives; else the thing itself."""
    if not (inspect.isclass(found) or inspect.isroutine(found)):
        return found
    required = [
        parameter.name
        for parameter in inspect.signature(found).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if inspect.isclass(found) and required:
        raise ModelFileError(
            model,
            f"the class {found.__name__} wants {required}",
            "name a function without arguments that makes the model",
        )
    make: Callable[[], Any] = found  # Any: as above
    return found if required else make()


def _kind(found: object) -> str:
    return f"an object of type {type(found).__name__}"
