"""ModelInfer: outputs to a response message."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from edgewright_runtime.engine.raw_tensor import Buffer, RawTensor
from edgewright_runtime.serving.grpc.infer import InferRequest
from edgewright_runtime.serving.grpc.messages import MessageClass
from edgewright_runtime.serving.grpc.wire import bytes_field
from edgewright_runtime.serving.inference.binary_tensors import write_binary_tensor
from edgewright_runtime.serving.inference.classification import classify
from edgewright_runtime.serving.inference.outputs import WantedOutput
from edgewright_runtime.serving.inference.shared_memory import SharedMemory

_ID = 3
_RAW = 6
_HEADS_KEPT = 256
_FIELD_HEADS = tuple(bytes_field(_RAW, size) for size in range(0x80))
FINAL = "triton_final_response"


class ResponseWriter:
    """Response messages; all but id and tensors repeats, and so is kept."""

    def __init__(self, response_class: MessageClass, memory: SharedMemory) -> None:
        self._response_class = response_class
        self._memory = memory
        self._heads: dict[object, bytes] = {}

    def write(
        self,
        request: InferRequest,
        wanted: Sequence[WantedOutput],
        outputs: Mapping[str, RawTensor],
        *,
        version: str,
        is_final: bool | None = None,
    ) -> list[Buffer]:
        """The message in pieces, which are not copied. Raises InvalidInput, RegionUnknown.

        `is_final` is what the parameter `triton_final_response` says, None without it.
        """
        key: list[object] = [request.described.model, version, is_final]
        tail: list[Buffer] = []
        for spec, _, classes, place in wanted:
            tensor = outputs[spec.name]
            if classes:
                tensor = classify(spec.name, tensor, classes)
            data = tensor.data if tensor.elements is None else write_binary_tensor(tensor)
            size = data.nbytes if isinstance(data, memoryview) else len(data)
            key += (spec.name, tensor.datatype, tensor.shape, classes)
            if place is not None:
                self._memory.write(place, data)
                tail.append(_FIELD_HEADS[0])
                continue
            tail += (_FIELD_HEADS[size] if size < 0x80 else bytes_field(_RAW, size), data)
        found = self._heads.get(tuple(key))
        if found is None:
            found = self._head(request.described.model, wanted, outputs, version, is_final)
            if len(self._heads) >= _HEADS_KEPT:
                self._heads.clear()
            self._heads[tuple(key)] = found
        if request.id:
            identifier = request.id.encode("utf-8")
            return [found, bytes_field(_ID, len(identifier)), identifier, *tail]
        return [found, *tail]

    def write_empty(self, request: InferRequest, version: str) -> bytes:
        """The response after the last one, which only says that it is."""
        message = self._response_class(
            model_name=request.described.model,
            model_version=version,
            id=request.id,
            parameters=[_final(True)],
        )
        return cast(bytes, message.SerializeToString())

    def _head(
        self,
        model: str,
        wanted: Sequence[WantedOutput],
        outputs: Mapping[str, RawTensor],
        version: str,
        is_final: bool | None,
    ) -> bytes:
        entries: list[dict[str, Any]] = []
        for spec, _, classes, _ in wanted:
            tensor = outputs[spec.name]
            if classes:
                tensor = classify(spec.name, tensor, classes)
            entry = {"name": spec.name, "datatype": tensor.datatype, "shape": tensor.shape}
            entries.append(entry)
        message = self._response_class(
            model_name=model,
            model_version=version,
            parameters=[] if is_final is None else [_final(is_final)],
            outputs=entries,
        )
        return cast(bytes, message.SerializeToString())


def _final(is_final: bool) -> dict[str, Any]:
    return {"key": FINAL, "value": {"bool_param": is_final}}
