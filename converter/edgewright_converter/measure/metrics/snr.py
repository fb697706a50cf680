"""Signal to noise of the outputs."""

from edgewright_manifests.golden import snr_db

from edgewright_converter.measure.metrics.kind import (
    Answers,
    MetricKind,
    Option,
    Options,
    Score,
    pick,
)

_ALL = Option("output", "", "name of the output (default: all together)")


def _build(options: Options) -> Score:
    output = options.text("output")

    def score(answers: Answers) -> float:
        if not output:
            return snr_db(answers.reference, answers.outputs)
        ranks = tuple(range(1, 9))
        return snr_db(
            {output: pick(answers.reference, output, "snr", ranks)},
            {output: pick(answers.outputs, output, "snr", ranks)},
        )

    return score


KIND = MetricKind(
    name="snr",
    about="signal to noise against the float model: any model; 15 dB is a usable INT8 file",
    better="higher",
    unit="dB",
    build=_build,
    options=(_ALL,),
)
