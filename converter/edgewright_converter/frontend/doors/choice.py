"""Which door a MODEL goes through, and what has to be installed for it."""

from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from edgewright_converter.errors import ConverterError, ModelFileError
from edgewright_converter.model_reference import is_reference

Door = Literal["onnx", "tflite", "module", "pt2", "keras", "saved-model"]
Extra = Literal["pytorch", "keras", "jax"]

_BY_SUFFIX: dict[str, Door] = {
    ".tflite": "tflite",
    ".pt2": "pt2",
    ".keras": "keras",
    ".h5": "keras",
    ".hdf5": "keras",
}
_PICKLED = frozenset({".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib"})
_NEEDS: dict[Extra, tuple[str, ...]] = {
    "pytorch": ("torch", "onnxscript"),
    "keras": ("tensorflow", "keras", "tf2onnx"),
    "jax": ("jax", "jax2onnx"),
}
_EXTRA_OF: dict[Door, Extra] = {"pt2": "pytorch", "keras": "keras", "saved-model": "keras"}


def door_of(model: Path) -> Door:
    """The door for this file, folder or reference; a file of no known kind is taken for ONNX.

    Raises ModelFileError for pickles and for folders that are no SavedModel.
    """
    if is_reference(model):
        return "module"
    suffix = model.suffix.lower()
    if model.is_dir():
        if (model / "saved_model.pb").is_file():
            return "saved-model"
        raise ModelFileError(
            model,
            "is a folder and holds no saved_model.pb",
            "give a SavedModel's folder, or the model file inside it",
        )
    if suffix in _PICKLED:
        raise ModelFileError(
            model,
            "is a pickle, which is never loaded because it can run code",
            "give package.module:attribute of the nn.Module that reads it, or a .pt2 file "
            "(torch.export.save)",
        )
    return _BY_SUFFIX.get(suffix, "onnx")


def check_extra(model: Path, door: Door) -> None:
    """Raise ConverterError when what the door needs is not installed."""
    if door in _EXTRA_OF:
        require_extra(model, _EXTRA_OF[door])


def require_extra(model: Path, extra: Extra) -> None:
    """Raise ConverterError, naming the extra, when one of its packages is not installed."""
    missing = [package for package in _NEEDS[extra] if find_spec(package) is None]
    if missing:
        raise ConverterError(missing_extra(model, extra, missing[0]))


def missing_extra(model: Path, extra: Extra, package: str) -> str:
    """The line for a package that is not installed."""
    return (
        f"{model}: needs {package}, which is not installed; "
        f"pip install 'edgewright-converter[{extra}]'"
    )


def extra_with(package: str) -> Extra | None:
    """The extra that brings this top-level package along."""
    found = (extra for extra, packages in _NEEDS.items() if package in packages)
    return next(found, None)
