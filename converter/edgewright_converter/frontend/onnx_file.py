"""Loads an ONNX file that nobody vouches for; whatever is wrong is one clear line."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
from edgewright_manifests.digest import Digest, digest_of, digest_of_file
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # has no types

from edgewright_converter.errors import ModelFileError

MIN_OPSET = 7
"""What ONNX Runtime itself promises to run (its operator registry starts there)."""
MAX_MODEL_BYTES = (1 << 31) - 1
"""A protobuf message ends at 2 GiB, and every target is written as one message."""


@dataclass(frozen=True, slots=True)
class OnnxSource:
    """A checked model, self-contained: external data has been read in."""

    data: bytes
    file_name: str
    digest: Digest
    """Of the file as it was given (with external data: over the digests of all files)."""
    size_bytes: int
    opset: int
    producer: str
    operators: tuple[tuple[str, int], ...]
    """How often each operator occurs, most frequent first."""


def read_onnx(path: Path) -> OnnxSource:
    """Load and check `path`.

    Raises ModelFileError when it is no ONNX model, is damaged, has no graph, wants data from
    outside its folder, breaks the ONNX specification or is of an opset that is not supported.
    """
    raw = _read(path)
    try:
        return _check(raw, path)
    except UnicodeDecodeError as error:  # protobuf checks text only when it is looked at
        raise ModelFileError(
            path, "is damaged: a name in it is no text", "copy it again, or export it again"
        ) from error


def _check(raw: bytes, path: Path) -> OnnxSource:
    try:
        model = onnx.load_model_from_string(raw)
    except DecodeError as error:
        raise ModelFileError(
            path,
            "is no ONNX model, or is cut short",
            "export the model to ONNX (for example torch.onnx.export), or copy it again",
        ) from error
    if not model.ir_version or not model.opset_import or not model.graph.node:
        raise ModelFileError(
            path, "is no ONNX model: it holds no graph", "export the model to ONNX again"
        )
    external = _read_external_data(model, path)
    opset = _check_opset(model, path)
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise ModelFileError(
            path,
            f"breaks the ONNX specification: {_first_line(error)}",
            "export the model again with a newer exporter",
        ) from error
    digests = [digest_of(raw), *external]
    return OnnxSource(
        data=model.SerializeToString(deterministic=True),
        file_name=path.name,
        digest=digests[0] if not external else digest_of("\n".join(digests).encode()),
        size_bytes=len(raw),
        opset=opset,
        producer=f"{model.producer_name} {model.producer_version}".strip(),
        operators=tuple(Counter(_operator_names(model.graph)).most_common()),
    )


def _read(path: Path) -> bytes:
    try:
        size_bytes = path.stat().st_size
        if path.is_dir():
            raise ModelFileError(path, "is a folder", "give the .onnx file inside it")
        if size_bytes > MAX_MODEL_BYTES:
            raise ModelFileError(
                path,
                f"has {size_bytes} bytes; at most {MAX_MODEL_BYTES} fit one model file",
                "split the model",
            )
        return path.read_bytes()
    except OSError as error:
        raise ModelFileError(
            path, f"cannot be read: {error.strerror}", "check the path and its permissions"
        ) from error


def _check_opset(model: onnx.ModelProto, path: Path) -> int:
    newest = onnx.defs.onnx_opset_version()
    opset = max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0)
    if not MIN_OPSET <= opset <= newest:
        raise ModelFileError(
            path,
            f"is of opset {opset}; {MIN_OPSET} to {newest} are supported",
            f"export it with an opset in that range, for example {min(17, newest)}",
        )
    return opset


def _read_external_data(model: onnx.ModelProto, path: Path) -> list[Digest]:
    """Read external tensors in; only files inside the model's folder, whole and unlinked."""
    folder = path.parent.resolve()
    files: dict[Path, Digest] = {}
    for tensor in _tensors(model.graph):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        info = {entry.key: entry.value for entry in tensor.external_data}
        location = info.get("location", "")
        file = (folder / location).resolve()
        if not location or Path(location).is_absolute() or not file.is_relative_to(folder):
            raise ModelFileError(
                path,
                f"wants the data of tensor {tensor.name!r} from {location!r}, outside its folder",
                "keep external data beside the model, or save the model as one file",
            )
        if not file.is_file():
            raise ModelFileError(
                path,
                f"wants the data of tensor {tensor.name!r} from {location!r}, which is not there",
                "copy the external data file along with the model",
            )
        if file not in files:
            files[file] = digest_of_file(file)
    if files and sum(file.stat().st_size for file in files) > MAX_MODEL_BYTES:
        raise ModelFileError(path, "has more than 2 GiB of external data", "split the model")
    if files:
        try:
            onnx.load_external_data_for_model(model, str(folder))
        except (OSError, ValueError, onnx.checker.ValidationError) as error:
            raise ModelFileError(
                path,
                f"has external data that does not fit: {_first_line(error)}",
                "copy the model and its data again",
            ) from error
    return [digest for _, digest in sorted(files.items())]


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield sparse.values
        yield sparse.indices
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for inner in (attribute.g, *attribute.graphs):
                yield from _tensors(inner)


def _operator_names(graph: onnx.GraphProto) -> Iterator[str]:
    for node in graph.node:
        yield f"{node.domain}.{node.op_type}" if node.domain else node.op_type
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _operator_names(inner)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
