"""Whether two kinds of training differ by more than the seeds within a kind do."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

LEVEL = 0.1  # at most: how often two kinds that do not differ may be said to


@dataclass(frozen=True)
class Comparison:
    """How far apart the mean curves of two kinds of training lie, and how far apart seeds alone would put them.

    Attributes:
        distance: between the means of the two kinds, root mean square along the curve.
        noise: what the seeds of the first kind let expect of it: sqrt(2 / n) of their standard deviation, root mean
            square along the curve.
        ratio: distance over noise.
        splits: ways of splitting all curves into two halves.
        as_far: of these, how many put the means of the halves at least as far apart as the kinds do; the split into
            the kinds is one of them. 0 where a curve is not finite.
    """

    distance: float
    noise: float
    ratio: float
    splits: int
    as_far: int

    @property
    def within_noise(self) -> bool:
        """Whether the distance may be the seeds' doing, see `compare`."""
        return self.as_far / self.splits > LEVEL


def smoothed(losses: np.ndarray, window: int) -> np.ndarray:
    """Means of `window` consecutive steps, (..., steps) to (..., steps - window + 1)."""
    return np.lib.stride_tricks.sliding_window_view(losses, window, axis=-1).mean(-1)


def noise_along(curves: np.ndarray) -> np.ndarray:
    """Expected difference at each point between the means of two sets of such curves, (n, points) to (points,)."""
    return np.sqrt(2 / len(curves)) * curves.std(0, ddof=1)


def compare(first: np.ndarray, second: np.ndarray) -> Comparison:
    """Compare two kinds of training by a permutation test of whole curves.

    The rule: the kinds differ by more than noise if, of all ways of splitting the 2n curves into two halves, at most
    one in ten (`LEVEL`) puts the mean curves of the halves at least as far apart as the split into the kinds does. If
    the kind makes no difference to a curve, every split is equally likely to be the farthest, so the rule is wrong at
    most that often; it assumes nothing of how losses are distributed or hang together along a curve. Curves of one
    seed that are alike in both kinds make it err less often still. With n = 3 there are ten splits: the kinds must lie
    farther apart than any other two halves. A curve that is not finite differs.

    Args:
        first: (n, points), smoothed curves of the kind that is taken as the standard, n at least 3.
        second: (n, points), of the other kind.
    """
    distances = split_distances(np.concatenate([first, second]))
    noise = float(np.sqrt(np.mean(noise_along(first) ** 2)))
    return Comparison(
        distance=float(distances[0]),
        noise=noise,
        ratio=float(distances[0]) / noise,
        splits=len(distances),
        as_far=int(np.sum(distances >= distances[0] * (1 - 1e-9))),  # ties count, whatever order they were added up in
    )


def split_distances(curves: np.ndarray) -> np.ndarray:
    """Distance between the mean curves of two halves, root mean square along the curve, for every split into halves.

    Args:
        curves: (2n, points).
    Returns:
        One for each of the (2n)! / (2 n!^2) splits; the first is that into the first n and the last n.
    """
    count = len(curves)
    splits = [(0, *rest) for rest in combinations(range(1, count), count // 2 - 1)]
    signs = np.full((len(splits), count), -1.0)
    np.put_along_axis(signs, np.array(splits), 1.0, axis=1)
    centred = curves - curves.mean(0)
    products = centred @ centred.T / curves.shape[1]
    squares = np.einsum("si,ij,sj->s", signs, products, signs)
    return np.sqrt(np.maximum(squares, 0.0)) / (count // 2)
