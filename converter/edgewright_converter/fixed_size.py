"""Decides the sizes of a model's dynamic axes: what the samples have, or what was asked for.

TFLite and Core ML files, and TensorRT engines, are made for one size. All variants of a bundle
have one signature, so the size is the same everywhere; only the batch stays dynamic.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from edgewright_manifests.errors import EdgewrightError
from edgewright_manifests.signature import DYNAMIC, ModelSignature, TensorSpec
from edgewright_manifests.tensors import NUMPY_DTYPES
from edgewright_runtime.engine import Session

from edgewright_converter.errors import ConverterError, ModelFileError
from edgewright_converter.frontend import OnnxSource, fix_sizes
from edgewright_converter.samples import Samples, Tensor, shape_words

Open = Callable[[OnnxSource], Session]


def fix_asked_sizes(
    source: OnnxSource, signature: ModelSignature, asked: Mapping[str, tuple[int, ...]]
) -> OnnxSource:
    """The source with the sizes of `--input-shape`. Raises ConverterError where they do not fit."""
    specs = {spec.name: spec for spec in signature.inputs}
    for name, sizes in asked.items():
        if name not in specs:
            raise ConverterError(
                f"--input-shape {name}: the model has no such input; it has {sorted(specs)}"
            )
        shape = specs[name].shape
        if len(sizes) != len(shape) or any(
            have not in (DYNAMIC, size) for have, size in zip(shape[1:], sizes[1:], strict=True)
        ):
            raise ConverterError(
                f"--input-shape {name}: {list(sizes)} does not fit {list(shape)}; "
                "give as many sizes, and other ones only where the model has -1"
            )
    return fix_sizes(source, asked) if asked else source


def fix_sample_sizes(
    source: OnnxSource, session: Session, samples: Samples, path: Path, reopen: Open
) -> tuple[OnnxSource, tuple[str, ...]]:
    """The source in the size that the samples have, and a note for each axis list that changed.

    Nothing changes where only the batch is dynamic. Raises ModelFileError when the model does
    not run in that size.
    """
    inputs = {
        spec.name: (spec.shape[0], *samples.inputs[spec.name].shape[1:])
        for spec in session.signature.inputs
    }
    dynamic = [spec for spec in session.signature.inputs if DYNAMIC in spec.shape[1:]]
    fixed = fix_sizes(source, inputs) if dynamic else source
    changed = any(DYNAMIC in spec.shape[1:] for spec in session.signature.outputs)
    if dynamic or changed:
        try:
            found = (
                _first_run(fixed, samples, reopen) if dynamic else session.run(samples.sample(0))
            )
        except EdgewrightError as error:
            raise ModelFileError(
                path, f"cannot be run on the first sample: {error}", "give samples that it takes"
            ) from error
        outputs = {name: value.shape for name, value in found.items() if value.ndim}
        fixed = fix_sizes(fixed, {**inputs, **outputs})
    return fixed, tuple(_note(spec, inputs[spec.name]) for spec in dynamic)


def _first_run(source: OnnxSource, samples: Samples, reopen: Open) -> Mapping[str, Tensor]:
    session = reopen(source)
    try:
        return session.run(samples.sample(0))
    finally:
        session.close()


def _note(spec: TensorSpec, sizes: tuple[int, ...]) -> str:
    kind = NUMPY_DTYPES[spec.datatype]
    return (
        f"input {spec.name!r}, {kind} {shape_words(spec.shape)}, has the samples' size in this "
        f"bundle: {shape_words(sizes)}"
    )
