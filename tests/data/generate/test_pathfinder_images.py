"""Drawn Pathfinder images: the same for a seed, true to their labels, like the published ones."""

import hashlib
import json

import numpy as np
import pytest
from paths import GOLDEN

from longrange.data.generate import pathfinder
from longrange.data.generate.likeness import find_discs, measure, region_sizes
from longrange.data.generate.pathfinder import LEVELS, Drawn, Recipe, draw, draw_all
from longrange.data.generate.pathfinder_tables import N_DEGREES, SETTINGS, build_tables
from longrange.errors import ConfigError

OFFICIAL = json.loads((GOLDEN / "pathfinder_statistics.json").read_text())


@pytest.fixture(scope="module")
def small() -> Drawn:
    return draw(Recipe(32), 0, 0, 2000)


@pytest.fixture(scope="module")
def large() -> Drawn:
    return draw(Recipe(128), 0, 0, 100)


def together(blocks) -> np.ndarray:
    return np.concatenate([drawn.pixels for _, drawn in blocks])


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_pixels_do_not_depend_on_the_number_of_workers(small, workers):
    recipe = Recipe(32, images=2 * pathfinder.BLOCK + 7)
    np.testing.assert_array_equal(together(draw_all(recipe, 0, workers)), small.pixels[: recipe.images])


def test_pixels_of_a_seed_never_change(small, large):
    digest = hashlib.sha256(small.pixels[:200].tobytes() + large.pixels[:20].tobytes()).hexdigest()
    assert digest == "a2f6b005f90ad051aba16ac71a5fa11935910cc6fcbe953107c9718cfb582e7e"


def test_an_image_depends_on_its_index_alone(small):
    np.testing.assert_array_equal(draw(Recipe(32), 0, 57, 61).pixels, small.pixels[57:61])
    assert (draw(Recipe(32), 1, 57, 61).pixels != small.pixels[57:61]).any(axis=(1, 2)).all()


def joined(drawn: Drawn, n: int) -> int:
    """Whether one walk over lit paddles leads from disc to disc: the label, read off the drawing."""
    scale = drawn.pixels[n].max() / 255
    reached = []
    for snake in drawn.ends[n].astype(int):
        assert all(drawn.pixels[n][tuple(end)] > 40 * scale for end in snake.reshape(-1, 2))
        gaps = np.abs(snake[1:, 0] - snake[:-1, 1]).max(axis=1)
        assert gaps.max() <= 2 * drawn.margins[n] + 4  # two margins, and rounding at both ends
        reached.append([(snake[0, 0] == drawn.discs[n, 0]).all(), (snake[-1, 1] == drawn.discs[n, 1]).all()])
    assert np.sum(reached, axis=0).tolist() == [1, 1]
    return int(np.all(reached, axis=1).any())


def test_the_label_says_what_is_drawn(small, large):
    for drawn in (small, large):
        assert [joined(drawn, n) for n in range(len(drawn.labels))] == drawn.labels.tolist()


def test_discs_are_where_they_are_said_to_be(small, large):
    for drawn in (small, large):
        for pixels, discs in zip(drawn.pixels[:100], drawn.discs, strict=False):
            assert {tuple(place) for place in find_discs(pixels).tolist()} == {tuple(d) for d in discs.tolist()}


@pytest.mark.parametrize("resolution", [32, 128])
def test_images_are_like_the_published_ones(small, large, resolution):
    """Four standard errors of both samples; the published sample's gray levels were cut, not rounded."""
    drawn, official = {32: small, 128: large}[resolution], OFFICIAL[str(resolution)]
    ours, error = measure(drawn.pixels), (1 / official["images"] + 1 / len(drawn.labels)) ** 0.5
    spread = {"lit pixels, %": "their spread over images, %", "mean gray level": "its spread over images"}
    for name, its_spread in spread.items():
        assert abs(ours[name] - official[name]) < 4 * error * official[its_spread] + 0.01 * official[name]
        assert ours[its_spread] == pytest.approx(official[its_spread], rel=0.3)
    for name in ("bright pixels, %", "gray level of the middle"):
        assert ours[name] == pytest.approx(official[name], rel=0.06)
    for quartile in ("25%", "50%", "75%"):
        name = f"distance of the discs, {quartile}"
        assert ours[name] == pytest.approx(official[name], abs=4 * error * 0.2)
        assert ours[f"connected pixels, {quartile}"] == official[f"connected pixels, {quartile}"]


def test_connected_regions_are_told_apart_and_counted():
    image = np.array([[1, 1, 0, 1], [0, 1, 0, 0], [1, 0, 0, 1], [1, 1, 0, 1]], dtype=bool)
    assert sorted(region_sizes(image).tolist()) == [1, 2, 3, 3]
    assert region_sizes(np.zeros((3, 3), bool)).tolist() == []


def test_labels_are_balanced(small):
    assert abs(small.labels.mean() - 0.5) < 0.05  # standard deviation 0.011


def test_gray_levels_fill_the_range(small, large):
    for drawn in (small, large):
        assert (drawn.pixels.min(axis=(1, 2)) == 0).all()
        assert (drawn.pixels.max(axis=(1, 2)) == 255).all()


@pytest.mark.parametrize("resolution", SETTINGS)
@pytest.mark.parametrize("level", LEVELS)
def test_every_resolution_and_level_can_be_drawn(resolution, level):
    recipe = Recipe(resolution, level)
    drawn = draw(recipe, 0, 0, 2)
    assert drawn.pixels.shape == (2, resolution, resolution)
    assert drawn.ends.shape == (2, 2, LEVELS[level], 2, 2)
    assert [joined(drawn, n) for n in range(2)] == drawn.labels.tolist()
    assert set(drawn.margins.tolist()) <= set(recipe.setting.margins)


def test_distractors_are_fewer_the_longer_they_are():
    recipes = [Recipe(128, level) for level in LEVELS]
    assert [(recipe.distractors, recipe.distractor_paddles) for recipe in recipes] == [(17, 2), (11, 3), (8, 4)]


def test_first_paddles_at_32_pixels_point_up_and_left():
    """What the published code does there: elsewhere it finds its mask full."""
    usable = np.flatnonzero(build_tables(SETTINGS[32], 32, 1).footprint_size) - N_DEGREES // 2
    assert (usable.min(), usable.max()) == (-150, -120)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("resolution", 48, r"data\.recipe\.resolution=48: must be one of 32, 64, 128, 256"),
        ("level", "medium", r"data\.recipe\.level=medium: must be one of easy, intermediate, hard"),
        ("images", 9, r"data\.recipe\.images=9: must be at least 10"),
    ],
)
def test_impossible_recipes(field, value, message):
    with pytest.raises(ConfigError, match=message):
        Recipe(**{field: value})


def test_negative_seed():
    with pytest.raises(ConfigError, match=r"data\.generator_seed=-1: must be 0 or more"):
        next(draw_all(Recipe(), -1))
