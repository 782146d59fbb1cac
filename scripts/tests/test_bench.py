"""The arithmetic of bench/, whose figures nobody can check by eye."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

from memory import parts, resident_megabytes
from server import form, port_of
from timings import Timings, over_peers, ratio, spread, table


class Comparison(unittest.TestCase):
    def setUp(self):
        self.timings = [
            Timings("ours, 5", 5, False, start=[1.0, 2.0, 1.0], whole=[3.0, 4.0, 9.0]),
            Timings("ours, 4", 4, False, start=[1.0, 1.0, 1.0], whole=[3.0, 3.0, 3.0]),
            Timings("slow", 5, True, start=[2.0, 2.0, 2.0], whole=[10.0, 12.0, 11.0]),
            Timings("fast", 1, True, start=[4.0, 4.0, 4.0], whole=[8.0, 8.0, 9.0]),
        ]

    def test_each_start_is_taken_off_the_run_of_its_own_round(self):
        self.assertEqual(self.timings[0].without_start(), [2.0, 2.0, 8.0])

    def test_a_run_without_its_start_is_an_error(self):
        with self.assertRaises(ValueError):
            Timings("lame", 1, True, start=[1.0], whole=[2.0, 3.0]).without_start()

    def test_ratios_are_of_medians_over_all_peers_and_over_those_of_the_same_beam(self):
        ratios = over_peers(self.timings, lambda times: times.whole)
        self.assertEqual(ratios["ours, 5"], (8 / 4, 11 / 4))
        self.assertEqual(ratios["ours, 4"], (8 / 3, None))
        self.assertEqual(ratios["slow"], (8 / 11, 1.0))

    def test_without_start_another_peer_may_be_the_fastest(self):
        self.assertEqual(over_peers(self.timings, Timings.without_start)["ours, 5"], (4 / 2, 9 / 2))

    def test_without_peers_there_is_no_ratio(self):
        self.assertEqual(over_peers(self.timings[:1], Timings.without_start), {"ours, 5": (None, None)})
        self.assertEqual(ratio(None), "–")

    def test_a_spread_is_median_least_and_most(self):
        self.assertEqual(spread([3.0, 1.0, 2.04]), "2.0 (1.0 … 3.0)")
        self.assertEqual(spread([1.0, 2.0], 2), "1.50 (1.00 … 2.00)")

    def test_a_table_is_markdown(self):
        self.assertEqual(table(["a", "b"], [[1, "x"]]), "| a | b |\n| --- | --- |\n| 1 | x |")


class Memory(unittest.TestCase):
    def test_the_resident_set_is_read_in_megabytes(self):
        self.assertEqual(resident_megabytes("Name:\tx\nVmHWM:\t 4096 kB\nVmRSS:\t 2048 kB\n"), 2.0)

    def test_a_process_that_has_ended_has_none(self):
        self.assertIsNone(resident_megabytes("Name:\tx\nState:\tZ (zombie)\n"))

    def test_parts_keep_the_order_and_everything(self):
        self.assertEqual(parts([1, 2, 3, 4, 5], 2), [[1, 2], [3, 4, 5]])
        self.assertEqual(parts([1, 2], 10), [[1], [2]])


class Server(unittest.TestCase):
    def test_the_port_is_in_the_log(self):
        line = '{"message":"listening","address":"127.0.0.1:35995","target":"verbatim"}'
        self.assertEqual(port_of('{"message":"model loaded"}\n' + line), 35995)
        self.assertIsNone(port_of('{"message":"model loaded"}'))

    def test_a_form_holds_the_file_as_it_is(self):
        body = form(Path(__file__), "mark")
        head, rest = body.split(b"\r\n\r\n", 1)
        self.assertTrue(head.startswith(b"--mark\r\n"))
        self.assertIn(b'filename="test_bench.py"', head)
        self.assertEqual(rest, Path(__file__).read_bytes() + b"\r\n--mark--\r\n")


if __name__ == "__main__":
    unittest.main()
