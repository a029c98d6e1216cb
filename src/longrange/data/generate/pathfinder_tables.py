"""What the growth of snakes looks up: everything that depends on a direction alone.

Paddles point in few directions: the whole degrees of a first paddle, -180 to 179, then those of the pixels on the
circle where a next paddle may end. So every paddle's picture, every step along one and every weight of a turn is
computed once. A direction is its number, 0..A-1: 360 degrees first, then the K candidates.
"""

import itertools
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from longrange.data.generate.pathfinder_drawing import SCALE, disc, displacement, offsets_within, paddle

N_DEGREES = 360
WEIGHT_ONE = 1 << 16  # weights of turns are integers, so that every machine draws alike


@dataclass(frozen=True)
class Setting:
    """The published parameters of one resolution, lengths in pixels.

    Attributes:
        padding: width of the edge that no long snake enters.
        margins: distance between paddles, one drawn for each image.
        seed_distance: between the tails of the two long snakes.
        marker_radius: of the two discs.
        paddle_length, paddle_thickness: of every paddle.
        continuity: straightness; a turn's weight falls to zero at 90 degrees over this.
        distractor_paddles: of all distractors together.
        long_contrast, distractor_contrast: brightness of the paddles of long snakes and of distractors; discs have 1.
    """

    padding: int
    margins: tuple[int, ...]
    seed_distance: int
    marker_radius: float
    paddle_length: int
    paddle_thickness: float
    continuity: float
    distractor_paddles: int
    long_contrast: float
    distractor_contrast: float


# Long Range Arena's release, from its description of the data set; what that leaves open as in the original generator.
SETTINGS = {
    32: Setting(1, (1,), 7, 1.5, 2, 0.5, 1.0, 20, 1.5, 2.0),
    64: Setting(1, (1,), 12, 2.5, 5, 1.0, 1.8, 22, 0.8, 0.8),
    128: Setting(1, (2, 3), 20, 3.0, 5, 1.5, 1.8, 35, 0.9, 0.9),
    256: Setting(22, (3,), 27, 5.0, 5, 2.0, 1.8, 30, 1.0, 1.0),
}


class Tables(NamedTuple):
    """Look-up tables of one resolution and margin; all steps are (y, x) int64.

    Attributes:
        bright, blocked: pictures of a paddle and of what it blocks, (A, S, S) uint8. A degree's start at the tail, in
            the middle of the square; a candidate's start at the head and point back.
        far_end: from a paddle's tail to its head as the growth of snakes reckons it, (360, 2).
        drawn_end: from where a picture starts to the last pixel of the paddle in it, (A, 2).
        advance: from a paddle's pivot to the next one's, (A, 2).
        pivot: from a first paddle's head to its pivot, (360, 2).
        second_tail: from the first long snake's tail to the second's, (360, 2).
        first_tail: lowest and highest row, lowest and highest column of the first long snake's tail, (360, 4).
        footprint: around a pixel where a first paddle may start, all these must be free, (360, F, 2), ...
        footprint_size: ... of which as many count, (360,); 0 where no snake starts in this direction.
        candidates: from a pivot to each possible head, (K, 2).
        turns: weight of each candidate after a paddle in each direction, (A, K) int64.
        around: pixels within the margin, (D, 2).
    """

    bright: np.ndarray
    blocked: np.ndarray
    far_end: np.ndarray
    drawn_end: np.ndarray
    advance: np.ndarray
    pivot: np.ndarray
    second_tail: np.ndarray
    first_tail: np.ndarray
    footprint: np.ndarray
    footprint_size: np.ndarray
    candidates: np.ndarray
    turns: np.ndarray
    around: np.ndarray


def build_tables(setting: Setting, resolution: int, margin: int) -> Tables:
    """The tables of one resolution and margin.

    Args:
        setting: the resolution's parameters.
        resolution: edge of the image, in pixels.
        margin: one of `setting.margins`.
    """
    length, reach = setting.paddle_length, setting.paddle_length + margin
    degrees = np.deg2rad(np.arange(-180, 180))
    candidates = _circle(reach)
    ahead = np.concatenate([degrees, np.arctan2(*candidates.T)])
    drawn = ahead + np.pi * (np.arange(len(ahead)) >= N_DEGREES)
    pictures = [paddle(angle, length, setting.paddle_thickness, margin) for angle in drawn]
    bright, blocked = (np.stack(squares) for squares in zip(*pictures, strict=True))
    footprint, footprint_size = _footprints(blocked[:N_DEGREES], reach)
    return Tables(
        bright,
        blocked,
        far_end=displacement(length, degrees),
        drawn_end=np.trunc(displacement(length * SCALE, drawn) / SCALE).astype(np.int64),
        advance=displacement(length + 2 * margin, ahead),
        pivot=displacement(reach, degrees + np.pi),
        second_tail=np.rint(setting.seed_distance * np.stack([np.sin(degrees), np.cos(degrees)], 1)).astype(np.int64),
        first_tail=_room(footprint, footprint_size, 2 * setting.seed_distance, resolution),
        footprint=footprint,
        footprint_size=footprint_size,
        candidates=candidates,
        turns=_turns(ahead, ahead[N_DEGREES:], setting.continuity),
        around=offsets_within(margin),
    )


def disc_picture(setting: Setting) -> np.ndarray:
    """A marker, (S, S) uint8."""
    return disc(setting.marker_radius)


def frame_width(setting: Setting) -> int:
    """How far a picture can reach beyond the image: half the largest square."""
    margin = max(setting.margins)
    largest_paddle = setting.paddle_length + math.ceil(setting.paddle_thickness) + margin
    return max(largest_paddle, len(disc_picture(setting)) // 2)


def _circle(radius: int) -> np.ndarray:
    """Distinct pixels hit by points one pixel of arc apart on a circle: (K, 2), in ascending order."""
    angles = np.deg2rad(np.arange(0, 360, 360 / (2 * np.pi * radius)))
    points = radius * np.stack([np.sin(angles), np.cos(angles)], axis=1)
    return np.unique(np.floor(points.round(9)).astype(np.int64), axis=0)


def _turns(before: np.ndarray, after: np.ndarray, continuity: float) -> np.ndarray:
    turn = np.abs(before[:, None] - after)
    turn = np.minimum(turn, 2 * np.pi - turn)
    weight = np.cos(np.minimum(continuity * turn, np.pi / 2)) ** 2
    return np.rint(WEIGHT_ONE * weight).astype(np.int64)


def _footprints(blocked: np.ndarray, reach: int) -> tuple[np.ndarray, np.ndarray]:
    """Offsets that a first paddle fully blocks: (360, F, 2), and how many they are, (360,).

    The published code draws the paddle one pixel off the middle of a square that just fits; so do these. And where
    every offset leads out of the image at one of its corners, it takes the whole mask for blocked: such a direction
    has no offsets here, and no snake starts in it. With the thin paddles of 32 pixels these are most directions.
    """
    half = blocked.shape[1] // 2
    lists = []
    for square in blocked:
        offsets = np.argwhere(square == 255) - half + 1
        offsets = offsets[(np.abs(offsets) <= reach).all(axis=1)]
        corners = [((offsets * inwards) >= 0).all(axis=1).any() for inwards in itertools.product((-1, 1), repeat=2)]
        lists.append(offsets if all(corners) else offsets[:0])
    sizes = np.array([len(offsets) for offsets in lists])
    return np.stack([np.pad(offsets, ((0, sizes.max() - len(offsets)), (0, 0))) for offsets in lists]), sizes


def _room(footprint: np.ndarray, sizes: np.ndarray, band: int, resolution: int) -> np.ndarray:
    """Where a footprint keeps `band` pixels off every edge: (360, 4) lowest, highest row; lowest, highest column."""
    room = np.empty((len(sizes), 4), np.int64)
    for bounds, offsets, size in zip(room, footprint, sizes, strict=True):
        used = offsets[:size] if size else np.array([[0, 0], [resolution, resolution]])  # no room for that
        bounds[::2], bounds[1::2] = band - used.min(axis=0), resolution - 1 - band - used.max(axis=0)
    return room
