"""Mixed precision for the `onnx` target: INT8, but for the layers that it hurts most."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
from edgewright_manifests.variant import Precision

from edgewright_converter.candidate import Artifact, RecipeSource
from edgewright_converter.errors import RecipeFailed
from edgewright_converter.noise import silenced
from edgewright_converter.quantize.calibration import CalibrationFeed
from edgewright_converter.quantize.recipes.onnxruntime_static import (
    SampleReader,
    check_memory,
    library_errors,
    quantize_qdq,
)
from edgewright_converter.samples import Samples

_COMPARED_SAMPLES = 8
"""Every activation of these is held in memory, of both models."""


@dataclass(frozen=True, slots=True)
class OnnxruntimeMixed:
    """Static u8s8 per-channel, with the worst `float_share` of the nodes kept in float.

    Worst is who has the lowest signal to quantization noise of its output inside the quantized
    model, over eight calibration samples. Whether that helps is measured end to end afterwards.
    """

    float_share: float

    @property
    def name(self) -> str:
        """For example `onnxruntime static u8s8 per-channel minmax, worst 10% of nodes float`."""
        return (
            "onnxruntime static u8s8 per-channel minmax, "
            f"worst {self.float_share:.0%} of nodes float"
        )

    @property
    def precision(self) -> Precision:
        """Integers, and float where it matters."""
        return "mixed"

    @property
    def needs_calibration(self) -> bool:
        """Activation ranges come from samples."""
        return True

    def build(self, source: RecipeSource, calibration: Samples | None) -> Artifact:
        """Quantize twice: all, to find the worst nodes, and without those. Raises RecipeFailed."""
        if source.quantizable_onnx is None:
            raise RecipeFailed(self.name, source.quantizable_problem)
        assert calibration is not None
        feed = CalibrationFeed(calibration)
        few = calibration.take(range(min(calibration.count, _COMPARED_SAMPLES)), calibration.origin)
        with silenced(), TemporaryDirectory(prefix="edgewright-") as name:
            folder = Path(name)
            whole = quantize_qdq(
                self.name, folder, source.quantizable_onnx, feed, ranges="minmax", per_channel=True
            )
            (folder / "whole.onnx").write_bytes(whole)
            worst = self._worst(folder, CalibrationFeed(few))
            data = quantize_qdq(
                self.name,
                folder,
                source.quantizable_onnx,
                feed,
                ranges="minmax",
                per_channel=True,
                nodes_to_exclude=worst,
            )
        feed.require_consumed(self.name)
        return Artifact("onnx", "mixed", self.name, (("model.onnx", data),))

    def _worst(self, folder: Path, feed: CalibrationFeed) -> list[str]:
        from onnxruntime.quantization import qdq_loss_debug

        prepared, whole = folder / "p.onnx", folder / "whole.onnx"
        check_memory(self.name, prepared, 2 * len(feed))
        found = []
        try:
            for path in (prepared, whole):
                shown = path.with_suffix(".shown.onnx")
                qdq_loss_debug.modify_model_output_intermediate_tensors(str(path), str(shown))
                found.append(qdq_loss_debug.collect_activations(str(shown), SampleReader(feed)))
            matched = qdq_loss_debug.create_activation_matching(found[1], found[0])
            errors = qdq_loss_debug.compute_activation_error(matched)
        except library_errors() as error:
            raise RecipeFailed(self.name, f"per-layer comparison: {error}") from error
        nodes = onnx.load_model(prepared).graph.node
        maker = {output: node.name for node in nodes for output in node.output}
        ranked = sorted(
            (float(error["qdq_err"]), name) for name, error in errors.items() if name in maker
        )
        if not ranked:
            raise RecipeFailed(self.name, "no layer could be compared")
        count = max(1, round(self.float_share * len(ranked)))
        return sorted({maker[name] for _, name in ranked[:count]})
