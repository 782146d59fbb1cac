"""How far a segmentation is from the true one: Pk (Beeferman et al. 1999) and WindowDiff (Pevzner and Hearst 2002).

A window of `k` sentences slides over the text, half as long as a true segment is in the mean. Pk is the share of
windows whose two ends lie in one segment by one segmentation and in two by the other; WindowDiff is the share of windows
in which the two have different numbers of boundaries. 0 is perfect.
"""


def before(count, boundaries):
    """For every sentence, how many boundaries lie before it or at its start."""
    starts, passed, found = set(boundaries), 0, []
    for sentence in range(count):
        passed += sentence in starts
        found.append(passed)
    return found


def window(count, boundaries):
    return max(1, round(count / (len(boundaries) + 1) / 2))


def windows(count, true, found):
    """(boundaries within, by the truth and by what was found) of every window."""
    k = window(count, true)
    true, found = before(count, true), before(count, found)
    return [(true[i + k] - true[i], found[i + k] - found[i]) for i in range(count - k)]


def pk(count, true, found):
    pairs = windows(count, true, found)
    return sum((a == 0) != (b == 0) for a, b in pairs) / len(pairs)


def window_diff(count, true, found):
    pairs = windows(count, true, found)
    return sum(a != b for a, b in pairs) / len(pairs)


def equal_chunks(count, size):
    """The boundaries of chunks of `size` sentences."""
    return list(range(size, count, size))
