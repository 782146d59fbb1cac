"""Other ways to find boundaries, from the literature, each with what its authors leave to be chosen as they chose it.

Words are stems of six letters without function words, as in the service's method for English.
"""

import math
import re
from collections import Counter

import numpy as np

WORD = re.compile(r"[^\W\d_]+(?:['’]\w+)?")
FUNCTION_WORDS = set(
    "a an and are as at be been but by can could did do does for from had has have he her him his how i if in into is it "
    "its just me more most my no not of on one or our out she so some such than that the their them then there these they "
    "this those to too up us very was we were what when where which who why will with would you your".split()
)


def stems(sentence):
    words = (word.lower() for word in WORD.findall(sentence))
    return Counter(word[:6] for word in words if word not in FUNCTION_WORDS)


def cosine(a, b):
    length = math.sqrt(sum(x * x for x in a.values()) * sum(x * x for x in b.values()))
    return sum(count * b[word] for word, count in a.items()) / length if length else 0.0


def texttiling(sentences, block=6):
    """Hearst (1997), on sentences: blocks on both sides of a gap are compared; boundaries are the deep valleys."""
    bags = [stems(sentence) for sentence in sentences]
    gaps = range(1, len(bags))
    similar = [cosine(sum(bags[max(0, g - block) : g], Counter()), sum(bags[g : g + block], Counter())) for g in gaps]
    depths = []
    for i, here in enumerate(similar):
        left, right = i, i
        while left > 0 and similar[left - 1] >= similar[left]:
            left -= 1
        while right < len(similar) - 1 and similar[right + 1] >= similar[right]:
            right += 1
        depths.append(similar[left] + similar[right] - 2 * here)
    limit = np.mean(depths) - np.std(depths) / 2
    peak = lambda i: depths[i] == max(depths[max(0, i - 1) : i + 2])
    return [gap for i, gap in enumerate(gaps) if depths[i] > limit and peak(i)]


def c99(sentences, mask=11):
    """Choi (2000): similarities replaced by their ranks in their neighbourhood, then division by density."""
    bags = [stems(sentence) for sentence in sentences]
    words = {word: i for i, word in enumerate(sorted(set().union(*bags)))}
    counts = np.zeros((len(bags), max(1, len(words))))
    for row, bag in zip(counts, bags):
        for word, count in bag.items():
            row[words[word]] = count
    lengths = np.linalg.norm(counts, axis=1)
    counts /= np.where(lengths > 0, lengths, 1)[:, None]
    similar = counts @ counts.T
    n, reach = len(bags), mask // 2
    lower, around = np.zeros((n, n)), np.zeros((n, n))
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            y, x = slice(max(0, -dy), n - max(0, dy)), slice(max(0, -dx), n - max(0, dx))
            other = similar[max(0, dy) : n - max(0, -dy), max(0, dx) : n - max(0, -dx)]
            lower[y, x] += other < similar[y, x]
            around[y, x] += 1
    sums = np.zeros((n + 1, n + 1))
    sums[1:, 1:] = (lower / np.maximum(around - 1, 1)).cumsum(0).cumsum(1)
    within = lambda a, b: sums[b, b] - sums[a, b] - sums[b, a] + sums[a, a]

    segments, found, density = [(0, n)], [], [within(0, n) / n**2]
    inside, area = within(0, n), n**2
    while len(segments) < n:
        best = None
        for a, b in segments:
            for cut in range(a + 1, b):
                new_inside = inside - within(a, b) + within(a, cut) + within(cut, b)
                new_area = area - (b - a) ** 2 + (cut - a) ** 2 + (b - cut) ** 2
                if best is None or new_inside / new_area > best[0]:
                    best = (new_inside / new_area, new_inside, new_area, a, cut, b)
        value, inside, area, a, cut, b = best
        segments.remove((a, b))
        segments += [(a, cut), (cut, b)]
        found.append(cut)
        density.append(value)
        if len(found) >= 60:
            break
    gains = np.diff(density)
    smooth = np.convolve(gains, [1, 2, 4, 8, 4, 2, 1], "same") / 22
    count = int(np.sum(smooth > smooth.mean() + 1.2 * smooth.std()))
    return sorted(found[:count])


def utiyama_isahara(sentences):
    """Utiyama and Isahara (2001): the most probable segmentation, each segment's words by Laplace's law."""
    bags = [stems(sentence) for sentence in sentences]
    vocabulary = len(set().union(*bags))
    penalty = math.log(sum(sum(bag.values()) for bag in bags))

    def costs(start):
        counts, total, repeated = Counter(), 0, 0.0
        for bag in bags[start:]:
            for word, count in bag.items():
                before = counts[word]
                repeated += (before + count) * math.log(before + count + 1) - before * math.log(before + 1)
                counts[word] += count
                total += count
            yield total * math.log(total + vocabulary) - repeated

    return cheapest(len(bags), costs, penalty)


def vectors_alone(vectors, penalty=2.6):
    """Change points of the mean (Arlot et al. 2019), in units of how much neighbours differ."""
    scale = 1 / (1 - np.mean(np.sum(vectors[1:] * vectors[:-1], axis=1)))

    def costs(start):
        sums = np.cumsum(vectors[start:], axis=0)
        count = np.arange(1, len(sums) + 1)
        return scale * (count - np.sum(sums * sums, axis=1) / count)

    return cheapest(len(vectors), costs, penalty)


def cheapest(count, costs, penalty):
    """Boundaries at the lowest sum of costs and penalties; `costs(start)` are of segments of 1, 2… sentences."""
    best = [0.0] + [math.inf] * count
    last = [0] * (count + 1)
    for start in range(count):
        for length, cost in enumerate(costs(start), 1):
            total = best[start] + cost + penalty
            if total < best[start + length]:
                best[start + length], last[start + length] = total, start
    boundaries, end = [], count
    while end := last[end]:
        boundaries.append(end)
    return boundaries[::-1]
