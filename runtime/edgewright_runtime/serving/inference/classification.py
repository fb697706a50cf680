"""The highest values of an output in place of the tensor: Triton's classification extension."""

from edgewright_runtime.engine.elements import FLOATS, numbers
from edgewright_runtime.engine.raw_tensor import RawTensor
from edgewright_runtime.errors import InvalidInput


def classify(name: str, tensor: RawTensor, count: int) -> RawTensor:
    """The `count` highest values as BYTES `value:index` [min(count, size)], highest first.

    The tensor is one vector, as Triton has it for a model that says `max_batch_size: 0`, and
    `index` counts in row-major order; of equal values the lower index comes first; a NaN comes
    last. Raises InvalidInput for strings.
    """
    if tensor.elements is not None:
        raise InvalidInput(f"output '{name}' is BYTES, which have no order to classify by")
    values = numbers(tensor)

    def place(index: int) -> tuple[bool, float]:
        value = values[index]
        is_nan = value != value
        return is_nan, 0.0 if is_nan else -value

    order = sorted(range(len(values)), key=place)[:count]  # stable
    form = "%f:%d" if tensor.datatype in FLOATS else "%d:%d"
    elements = [(form % (values[index], index)).encode() for index in order]
    return RawTensor("BYTES", (len(elements),), elements=elements)
