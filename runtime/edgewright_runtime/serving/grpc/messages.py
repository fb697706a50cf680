"""The protobuf messages of the Open Inference Protocol and of Triton's calls that we answer.

Field names and numbers are the protocol's; the descriptors are built here, in a pool of
their own, so that a process may also load somebody else's copy of the same package.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

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
InferOutputTensor: name=1 string, datatype=2 string, shape=3 int64*,
    parameters=4 NamedParameter*
ModelInferResponse: model_name=1 string, model_version=2 string, id=3 string,
    parameters=4 NamedParameter*, outputs=5 InferOutputTensor*, raw_output_contents=6 bytes*
ModelStreamInferResponse: error_message=1 string, infer_response=2 ModelInferResponse
ModelConfigRequest: name=1 string, version=2 string
LatestVersions: num_versions=1 uint32
ModelVersionPolicy: latest=1 LatestVersions
ModelInput: name=1 string, data_type=2 int32, format=3 int32, dims=4 int64*,
    is_shape_tensor=6 bool, allow_ragged_batch=7 bool, optional=8 bool,
    is_non_linear_format_io=9 bool
ModelOutput: name=1 string, data_type=2 int32, dims=3 int64*, label_filename=4 string,
    is_shape_tensor=6 bool, is_non_linear_format_io=7 bool
PinnedMemoryBuffer: enable=1 bool
ModelOptimizationPolicy: priority=2 int32, input_pinned_memory=5 PinnedMemoryBuffer,
    output_pinned_memory=6 PinnedMemoryBuffer, gather_kernel_buffer_threshold=7 uint32,
    eager_batching=8 bool
ModelInstanceGroup: name=1 string, kind=4 int32, count=2 int32, gpus=3 int32*,
    profile=5 string*, passive=7 bool, host_policy=9 string
ModelDynamicBatching: preferred_batch_size=1 int32*, max_queue_delay_microseconds=2 uint64,
    preserve_ordering=3 bool, priority_levels=4 uint64, default_priority_level=5 uint64
InitialState: data_type=1 int32, dims=2 int64*, zero_data=3 bool, name=5 string
SequenceState: input_name=1 string, output_name=2 string, data_type=3 int32, dims=4 int64*,
    initial_state=5 InitialState*
StrategyDirect: max_queue_delay_microseconds=1 uint64
ModelSequenceBatching: direct=3 StrategyDirect, max_sequence_idle_microseconds=1 uint64,
    state=5 SequenceState*
ModelTransactionPolicy: decoupled=1 bool
ModelParameter: string_value=1 string
NamedModelParameter: key=1 string, value=2 ModelParameter
ModelConfig: name=1 string, platform=2 string, backend=17 string, runtime=25 string,
    version_policy=3 ModelVersionPolicy, max_batch_size=4 int32, input=5 ModelInput*,
    output=6 ModelOutput*, optimization=12 ModelOptimizationPolicy,
    dynamic_batching=11 ModelDynamicBatching, sequence_batching=13 ModelSequenceBatching,
    instance_group=7 ModelInstanceGroup*, default_model_filename=8 string,
    parameters=14 NamedModelParameter*, model_transaction_policy=19 ModelTransactionPolicy
ModelConfigResponse: config=1 ModelConfig
ModelStatisticsRequest: name=1 string, version=2 string
StatisticDuration: count=1 uint64, ns=2 uint64
InferStatistics: success=1 StatisticDuration, fail=2 StatisticDuration,
    queue=3 StatisticDuration, compute_input=4 StatisticDuration,
    compute_infer=5 StatisticDuration, compute_output=6 StatisticDuration,
    cache_hit=7 StatisticDuration, cache_miss=8 StatisticDuration
InferBatchStatistics: batch_size=1 uint64, compute_input=2 StatisticDuration,
    compute_infer=3 StatisticDuration, compute_output=4 StatisticDuration
ModelStatistics: name=1 string, version=2 string, last_inference=3 uint64,
    inference_count=4 uint64, execution_count=5 uint64, inference_stats=6 InferStatistics,
    batch_stats=7 InferBatchStatistics*
ModelStatisticsResponse: model_stats=1 ModelStatistics*
RepositoryIndexRequest: repository_name=1 string, ready=2 bool
ModelIndex: name=1 string, version=2 string, state=3 string, reason=4 string
RepositoryIndexResponse: models=1 ModelIndex*
RepositoryParameter: bool_param=1 bool|, int64_param=2 int64|, string_param=3 string|,
    bytes_param=4 bytes|
NamedRepositoryParameter: key=1 string, value=2 RepositoryParameter
RepositoryModelLoadRequest: repository_name=1 string, model_name=2 string,
    parameters=3 NamedRepositoryParameter*
RepositoryModelLoadResponse:
RepositoryModelUnloadRequest: repository_name=1 string, model_name=2 string,
    parameters=3 NamedRepositoryParameter*
RepositoryModelUnloadResponse:
SystemSharedMemoryStatusRequest: name=1 string
SystemRegion: name=1 string, key=2 string, offset=3 uint64, byte_size=4 uint64
NamedSystemRegion: key=1 string, value=2 SystemRegion
SystemSharedMemoryStatusResponse: regions=1 NamedSystemRegion*
SystemSharedMemoryRegisterRequest: name=1 string, key=2 string, offset=3 uint64,
    byte_size=4 uint64
SystemSharedMemoryRegisterResponse:
SystemSharedMemoryUnregisterRequest: name=1 string
SystemSharedMemoryUnregisterResponse:
CudaSharedMemoryStatusRequest: name=1 string
CudaSharedMemoryStatusResponse:
CudaSharedMemoryRegisterRequest: name=1 string
CudaSharedMemoryRegisterResponse:
CudaSharedMemoryUnregisterRequest: name=1 string
CudaSharedMemoryUnregisterResponse:
TraceValue: value=1 string*
NamedTraceValue: key=1 string, value=2 TraceValue
TraceSettingRequest: settings=1 NamedTraceValue*, model_name=2 string
TraceSettingResponse: settings=1 NamedTraceValue*
LogValue: bool_param=1 bool|, uint32_param=2 uint32|, string_param=3 string|
NamedLogValue: key=1 string, value=2 LogValue
LogSettingsRequest: settings=1 NamedLogValue*
LogSettingsResponse: settings=1 NamedLogValue*
HealthCheckRequest: service=1 string
HealthCheckResponse: status=1 int32
"""
"""`*` repeated, `|` one of. A map is the repeated entries that it is on the wire; an enum is
its number; messages nested in the original are beside each other, which the wire cannot tell."""

_ENUMS: Mapping[str, Sequence[str]] = {
    "data_type": (
        "TYPE_INVALID", "TYPE_BOOL", "TYPE_UINT8", "TYPE_UINT16", "TYPE_UINT32", "TYPE_UINT64",
        "TYPE_INT8", "TYPE_INT16", "TYPE_INT32", "TYPE_INT64", "TYPE_FP16", "TYPE_FP32",
        "TYPE_FP64", "TYPE_STRING", "TYPE_BF16",
    ),
    "format": ("FORMAT_NONE", "FORMAT_NHWC", "FORMAT_NCHW"),
    "kind": ("KIND_AUTO", "KIND_GPU", "KIND_CPU", "KIND_MODEL"),
    "priority": ("PRIORITY_DEFAULT", "PRIORITY_MAX", "PRIORITY_MIN"),
}  # fmt: skip  # by number
"""The words of ModelConfig's enums, by the names of the fields that have them."""


def from_document(message_class: MessageClass, document: Mapping[str, Any]) -> Message:
    """The message of a JSON document (Any: JSON) with the same members; those that the message
    has no place for are left out."""
    return message_class(**_fitting(message_class.DESCRIPTOR, document))


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


def _fitting(descriptor: Any, document: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, field in descriptor.fields_by_name.items():
        value = document.get(name)
        if value is None:
            continue
        inner = field.message_type
        if name in _ENUMS:
            found[name] = _ENUMS[name].index(value)
        elif inner is None:
            found[name] = value
        elif isinstance(value, list):
            found[name] = [_fitting(inner, each) for each in value]
        elif inner.name.startswith("Named"):
            found[name] = [
                _fitting(inner, {"key": key, "value": each}) for key, each in value.items()
            ]
        else:
            found[name] = _fitting(inner, value)
    return found
