"""The measures of bench/segmentation, on divisions whose values can be counted by hand."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench/segmentation"))

from documents import joined
from metrics import equal_chunks, pk, window_diff
from texts import sentences


class Metrics(unittest.TestCase):
    # Twelve sentences in two segments of six: windows span three sentences, nine of them.
    COUNT, TRUE = 12, [6]

    def test_the_truth_has_no_error(self):
        self.assertEqual(pk(self.COUNT, self.TRUE, [6]), 0)
        self.assertEqual(window_diff(self.COUNT, self.TRUE, [6]), 0)

    def test_a_missing_boundary_is_wrong_in_every_window_over_it(self):
        self.assertAlmostEqual(pk(self.COUNT, self.TRUE, []), 3 / 9)
        self.assertAlmostEqual(window_diff(self.COUNT, self.TRUE, []), 3 / 9)

    def test_a_near_miss_costs_little(self):
        self.assertAlmostEqual(pk(self.COUNT, self.TRUE, [7]), 2 / 9)

    def test_window_diff_counts_boundaries_that_pk_overlooks(self):
        self.assertAlmostEqual(pk(self.COUNT, self.TRUE, [6, 7]), 1 / 9)
        self.assertAlmostEqual(window_diff(self.COUNT, self.TRUE, [6, 7]), 3 / 9)

    def test_equal_chunks_are_equal_but_for_the_last(self):
        self.assertEqual(equal_chunks(12, 5), [5, 10])
        self.assertEqual(equal_chunks(10, 5), [5])


class Documents(unittest.TestCase):
    def test_boundaries_are_where_segments_were_joined(self):
        document = joined("d", [["a", "b"], ["c"], ["d", "e"]])
        self.assertEqual((document.sentences, document.boundaries), (list("abcde"), [2, 3]))

    def test_sentences_are_cut_behind_their_ends_and_not_behind_titles(self):
        text = "ANN LEE: Mr. Smith went to the river. (Applause.) “He saw the old boats there.” Short one. And no end of it"
        found = sentences([text])
        self.assertEqual(found, ["Mr. Smith went to the river.", "“He saw the old boats there.”"])


if __name__ == "__main__":
    unittest.main()
