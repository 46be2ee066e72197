"""Items by the meaning of their text: TF-IDF over words, and the nearest by the cosine.

Amazon's Semantic-Similarity understands language; this knows only which words two texts share.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from math import log, sqrt
from typing import Final

import numpy as np

from service.local_personalize.training.neighbours import MAX_KEPT, Neighbours

_WORD: Final = re.compile(r"[^\W\d_]{3,}")
_MAX_SHARE: Final = 0.05
"""A word in more than this share of the texts tells nothing, unless that is only a few texts."""
_FEW: Final = 50


def by_text(texts: Sequence[str]) -> Neighbours:
    """The neighbours of each text; an empty text has none."""
    counts = [Counter(_WORD.findall(text.lower())) for text in texts]
    frequency: Counter[str] = Counter(word for words in counts for word in words)
    total = len(texts)
    rare = {word for word, number in frequency.items() if 1 < number <= max(_FEW, total * _MAX_SHARE)}
    vectors = [_vector(words, frequency, rare, total) for words in counts]
    postings: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)
    for place, vector in enumerate(vectors):
        for word, weight in vector.items():
            postings[word].append((place, weight))
    starts, items, weights = [0], list[int](), list[float]()
    for place, vector in enumerate(vectors):
        near: defaultdict[int, float] = defaultdict(float)
        for word, weight in vector.items():
            for other, other_weight in postings[word]:
                near[other] += weight * other_weight
        near.pop(place, None)
        strongest = sorted(near.items(), key=lambda one: (-one[1], one[0]))[:MAX_KEPT]
        items += [other for other, _ in strongest]
        weights += [weight for _, weight in strongest]
        starts.append(len(items))
    return Neighbours(np.array(starts), np.array(items, dtype=np.int64), np.array(weights))


def _vector(words: Counter[str], frequency: Counter[str], rare: set[str], total: int) -> dict[str, float]:
    weights = {word: (1 + log(n)) * log(total / frequency[word]) for word, n in words.items() if word in rare}
    length = sqrt(sum(weight**2 for weight in weights.values())) or 1.0
    return {word: weight / length for word, weight in weights.items()}
