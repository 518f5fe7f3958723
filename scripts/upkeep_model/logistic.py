"""A logistic regression that needs no library: small tables, one positive class, the same bytes from the same rows."""

from __future__ import annotations

import json
import math
from typing import Any, Dict, List, Optional, Sequence

from .broke import Broke

FORMAT = "upkeep-logistic"
SCHEMA = 1
MODEL_FILE = "model.json"
MOST_CATEGORIES = 50
_ROUNDS = 25
_CLOSE = 1e-9

Cells = Sequence[Optional[Any]]  # a float for a numeric feature, a text for another one, None for no value


class Feature:
    """One column as inputs of the model: a standardized number, or one input for each category."""

    def __init__(self, name: str, numeric: bool, values: Sequence[Optional[Any]]) -> None:
        self.name = name
        self.numeric = numeric
        self.mean, self.scale = 0.0, 1.0
        self.categories: List[str] = []
        known = [v for v in values if v is not None]
        if numeric and known:
            self.mean = math.fsum(known) / len(known)
            self.scale = math.sqrt(math.fsum((v - self.mean) ** 2 for v in known) / len(known)) or 1.0
        if not numeric:
            self.categories = sorted(set(known))
            if len(self.categories) > MOST_CATEGORIES:
                raise Broke(f"column {name} has {len(self.categories)} categories, more than {MOST_CATEGORIES}",
                            "leave it out with --features, or group its values")

    def inputs(self, value: Optional[Any]) -> List[float]:
        """A missing value is the mean; a category that was never seen is none of the known ones."""
        if self.numeric:
            return [0.0 if value is None else (value - self.mean) / self.scale]
        return [1.0 if value == c else 0.0 for c in self.categories]

    def document(self) -> Dict[str, Any]:
        if self.numeric:
            return {"name": self.name, "mean": self.mean, "scale": self.scale}
        return {"name": self.name, "categories": self.categories}

    @classmethod
    def read(cls, found: Dict[str, Any]) -> "Feature":
        made = cls(str(found["name"]), "mean" in found, [])
        if made.numeric:
            made.mean, made.scale = float(found["mean"]), float(found["scale"])
        else:
            made.categories = [str(c) for c in found["categories"]]
        return made


class Model:
    """weights holds one for each input, and the bias last. positive and negative are the two classes."""

    def __init__(self, features: List[Feature], positive: str, negative: str, weights: List[float]) -> None:
        self.features = features
        self.positive = positive
        self.negative = negative
        self.weights = weights

    def score(self, row: Cells) -> float:
        """The probability of the positive class."""
        inputs = _inputs(self.features, row)
        return _sigmoid(math.fsum(w * x for w, x in zip(self.weights, inputs)))

    def document(self) -> str:
        return json.dumps({
            "format": FORMAT, "schema": SCHEMA, "positive": self.positive, "negative": self.negative,
            "features": [f.document() for f in self.features], "weights": self.weights,
        }, indent=1, sort_keys=True) + "\n"


def load(path: str) -> Model:
    """Reads what `document` wrote; Broke when it is anything else."""
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except OSError as why:
        raise Broke(f"{path}: {why.strerror}", "is this the folder of a version that train_model.py made?") from None
    except ValueError as why:
        raise Broke(f"{path}: not JSON: {why}", "train the model again") from None
    try:
        if found["format"] != FORMAT or found["schema"] != SCHEMA:
            raise ValueError("another format")
        features = [Feature.read(f) for f in found["features"]]
        weights = [float(w) for w in found["weights"]]
        if len(weights) != 1 + sum(1 if f.numeric else len(f.categories) for f in features):
            raise ValueError("as many weights as inputs are needed")
        if not all(map(math.isfinite, weights)):
            raise ValueError("a weight is not finite")
        return Model(features, str(found["positive"]), str(found["negative"]), weights)
    except (KeyError, TypeError, ValueError) as why:
        raise Broke(f"{path}: not a model of train_model.py: {why}", "train the model again") from None


def fit(features: List[Feature], rows: Sequence[Cells], events: Sequence[int], positive: str, negative: str,
        ridge: float) -> Model:
    """The weights that make `events` most likely, by Newton's method with a ridge penalty on all but the bias.

    Source: T. Hastie, R. Tibshirani, J. Friedman, "The Elements of Statistical Learning", 2nd ed., 4.4.1
    (iteratively reweighted least squares). rows and events have the same length, at least 1; ridge > 0 makes
    the solution unique. There is no chance in it, so the same rows make the same model.
    """
    table = [_inputs(features, row) for row in rows]
    width = len(table[0])
    weights = [0.0] * width
    for _ in range(_ROUNDS):
        slope = [-ridge * w for w in weights[:-1]] + [0.0]
        bend = [[0.0] * width for _ in range(width)]
        for x, event in zip(table, events):
            p = _sigmoid(sum(w * v for w, v in zip(weights, x)))
            rest, spread = event - p, p * (1 - p)
            filled = [i for i, v in enumerate(x) if v]
            for i in filled:
                slope[i] += rest * x[i]
                part = spread * x[i]
                for j in filled:
                    bend[i][j] += part * x[j]
        for i in range(width):
            bend[i][i] += ridge if i < width - 1 else 1e-12
        step = _solved(bend, slope)
        weights = [w + s for w, s in zip(weights, step)]
        if max(map(abs, step)) < _CLOSE:
            break
    return Model(features, positive, negative, [float(f"{w:.12g}") for w in weights])


def _inputs(features: Sequence[Feature], row: Cells) -> List[float]:
    found: List[float] = []
    for feature, value in zip(features, row):
        found += feature.inputs(value)
    return found + [1.0]


def _sigmoid(z: float) -> float:
    if z < -700:  # exp of more overflows
        return 0.0
    return 1 / (1 + math.exp(-z))


def _solved(matrix: List[List[float]], right: List[float]) -> List[float]:
    """Solves a symmetric positive definite system by Gaussian elimination with pivots."""
    n = len(right)
    rows = [row[:] + [r] for row, r in zip(matrix, right)]
    for i in range(n):
        pivot = max(range(i, n), key=lambda k: abs(rows[k][i]))
        rows[i], rows[pivot] = rows[pivot], rows[i]
        for k in range(i + 1, n):
            factor = rows[k][i] / rows[i][i]
            if factor:
                rows[k] = [a - factor * b for a, b in zip(rows[k], rows[i])]
    found = [0.0] * n
    for i in reversed(range(n)):
        found[i] = (rows[i][n] - math.fsum(rows[i][j] * found[j] for j in range(i + 1, n))) / rows[i][i]
    return found
