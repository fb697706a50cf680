"""Writes the two small data files the demo ships, from the published data set.

    python -m examples.fashion.make_data --data DATA --out examples/fashion/data

`calibration.npz` (training images, no labels) is what a converter observes activation ranges on;
`evaluation.npz` (test images with labels) is what accuracy is measured on before a release.

Run it from the repository root; DATA is the folder of the four gzipped IDX files. Needs numpy.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from examples.fashion.fashion_mnist import load_split, pick_stratified

CALIBRATION_COUNT = 256
EVALUATION_COUNT = 1_000
SEED = 20170825  # the day the data set was published


def main() -> None:
    """Writes both files; the same data set gives the same bytes again with the same numpy."""
    parser = argparse.ArgumentParser(description="Write calibration.npz and evaluation.npz.")
    parser.add_argument("--data", type=Path, required=True, help="folder of the *.gz IDX files")
    parser.add_argument("--out", type=Path, required=True, help="folder for the *.npz files")
    arguments = parser.parse_args()

    training = load_split(arguments.data, "train")
    test = load_split(arguments.data, "test")
    arguments.out.mkdir(parents=True, exist_ok=True)

    rows = pick_stratified(training.labels, CALIBRATION_COUNT, SEED)
    np.savez_compressed(arguments.out / "calibration.npz", image=training.images[rows])

    rows = pick_stratified(test.labels, EVALUATION_COUNT, SEED)
    np.savez_compressed(
        arguments.out / "evaluation.npz", image=test.images[rows], labels=test.labels[rows]
    )


if __name__ == "__main__":
    main()
