"""Signatures as a person reads them in messages."""

from edgewright_manifests.signature import ModelSignature, TensorSpec


def shown(signature: ModelSignature) -> str:
    """The signature in one line: `x FP32 [-1, 4] -> y FP32 [-1, 3]`."""
    return f"{shown_side(signature.inputs)} -> {shown_side(signature.outputs)}"


def shown_side(specs: tuple[TensorSpec, ...]) -> str:
    """Inputs or outputs in one line."""
    return ", ".join(f"{spec.name} {spec.datatype} {list(spec.shape)}" for spec in specs)


def names(specs: tuple[TensorSpec, ...]) -> str:
    """The tensors' names, quoted, to show in a message."""
    return ", ".join(f"'{spec.name}'" for spec in specs)
