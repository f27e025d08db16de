"""roofline.py and what counts.py checks, on numbers that were worked out by hand."""
import unittest
import unittest.mock

import counts
import roofline

H100, H200 = roofline.GPUS
# 10 + 2 n + r (3 + 4 n + n n / 2) of each count
POINTS = {(1, 4): {"k": [45] * 6}, (1, 8): {"k": [93] * 6}, (1, 12): {"k": [157] * 6}, (2, 4): {"k": [72] * 6}, (2, 8): {"k": [160] * 6}}


class Fit(unittest.TestCase):
    """Constants of counts."""

    def test_five_points_give_the_constants(self):
        """And these the count of another microbatch."""
        fits = roofline.fit(POINTS)
        self.assertEqual(fits["k"], [(10, 2, 3, 4, 0.5)] * 6)
        self.assertEqual(roofline.at(fits["k"][0], 3, 6), 157)

    def test_points_that_do_not_fit_are_refused(self):
        """Other microbatches, other kernels."""
        with self.assertRaisesRegex(SystemExit, "are needed"):
            roofline.fit({point: {} for point in [(1, 4), (1, 8), (1, 12), (2, 4)]})
        with self.assertRaisesRegex(SystemExit, "other kernels run"):
            roofline.fit({**POINTS, (1, 8): {"other": [58] * 6}})

    def test_a_count_that_does_not_follow_is_a_problem(self):
        """10 + 128 + 3 (3 + 256 + 2048) = 7059 follow; a hundredth of them are 71."""
        self.assertEqual(counts.CHECK, (3, 64))
        for counted, problems in ((7059, 0), (7000, 0), (7120, 0), (6980, 1), (7135, 1)):
            found = {**POINTS, counts.CHECK: {"k": [7059] * 5 + [counted]}}
            with unittest.mock.patch.object(counts, "POINTS", list(POINTS)):
                self.assertEqual(len(counts.check("8b", found)), problems)


class Time(unittest.TestCase):
    """Seconds of kernels."""

    def test_the_slowest_of_three_counts(self):
        """1 s of 650 TFLOP/s; 3 s of half of 67 TFLOP/s; 2 s of 0.9 * 3.35 TB/s, which are 1.396 s of 0.9 * 4.8 TB/s."""
        tiles, fused, sectors = 158691406250, 50250000000000, 188437500000
        self.assertEqual(roofline.seconds(H100, "lt_a", [1, tiles, 0, 0, 0, 0]), ("products", 1))
        self.assertEqual(roofline.seconds(H100, "lt_a", [1, tiles, 0, sectors, 0, 0]), ("products", 2))
        self.assertEqual(roofline.seconds(H100, "gated_1", [1, 0, fused, sectors // 2, sectors // 2, 0]), ("the rest", 3))
        kind, time = roofline.seconds(H200, "rmsnorm_01", [1, 0, 0, 0, sectors, 0])
        self.assertEqual(kind, "the rest")
        self.assertAlmostEqual(time, 1.3958333, places=6)

    def test_attention_has_a_rate_for_each_direction(self):
        """306 and 166 TFLOP/s, whatever the kernels are called."""
        for name, rate in (("attend_128_1", 306e12), ("attend_tensor_128", 306e12), ("attend_key_back_128_1", 166e12),
                           ("attend_tensor_query_back_128", 166e12)):
            kind, time = roofline.seconds(H100, name, [1, 1000, 0, 0, 0, 0])
            self.assertEqual(kind, "attention")
            self.assertAlmostEqual(time, 4096000 / rate, places=15)

    def test_a_layer_is_the_sum_with_gaps(self):
        """Two products of 1 s together, a norm of 2 s, 3 gaps of 2 microseconds."""
        times = roofline.layer(H100, {"lt_a": [2, 158691406250, 0, 0, 0, 0], "rmsnorm_01": [1, 0, 0, 188437500000, 0, 0]})
        self.assertAlmostEqual(sum(times.values()), 3.000006, places=9)
        self.assertEqual((times["products"], times["the rest"]), (1, 2))

    def test_shares_of_the_peak(self):
        """218,103,808 weights, 8192 tokens in 0.1 s: 4 * 218103808 * 8192 / 0.1 / 989e12."""
        shape = roofline.SHAPES["8b"]
        self.assertEqual(shape.weights, 218103808)
        self.assertEqual(roofline.SHAPES["70b"].weights, 855638016)
        self.assertAlmostEqual(roofline.mfu(H100, shape, 8192, 0.1, 4), 0.0722631, places=6)
        self.assertAlmostEqual(roofline.mfu(H100, shape, 8192, 0.1, 6), 0.1083947, places=6)


class Tables(unittest.TestCase):
    """What is printed."""

    def test_rows_of_speeds(self):
        """A layer of one product without memory that takes a microsecond a token: 8192 tokens and a gap of 2 take 8194, 32 layers of
        them 0.262208 s; 8192 / 0.262208 = 31,242 tokens/s."""
        per_token = 158691.40625  # tiles
        points = {}
        for rows, n in counts.POINTS:
            points[(rows, n)] = {"lt_a": [1, per_token * rows * n, 0, 0, 0, 0]}
        rows = list(roofline.speeds({"8b": points}))
        self.assertEqual(len(rows), 5)
        self.assertEqual(rows[1], ["8B, 8 x 4", "H100 SXM", "512", "31,242", "88 %", "132 %", "100", "0", "0", "0"])
        self.assertEqual([row[1:3] for row in rows[2:]], [["H100 SXM", "1024"], ["H200", "512"], ["H200", "1024"]])


if __name__ == "__main__":
    unittest.main()
