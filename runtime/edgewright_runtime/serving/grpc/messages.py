"""The protobuf messages of the Open Inference Protocol and of Triton's calls that we answer.

Field names and numbers are the protocol's; the descriptors are built here, in a pool of
their own, so that a process may also load somebody else's copy of the same package.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from edgewright_manifests.signature import DataType
from google.protobuf import (  # type: ignore[import-untyped]  # protobuf ships no types
    descriptor_pb2,
    descriptor_pool,
    message_factory,
)

Message = Any  # built at run time: no type checker can know its fields
MessageClass = Any

_PACKAGE = "inference"
_TABLE = """
ServerLiveRequest:
ServerLiveResponse: live=1 bool
ServerReadyRequest:
ServerReadyResponse: ready=1 bool
ModelReadyRequest: name=1 string, version=2 string
ModelReadyResponse: ready=1 bool
ServerMetadataRequest:
ServerMetadataResponse: name=1 string, version=2 string, extensions=3 string*
ModelMetadataRequest: name=1 string, version=2 string
TensorMetadata: name=1 string, datatype=2 string, shape=3 int64*
ModelMetadataResponse: name=1 string, versions=2 string*, platform=3 string,
    inputs=4 TensorMetadata*, outputs=5 TensorMetadata*
InferParameter: bool_param=1 bool|, int64_param=2 int64|, string_param=3 string|,
    double_param=4 double|, uint64_param=5 uint64|
NamedParameter: key=1 string, value=2 InferParameter
InferTensorContents: bool_contents=1 bool*, int_contents=2 int32*, int64_contents=3 int64*,
    uint_contents=4 uint32*, uint64_contents=5 uint64*, fp32_contents=6 float*,
    fp64_contents=7 double*, bytes_contents=8 bytes*
InferInputTensor: name=1 string, datatype=2 string, shape=3 int64*,
    parameters=4 NamedParameter*, contents=5 InferTensorContents
InferRequestedOutputTensor: name=1 string, parameters=2 NamedParameter*
ModelInferRequest: model_name=1 string, model_version=2 string, id=3 string,
    parameters=4 NamedParameter*, inputs=5 InferInputTensor*,
    outputs=6 InferRequestedOutputTensor*, raw_input_contents=7 bytes*
InferOutputTensor: name=1 string, datatype=2 string, shape=3 int64*
ModelInferResponse: model_name=1 string, model_version=2 string, id=3 string,
    outputs=5 InferOutputTensor*, raw_output_contents=6 bytes*
ModelConfigRequest: name=1 string, version=2 string
LatestVersions: num_versions=1 uint32
ModelVersionPolicy: latest=1 LatestVersions
ModelInput: name=1 string, data_type=2 int32, dims=4 int64*
ModelOutput: name=1 string, data_type=2 int32, dims=3 int64*
ModelConfig: name=1 string, platform=2 string, backend=17 string,
    version_policy=3 ModelVersionPolicy, max_batch_size=4 int32, input=5 ModelInput*,
    output=6 ModelOutput*
ModelConfigResponse: config=1 ModelConfig
ModelStatisticsRequest: name=1 string, version=2 string
StatisticDuration: count=1 uint64, ns=2 uint64
InferStatistics: success=1 StatisticDuration, fail=2 StatisticDuration,
    compute_infer=5 StatisticDuration
ModelStatistics: name=1 string, version=2 string, inference_count=4 uint64,
    execution_count=5 uint64, inference_stats=6 InferStatistics
ModelStatisticsResponse: model_stats=1 ModelStatistics*
RepositoryIndexRequest: repository_name=1 string, ready=2 bool
ModelIndex: name=1 string, version=2 string, state=3 string, reason=4 string
RepositoryIndexResponse: models=1 ModelIndex*
HealthCheckRequest: service=1 string
HealthCheckResponse: status=1 int32
"""
"""`*` repeated, `|` one of. A map is the repeated entries that it is on the wire; an enum is
its number; messages nested in the original are beside each other, which the wire cannot tell."""

CONFIG_TYPES: Mapping[DataType, int] = {
    "BOOL": 1,
    "UINT8": 2,
    "UINT16": 3,
    "UINT32": 4,
    "UINT64": 5,
    "INT8": 6,
    "INT16": 7,
    "INT32": 8,
    "INT64": 9,
    "FP16": 10,
    "FP32": 11,
    "FP64": 12,
    "BYTES": 13,
}
"""The numbers of ModelConfig's enum DataType, by the protocol's names."""


def build_messages() -> Mapping[str, MessageClass]:
    """The message classes by name; takes some milliseconds, so once per process."""
    file = descriptor_pb2.FileDescriptorProto(
        name="edgewright/open_inference.proto", package=_PACKAGE, syntax="proto3"
    )
    names = []
    for name, fields in _lines():
        names.append(name)
        message = file.message_type.add(name=name)
        for field in filter(None, map(str.strip, fields.split(","))):
            _add_field(message, field)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
        for name in names
    }


def _lines() -> Iterator[tuple[str, str]]:
    for line in _TABLE.strip().replace("\n    ", " ").splitlines():
        name, _, fields = line.partition(":")
        yield name, fields


def _add_field(message: Any, described: str) -> None:
    left, kind = described.split(" ")
    name, number = left.split("=")
    types = descriptor_pb2.FieldDescriptorProto
    field = message.field.add(name=name, number=int(number), label=types.LABEL_OPTIONAL)
    if kind.endswith("*"):
        field.label = types.LABEL_REPEATED
    elif kind.endswith("|"):
        if not message.oneof_decl:
            message.oneof_decl.add(name="parameter_choice")
        field.oneof_index = 0
    kind = kind.rstrip("*|")
    if kind[0].isupper():
        field.type, field.type_name = types.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
    else:
        field.type = types.Type.Value(f"TYPE_{kind.upper()}")
