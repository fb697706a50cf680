"""The model card: intended use, data, metrics, limitations (Mitchell et al., arXiv:1810.03993).

Filled from what the conversion knows; what only the model's makers know is said to be missing,
so that nobody takes silence for an answer.
"""

from collections.abc import Iterator

from edgewright_manifests.signature import TensorSpec

from edgewright_converter.measure.groups import MIN_SAMPLES
from edgewright_converter.report.document import Report, SampleFacts
from edgewright_converter.report.figures import (
    gate_words,
    metric_names,
    metric_words,
    preprocessing_words,
    share_words,
)
from edgewright_converter.report.table import latency_words, size_words, unmeasured_words
from edgewright_converter.samples import shape_words

_MISSING = "*Not stated when the model was converted; ask its makers.*"


def render_model_card(report: Report) -> str:
    """The card in Markdown."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield f"# Model card: {_text(report.name)} {_text(report.version)}"
    yield ""
    yield "## Model details"
    yield ""
    source = report.source
    yield f"- Source: `{source.file}`, {size_words(source.size_bytes)}, ONNX opset {source.opset}"
    yield f"- Digest of the source: `{source.digest}`"
    yield f"- Made with: {_text(source.producer) or _MISSING}"
    yield f"- Operators: {', '.join(f'{_text(name)} × {n}' for name, n in source.operators)}"
    yield f"- Licence: {_text(report.license) if report.license else _MISSING}"
    yield f"- Inputs: {'; '.join(_tensor(spec) for spec in report.signature.inputs)}"
    yield f"- Outputs: {'; '.join(_tensor(spec) for spec in report.signature.outputs)}"
    yield ""
    yield "## Intended use"
    yield ""
    yield _MISSING
    yield ""
    yield "## Factors"
    yield ""
    yield from _factors(report)
    yield ""
    yield "## Training data"
    yield ""
    yield _MISSING
    yield ""
    yield "## Evaluation and calibration data"
    yield ""
    data = report.data
    yield f"- Measured on: {_samples(data.evaluation)} ({data.split})"
    yield f"- Calibrated with: {_samples(data.calibration) if data.calibration else 'nothing'}"
    yield f"- Golden vectors: {data.golden_samples} of the samples measured on"
    yield "- Pre-processing: " + (
        "; ".join(
            f"`{_text(name)}` {_text(', '.join(steps))}"
            for name, steps in preprocessing_words(report)
        )
        or "not recorded; whoever calls the model must know it"
    )
    yield ""
    yield "## Metrics"
    yield ""
    yield from _metrics(report)
    yield ""
    yield "## Ethical considerations"
    yield ""
    yield _MISSING
    yield ""
    yield "## Caveats and limitations"
    yield ""
    yield from _limitations(report)


def _metrics(report: Report) -> Iterator[str]:
    named = metric_names(report)
    head = ["target", "variant", "recipe", "accuracy float", "accuracy", "as float", *named]
    head += ["SNR", "size"]
    yield f"| {' | '.join(_text(word) for word in head)} |"
    yield "|---" * len(head) + "|"
    for target in report.targets:
        winner = target.find("shipped")
        if winner is None or winner.quality is None:
            cells = [target.target, "refused", _text(target.reason), *["–"] * (len(head) - 3)]
            yield f"| {' | '.join(cells)} |"
            continue
        quality = winner.quality
        cells = [target.target, winner.precision, _text(winner.recipe)]
        cells += [share_words(quality.accuracy_float), share_words(quality.accuracy)]
        cells += [share_words(quality.top1_agreement)]
        cells += [_text(metric_words(quality, name)) for name in named]
        cells += [f"{quality.snr_db or 0:.1f} dB", size_words(winner.size_bytes)]
        yield f"| {' | '.join(cells)} |"
    yield ""
    yield f"What had to be kept: {_text('; '.join(gate_words(report)))}."
    yield ""
    yield f"Latency of one inference on {_text(report.provenance.processor)}, one thread:"
    for target in report.targets:
        winner = target.find("shipped")
        if winner is not None:
            yield f"- {target.target}: {latency_words(winner)}"


def _limitations(report: Report) -> Iterator[str]:
    data = report.data
    if data.synthetic:
        yield "- No real samples were given: nothing here says how well the model does its job."
    if not data.evaluation.labelled:
        yield "- Without labels: figures compare with the float model, not with the truth."
    yield (
        f"- {data.evaluation.samples} samples were measured on: one of them is "
        f"{1 / data.evaluation.samples:.2%}, and differences of a few are chance."
    )
    yield (
        "- Figures are from the machine that converted. Integer kernels differ between "
        "processors, so every device runs the golden vectors before it serves a release."
    )
    for target in report.targets:
        winner = target.find("shipped")
        if winner is not None and winner.latency is None:
            yield f"- {target.target}: {unmeasured_words(target)}."
        if any(target.changed):
            yield (
                f"- {target.target}: {sum(target.changed)} of {data.evaluation.samples} answers "
                "differ from the float model's; report.html says in which classes."
            )
        group = None if winner is None or winner.quality is None else winner.quality.worst_group
        lost = 0.0 if group is None else 100 * (group.share_float - group.share)
        if group is not None and lost > 0:
            yield (
                f"- {target.target}: of the groups that are large enough to tell, "
                f"{_text(group.facet)} {_text(group.group)} lost most: {lost:.1f} points "
                f"(± {100 * group.noise:.1f}) on {group.samples} samples."
            )
    small = sorted({g.samples for t in report.targets for g in t.groups if g.samples < MIN_SAMPLES})
    if small:
        yield (
            f"- Classes or slices with fewer than {MIN_SAMPLES} samples (down to {small[0]}) were "
            "not held against the gate: a difference there is mostly chance."
        )


def _factors(report: Report) -> Iterator[str]:
    """What the figures were looked at by; who may be affected, only the makers know."""
    facets = report.data.evaluation.facets
    classes = any(group.facet == "class" for t in report.targets for group in t.groups)
    by = [*(["class"] if classes else []), *(_text(facet) for facet in facets)]
    if by:
        yield f"- Measured group by group: {', '.join(by)}; the figures are in report.html."
    if not facets:
        yield "- " + _MISSING


def _samples(facts: SampleFacts) -> str:
    labelled = "labelled " if facts.labelled else ""
    return f"{facts.samples} {labelled}samples of {_text(facts.origin)} (`{facts.digest}`)"


def _tensor(spec: TensorSpec) -> str:
    return f"`{_text(spec.name)}` {spec.datatype} {shape_words(spec.shape)}"


def _text(value: str) -> str:
    """Text from outside, kept from being Markdown or HTML."""
    kept = value.replace("`", "'").replace("|", "/").replace("<", "‹").replace(">", "›")
    return " ".join(kept.split())
