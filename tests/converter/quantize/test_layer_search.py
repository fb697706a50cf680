"""Which layers the search keeps in float, step by step."""

from edgewright_converter.candidate import LayerError
from edgewright_converter.quantize.layer_search import LayerSearch
from edgewright_converter.quantize.layers import HurtLayer
from edgewright_converter.quantize.recipes import LAYERED


def ranked(*operators: str) -> list[HurtLayer]:
    """Worst first."""
    return [
        HurtLayer(LayerError(f"t{n}", operator, 10.0 + n, False), (f"n{n}",), 1.0 / (n + 1))
        for n, operator in enumerate(operators)
    ]


def steps(layers: list[HurtLayer]) -> tuple[list[str], LayerSearch]:
    """The endings of the names of all steps."""
    recipe = LAYERED["tflite"][1]
    search = LayerSearch("tflite", "auto")
    while search.next() is not None:
        pass
    search.take(recipe, layers)
    names = []
    while (step := search.next()) is not None:
        names.append(step.name)
    return [name.removeprefix(recipe.name) for name in names], search


def test_a_small_network_tries_every_layer_with_weights_alone() -> None:
    layers = ranked("CONV_2D", "MEAN", "FULLY_CONNECTED", "RESHAPE", "CONV_2D")
    found, search = steps(layers)
    assert found == [
        ", worst 1 layer float",
        ", worst layer but 2 float",
        ", worst layer but 4 float",
        ", worst 2 layers float",
    ]
    told = search.layers_of(LAYERED["tflite"][1].name + found[1])
    assert [layer.name for layer in told if layer.kept_float] == ["t2"]


def test_a_large_network_tries_twice_as_many_of_the_worst_at_each_step() -> None:
    found, _ = steps(ranked(*["CONV_2D"] * 20))
    assert found == [
        ", worst 1 layer float",
        ", worst 2 layers float",
        ", worst 4 layers float",
        ", worst 8 layers float",
    ]
