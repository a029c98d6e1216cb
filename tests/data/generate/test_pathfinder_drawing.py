"""Paddles and discs against Pillow, which drew the published images."""

import math

import numpy as np
import pytest
from PIL import Image, ImageDraw

from longrange.data.generate.pathfinder_drawing import disc, displacement, line_offsets, offsets_within, paddle, reduce
from longrange.data.generate.pathfinder_tables import SETTINGS

SHAPES = sorted({(s.paddle_length, s.paddle_thickness, margin) for s in SETTINGS.values() for margin in s.margins})


def reduced(drawn: np.ndarray, size: int) -> np.ndarray:
    return np.array(Image.fromarray(drawn).resize((size, size), Image.Resampling.LANCZOS))


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_lines_are_pillows(width):
    for degree in range(-180, 180, 3):
        end = displacement(10, math.radians(degree))
        image = Image.new("L", (41, 41))
        ImageDraw.Draw(image).line([(20, 20), (20 + int(end[1]), 20 + int(end[0]))], fill=255, width=width)
        ours = np.zeros((41, 41), np.uint8)
        ours[tuple((line_offsets(end, width) + 20).T)] = 255
        np.testing.assert_array_equal(ours, np.array(image), err_msg=f"{degree} degrees")


@pytest.mark.parametrize(("length", "thickness", "margin"), SHAPES)
def test_paddles_are_reduced_as_pillow_does(length, thickness, margin):
    half = length + math.ceil(thickness) + margin
    for degree in range(-180, 180, 15):
        drawn, wide = np.zeros((2, 4 * half + 1, 4 * half + 1), np.uint8)
        line = line_offsets(displacement(2 * length, math.radians(degree)), round(2 * thickness)) + 2 * half
        drawn[tuple(line.T)] = 255
        for offset in offsets_within(2 * margin):
            wide[tuple((line + offset).T)] = 255
        bright, blocked = paddle(math.radians(degree), length, thickness, margin)
        np.testing.assert_array_equal(bright, reduced(drawn, 2 * half + 1))
        np.testing.assert_array_equal(blocked, reduced(wide, 2 * half + 1))


@pytest.mark.parametrize("radius", [s.marker_radius for s in SETTINGS.values()])
def test_discs_are_pillows(radius):
    y, x = np.mgrid[-64:64, -64:64]
    whole = reduced(np.where(y**2 + x**2 <= (2 * radius) ** 2, 255, 0).astype(np.uint8), 64)
    ours = disc(radius)
    half = len(ours) // 2
    np.testing.assert_array_equal(ours, whole[32 - half : 33 + half, 32 - half : 33 + half])
    assert whole.astype(int).sum() == ours.astype(int).sum()  # nothing lies outside


def test_any_image_is_reduced_as_pillow_does():
    image = np.random.default_rng(0).integers(0, 256, (37, 37), np.uint8)
    for size in (1, 9, 18, 37):
        np.testing.assert_array_equal(reduce(image, size), reduced(image, size))


def test_displacement_rounds_up_but_not_errors_of_rounding():
    assert displacement(10, math.pi).tolist() == [0, -10]
    assert displacement(2, math.radians(30)).tolist() == [1, 2]
    assert displacement(2, math.radians(-100)).tolist() == [-1, 0]
