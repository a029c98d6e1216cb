"""The hot loops of Pathfinder: grow snakes on a mask of what is blocked, then paint image and discs.

Growing touches the mask alone, so an attempt that fails has painted nothing. Mask and canvas have a frame as wide as a
picture can reach; pixels are (y, x) counted with that frame. Every loop runs without the interpreter lock.
"""

from typing import NamedTuple

import numpy as np

from longrange.data.generate.pathfinder_tables import N_DEGREES, WEIGHT_ONE
from longrange.data.generate.splitmix import below, compiled, stream

FREE = 76  # of 255: a pixel less than 0.3 blocked counts as free
TOGETHER = 459  # of 255: where two paddles block 1.8 together, they overlap
DEAD_END = int(1e-4 * WEIGHT_ONE * 255)  # least sum of weights over the candidates
TRIES = 3  # for one paddle
SNAKE_TRIES = 5  # for one distractor
SEARCHES = 1000  # for a free pixel; none in so many means that hardly any is left


class Scene(NamedTuple):
    """What all images of a set share.

    Attributes:
        resolution: edge of the image.
        frame: width of the frame round mask and canvas.
        padding: blocked edge.
        long_paddles: of each of the two long snakes.
        distractors: number of distractors.
        distractor_paddles: of each distractor.
        long_contrast, distractor_contrast: of their paddles.
        disc: (S, S) uint8.
    """

    resolution: int
    frame: int
    padding: int
    long_paddles: int
    distractors: int
    distractor_paddles: int
    long_contrast: float
    distractor_contrast: float
    disc: np.ndarray


class Snake(NamedTuple):
    """A growing snake.

    Attributes:
        starts: where each paddle's picture starts, (paddles, 2).
        ways: direction of each paddle, (paddles,).
        pivot: of the last paddle, (2,).
    """

    starts: np.ndarray
    ways: np.ndarray
    pivot: np.ndarray


class Work(NamedTuple):
    """Arrays that every image uses again.

    Attributes:
        bare: the mask with nothing on it.
        mask: what is blocked, 0 to 255.
        before: the mask before a distractor.
        canvas: brightness, 255 for a disc.
        sums: running sums of the candidates' weights.
    """

    bare: np.ndarray
    mask: np.ndarray
    before: np.ndarray
    canvas: np.ndarray
    sums: np.ndarray


@compiled
def _new_work(scene, choices):
    size, most = scene.resolution + 2 * scene.frame, 0
    for k in range(len(choices)):
        most = max(most, len(choices[k].candidates))
    masks = np.zeros((3, size, size), np.uint8)
    return Work(masks[0], masks[1], masks[2], np.zeros((size, size)), np.zeros(most, np.int64))


@compiled
def new_snake(paddles):
    """A snake with room for so many paddles, none placed."""
    return Snake(np.zeros((paddles, 2), np.int64), np.zeros(paddles, np.int64), np.zeros(2, np.int64))


@compiled
def _inside(scene, y, x):
    low, high = scene.frame, scene.frame + scene.resolution
    return low <= y < high and low <= x < high


@compiled
def _merge(mask, picture, y, x):
    """Block what a paddle that starts at (y, x) blocks."""
    half = len(picture) // 2
    for i in range(len(picture)):
        row = mask[y - half + i]
        for j in range(len(picture)):
            row[x - half + j] = max(row[x - half + j], picture[i, j])


@compiled
def _overlaps(mask, picture, y, x):
    half = len(picture) // 2
    for i in range(len(picture)):
        row = mask[y - half + i]
        for j in range(len(picture)):
            if np.int64(row[x - half + j]) + np.int64(picture[i, j]) >= TOGETHER:
                return True
    return False


@compiled
def _most_blocked(mask, offsets, y, x):
    most = 0
    for k in range(len(offsets)):
        most = max(most, np.int64(mask[y + offsets[k, 0], x + offsets[k, 1]]))
        if most == 255:
            break
    return most


@compiled
def _weigh(snake, way, tables, scene, mask, sums):
    """Set `sums` (K,) to the running sum of the candidates' weights; return the whole sum."""
    total = 0
    for k in range(len(tables.candidates)):
        weight = tables.turns[way, k]
        y, x = snake.pivot[0] + tables.candidates[k, 0], snake.pivot[1] + tables.candidates[k, 1]
        if weight > 0 and _inside(scene, y, x):
            total += weight * (255 - _most_blocked(mask, tables.around, y, x))
        sums[k] = total
    return total


@compiled
def _choose(state, sums, total):
    """A candidate drawn by weight."""
    wanted, k = below(state, total), 0
    while sums[k] <= wanted:
        k += 1
    return k


@compiled
def _block(mask, snake, i, tables):
    """Block what paddle i of a snake blocks."""
    _merge(mask, tables.blocked[snake.ways[i]], snake.starts[i, 0], snake.starts[i, 1])


@compiled
def _extend(state, snake, i, tables, scene, mask, sums):
    """Place paddle i and block what paddle i - 1 blocks; False at a dead end."""
    way = snake.ways[i - 1]
    snake.pivot[0] += tables.advance[way, 0]
    snake.pivot[1] += tables.advance[way, 1]
    total = _weigh(snake, way, tables, scene, mask, sums)
    if total < DEAD_END:
        return False
    for _ in range(TRIES):
        k = _choose(state, sums, total)
        y, x = snake.pivot[0] + tables.candidates[k, 0], snake.pivot[1] + tables.candidates[k, 1]
        if not _overlaps(mask, tables.blocked[N_DEGREES + k], y, x):
            _block(mask, snake, i - 1, tables)
            snake.starts[i, 0], snake.starts[i, 1], snake.ways[i] = y, x, N_DEGREES + k
            return True
    return False


@compiled
def _place_first(snake, tables, scene, degree, y, x):
    """Place a snake's first paddle with its tail at (y, x); False where head or pivot leaves the image."""
    snake.starts[0, 0], snake.starts[0, 1], snake.ways[0] = y, x, degree
    head_y, head_x = y + tables.far_end[degree, 0], x + tables.far_end[degree, 1]
    snake.pivot[0], snake.pivot[1] = head_y + tables.pivot[degree, 0], head_x + tables.pivot[degree, 1]
    return _inside(scene, head_y, head_x) and _inside(scene, snake.pivot[0], snake.pivot[1])


@compiled
def _start_first(state, snake, tables, scene):
    """The first long snake's first paddle, in the middle of the image."""
    for _ in range(TRIES):
        degree = below(state, N_DEGREES)
        top, left = tables.first_tail[degree, 0], tables.first_tail[degree, 2]
        rows, columns = tables.first_tail[degree, 1] - top + 1, tables.first_tail[degree, 3] - left + 1
        if rows < 1 or columns < 1:
            return False
        y, x = scene.frame + top + below(state, rows), scene.frame + left + below(state, columns)
        if _place_first(snake, tables, scene, degree, y, x):
            return True
    return False


@compiled
def _start_second(state, snake, first, tables, scene):
    """The second long snake's first paddle, at a fixed distance from the first's."""
    for _ in range(TRIES):
        degree, direction = below(state, N_DEGREES), below(state, N_DEGREES)
        y = first.starts[0, 0] + tables.second_tail[direction, 0]
        x = first.starts[0, 1] + tables.second_tail[direction, 1]
        if _place_first(snake, tables, scene, degree, y, x):
            return True
    return False


@compiled
def _start_anywhere(state, snake, tables, scene, mask):
    """A distractor's first paddle, at a uniformly chosen pixel with free ones around it."""
    for _ in range(TRIES):
        degree = below(state, N_DEGREES)
        footprint = tables.footprint[degree, : tables.footprint_size[degree]]
        found, y, x = False, 0, 0
        for _ in range(SEARCHES if len(footprint) > 0 else 0):
            y, x = scene.frame + below(state, scene.resolution), scene.frame + below(state, scene.resolution)
            found = _most_blocked(mask, footprint, y, x) <= FREE
            if found:
                break
        if not found:
            return False
        if _place_first(snake, tables, scene, degree, y, x):
            return True
    return False


@compiled
def _clear(mask, scene):
    """Block the padding, and nothing else."""
    size, edge = scene.resolution, scene.padding
    for i in range(len(mask)):
        y = i - scene.frame
        for j in range(len(mask)):
            x = j - scene.frame
            free = edge <= y < size - edge and edge <= x < size - edge
            mask[i, j] = 255 if _inside(scene, i, j) and not free else 0


@compiled
def _copy(source, target):
    for i in range(len(source)):
        for j in range(len(source)):
            target[i, j] = source[i, j]


@compiled
def _erase(canvas):
    for i in range(len(canvas)):
        for j in range(len(canvas)):
            canvas[i, j] = 0


@compiled
def _grow_long(state, first, second, tables, scene, mask, sums):
    """Grow the two long snakes in turns, paddle by paddle; False where one of them cannot go on."""
    if not _start_first(state, first, tables, scene) or not _start_second(state, second, first, tables, scene):
        return False
    for i in range(1, len(first.ways)):
        for snake in (first, second):
            if not _extend(state, snake, i, tables, scene, mask, sums):
                return False
    _block(mask, second, -1, tables)  # the published code leaves out the first snake's last paddle ...
    # ... so that both may end in one pixel, 3 images in 1000 at 32 pixels, where no label is right. Not so here.
    return first.starts[-1, 0] != second.starts[-1, 0] or first.starts[-1, 1] != second.starts[-1, 1]


@compiled
def _grow_distractor(state, snake, tables, scene, mask, sums):
    """Grow one distractor; False, and a mask that is spoilt, where it finds no place."""
    if not _start_anywhere(state, snake, tables, scene, mask):
        return False
    for i in range(1, len(snake.ways)):
        if not _extend(state, snake, i, tables, scene, mask, sums):
            return False
    _block(mask, snake, -1, tables)
    return True


@compiled
def _paint(canvas, picture, y, x, contrast):
    half = len(picture) // 2
    for i in range(len(picture)):
        row = canvas[y - half + i]
        for j in range(len(picture)):
            row[x - half + j] = max(row[x - half + j], contrast * picture[i, j])


@compiled
def _paint_snake(canvas, snake, tables, contrast):
    for i in range(len(snake.ways)):
        _paint(canvas, tables.bright[snake.ways[i]], snake.starts[i, 0], snake.starts[i, 1], contrast)


@compiled
def _write_ends(snake, tables, scene, ends):
    """Set `ends` (paddles, 2, 2) to tail and head of every paddle, in pixels of the image."""
    for i in range(len(snake.ways)):
        way = snake.ways[i]
        start = 0 if way < N_DEGREES else 1  # a first paddle's picture starts at its tail, any other's at its head
        for axis in range(2):
            at = snake.starts[i, axis] - scene.frame
            ends[i, start, axis], ends[i, 1 - start, axis] = at, at + tables.drawn_end[way, axis]


@compiled
def _stretch(canvas, frame, pixels):
    """Spread the image's gray levels over 0 to 255, rounded, as the published images were saved."""
    size = len(pixels)
    least = most = canvas[frame, frame]
    for i in range(frame, frame + size):
        for j in range(frame, frame + size):
            least, most = min(least, canvas[i, j]), max(most, canvas[i, j])
    scale = 255 / (most - least)
    for i in range(size):
        for j in range(size):
            pixels[i, j] = np.uint8((canvas[frame + i, frame + j] - least) * scale + 0.5)


@compiled
def _draw_long(state, tables, scene, work, ends):
    """Grow both long snakes, however often that takes, and paint them."""
    first, second = new_snake(scene.long_paddles), new_snake(scene.long_paddles)
    grown = False
    while not grown:
        _copy(work.bare, work.mask)
        grown = _grow_long(state, first, second, tables, scene, work.mask, work.sums)
    for snake, snake_ends in ((first, ends[0]), (second, ends[1])):
        _paint_snake(work.canvas, snake, tables, scene.long_contrast)
        _write_ends(snake, tables, scene, snake_ends)


@compiled
def _draw_distractors(state, tables, scene, work):
    """Grow and paint the distractors; one that finds no place in a few attempts is left out."""
    snake = new_snake(scene.distractor_paddles)
    for _ in range(scene.distractors):
        _copy(work.mask, work.before)
        for _ in range(SNAKE_TRIES):
            if _grow_distractor(state, snake, tables, scene, work.mask, work.sums):
                _paint_snake(work.canvas, snake, tables, scene.distractor_contrast)
                break
            _copy(work.before, work.mask)


@compiled
def _draw_discs(state, scene, work, label, ends, discs):
    """Mark a snake's beginning, and the same snake's end for label 1, the other's for label 0."""
    origin = below(state, 2)
    terminal = origin if label == 1 else 1 - origin
    for axis in range(2):
        discs[0, axis], discs[1, axis] = ends[origin, 0, 0, axis], ends[terminal, -1, 1, axis]
    for k in range(2):
        _paint(work.canvas, scene.disc, scene.frame + discs[k, 0], scene.frame + discs[k, 1], 1.0)


@compiled
def draw_many(seed, begin, choices, scene, pixels, labels, margins, ends, discs):
    """Draw images begin, begin + 1, ... of a set; each depends on (seed, its index) alone.

    Args:
        seed: of the set.
        begin: index of the first.
        choices: tuple of the tables of every margin.
        scene: what all images share.
        pixels: (n, R, R) uint8, written.
        labels: (n,) uint8, written.
        margins: (n,) uint8, written: index of the image's margin in `choices`.
        ends: (n, 2, paddles, 2, 2) int16, written: tail and head of every paddle of both long snakes.
        discs: (n, 2, 2) int16, written: the first disc is at a snake's beginning, the second at a snake's end.
    """
    work = _new_work(scene, choices)
    _clear(work.bare, scene)
    for n in range(len(labels)):
        state = stream(seed, begin + n)
        margins[n] = below(state, len(choices))
        labels[n] = below(state, 2)
        tables = choices[margins[n]]
        _erase(work.canvas)
        _draw_long(state, tables, scene, work, ends[n])
        _draw_distractors(state, tables, scene, work)
        _draw_discs(state, scene, work, labels[n], ends[n], discs[n])
        _stretch(work.canvas, scene.frame, pixels[n])
