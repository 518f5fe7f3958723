"""evaluate_retraining_needs.py: recommendations and the numbers behind them."""

from __future__ import annotations

import json
import math
import os
import unittest
from typing import Any, List, Optional, Sequence

from support import DATA, HEADER, NOON, RETRAINING, Case, Ran, requests

MODELS = ("model", "version", "trained_at", "accuracy", "n", "role")
DAY = 86400


class Retraining(Case):
    def judge(self, rows: List[Any], trained: Sequence[Sequence[Any]], *args: str, header: Optional[Sequence[str]] = None) -> Ran:
        log = self.table("p.csv", header or HEADER, rows)
        models = self.table("m.csv", MODELS, trained)
        return self.measured(RETRAINING, "--predictions", log, "--models", models, "--now", NOON, *args)

    def right(self, hits: int, n: int, **columns: Any) -> List[Any]:
        return requests(n, actual=lambda i: "1" if i < hits else "0", **columns)

    def test_keep(self) -> None:
        ran = self.judge(self.right(190, 200), [("m", "1", "2026-03-01T12:00:00Z", 0.95, 500, "")])
        self.assertEqual(ran.ids(), ["drift-not-measured.m"])
        self.assertEqual(ran.result["outputs"]["recommendation"], "keep")
        v = ran.result["values"]
        self.assertEqual((v["age_seconds.m"], v["accuracy_drop.m"], v["new_labels.m"]), (9 * DAY, 0.0, 200))
        self.assertEqual(v["recommendation"], 0)
        self.assertIn("keep m (trained 9d ago)", ran.result["summary"])

    def test_degraded_by_hand(self) -> None:
        # 1840 of 2000 now (92 %), 0.96 of 1000 then: pooled (1840 + 960)/3000 = 0.9333333,
        # spread sqrt(0.9333333 * 0.0666667 * (1/2000 + 1/1000)) = sqrt(0.0000933333) = 0.0096609,
        # z = -0.04/0.0096609 = -4.1404, p = erfc(4.1404/sqrt 2)/2 = 0.0000173
        ran = self.judge(self.right(1840, 2000), [("m", "1", "2026-03-01", 0.96, 1000, "")])
        v = ran.result["values"]
        self.assertAlmostEqual(v["accuracy_drop.m"], 0.04, 9)
        self.assertAlmostEqual(v["accuracy_drop_p.m"], 0.5 * math.erfc(0.04 / math.sqrt(2 * 0.28 / 3000)), 9)
        self.assertAlmostEqual(v["accuracy_drop_p.m"], 1.73e-5, 7)
        self.assertEqual(ran.result["outputs"]["recommendation"], "retrain")
        self.assertEqual(ran.ids("warning"), ["degraded.m"])
        # The margin decides whether a certain drop matters.
        self.assertEqual(self.judge(self.right(1840, 2000), [("m", "1", "2026-03-01", 0.96, 1000, "")], "--margin", "4.1%")
                         .result["outputs"]["recommendation"], "keep")

    def test_a_drop_that_may_be_chance_is_watched(self) -> None:
        # 186 of 200 (93 %) against 0.96 of 200: z = -1.31, p = 0.1
        ran = self.judge(self.right(186, 200), [("m", "1", "2026-03-01", 0.96, 200, "")])
        self.assertEqual(ran.result["outputs"]["recommendation"], "watch")
        self.assertEqual(ran.finding("degraded.m")["severity"], "info")
        self.assertIn("may still be chance", ran.finding("degraded.m")["text"])

    def test_without_the_size_of_the_test_set(self) -> None:
        # One sample against 0.96: z = 0.04 / sqrt(0.96*0.04/2000) = 0.04/0.00438178 = 9.1287
        ran = self.judge(self.right(1840, 2000), [("m", "1", "2026-03-01", 0.96, "", "")])
        self.assertAlmostEqual(ran.result["values"]["accuracy_drop_p.m"], 0.5 * math.erfc(9.1287093 / math.sqrt(2)), 22)
        self.assertIn("one-sample", ran.finding("degraded.m")["text"])
        ran = self.judge(self.right(190, 200), [("m", "1", "2026-03-01", 1, "", "")])
        self.assertEqual(ran.result["values"]["accuracy_drop_p.m"], 0.0)
        ran = self.judge(self.right(190, 200), [("m", "1", "2026-03-01", "", "", "")])
        self.assertEqual(ran.ids("warning"), ["accuracy-at-training-unknown.m"])
        self.assertEqual(ran.result["outputs"]["recommendation"], "watch")

    def test_below_the_limit(self) -> None:
        ran = self.judge(self.right(1700, 2000), [("m", "1", "2026-03-01", 0.86, 1000, "")])
        self.assertEqual(ran.ids("critical"), ["below-limit.m"])
        self.assertEqual(ran.result["outputs"]["recommendation"], "retrain")
        ran = self.judge(self.right(178, 200), [("m", "1", "2026-03-01", 0.9, 1000, "")])
        self.assertEqual(ran.ids("warning"), ["below-limit.m"])
        self.assertEqual(ran.result["outputs"]["recommendation"], "watch")

    def test_too_few_labels_is_never_keep(self) -> None:
        ran = self.judge(self.right(99, 99), [("m", "1", "2026-03-01", 0.95, 500, "")])
        self.assertEqual(ran.ids("warning"), ["too-few-labels.m"])
        self.assertEqual(ran.result["outputs"]["recommendation"], "watch")

    def test_age(self) -> None:
        old = [("m", "1", "2026-02-01T12:00:00Z", 0.95, 500, "")]
        ran = self.judge(self.right(190, 200), old)
        self.assertEqual(ran.ids("warning"), ["old-without-labels.m"])
        self.assertEqual(ran.result["outputs"]["recommendation"], "watch")
        ran = self.judge(self.right(190, 200), old, "--min-new-labels", "200")
        self.assertEqual(ran.ids("warning"), ["old.m"])
        self.assertEqual(ran.result["outputs"]["recommendation"], "retrain")
        self.assertEqual(ran.result["values"]["age_seconds.m"], 37 * DAY)
        ran = self.judge(self.right(190, 200), old, "--max-training-age", "38d")
        self.assertEqual(ran.result["outputs"]["recommendation"], "keep")

    def test_new_labels_are_those_since_training(self) -> None:
        # One a minute: of 400 the last 180 come after 9 o'clock.
        ran = self.judge(self.right(390, 400), [("m", "1", "2026-03-10T09:00:00Z", 0.95, 500, "")])
        self.assertEqual(ran.result["values"]["new_labels.m"], 180)
        ran = self.judge(self.right(390, 400), [("m", "1", "2026-04-10T09:00:00Z", 0.95, 500, "")])
        self.assertEqual(ran.ids("warning"), ["trained-in-the-future.m"])

    def test_which_version_is_the_incumbent(self) -> None:
        rows = requests(400, version=lambda i: "1" if i < 200 else "2", actual=lambda i: "0" if i < 50 else "1")
        both = [("m", "1", "2026-03-01", 0.9, 500, ""), ("m", "2", "2026-03-09", 0.95, 500, "")]
        ran = self.judge(rows, both)
        self.assertEqual(ran.result["outputs"]["incumbent.m"], "2")
        self.assertEqual(ran.result["values"]["accuracy.m"], 1.0)
        ran = self.judge(rows, both, "--model-version", "1")
        self.assertEqual(ran.result["values"]["accuracy.m"], 0.75)
        by_role = [("m", "1", "2026-03-01", 0.9, 500, "Champion"), ("m", "2", "2026-03-09", 0.95, 500, "")]
        self.assertEqual(self.judge(rows, by_role).result["outputs"]["incumbent.m"], "1")
        ran = self.judge(rows, [both[0]])
        self.assertEqual(ran.ids("warning"), ["incumbent-unknown.m"])
        self.assertEqual(ran.result["outputs"]["recommendation"], "watch")

    def test_candidate(self) -> None:
        live = ("m", "1", "2026-03-01", 0.95, 2000, "incumbent")
        ran = self.judge(self.right(190, 200), [live, ("m", "2", "2026-03-05", 0.975, 2000, "candidate")])
        self.assertIn("candidate-better.m", ran.ids("info"))
        self.assertEqual(ran.result["values"]["candidate_gain.m"], 0.025)
        # A gain must exceed the margin.
        ran = self.judge(self.right(190, 200), [live, ("m", "2", "2026-03-05", 0.955, 2000, "candidate")])
        self.assertIn("candidate-not-better.m", ran.ids("info"))

    def test_drift(self) -> None:
        rows = [r + [i % 200 + 100] for i, r in enumerate(self.right(395, 400))]
        trained = [("m", "1", "2026-03-01", 0.95, 500, "")]
        hard = self.table("r.csv", ("x",), [[i] for i in range(200)])
        ran = self.judge(rows, trained, "--reference", hard, header=HEADER + ("x",))
        self.assertEqual(ran.ids("warning"), ["drift.m"])
        self.assertEqual(ran.result["outputs"]["recommendation"], "retrain")
        self.assertEqual(ran.result["values"]["drifted_features.m"], 1)
        same = self.table("r.csv", ("x",), [[i + 100] for i in range(200)])
        ran = self.judge(rows, trained, "--reference", same, header=HEADER + ("x",))
        self.assertEqual((ran.ids(), ran.result["outputs"]["recommendation"]), ([], "keep"))
        mild = self.table("r.csv", ("x",), [[i + 85] for i in range(200)])
        ran = self.judge(rows, trained, "--reference", mild, header=HEADER + ("x",))
        self.assertEqual((ran.ids(), ran.result["outputs"]["recommendation"]), (["mild-drift.m"], "watch"))
        few = self.table("r.csv", ("x", "gone"), [[i, i] for i in range(20)])
        ran = self.judge(rows, trained, "--reference", few, header=HEADER + ("x",))
        self.assertEqual(ran.ids("warning"), ["features-absent.m", "drift-too-few.m"])

    def test_several_models(self) -> None:
        rows = requests(600, model=lambda i: "abc"[i % 3], actual=lambda i: "0" if i % 3 == 1 and i % 2 else "1")
        ran = self.judge(rows, [("a", "1", "2026-03-01", 0.95, 500, ""), ("b", "1", "2026-03-01", 0.95, 500, "")])
        self.assertEqual(ran.result["outputs"]["recommendation.a"], "keep")
        self.assertEqual(ran.result["outputs"]["recommendation.b"], "retrain")
        self.assertEqual(ran.result["outputs"]["recommendation"], "retrain")
        self.assertIn("c", ran.finding("unlisted-models")["text"])

    def test_json_models(self) -> None:
        log = self.table("p.csv", HEADER, self.right(190, 200))
        card = {"model": "m", "version": 1, "trained_at": "2026-03-01T12:00:00Z", "accuracy": 0.95, "n": 500, "more": [1]}
        results = []
        for document in (card, [card], {"models": [card]}):
            path = self.text("model.json", json.dumps(document))
            results.append(self.measured(RETRAINING, "--predictions", log, "--models", path, "--now", NOON).result)
        self.assertEqual(results[0], results[1])
        self.assertEqual(results[0], results[2])
        self.assertEqual(results[0]["values"]["age_seconds.m"], 9 * DAY)

    def test_the_sample(self) -> None:
        ran = self.measured(RETRAINING, "--predictions", os.path.join(DATA, "predictions.csv"),
                            "--models", os.path.join(DATA, "models.csv"),
                            "--reference", os.path.join(DATA, "reference.csv"), "--now", "newest")
        self.assertEqual(ran.ids(), ["mild-drift.churn"])
        self.assertEqual(ran.result["outputs"]["recommendation"], "watch")
        self.assertEqual(ran.result["outputs"]["incumbent.churn"], "5.2")

    def test_errors(self) -> None:
        log = self.table("p.csv", HEADER, self.right(190, 200))

        def errors(content: str, says: str, hint: str = "", name: str = "m.csv", more: Sequence[str] = ()) -> None:
            path = self.text(name, content)
            self.broke(RETRAINING, "--predictions", log, "--models", path, "--now", NOON, *more, says=says, hint=hint)

        head = "model,version,trained_at,accuracy,n\n"
        errors("model,version\nm,1\n", 'm.csv: no column "trained_at"', "it has model, version")
        errors(head, "m.csv: no models", "one row for each training")
        errors(head + "m,1,soon,0.9,5\n", 'm.csv:2: not a timestamp: "soon"', "2026-01-31")
        errors(head + "m,1,2026-01-01,93,5\n", "m.csv:2: accuracy is 93", "0.93")
        errors(head + "m,1,2026-01-01,good,5\n", "m.csv:2: accuracy is not a number")
        errors(head + "m,1,2026-01-01,nan,5\n", "m.csv:2: accuracy is not a finite number")
        errors(head + "m,1,2026-01-01,0.9,0.5\n", "m.csv:2: n is 0.5", "test set")
        errors(head + "m,,2026-01-01,0.9,5\n", "m.csv:2: no version")
        errors(head + "m,1,2026-01-01,0.9,5\n" * 2, "m 1 is listed twice", "one row")
        errors(head + "m,1,2026-01-01,0.9,5\n", 'no model "x"', "it has m", more=("--model", "x"))
        errors(head + "m,1,2026-01-01,0.9,5\n", 'm has no version "7"', "it has 1", more=("--model-version", "7"))
        errors(head + "".join(f"m{i},1,2026-01-01,0.9,5\n" for i in range(51)), "51 models are too many", "--model")
        errors("{", "not valid JSON", "json.tool", "m.json")
        errors('{"model": "m", "accuracy": NaN}', "NaN is not a number of JSON", "", "m.json")
        errors("3", "not a list of models", '"models"', "m.json")
        errors('[{"model": {}, "version": 1}]', "entry 1: model is neither", "", "m.json")
        errors('[{"model": "m", "version": "1"}]', "entry 1: no trained_at", "", "m.json")
        errors("[" * 100000, "not valid JSON", "", "m.json")


if __name__ == "__main__":
    unittest.main()
