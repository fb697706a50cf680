"""What quantization costs each layer, as bars: the shorter, the more noise it adds."""

from html import escape

from edgewright_converter.report.document import CandidateReport, LayerFacts, TargetReport

_SHOWN = 24
_WIDTH, _ROW, _NAMES, _VALUES = 860, 19, 330, 66
_FULL_DB = 60.0
"""A bar of full length: what INT8 adds there is lost in everything else."""
_NAME_LETTERS = 46
"""Of the name and the operator together: what the room for them holds at this size."""


def layered_candidate(target: TargetReport) -> CandidateReport | None:
    """The candidate whose layers are shown: what ships, else the best that has any."""
    winner = target.find("shipped")
    if winner is not None and winner.layers:
        return winner
    tried = [c for c in target.candidates if c.layers and c.quality is not None]
    return max(tried, key=lambda c: (c.quality and c.quality.snr_db) or 0.0, default=None)


def render_layers(candidate: CandidateReport) -> str:
    """An SVG element: one bar per layer, worst first, at most 24 of them."""
    layers = candidate.layers[:_SHOWN]
    height = _ROW * len(layers) + 22
    parts = [
        f'<svg class="layers" viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'aria-label="error per layer of {escape(candidate.recipe)}">'
    ]
    room = _WIDTH - _NAMES - _VALUES
    for tick in (0, 20, 40, 60):
        x = _NAMES + room * tick / _FULL_DB
        parts.append(
            f'<line class="grid" x1="{x:.0f}" x2="{x:.0f}" y1="0" y2="{height - 18}"/>'
            f'<text class="tick" x="{x:.0f}" y="{height - 5}" text-anchor="middle">{tick} dB</text>'
        )
    for index, layer in enumerate(layers):
        parts.append(_bar(layer, index * _ROW, room))
    parts.append("</svg>")
    return "".join(parts)


def hidden_layers(candidate: CandidateReport) -> int:
    """How many are not drawn."""
    return max(0, len(candidate.layers) - _SHOWN)


def _bar(layer: LayerFacts, y: float, room: float) -> str:
    width = room * min(1.0, max(0.0, layer.sqnr_db) / _FULL_DB)
    kind = "bar kept" if layer.kept_float else "bar"
    room_for_name = max(8, _NAME_LETTERS - len(layer.operator))
    name = layer.name if len(layer.name) <= room_for_name else "…" + layer.name[1 - room_for_name :]
    told = f"{layer.name} ({layer.operator}): {layer.sqnr_db:.1f} dB"
    kept = ", kept in float" if layer.kept_float else ""
    return (
        f'<g class="{kind}"><title>{escape(told + kept)}</title>'
        f'<text class="name" x="{_NAMES - 8}" y="{y + 13.5:.1f}" text-anchor="end">{escape(name)} '
        f"<tspan>{escape(layer.operator)}</tspan></text>"
        f'<rect x="{_NAMES}" y="{y + 3:.1f}" width="{max(1.5, width):.1f}" height="13" rx="2"/>'
        f'<text class="value" x="{_NAMES + max(1.5, width) + 6:.1f}" y="{y + 13.5:.1f}">'
        f"{layer.sqnr_db:.1f}{' float' if layer.kept_float else ''}</text></g>"
    )
