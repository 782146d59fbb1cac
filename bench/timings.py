"""What the measured times of systems say, side by side."""

import statistics
from dataclasses import dataclass, field


@dataclass
class Timings:
    """The times of one system, in seconds, one of each kind a round."""

    name: str
    beam: int
    is_peer: bool
    start: list = field(default_factory=list)  # of the whole program over a file with nothing in it
    whole: list = field(default_factory=list)  # of the whole program over all files
    peak_megabytes: float = 0.0

    def without_start(self):
        """Each round's time over the files less that round's start."""
        return [whole - start for whole, start in zip(self.whole, self.start, strict=True)]


def spread(times, digits=1):
    """`5.7 (5.6 … 5.8)`: median, least and most."""
    middle, least, most = (f"{seconds:.{digits}f}" for seconds in (statistics.median(times), min(times), max(times)))
    return f"{middle} ({least} … {most})"


def over_peers(timings, times_of):
    """How many times as fast as the fastest peer each system is, by medians: of all peers, and of those with the same
    beam. None where there is no such peer."""
    medians = {each.name: statistics.median(times_of(each)) for each in timings}
    ratios = {}
    for each in timings:
        peers = [peer for peer in timings if peer.is_peer]
        same_beam = [peer for peer in peers if peer.beam == each.beam]
        ratios[each.name] = tuple(
            min(medians[peer.name] for peer in chosen) / medians[each.name] if chosen else None
            for chosen in (peers, same_beam)
        )
    return ratios


def ratio(value):
    return "–" if value is None else f"{value:.2f}"


def table(heads, rows):
    """A table in Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
