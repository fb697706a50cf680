"""OpenVINO's intermediate representation as the two files that the engine wants."""

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

_NAMES = ("model.xml", "model.bin")
_SHAPED = ("Parameter", "Const", "Result")
"""What the reader takes shapes from; it infers all others from the operations."""


def save_ir(
    model: Any,  # Any: openvino ships no types
    folder: Path,
    *,
    compress_to_fp16: bool = False,
) -> tuple[tuple[str, bytes], ...]:
    """An openvino.Model as its two files, the one to open first."""
    import openvino

    openvino.save_model(model, folder / _NAMES[0], compress_to_fp16=compress_to_fp16)
    graph, weights = ((folder / name).read_bytes() for name in _NAMES)
    return (_NAMES[0], _compacted(graph)), (_NAMES[1], weights)


def _compacted(graph: bytes) -> bytes:
    """The same graph without white space, inferred shapes and notes on how it was made.

    Those are two thirds of the text: 395 kB beside 157 kB of weights for PP-OCR's classifier.
    """
    net = ET.fromstring(graph)  # noqa: S314 - OpenVINO wrote it in this process
    for notes in net.findall("rt_info"):
        net.remove(notes)
    for layer in net.iterfind("layers/layer"):
        if layer.get("type") not in _SHAPED:
            for port in layer.iter("port"):
                for size in port.findall("dim"):
                    port.remove(size)
    _share_constants(net)
    for part in net.iter():
        if part.text and not part.text.strip():
            part.text = None
        part.tail = None
    text: bytes = ET.tostring(net, encoding="utf-8", xml_declaration=True)
    return text


def _share_constants(net: ET.Element) -> None:
    """One Const for all of one type, shape and place in the weights: scales repeat by hundreds."""
    layers, edges = net.find("layers"), net.find("edges")
    if layers is None or edges is None:
        return
    first: dict[tuple[str, ...], str] = {}
    instead: dict[str, str] = {}
    for layer in layers.findall("layer[@type='Const']"):
        data = layer.find("data")
        if data is None or layer.find("rt_info") is not None:
            continue
        number = layer.get("id", "")
        kept = first.setdefault(tuple(value for _, value in sorted(data.items())), number)
        if kept != number:
            instead[number] = kept
            layers.remove(layer)
        else:
            layer.set("name", f"c{number}")
    for edge in edges.iterfind("edge"):
        source = edge.get("from-layer", "")
        edge.set("from-layer", instead.get(source, source))
