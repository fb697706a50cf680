"""Golden vectors: inputs and the float model's outputs, and the verdict on a variant by them.

They travel in the bundle as an `.npz` with `input.<name>` and `output.<name>` (both
`[n, ...]`, stacked along the tensor's own batch axis) and optionally `labels` (`[n]`) and
`raw.<name>`: the samples of an input before the pre-processing that the variant records.
A device runs them on its own accelerator before it lets a release serve.
"""

import io
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import log10, prod

import numpy as np
from numpy.typing import NDArray

from edgewright_manifests.errors import BundleError
from edgewright_manifests.signature import DYNAMIC, ModelSignature, TensorSpec
from edgewright_manifests.tensors import NUMPY_DTYPES, Array
from edgewright_manifests.variant import Tolerance

MAX_GOLDEN_BYTES = 256 * 1024 * 1024
"""Most that the arrays may take unpacked; a device holds them in memory during preflight."""
MAX_SAMPLES = 100_000
EXACT_SNR_DB = 200.0
"""What snr_db gives for equal arrays: beyond what float64 arithmetic resolves."""

_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip entry can carry
_HEADER = re.compile(
    r"\{'descr': '([<>|=]?[a-z][0-9]{1,2})', 'fortran_order': (False|True), "
    r"'shape': \(((?:[0-9]{1,12}(?:, ?|(?=\))))*)\),? ?\}\s*",
)
# What zipfile and zlib raise on hostile archives (RuntimeError: encrypted members).
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    OverflowError,
    ValueError,
    RuntimeError,
    NotImplementedError,
    KeyError,
    IndexError,
)


@dataclass(frozen=True, slots=True)
class GoldenVectors:
    """Samples with known answers. Arrays are `[n, ...]`; names come in the signature's order."""

    inputs: dict[str, Array]
    outputs: dict[str, Array]
    """The float model's outputs for `inputs`."""
    labels: NDArray[np.int64] | None = None
    """`[n]`: the right class of each sample."""
    raw: dict[str, Array] = field(default_factory=dict)
    """By input name `[n, ...]`: what pre-processing makes `inputs` of (raw_input.raw_problem)."""

    @property
    def samples(self) -> int:
        """How many there are (n)."""
        return len(next(iter(self.inputs.values())))

    def sample(self, index: int) -> dict[str, Array]:
        """The inputs of one sample, each `[1, ...]`: variants are judged sample by sample."""
        return {name: array[index : index + 1] for name, array in self.inputs.items()}


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a variant's outputs keep the promised tolerance, and the measured figures."""

    passed: bool
    reason: str
    """One line for people, of the measure that failed or (passed) of all that were promised."""
    snr_db: float | None = None
    top1_agreement: float | None = None
    accuracy: float | None = None


def write_golden(golden: GoldenVectors) -> bytes:
    """The `.npz`; equal vectors give equal bytes (no times, fixed order).

    Raises BundleError for vectors that read_golden would refuse whatever the signature.
    """
    arrays = {f"input.{name}": array for name, array in golden.inputs.items()}
    arrays |= {f"output.{name}": array for name, array in golden.outputs.items()}
    if not golden.inputs or not golden.outputs:
        raise BundleError("golden vectors: there must be at least one input and one output")
    arrays |= {f"raw.{name}": array for name, array in golden.raw.items()}
    if golden.labels is not None:
        arrays["labels"] = np.asarray(golden.labels, np.int64)
    _check_counts({name: array.shape for name, array in arrays.items()})
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            _check_finite(name, array)
            member = zipfile.ZipInfo(f"{name}.npy", _ZIP_EPOCH)
            member.compress_type = zipfile.ZIP_DEFLATED
            member.external_attr = 0o644 << 16
            archive.writestr(member, _npy(array))
    return buffer.getvalue()


def read_golden(data: bytes, signature: ModelSignature) -> GoldenVectors:
    """Parse and check golden vectors against the model's signature.

    Raises BundleError, naming the array, when one is missing, unexpected, of the wrong
    element type or shape, not finite, or when all together are larger than
    MAX_GOLDEN_BYTES; nothing is ever unpickled.
    """
    specs = {f"input.{spec.name}": spec for spec in signature.inputs}
    specs |= {f"output.{spec.name}": spec for spec in signature.outputs}
    labels = TensorSpec(name="labels", datatype="INT64", shape=(DYNAMIC,))
    arrays = _read_npz(data)
    if missing := sorted(specs.keys() - arrays.keys()):
        raise BundleError(f"golden vectors: array {missing[0]} of the signature is missing")
    raw = {f"raw.{spec.name}": spec.name for spec in signature.inputs}
    if extra := sorted(arrays.keys() - specs.keys() - raw.keys() - {"labels"}):
        raise BundleError(f"golden vectors: array {extra[0]!r} is in no signature")
    for name, array in arrays.items():
        if name in raw and name not in specs:
            _check_finite(name, array)
        else:
            _check_array(name, array, specs.get(name, labels))
    _check_counts({name: array.shape for name, array in arrays.items()})
    return GoldenVectors(
        inputs={spec.name: arrays[f"input.{spec.name}"] for spec in signature.inputs},
        outputs={spec.name: arrays[f"output.{spec.name}"] for spec in signature.outputs},
        labels=arrays.get("labels"),
        raw={of: arrays[name] for name, of in raw.items() if name in arrays},
    )


def snr_db(reference: Mapping[str, Array], outputs: Mapping[str, Array]) -> float:
    """Signal to noise in decibels over all elements of all outputs, within +-EXACT_SNR_DB.

    10 log10(sum(reference^2) / sum((reference - outputs)^2)), in float64.
    """
    signal = noise = 0.0
    for name, want in reference.items():
        exact = want.astype(np.float64)
        signal += float(np.square(exact).sum())
        noise += float(np.square(exact - outputs[name].astype(np.float64)).sum())
    if noise == 0.0:
        return EXACT_SNR_DB
    if signal == 0.0:
        return -EXACT_SNR_DB
    ratio_db = 10.0 * (log10(signal) - log10(noise))
    return min(EXACT_SNR_DB, max(-EXACT_SNR_DB, ratio_db))


def top1_agreement(reference: Array, output: Array) -> float:
    """Share (0..1) of rows whose arg-max along the last axis is the same; both `[n, ..., k]`."""
    return float(np.mean(reference.argmax(axis=-1) == output.argmax(axis=-1)))


def judge(golden: GoldenVectors, outputs: Mapping[str, Array], tolerance: Tolerance) -> Verdict:
    """Hold `outputs` (by name, `[n, ...]`, for golden.inputs) against what was promised.

    Top-1 and accuracy are of the first output's last axis. A missing output, a wrong
    shape or a value that is not finite fails, whatever the tolerance says.
    """
    broken = _unusable(golden, outputs)
    if broken is not None:
        return Verdict(False, broken)
    name, first = next(iter(golden.outputs.items()))
    ratio = snr_db(golden.outputs, outputs)
    agreement = accuracy = None
    if first.ndim >= 2 and first.shape[-1] > 1:
        agreement = top1_agreement(first, outputs[name])
        if golden.labels is not None and first.ndim == 2:
            accuracy = float(np.mean(outputs[name].argmax(axis=-1) == golden.labels))
    measures = (
        ("accuracy", accuracy, tolerance.min_accuracy, ".2f", ""),
        ("top-1 agreement", agreement, tolerance.min_top1_agreement, ".2f", ""),
        ("SNR", ratio, tolerance.min_snr_db, ".1f", " dB"),
    )
    failed: list[str] = []
    kept: list[str] = []
    for measure, value, floor, form, unit in measures:
        if floor is None:
            continue
        if value is None:
            failed.append(f"{measure} is promised, but the golden vectors cannot show it")
            continue
        line = (
            f"{measure} {value:{form}}{unit} on {golden.samples} golden samples, "
            f"at least {floor:{form}}{unit} promised"
        )
        (kept if value >= floor else failed).append(line)
    reason = "; ".join(failed or kept) or "outputs are finite, and no tolerance is promised"
    return Verdict(not failed, reason, ratio, agreement, accuracy)


def _unusable(golden: GoldenVectors, outputs: Mapping[str, Array]) -> str | None:
    for name, want in golden.outputs.items():
        have = outputs.get(name)
        if have is None:
            return f"output {name!r} is missing"
        if have.shape != want.shape:
            return f"output {name!r} has shape {list(have.shape)}, expected {list(want.shape)}"
        if have.dtype.kind == "f" and not np.isfinite(have).all():
            rows = ~np.isfinite(have.reshape(len(have), -1)).all(axis=1)
            return f"output {name!r} is NaN or infinite for {rows.sum()} of {len(have)} samples"
    return None


def _check_array(name: str, array: Array, spec: TensorSpec) -> None:
    dtype = NUMPY_DTYPES.get(spec.datatype)
    if dtype is None:
        raise BundleError(f"golden vectors: {name} is of type {spec.datatype}, which has no array")
    if array.dtype != dtype:
        raise BundleError(
            f"golden vectors: array {name} is {array.dtype}, the signature says {spec.datatype}"
        )
    if not spec.shape or spec.shape[0] not in (DYNAMIC, 1):
        raise BundleError(
            f"golden vectors: {name} has shape {list(spec.shape)} in the signature; its first "
            "dimension must be the batch, -1 or 1"
        )
    if not array.ndim or not spec.accepts((spec.shape[0], *array.shape[1:])):
        raise BundleError(
            f"golden vectors: array {name} has shape {list(array.shape)}, "
            f"the signature says {list(spec.shape)}"
        )
    _check_finite(name, array)


def _check_finite(name: str, array: Array) -> None:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise BundleError(f"golden vectors: array {name} has values that are NaN or infinite")


def _check_counts(shapes: Mapping[str, tuple[int, ...]]) -> None:
    counts = {name: shape[0] if shape else 0 for name, shape in shapes.items()}
    if len(set(counts.values())) != 1:
        told = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise BundleError(f"golden vectors: arrays have different sample counts ({told})")
    count = next(iter(counts.values()))
    if not 1 <= count <= MAX_SAMPLES:
        raise BundleError(f"golden vectors: {count} samples, expected 1 to {MAX_SAMPLES}")


def _npy(array: Array) -> bytes:
    """The array in numpy's .npy format, version 1.0, C order, little-endian."""
    contiguous = np.ascontiguousarray(array)
    buffer = io.BytesIO()
    np.lib.format.write_array(
        buffer,
        contiguous.astype(contiguous.dtype.newbyteorder("<")),
        version=(1, 0),
        allow_pickle=False,
    )
    return buffer.getvalue()


def _read_npz(data: bytes) -> dict[str, Array]:
    if len(data) > MAX_GOLDEN_BYTES:
        raise BundleError(f"golden vectors: {len(data)} bytes, at most {MAX_GOLDEN_BYTES} allowed")
    arrays: dict[str, Array] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            total = sum(member.file_size for member in members)
            if total > MAX_GOLDEN_BYTES:
                raise BundleError(
                    f"golden vectors: {total} bytes unpacked, at most {MAX_GOLDEN_BYTES} allowed"
                )
            for member in members:
                name = member.filename.removesuffix(".npy")
                if name in arrays or not member.filename.endswith(".npy"):
                    raise BundleError(f"golden vectors: unexpected member {member.filename!r}")
                # ZipExtFile never gives more than the declared size, which the sum bounds.
                arrays[name] = _parse_npy(name, archive.read(member))
    except _ZIP_ERRORS as error:
        raise BundleError(f"golden vectors: no readable .npz ({error})") from error
    return arrays


def _parse_npy(name: str, data: bytes) -> Array:
    """An array from .npy bytes (format version 1.0), without numpy's evaluation of the header."""
    broken = BundleError(f"golden vectors: array {name} is no .npy of numbers")
    if data[:8] != b"\x93NUMPY\x01\x00" or len(data) < 10:
        raise broken
    start = 10 + int.from_bytes(data[8:10], "little")
    header = _HEADER.fullmatch(data[10:start].decode("latin-1"))
    if header is None or header[1].lstrip("<>|=")[0] not in "biuf":
        raise broken
    try:
        dtype = np.dtype(header[1])
    except TypeError:
        raise broken from None
    shape = tuple(int(size) for size in re.findall(r"[0-9]+", header[3]))
    if prod(shape) * dtype.itemsize != len(data) - start:
        raise BundleError(f"golden vectors: array {name} is not as long as its shape says")
    flat = np.frombuffer(data, dtype, offset=start).astype(dtype.newbyteorder("="))
    return flat.reshape(shape, order="F" if header[2] == "True" else "C")
