"""The statistics against numbers worked out by hand or known in closed form."""

from __future__ import annotations

import math
import random
import unittest

import support  # noqa: F401  (finds the package)
from upkeep_model import bins, chisquare, correction, labels, proportions, samples


class Proportions(unittest.TestCase):
    def test_wilson_by_hand(self) -> None:
        # 8 of 10, z = 1.959964, z^2 = 3.841459:
        # middle = (0.8 + 3.841459/20) / (1 + 0.3841459) = 0.99207295 / 1.3841459 = 0.7167402
        # half   = 1.959964 / 1.3841459 * sqrt(0.8*0.2/10 + 3.841459/400)
        #        = 1.4160097 * sqrt(0.016 + 0.00960365) = 1.4160097 * 0.1600114 = 0.2265778
        low, high = proportions.wilson(8, 10)
        self.assertAlmostEqual(low, 0.7167402 - 0.2265778, 6)
        self.assertAlmostEqual(high, 0.7167402 + 0.2265778, 6)

    def test_wilson_at_the_ends(self) -> None:
        # 0 of n has the upper end z^2 / (n + z^2), and n of n mirrors it.
        zz = proportions.Z95 ** 2
        self.assertEqual(proportions.wilson(0, 20).low, 0.0)
        self.assertAlmostEqual(proportions.wilson(0, 20).high, zz / (20 + zz), 12)
        self.assertEqual(proportions.wilson(20, 20).high, 1.0)
        self.assertAlmostEqual(proportions.wilson(20, 20).low, 20 / (20 + zz), 12)

    def test_wilson_refuses_nonsense(self) -> None:
        for successes, n in ((1, 0), (-1, 5), (6, 5)):
            with self.assertRaises(ValueError):
                proportions.wilson(successes, n)

    def test_two_proportions_by_hand(self) -> None:
        # 90/100 against 80/100: pooled 0.85, spread sqrt(0.85 * 0.15 * (1/100 + 1/100)) = sqrt(0.00255) = 0.0504975,
        # z = 0.1 / 0.0504975 = 1.9802951; P(|Z| > 1.9802951) = erfc(1.9802951 / sqrt(2)) = 0.0476706
        z, p = proportions.two_proportions(90, 100, 80, 100)
        self.assertAlmostEqual(z, 0.1 / math.sqrt(0.00255), 12)
        self.assertAlmostEqual(z, 1.9802951, 6)
        self.assertAlmostEqual(p, 0.0476706, 5)
        self.assertAlmostEqual(proportions.two_proportions(90, 100, 80, 100, "greater").p, p / 2, 12)
        self.assertAlmostEqual(proportions.two_proportions(90, 100, 80, 100, "less").p, 1 - p / 2, 12)

    def test_two_proportions_without_spread(self) -> None:
        self.assertEqual(proportions.two_proportions(5, 5, 9, 9), (0.0, 1.0))
        self.assertEqual(proportions.two_proportions(0, 5, 0, 9, "less"), (0.0, 0.5))


class Quantiles(unittest.TestCase):
    def test_by_hand(self) -> None:
        # four values, share 0.95: position 0.95 * 3 = 2.85, so 3 + 0.85 * (4 - 3) = 3.85
        self.assertAlmostEqual(samples.quantile([1, 2, 3, 4], 0.95), 3.85, 12)
        self.assertEqual(samples.quantile([1, 2, 3, 4], 0.5), 2.5)
        self.assertEqual(samples.quantile([1, 2, 3, 4], 0), 1)
        self.assertEqual(samples.quantile([1, 2, 3, 4], 1), 4)
        self.assertEqual(samples.quantile([7], 0.99), 7)
        # 1 to 100, share 0.99: position 98.01, so 99 + 0.01 = 99.01
        self.assertAlmostEqual(samples.quantile(list(range(1, 101)), 0.99), 99.01, 12)


class KolmogorovSmirnov(unittest.TestCase):
    def test_by_hand(self) -> None:
        # F1 of {1,2,3,4} and F2 of {3,4,5,6}: the gap is largest from 2 to 3, 0.5 - 0 = 0.5.
        # Ne = 16/8 = 2, lambda = (1.4142136 + 0.12 + 0.11/1.4142136) * 0.5 = 1.6119953 * 0.5 = 0.8059977
        # Q = 2 (e^(-2*0.6496322) - e^(-8*0.6496322) + e^(-18*0.6496322)) = 2 (0.2727324 - 0.0055328 + 0.0000083)
        #   = 0.5344160
        found = samples.kolmogorov_smirnov([1, 2, 3, 4], [3, 4, 5, 6])
        self.assertEqual(found.distance, 0.5)
        self.assertAlmostEqual(found.p, 0.534416, 5)

    def test_ties_across_both(self) -> None:
        # {1,1,2} and {1,2,2}: at 1 the functions stand at 2/3 and 1/3, at 2 both at 1.
        self.assertAlmostEqual(samples.kolmogorov_smirnov([1, 1, 2], [1, 2, 2]).distance, 1 / 3, 15)

    def test_same_and_apart(self) -> None:
        self.assertEqual(samples.kolmogorov_smirnov([1, 2, 3], [1, 2, 3]), (0.0, 1.0))
        apart = samples.kolmogorov_smirnov([1.0] * 50, [2.0] * 50)
        self.assertEqual(apart.distance, 1.0)
        self.assertLess(apart.p, 1e-20)

    def test_against_the_definition(self) -> None:
        draw = random.Random(3)
        for _ in range(50):
            a = sorted(draw.randint(0, 12) for _ in range(draw.randint(1, 30)))
            b = sorted(draw.randint(2, 14) for _ in range(draw.randint(1, 30)))
            gaps = [abs(sum(x <= v for x in a) / len(a) - sum(x <= v for x in b) / len(b)) for v in a + b]
            self.assertAlmostEqual(samples.kolmogorov_smirnov(a, b).distance, max(gaps), 12)

    def test_tail_of_the_distribution(self) -> None:
        # Printed tables: Q(1.3581) = 0.05, Q(1.6276) = 0.01, Q(1.2238) = 0.10
        for x, q in ((1.2238, 0.10), (1.3581, 0.05), (1.6276, 0.01)):
            self.assertAlmostEqual(samples.kolmogorov_tail(x), q, 4)
        self.assertEqual(samples.kolmogorov_tail(0), 1.0)
        # Both series agree where one hands over to the other.
        self.assertAlmostEqual(samples.kolmogorov_tail(1.18 - 1e-12), samples.kolmogorov_tail(1.18), 9)


class ChiSquare(unittest.TestCase):
    def test_closed_forms(self) -> None:
        # One degree of freedom: erfc(sqrt(x/2)); two: exp(-x/2); four: exp(-x/2) (1 + x/2).
        for x in (0.01, 0.5, 1, 3, 8, 25, 90):
            self.assertAlmostEqual(chisquare.chi_square_tail(x, 1), math.erfc(math.sqrt(x / 2)), 13)
            self.assertAlmostEqual(chisquare.chi_square_tail(x, 2), math.exp(-x / 2), 13)
            self.assertAlmostEqual(chisquare.chi_square_tail(x, 4), math.exp(-x / 2) * (1 + x / 2), 13)

    def test_points(self) -> None:
        # Printed tables at 5 %: 3.8415 (1), 16.9190 (9), 43.7730 (30)
        for freedom, point in ((1, 3.8415), (9, 16.9190), (30, 43.7730)):
            self.assertAlmostEqual(chisquare.chi_square_point(0.05, freedom), point, 4)

    def test_same_shares_by_hand(self) -> None:
        # 30/70 against 50/50: 40 and 60 expected on both sides,
        # 2 * (10^2/40) + 2 * (10^2/60) = 5 + 3.3333333 = 8.3333333; p = erfc(sqrt(4.1666667)) = 0.0038924;
        # V = sqrt(8.3333333/200) = 0.2041241
        found = chisquare.same_shares([30, 70], [50, 50])
        self.assertAlmostEqual(found.statistic, 25 / 3, 12)
        self.assertEqual(found.freedom, 1)
        self.assertAlmostEqual(found.p, 0.0038924, 6)
        self.assertAlmostEqual(found.v, 0.2041241, 6)

    def test_rare_categories_are_pooled(self) -> None:
        # Expected counts of the last three are 2, 2 and 1.5 on each side: pooled they are 5.5, one cell.
        found = chisquare.same_shares([50, 44, 2, 3, 1], [46, 48, 2, 1, 2] + [0])
        self.assertEqual(found.freedom, 2)
        # Where even the pool is too rare it joins the smallest cell: 60/40 against 59/41, one degree of freedom.
        self.assertEqual(chisquare.same_shares([60, 38, 2], [59, 41, 0]).freedom, 1)
        self.assertEqual(chisquare.same_shares([100, 0], [99, 1]), (0.0, 0, 1.0, 0.0))


class Stability(unittest.TestCase):
    def test_index_by_hand(self) -> None:
        # shares 0.5/0.5 against 0.25/0.75: -0.25 ln 0.5 + 0.25 ln 1.5 = 0.1732868 + 0.1013663 = 0.2746531
        self.assertAlmostEqual(bins.stability_index([50, 50], [25, 75]), 0.2746531, 6)
        self.assertEqual(bins.stability_index([10, 20, 30], [20, 40, 60]), 0.0)

    def test_empty_cells_count_half(self) -> None:
        # 90/10 against 100/0: 0.1 ln(1/0.9) + (0.005 - 0.1) ln(0.005/0.1) = 0.0105361 + 0.2845946 = 0.2951306
        self.assertAlmostEqual(bins.stability_index([90, 10], [100, 0]), 0.2951306, 6)
        self.assertAlmostEqual(bins.stability_index([90, 10, 0], [100, 0, 0]), 0.2951306, 6)

    def test_edges_are_values_and_bins_are_equal(self) -> None:
        ordered = list(range(1, 101))
        self.assertEqual(bins.edges(ordered, 10), [10, 20, 30, 40, 50, 60, 70, 80, 90])
        self.assertEqual(bins.counts(bins.edges(ordered, 10), ordered), [10] * 10)

    def test_edges_with_ties(self) -> None:
        # Six of ten are 0: the edges at 20, 40 and 60 % are all 0, the one at 80 % is the eighth value, 2.
        self.assertEqual(bins.edges([0] * 6 + [1, 2, 3, 4], 5), [0, 2])
        self.assertEqual(bins.counts([0, 2], [0] * 6 + [1, 2, 3, 4]), [6, 2, 2])
        # Nearly all at the maximum: one bin for it and one for what is below.
        self.assertEqual(bins.counts(bins.edges([1] + [5] * 9, 4), [1] + [5] * 9), [1, 9])
        # A single value: below, equal, above, so that any change shows.
        self.assertEqual(bins.counts(bins.edges([3, 3, 3], 10), [2.9, 3, 3.1, 3]), [1, 2, 1])

    def test_every_value_has_a_bin(self) -> None:
        inner = bins.edges(list(range(50)), 7)
        self.assertEqual(bins.place(inner, -1e300), 0)
        self.assertEqual(bins.place(inner, 1e300), len(inner))

    def test_noise(self) -> None:
        # 10 bins: the 5 % point of 9 degrees is 16.919; with 500 and 500 rows 16.919 * (2/500) = 0.0677
        self.assertAlmostEqual(bins.stability_noise(10, 500, 500), 0.067676, 5)
        # and it does bound what chance gives in 95 % of cases (400 pairs without a change, seeded).
        draw, over = random.Random(11), 0
        for _ in range(400):
            reference = sorted(draw.random() for _ in range(400))
            inner = bins.edges(reference, 10)
            current = [draw.random() for _ in range(250)]
            index = bins.stability_index(bins.counts(inner, reference), bins.counts(inner, current))
            over += index > bins.stability_noise(10, 400, 250)
        self.assertLess(over / 400, 0.09)
        self.assertGreater(over / 400, 0.02)


class Correction(unittest.TestCase):
    def test_by_hand(self) -> None:
        ps = [0.04, 0.01, 0.03]
        # Holm: 3*0.01 = 0.03; 2*0.03 = 0.06; 1*0.04 = 0.04, raised to 0.06
        self.assertEqual([round(p, 12) for p in correction.corrected(ps, "holm")], [0.06, 0.03, 0.06])
        # Benjamini-Hochberg: 0.04*3/3 = 0.04; 0.03*3/2 = 0.045, lowered to 0.04; 0.01*3/1 = 0.03
        self.assertEqual([round(p, 12) for p in correction.corrected(ps, "bh")], [0.04, 0.03, 0.04])
        self.assertEqual(correction.corrected(ps, "none"), ps)
        self.assertEqual(correction.corrected([], "holm"), [])
        self.assertEqual(correction.corrected([0.9, 0.8], "holm"), [1.0, 1.0])


class Labels(unittest.TestCase):
    def confusion(self) -> labels.Confusion:
        c = labels.Confusion()
        for predicted, actual, times in (("a", "a", 4), ("a", "b", 1), ("b", "b", 3), ("b", "a", 2)):
            c.add(predicted, actual, times)
        return c

    def test_by_hand(self) -> None:
        c = self.confusion()
        self.assertEqual((c.n, c.accuracy), (10, 0.7))
        a, b = c.by_class()["a"], c.by_class()["b"]
        # a: predicted 5, was 6, right 4: 4/5, 4/6, 8/11;  b: predicted 5, was 4, right 3: 3/5, 3/4, 6/9
        for got, want in ((a, (4 / 5, 4 / 6, 8 / 11, 6)), (b, (3 / 5, 3 / 4, 6 / 9, 4))):
            for x, y in zip(got, want):
                self.assertAlmostEqual(x, y, 15)
        precision, recall, f1 = c.macro()
        self.assertAlmostEqual(precision, 0.7, 15)
        self.assertAlmostEqual(recall, (4 / 6 + 3 / 4) / 2, 15)
        self.assertAlmostEqual(f1, (8 / 11 + 6 / 9) / 2, 15)

    def test_undefined_stays_undefined(self) -> None:
        c = labels.Confusion()
        c.add("a", "a")
        c.add("never", "a")
        c.add("a", "missed")
        scores = c.by_class()
        self.assertIsNone(scores["never"].recall)
        self.assertIsNone(scores["missed"].precision)
        self.assertEqual(c.macro()[0], (0.5 + 0 + 0) / 3)

    def test_scores_by_hand(self) -> None:
        scores, events = [0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]
        # Brier: (0.01 + 0.16 + 0.4225 + 0.04) / 4 = 0.158125
        self.assertAlmostEqual(labels.brier(scores, events), 0.158125, 12)
        # -(ln 0.9 + ln 0.6 + ln 0.35 + ln 0.8) / 4 = (0.1053605 + 0.5108256 + 1.0498221 + 0.2231436) / 4 = 0.4722879
        self.assertAlmostEqual(labels.log_loss(scores, events), 0.4722879, 6)
        # Pairs (event above non-event): 0.35>0.1, 0.35<0.4, 0.8>0.1, 0.8>0.4: 3 of 4
        self.assertEqual(labels.area_under_curve(scores, events), 0.75)
        # A tie counts half: one pair of equal scores.
        self.assertEqual(labels.area_under_curve([0.5, 0.5], [0, 1]), 0.5)
        self.assertIsNone(labels.area_under_curve([0.5, 0.6], [1, 1]))

    def test_log_loss_of_a_certain_mistake_is_finite(self) -> None:
        self.assertAlmostEqual(labels.log_loss([0.0], [1]), -math.log(1e-15), 9)


if __name__ == "__main__":
    unittest.main()
