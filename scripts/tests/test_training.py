"""train_model.py and evaluate_model.py: the model, the split, and what breaks them."""

from __future__ import annotations

import csv
import json
import math
import os
import unittest
from typing import Any, List

from support import DATA, EVALUATION, TRAINING, Case
from upkeep_model import labelled, logistic

PREDICTIONS = os.path.join(DATA, "predictions.csv")


class Logistic(unittest.TestCase):
    def test_one_category_by_hand(self) -> None:
        # Without a penalty the model says of each category the share that was seen: 3 of 4, and 1 of 4.
        rows: List[Any] = [["a"]] * 4 + [["b"]] * 4
        events = [1, 1, 1, 0, 1, 0, 0, 0]
        model = logistic.fit([logistic.Feature("c", False, ["a", "b"])], rows, events, "1", "0", 1e-9)
        self.assertAlmostEqual(model.score(["a"]), 0.75, 6)
        self.assertAlmostEqual(model.score(["b"]), 0.25, 6)

    def test_a_number_by_hand(self) -> None:
        # Symmetric about 2: the score there is a half, and the slope solves the likelihood equation.
        rows: List[Any] = [[1.0], [1.0], [1.0], [3.0], [3.0], [3.0]]
        model = logistic.fit([logistic.Feature("x", True, [r[0] for r in rows])], rows, [0, 0, 1, 1, 1, 0], "1", "0", 1e-9)
        self.assertAlmostEqual(model.score([2.0]), 0.5, 9)
        self.assertAlmostEqual(model.score([3.0]), 2 / 3, 6)
        self.assertEqual(model.score([None]), model.score([2.0]))  # a missing value is the mean

    def test_what_separates_rows_completely_stays_finite(self) -> None:
        rows: List[Any] = [[float(i)] for i in range(50)]
        model = logistic.fit([logistic.Feature("x", True, [r[0] for r in rows])], rows, [int(i > 24) for i in range(50)], "1", "0", 1.0)
        self.assertTrue(all(map(math.isfinite, model.weights)))
        self.assertLess(model.score([-1e9]), 1e-9)
        self.assertGreater(model.score([1e9]), 1 - 1e-9)

    def test_a_column_that_never_changes(self) -> None:
        model = logistic.fit([logistic.Feature("x", True, [5.0, 5.0])], [[5.0], [5.0]], [0, 1], "1", "0", 1.0)
        self.assertAlmostEqual(model.score([5.0]), 0.5, 9)

    def test_a_category_that_was_never_seen(self) -> None:
        model = logistic.fit([logistic.Feature("c", False, ["a", "b"])], [["a"], ["b"]], [1, 0], "1", "0", 1.0)
        self.assertAlmostEqual(model.score(["z"]), 0.5, 9)


class HeldOut(unittest.TestCase):
    def test_a_share_of_rows(self) -> None:
        held = sum(labelled.is_held_out([str(i)], "1", 0.3) for i in range(10_000))
        self.assertAlmostEqual(held / 10_000, 0.3, 1)

    def test_bounds(self) -> None:
        self.assertFalse(any(labelled.is_held_out([str(i)], "1", 0.0) for i in range(100)))
        self.assertTrue(all(labelled.is_held_out([str(i)], "1", 1.0) for i in range(100)))

    def test_cells_do_not_run_into_each_other(self) -> None:
        sides = {labelled.is_held_out(["a", "b" * i], "1", 0.5) for i in range(50)}
        self.assertEqual(sides, {True, False})


class Training(Case):
    def train(self, *args: str, data: str = PREDICTIONS) -> Any:
        return self.measured(TRAINING, "--predictions", data, "--model-dir", self.folder, *args)

    def evaluate(self, *args: str, data: str = PREDICTIONS) -> Any:
        return self.measured(EVALUATION, "--predictions", data, "--model-dir", self.folder, *args)

    def test_the_sample(self) -> None:
        trained = self.train().result
        measured = self.evaluate().result
        self.assertEqual(trained["values"]["rows"] + trained["values"]["rows_held_out"], 2300 - 0)
        self.assertEqual(trained["values"]["rows_unlabelled"], 100)
        self.assertEqual(measured["values"]["samples"], trained["values"]["rows_held_out"])
        self.assertGreater(measured["values"]["accuracy"], 0.88)
        self.assertGreater(measured["values"]["auc"], 0.95)
        self.assertEqual(trained["outputs"]["features"], "tenure_months,monthly_spend,sessions_30d,support_tickets,plan,region")
        self.assertEqual(measured["findings"], [])

    def test_the_same_rows_make_the_same_bytes(self) -> None:
        self.train()
        with open(self.path("model.json"), "rb") as file:
            first = file.read()
        self.train()
        with open(self.path("model.json"), "rb") as file:
            self.assertEqual(first, file.read())
        self.assertEqual(os.listdir(self.folder), ["model.json"])

    def test_no_row_changes_sides_when_the_table_grows(self) -> None:
        with open(PREDICTIONS, encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
        half = self.table("half.csv", rows[0], rows[1:1200])
        self.train(data=half)
        before = self.evaluate(data=half).result["values"]["samples"]
        turned = self.table("turned.csv", rows[0], rows[1200:0:-1])
        self.assertIn(self.evaluate(data=turned).result["values"]["samples"] - before, (0, 1))

    def test_few_samples_are_said(self) -> None:
        self.train()
        ran = self.evaluate("--min-sample", "100000")
        self.assertEqual(ran.ids("warning"), ["few-samples"])

    def test_nothing_held_out_is_said(self) -> None:
        self.assertEqual(self.train("--holdout", "0").ids("warning"), ["nothing-held-out"])
        self.broke(EVALUATION, "--predictions", PREDICTIONS, "--model-dir", self.folder, "--holdout", "0",
                   says="no labelled row is held out", hint="--holdout")

    def test_what_cannot_be_learned_from(self) -> None:
        where = ("--model-dir", self.folder)
        one = self.table("one.csv", ("x", "actual"), [(i, 1) for i in range(500)])
        three = self.table("three.csv", ("x", "actual"), [(i, i % 3) for i in range(500)])
        words = self.table("words.csv", ("x", "actual"), [(i, "ab"[i % 2]) for i in range(500)])
        many = self.table("many.csv", ("x", "actual"), [(f"user{i}", i % 2) for i in range(500)])
        few = self.table("few.csv", ("x", "actual"), [(i, i % 2) for i in range(50)])
        bare = self.table("bare.csv", ("timestamp", "actual"), [(1, i % 2) for i in range(50)])
        for table, says, hint in (
            (one, "the labels are of 1 classes", "two apart"), (three, "the labels are of 3 classes", "two apart"),
            (many, "column x has", "--features"),
            (few, "fewer than 200", "--min-rows"), (bare, "no column to learn from", "--features"),
        ):
            self.broke(TRAINING, "--predictions", table, *where, says=says, hint=hint)
        self.broke(TRAINING, "--predictions", words, *where, says="known to be the positive one", hint="--positive", code=2)
        self.broke(TRAINING, "--predictions", words, *where, "--positive", "c", says='--positive "c"', hint="name one", code=2)
        self.broke(TRAINING, "--predictions", one, says="no folder of a version", hint="UPKEEP_MODEL_DIR", code=2)
        self.broke(TRAINING, "--predictions", one, "--model-dir", self.path("no"), says="no such folder", hint="--model-dir")
        self.broke(TRAINING, "--predictions", PREDICTIONS, *where, "--features", "tenure", says='no column "tenure"', hint="tenure_months")
        self.assertNotIn("model.json", os.listdir(self.folder))

    def test_what_is_no_model(self) -> None:
        self.train()
        with open(self.path("model.json"), encoding="utf-8") as file:
            good = json.load(file)
        for change, says in (
            ({"format": "pickle"}, "another format"), ({"weights": [1.0]}, "as many weights"), ({"features": 3}, "not a model"),
            ({"weights": [float("nan")] * len(good["weights"])}, "not finite"),
        ):
            self.text("model.json", json.dumps({**good, **change}))
            self.broke(EVALUATION, "--predictions", PREDICTIONS, "--model-dir", self.folder, says=says, hint="train")
        self.text("model.json", "{")
        self.broke(EVALUATION, "--predictions", PREDICTIONS, "--model-dir", self.folder, says="not JSON", hint="train")
        os.unlink(self.path("model.json"))
        self.broke(EVALUATION, "--predictions", PREDICTIONS, "--model-dir", self.folder, says="No such file", hint="train_model.py")
        self.text("model.json", json.dumps({**good, "positive": "yes", "negative": "no"}))
        self.broke(EVALUATION, "--predictions", PREDICTIONS, "--model-dir", self.folder, says="does not know the class 0", hint="labels")


if __name__ == "__main__":
    unittest.main()
