"""check_model_drift.py: indices by hand, verdicts, and what is not comparable."""

from __future__ import annotations

import os
import unittest
from typing import Any, Callable, Dict, List, Sequence

from support import DATA, DRIFT, NOON, Case, Ran, requests

Column = Callable[[int], Any]


class Drift(Case):
    def judge(self, n: int, now: Dict[str, Column], then: Dict[str, Column], *args: str, m: int = 0) -> Ran:
        """Compares `n` rows of the columns `now` with `m` rows (default: as many) of the columns `then`."""
        stamps = [r[0] for r in requests(n)]
        current = self.table("p.csv", ["timestamp", *now], [[stamps[i], *(f(i) for f in now.values())] for i in range(n)])
        reference = self.table("r.csv", list(then), [[f(i) for f in then.values()] for i in range(m or n)])
        return self.measured(DRIFT, "--predictions", current, "--reference", reference, "--now", NOON, *args)

    def test_numbers_by_hand(self) -> None:
        # Reference 0 to 199 each once; 4 bins of 50. Now 100 to 199 each twice: shares 0, 0, 0.5, 0.5 with the
        # empty ones taken as 0.5/200 = 0.0025:
        # 2 * (0.0025 - 0.25) ln(0.0025/0.25) + 2 * 0.25 ln 2 = 2*0.2475*4.6051702 + 0.3465736 = 2.6261329
        ran = self.judge(200, {"x": lambda i: 100 + i // 2}, {"x": lambda i: i}, "--bins", "4")
        v = ran.result["values"]
        self.assertAlmostEqual(v["psi.x"], 2.6261329, 6)
        # At 99 the reference has 100 of 200, the current rows none.
        self.assertEqual(v["ks.x"], 0.5)
        self.assertEqual(ran.finding("feature-drift.x")["severity"], "critical")
        self.assertEqual((v["features"], v["drifted_features"], v["drifted_share"]), (1, 1, 1.0))

    def test_categories_by_hand(self) -> None:
        # a: 100 of 200 then, 50 now; b: 100 then, 130 now; c is new: 20.
        # (0.25-0.5) ln 0.5 + (0.65-0.5) ln 1.3 + (0.1-0.0025) ln(0.1/0.0025)
        #   = 0.1732868 + 0.0393546 + 0.3596658 = 0.5723072
        now = lambda i: "a" if i < 50 else "b" if i < 180 else "c"  # noqa: E731
        ran = self.judge(200, {"x": now}, {"x": lambda i: "ab"[i % 2]})
        v = ran.result["values"]
        self.assertAlmostEqual(v["psi.x"], 0.5723072, 6)
        # Chi-square: a 150, b 230, c 20 of 400: 2*25^2/75 + 2*15^2/115 + 2*10^2/10 = 16.6666667 + 3.9130435 + 20
        # = 40.5797101; V = sqrt(40.5797101/400) = 0.3185110; two degrees: p = exp(-20.2898551) = 1.54e-9
        self.assertAlmostEqual(v["v.x"], 0.3185110, 6)
        self.assertAlmostEqual(v["p.x"], 1.5425e-9, 12)
        self.assertEqual(v["new_category_share.x"], 0.1)
        self.assertEqual(ran.ids("critical", "warning"), ["feature-drift.x", "new-categories.x"])

    def test_no_change_is_silent(self) -> None:
        columns = {"x": lambda i: (i * 37) % 101, "plan": lambda i: "abc"[i % 3], "predicted": lambda i: i % 2}
        ran = self.judge(505, columns, columns)
        self.assertEqual(ran.ids(), [])
        self.assertEqual(ran.result["values"]["psi_max"], 0.0)

    def test_limits(self) -> None:
        now, then = {"x": lambda i: i % 400 + 25}, {"x": lambda i: i % 400}
        ran = self.judge(400, now, then)
        # All are 25 higher: the first bin has 15 of 400, the last one 65.
        # (0.0375-0.1) ln 0.375 + (0.1625-0.1) ln 1.625 = 0.0613018 + 0.0303442 = 0.0916460
        self.assertAlmostEqual(ran.result["values"]["psi.x"], 0.0916460, 6)
        self.assertEqual(ran.ids(), ["predictions-not-compared"])
        ran = self.judge(400, now, then, "--psi", "0.05:0.08")
        self.assertEqual(ran.finding("feature-drift.x")["severity"], "critical")
        ran = self.judge(400, now, then, "--psi", "0.05:0.5")
        self.assertEqual(ran.finding("feature-drift.x")["severity"], "warning")

    def test_the_test_counts_only_with_an_effect(self) -> None:
        # D = 250/5000 = 0.05; Ne = 2500, so p is about Q(50.12 * 0.05) = 7e-6, but the change is small.
        now, then = {"x": lambda i: i + 250}, {"x": lambda i: i}
        ran = self.judge(5000, now, then)
        self.assertAlmostEqual(ran.result["values"]["ks.x"], 0.05, 9)
        self.assertLess(ran.result["values"]["p.x"], 1e-5)
        self.assertEqual(ran.ids("warning", "critical"), [])
        ran = self.judge(5000, now, then, "--effect", "0.04")
        self.assertEqual(ran.ids("warning", "critical"), ["feature-drift.x"])

    def test_correction_for_many_features(self) -> None:
        # Twenty features of which one has an uncorrected p of about 0.002: with Holm it is 20 times that.
        now = {f"f{k}": (lambda i, k=k: (i * (2 * k + 3)) % 211) for k in range(19)}
        then = dict(now)
        now["moved"], then["moved"] = (lambda i: i % 211 + 24), (lambda i: i % 211)
        plain = self.judge(211, now, then, "--correction", "none").result["values"]["p.moved"]
        holm = self.judge(211, now, then).result["values"]["p.moved"]
        self.assertAlmostEqual(holm, min(1.0, 20 * plain), 6)
        self.assertLess(plain, 0.2)

    def test_missing_values(self) -> None:
        now = {"x": lambda i: "" if i % 4 == 0 else i, "y": lambda i: i % 7}
        then = {"x": lambda i: i, "y": lambda i: i % 7}
        ran = self.judge(700, now, then)
        self.assertEqual(ran.result["values"]["missing_share.x"], 0.25)
        self.assertEqual(ran.ids("critical", "warning"), ["missing.x"])
        self.assertEqual(ran.finding("missing.x")["severity"], "critical")
        ran = self.judge(700, now, then, "--missing-change", "0.1:0.5")
        self.assertEqual(ran.finding("missing.x")["severity"], "warning")
        # All values gone: both the share and the lack of values are said.
        ran = self.judge(700, {"x": lambda i: "", "y": lambda i: i % 7}, then)
        self.assertEqual(ran.ids("critical", "warning"), ["missing.x", "too-few.x"])

    def test_absent_unknown_and_skipped_columns(self) -> None:
        ran = self.judge(300, {"y": lambda i: i % 7, "z": lambda i: i, "id": lambda i: f"c{i}"},
                         {"x": lambda i: i, "y": lambda i: i % 7, "id": lambda i: f"c{i}", "void": lambda i: ""})
        self.assertEqual(ran.ids("critical"), ["feature-absent.x", "feature-absent.void"])
        self.assertIn("identifier", ran.finding("feature-skipped.id")["text"])
        self.assertIn("z", ran.finding("features-unknown")["text"])
        ran = self.judge(300, {"y": lambda i: i % 7, "id": lambda i: f"c{i}"},
                         {"y": lambda i: i % 7, "id": lambda i: f"c{i}"}, "--exclude", "id")
        self.assertEqual(ran.ids(), ["predictions-not-compared"])

    def test_too_few_is_a_warning(self) -> None:
        ran = self.judge(150, {"x": lambda i: i}, {"x": lambda i: i})
        self.assertEqual(ran.ids(), ["too-few-rows"])
        self.assertIn("unknown, not good", ran.finding("too-few-rows")["text"])
        ran = self.judge(300, {"x": lambda i: i}, {"x": lambda i: i}, m=100)
        self.assertEqual(ran.ids("warning"), ["too-few.x"])

    def test_chance_is_never_critical(self) -> None:
        # 50 values against 50 in 10 bins: chance alone reaches 16.919 * 0.04 = 0.68.
        # Bins of the lower half hold 8 each, the others 2: 5 * 0.06 * (ln 1.6 - ln 0.4) = 0.4158883
        now = {"x": lambda i: 5 * (i % 5 + (0 if i < 40 else 5)) + 2}
        ran = self.judge(50, now, {"x": lambda i: i}, "--drift-min-sample", "50")
        self.assertAlmostEqual(ran.result["values"]["psi.x"], 0.4158883, 6)
        self.assertEqual(ran.finding("feature-drift.x")["severity"], "warning")
        self.assertIn("which chance can give with 50 values", ran.finding("feature-drift.x")["text"])

    def test_predictions(self) -> None:
        same = {"x": lambda i: i % 50}
        now = {**same, "predicted": lambda i: int(i % 10 < 3), "score": lambda i: (i % 100) / 200}
        then = {**same, "predicted": lambda i: int(i % 10 < 6), "score": lambda i: (i % 100) / 100}
        ran = self.judge(500, now, then)
        self.assertEqual(ran.ids("warning", "critical"), ["prediction-drift.predicted", "prediction-drift.score"])
        self.assertEqual(ran.result["values"]["features"], 1)

    def test_predictions_against_the_window_before(self) -> None:
        # 1000 minutes: in the first half 60 % are positive, in the second 30 %; the reference has no predictions.
        now = {"x": lambda i: i % 50, "predicted": lambda i: int(i % 10 < (6 if i < 500 else 3))}
        ran = self.judge(1000, now, {"x": lambda i: i % 50}, "--window", "500m")
        self.assertEqual(ran.ids(), ["prediction-drift.predicted", "predictions-against-before"])

    def test_data_set_drift(self) -> None:
        now = {k: (lambda i: i % 300 + 200) for k in "ab"}
        ran = self.judge(300, {**now, "c": lambda i: i}, {k: (lambda i: i % 300) for k in "abc"})
        self.assertIn("data-set-drift", ran.ids("critical"))
        self.assertNotIn("data-set-drift", self.judge(
            300, {**now, "c": lambda i: i}, {k: (lambda i: i % 300) for k in "abc"}, "--drifted-share", "70%").ids())

    def test_drift_since(self) -> None:
        # One row a minute for three days; in the last day and a half the values are 60 higher.
        ran = self.judge(4320, {"x": lambda i: (i * 7) % 100 + (60 if i >= 2160 else 0)}, {"x": lambda i: i % 100})
        # The last row is at noon of the 10th, so the change came at midnight before the 9th.
        self.assertEqual(ran.result["outputs"]["drift_since"], "2026-03-09T00:00:00Z")
        self.assertEqual(ran.result["values"]["drift_age_seconds"], 36 * 3600)

    def test_stale_input(self) -> None:
        path = os.path.join(DATA, "predictions.csv")
        ran = self.measured(DRIFT, "--predictions", path, "--reference", os.path.join(DATA, "reference.csv"),
                            "--now", "2026-01-20T06:00:00Z")
        self.assertIn("stale-input", ran.ids("warning"))

    def test_the_sample_drifts_mildly(self) -> None:
        ran = self.measured(DRIFT, "--predictions", os.path.join(DATA, "predictions.csv"),
                            "--reference", os.path.join(DATA, "reference.csv"), "--now", "newest")
        self.assertEqual(ran.ids(), ["feature-drift.sessions_30d"])
        self.assertEqual(ran.finding("feature-drift.sessions_30d")["severity"], "warning")
        self.assertEqual(ran.result["outputs"]["drift_since"], "2026-01-13T00:00:00Z")
        self.assertTrue(0.1 < ran.result["values"]["psi_max"] < 0.25)

    def errors(self, now: Sequence[Any], then: Sequence[Any], *args: str, says: str, hint: str = "", code: int = 0) -> None:
        stamps = [r[0] for r in requests(len(now))]
        current = self.table("p.csv", ["timestamp", "x"], list(zip(stamps, now)))
        reference = self.table("r.csv", ["x"], [[v] for v in then])
        self.broke(DRIFT, "--predictions", current, "--reference", reference, "--now", NOON, *args,
                   says=says, hint=hint, code=code or 1)

    def test_errors(self) -> None:
        numbers: List[Any] = list(range(300))
        self.errors(["1", "abc"], numbers, says='p.csv:3: x is not a number: "abc"', hint="--missing abc")
        self.errors([1, "nan"], numbers, says="p.csv:3: x is not a finite number")
        self.errors([1], numbers + ["oops"], says='r.csv:302: x is not a number: "oops"', hint="--missing oops")
        self.errors([1], numbers + ["inf"], says="r.csv:302: x is not a")
        self.errors([1], ["1", "2", "x", "4"] * 100, says='r.csv:4: x is not a number: "x"', hint="--categorical x")
        self.errors([1], [], says="r.csv: no rows")
        self.errors([1], numbers, "--features", "y", says='r.csv: no column "y"', hint="it has x")
        self.errors([1], numbers, "--exclude", "x", says="no features to compare", hint="--features")
        self.errors([1], numbers, "--max-rows", "100", says="r.csv: more than 100 rows")
        self.errors([1], numbers, "--psi", "0.3:0.1", says="argument --psi", hint="--help", code=2)
        self.errors([1], numbers, "--correction", "bonferroni", says="argument --correction", code=2)

    def test_mixed_column_can_be_forced(self) -> None:
        values = lambda i: "x" if i % 4 == 2 else i % 4  # noqa: E731
        ran = self.judge(400, {"x": values}, {"x": values}, "--categorical", "x")
        self.assertEqual(ran.result["values"]["psi.x"], 0.0)
        ran = self.judge(400, {"x": lambda i: i % 2}, {"x": lambda i: i % 2}, "--numeric", "x")
        self.assertEqual(ran.result["values"]["ks.x"], 0.0)


if __name__ == "__main__":
    unittest.main()
