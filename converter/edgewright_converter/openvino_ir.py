"""OpenVINO's intermediate representation as the two files that the engine wants."""

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

_NAMES = ("model.xml", "model.bin")
_SHAPED = ("Parameter", "Result")
"""What the reader takes shapes from ports of; it infers all others from the operations."""

_BROADCAST = ("Add", "FakeQuantize", "Multiply", "Subtract")
"""What quantization adds by hundreds, and broadcasts as numpy does if nothing else is said."""


def save_ir(
    model: Any,  # Any: openvino ships no types
    folder: Path,
    *,
    compress_to_fp16: bool = False,
    named: bool = False,
) -> tuple[tuple[str, bytes], ...]:
    """An openvino.Model as its two files, the one to open first.

    Without `named` only inputs and outputs keep their names, which is all that an engine asks
    for; quantizers and probes want to know the layers.
    """
    import openvino

    openvino.save_model(model, folder / _NAMES[0], compress_to_fp16=compress_to_fp16)
    graph, weights = ((folder / name).read_bytes() for name in _NAMES)
    return (_NAMES[0], _compacted(graph, named=named)), (_NAMES[1], weights)


def _compacted(graph: bytes, *, named: bool) -> bytes:
    """The same graph without white space, inferred shapes and notes on how it was made.

    Those are two thirds of the text: 395 kB beside 157 kB of weights for PP-OCR's classifier.
    """
    net = ET.fromstring(graph)  # noqa: S314 - OpenVINO wrote it in this process
    for notes in net.findall("rt_info"):
        net.remove(notes)
    _share_constants(net)
    known = _named_outside(net)
    for layer in net.iterfind("layers/layer"):
        _drop_inferred(layer)
        if not named and layer.get("id") not in known:
            layer.set("name", layer.get("id", ""))
            for port in layer.iterfind("output/port"):
                port.attrib.pop("names", None)
    for part in net.iter():
        if part.text and not part.text.strip():
            part.text = None
        part.tail = None
    text: bytes = ET.tostring(net, encoding="utf-8", xml_declaration=True)
    return text.replace(b" />", b"/>")


def _named_outside(net: ET.Element) -> set[str]:
    """The numbers of inputs, outputs and the layers that the outputs come from."""
    known = {
        layer.get("id", "")
        for layer in net.iterfind("layers/layer")
        if layer.get("type") in _SHAPED
    }
    # An input is read by any layer, but only an output reads what the world knows by name.
    outputs = {layer.get("id") for layer in net.iterfind("layers/layer[@type='Result']")}
    edges = net.iterfind("edges/edge")
    return known | {e.get("from-layer", "") for e in edges if e.get("to-layer") in outputs}


def _drop_inferred(layer: ET.Element) -> None:
    """What the reader infers, or takes for granted where nothing is said."""
    entrances = layer.findall("input/port")
    for port in (*entrances, *layer.findall("output/port")):
        if layer.get("type") not in _SHAPED:
            for size in port.findall("dim"):
                port.remove(size)
    for port in entrances:
        port.attrib.pop("precision", None)
    data = layer.find("data")
    if data is not None:
        if layer.get("type") in _BROADCAST and data.get("auto_broadcast") == "numpy":
            del data.attrib["auto_broadcast"]
        for name, value in data.items():
            data.set(name, value.replace(", ", ","))
        if not data.attrib:
            layer.remove(data)


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
