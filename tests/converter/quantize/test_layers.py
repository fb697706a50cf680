"""The ranking of layers on a model whose culprit is known, on every engine."""

import numpy as np
import onnx
import pytest
from edgewright_converter.candidate import RecipeSource
from edgewright_converter.frontend import raise_opset, simplify
from edgewright_converter.jobs.trial import EMITTERS
from edgewright_converter.quantize.layers import layer_errors
from edgewright_converter.quantize.recipes import LAYERED, RECIPES
from edgewright_converter.quantize.recipes.library_recipe import LayeredRecipe, LibraryRecipe
from edgewright_converter.samples import Samples
from edgewright_manifests.variant import Target
from onnx import TensorProto, helper, numpy_helper

pytestmark = pytest.mark.filterwarnings("ignore:.*experimental_preserve_all_tensors:UserWarning")

TARGETS: tuple[Target, ...] = ("onnx", "openvino", "tflite", "tensorrt")
CULPRIT = "culprit"


@pytest.fixture(scope="module")
def data() -> bytes:
    """Three convolutions; the outputs of the second are in -100..100 but for the channels that
    the third one listens to, which are in -1..1.
    """
    rng = np.random.default_rng(2)
    loud = np.ones((8, 1, 1, 1), np.float32)
    loud[:4] = 200
    second = rng.standard_normal((8, 8, 3, 3)).astype(np.float32) * loud
    third = rng.standard_normal((4, 8, 3, 3)).astype(np.float32)
    third[:, :4] = 0
    weights = {
        "w1": rng.standard_normal((8, 3, 3, 3)).astype(np.float32),
        "w2": second,
        "w3": third,
    }
    names = ["x", "first", CULPRIT, "y"]
    nodes = [
        helper.make_node("Conv", [names[i], f"w{i + 1}"], [names[i + 1]], names[i + 1])
        for i in range(3)
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 12, 12])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4, 6, 6])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    opsets = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    onnx.checker.check_model(model)
    made: bytes = model.SerializeToString()
    return made


@pytest.fixture(scope="module")
def calibration() -> Samples:
    rng = np.random.default_rng(3)
    return Samples({"x": rng.standard_normal((12, 3, 12, 12)).astype(np.float32)}, None, "here")


def source_of(target: Target, data: bytes) -> RecipeSource:
    simplified = simplify(data).data or data
    raised = raise_opset(simplified, 17).data or simplified
    return RecipeSource(EMITTERS[target](simplified), raised, "", simplified)


@pytest.mark.parametrize("target", TARGETS)
def test_the_layer_behind_the_lost_channels_is_named_and_can_be_kept(
    target: Target, data: bytes, calibration: Samples
) -> None:
    recipe = LAYERED[target][0]
    source = source_of(target, data)
    ranked = recipe.measure_layers(source, calibration)
    assert ranked[0].error.name in (CULPRIT, "y", "y;1")  # ;1: before it is turned to NCHW
    errors = layer_errors(ranked, range(2))
    assert [e.sqnr_db for e in errors] == sorted(e.sqnr_db for e in errors)
    assert sum(e.kept_float for e in errors) == 2
    kept = recipe.keeping(ranked, range(2))
    assert kept.name == f"{recipe.name}, worst 2 layers float"
    artifact = kept.build(source, calibration)
    assert artifact.precision == "mixed"
    # In float those two layers weigh four times as much; in OpenVINO's text they are shorter.
    file = "model.bin" if target == "openvino" else artifact.files[0][0]
    small = dict(recipe.build(source, calibration).files)[file]
    assert len(dict(artifact.files)[file]) > len(small)


@pytest.mark.parametrize("target", TARGETS)
def test_the_last_calibration_sample_counts(
    target: Target, data: bytes, calibration: Samples
) -> None:
    """Not only handed out: a loud last sample has to change the ranges."""
    recipe = LAYERED[target][0]
    assert isinstance(recipe, LibraryRecipe)
    assert recipe.reads_samples
    loud = calibration.inputs["x"].copy()
    loud[-1] *= 50
    source = source_of(target, data)
    quiet_files = recipe.build(source, calibration).files
    loud_files = recipe.build(source, Samples({"x": loud}, None, "loud")).files
    assert [name for name, _ in quiet_files] == [name for name, _ in loud_files]
    assert quiet_files != loud_files
    again = recipe.build(source, calibration).files
    assert [len(value) for _, value in again] == [len(value) for _, value in quiet_files]


def test_every_recipe_has_a_name_of_its_own() -> None:
    for target, recipes in RECIPES.items():
        names = [recipe.name for recipe in (*recipes, *LAYERED.get(target, ()))]
        twice = {name for name in names if names.count(name) > 1}
        assert twice <= {recipe.name for recipe in LAYERED.get(target, ())}
        assert all(isinstance(recipe, LayeredRecipe) for recipe in LAYERED.get(target, ()))
