"""What the server says about itself and its models, in the protocol's documents."""

from collections.abc import Mapping
from typing import Any

import msgspec
from edgewright_manifests.signature import TensorSpec
from edgewright_manifests.variant import Target

from edgewright_runtime import __version__
from edgewright_runtime.engine.artifact import misplaced
from edgewright_runtime.model_settings import ModelSettings
from edgewright_runtime.serving.generation import LoadedGeneration
from edgewright_runtime.serving.repository import Repository

# Any: JSON documents on their way out.

_PLATFORMS: Mapping[Target, tuple[str, str]] = {
    "onnx": ("onnxruntime_onnx", "onnxruntime"),
    "openvino": ("openvino_ir", "openvino"),
    "tflite": ("litert_tflite", "litert"),
}
"""Platform (`<project>_<format>`, as the protocol wants it) and backend."""

_CONFIG_TYPES = {"BYTES": "TYPE_STRING"}


def server_metadata() -> dict[str, Any]:
    """GET /v2."""
    return {
        "name": "edgewright",
        "version": __version__,
        "extensions": [
            "binary_tensor_data",
            "classification",
            "generate",
            "logging",
            "model_configuration",
            "model_repository",
            "model_repository(unload_dependents)",
            "parameters",
            "statistics",
            "system_shared_memory",
            "trace",
        ],
    }


def model_metadata(name: str, generation: LoadedGeneration) -> dict[str, Any]:
    """GET /v2/models/NAME."""
    return {
        "name": name,
        "versions": [generation.artifact.version],
        "platform": _PLATFORMS[generation.artifact.target][0],
        "inputs": [_tensor(spec) for spec in generation.signature.inputs],
        "outputs": [_tensor(spec) for spec in generation.signature.outputs],
        "parameters": {
            "variant": generation.artifact.variant,
            "placement": generation.session.placement,
            **_scheduled(generation),
        },
    }


def model_config(name: str, generation: LoadedGeneration) -> dict[str, Any]:
    """GET /v2/models/NAME/config, Triton's extension; 0 says that shapes include the batch."""
    platform, backend = _PLATFORMS[generation.artifact.target]
    return {
        "name": name,
        "platform": platform,
        "backend": backend,
        "version_policy": {"latest": {"num_versions": 1}},
        "max_batch_size": 0,
        "input": [_config_tensor(spec) for spec in generation.signature.inputs],
        "output": [_config_tensor(spec) for spec in generation.signature.outputs],
    }


def whole_config(name: str, generation: LoadedGeneration) -> dict[str, Any]:
    """`model_config` with all that Triton's clients may look for, and what is so here."""
    document = model_config(name, generation)
    plain = {"is_shape_tensor": False, "is_non_linear_format_io": False}
    taken = {"format": "FORMAT_NONE", "allow_ragged_batch": False, "optional": False}
    document["input"] = [{**entry, **taken, **plain} for entry in document["input"]]
    document["output"] = [{**entry, "label_filename": "", **plain} for entry in document["output"]]
    return (
        document
        | _scheduling(generation)
        | {
            "runtime": "",
            "batch_input": [],
            "batch_output": [],
            "optimization": {
                "priority": "PRIORITY_DEFAULT",
                "input_pinned_memory": {"enable": False},
                "output_pinned_memory": {"enable": False},
                "gather_kernel_buffer_threshold": 0,
                "eager_batching": False,
            },
            "instance_group": [
                {
                    "name": f"{name}_0",
                    "kind": "KIND_CPU" if "CPU" in generation.session.placement else "KIND_AUTO",
                    "count": 1,
                    "gpus": [],
                    "secondary_devices": [],
                    "profile": [],
                    "passive": False,
                    "host_policy": "",
                }
            ],
            "default_model_filename": generation.artifact.path.name,
            "cc_model_filenames": {},
            "metric_tags": {},
            "parameters": {
                "variant": {"string_value": generation.artifact.variant},
                "placement": {"string_value": generation.session.placement},
                **_astray(generation),
                **_shown_settings(generation),
            },
            "model_warmup": [],
        }
    )


def _scheduling(generation: LoadedGeneration) -> dict[str, Any]:
    """What Triton calls dynamic and sequence batching, as far as it is so here."""
    settings, sequence = generation.settings, generation.settings.sequence
    priorities = {
        "priority_levels": settings.priority_levels,
        "default_priority_level": settings.usual_priority,
    }
    if sequence is not None:
        whole = {spec.name: spec for spec in generation.session.signature.inputs}
        states = [
            {
                "input_name": state.input,
                "output_name": state.output,
                "data_type": _config_tensor(whole[state.input])["data_type"],
                "dims": list(state.shape or whole[state.input].shape),
            }
            for state in sequence.states
        ]
        idle_us = int(sequence.idle_s * 1e6)
        return {
            "sequence_batching": {
                "direct": {},
                "max_sequence_idle_microseconds": idle_us,
                "state": states,
            }
        }
    if generation.batch.max_items < 2:
        return {}
    return {
        "dynamic_batching": {
            "preferred_batch_size": [generation.batch.max_items],
            "max_queue_delay_microseconds": 0,
            **priorities,
        }
    }


def _scheduled(generation: LoadedGeneration) -> dict[str, str]:
    """What batches bring, and the settings that are not as built in, as JSON."""
    batch = generation.batch
    usual = msgspec.to_builtins(ModelSettings())
    own = msgspec.to_builtins(generation.settings)
    changed = {word: value for word, value in own.items() if value != usual[word]}
    return {
        "batching": f"up to {batch.max_items}: {batch.reason}",
        "settings": msgspec.json.encode(changed).decode(),
    }


def _shown_settings(generation: LoadedGeneration) -> dict[str, Any]:
    """Our own settings and what loading measured, which Triton's document has no place for."""
    shown = _scheduled(generation)
    if generation.batch.item_s:
        shown["batching_item_us"] = ", ".join(
            f"{size}: {item_s * 1e6:.1f}" for size, item_s in generation.batch.item_s.items()
        )
    return {name: {"string_value": text} for name, text in shown.items()}


def _astray(generation: LoadedGeneration) -> dict[str, Any]:
    astray = misplaced(generation.artifact, generation.session)
    return {} if astray is None else {"misplaced": {"string_value": astray}}


def repository_index(repository: Repository) -> list[dict[str, str]]:
    """POST /v2/repository/index, Triton's extension."""
    found = []
    for served in repository.models.values():
        active = served.active
        if active is None:
            entry = {"name": served.name, "state": "UNAVAILABLE", "reason": "not switched on yet"}
        else:
            entry = {
                "name": served.name,
                "version": active.artifact.version,
                "state": "READY",
                "reason": "",
            }
        found.append(entry)
    return found


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)}


def _config_tensor(spec: TensorSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "data_type": _CONFIG_TYPES.get(spec.datatype, f"TYPE_{spec.datatype}"),
        "dims": list(spec.shape),
    }
