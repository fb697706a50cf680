"""Weight-only INT8: symmetric, one scale per output channel, by coremltools.optimize."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from edgewright_converter.emit.coreml.package import features_of, pack_model, unpack
from edgewright_converter.noise import silenced

# A scale per channel costs what a small tensor saves; coremltools' own default is 2048.
_MIN_ELEMENTS = 512


def quantize_weights(package: bytes) -> bytes:
    """A zip of `write_coreml` with the weights of its convolutions and products in int8.

    Raises ValueError, RuntimeError or TypeError (coremltools' own) for what it cannot do.
    """
    with silenced(), TemporaryDirectory(prefix="edgewright-") as name:
        import coremltools
        from coremltools.optimize import coreml as optimize

        path = unpack(package, Path(name))
        model = coremltools.models.MLModel(str(path), skip_model_load=True)
        recipe = optimize.OpLinearQuantizerConfig(
            mode="linear_symmetric", dtype="int8", weight_threshold=_MIN_ELEMENTS
        )
        config = optimize.OptimizationConfig(global_config=recipe)
        smaller = optimize.linear_quantize_weights(model, config=config)
        return pack_model(smaller, features_of(model.get_spec()))
