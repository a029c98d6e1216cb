"""How long a training step would take on several devices that share its batch, from its time on one.

    step(n) = s ceil(B / n) / B  +  l + 2 (n - 1) / n * G / b  +  k l

with s seconds on one device, B examples in the batch, G bytes of gradients, k small sums (of norms, one after another),
and a link of bandwidth b and latency l. The work is taken to be proportional to the examples of the fullest device, and
nothing to be sent while something is computed. The second term is a ring's: each byte leaves a device twice.
"""

from math import ceil
from typing import NamedTuple


class Link(NamedTuple):
    """What connects the devices.

    Attributes:
        bandwidth: bytes a second that a device sends in a large all-reduce.
        latency: seconds of an all-reduce that is too small to matter.
    """

    bandwidth: float
    latency: float


class OneDevice(NamedTuple):
    """A step on one device.

    Attributes:
        seconds: of the whole batch.
        batch_size: its examples.
        gradient_bytes: of all parameters.
        small_sums: sums over devices that a step waits for, besides that of the gradients.
    """

    seconds: float
    batch_size: int
    gradient_bytes: int
    small_sums: int


class Estimate(NamedTuple):
    """A step on several devices, in seconds.

    Attributes:
        devices: how many.
        examples: of the fullest one.
        compute_s: of its examples.
        gradient_s: of summing the gradients.
        small_s: of all small sums.
        step_s: of all three.
        speedup: over one device.
        efficiency: speed-up over devices.
    """

    devices: int
    examples: int
    compute_s: float
    gradient_s: float
    small_s: float
    step_s: float
    speedup: float
    efficiency: float


def step_on(devices: int, one: OneDevice, link: Link) -> Estimate:
    """The step on a number of devices, which need not divide the batch; those above it have nothing to do."""
    examples = ceil(one.batch_size / devices)
    compute_s = one.seconds * examples / one.batch_size
    sent = 2 * (devices - 1) / devices * one.gradient_bytes
    gradient_s = link.latency + sent / link.bandwidth if devices > 1 else 0.0
    small_s = one.small_sums * link.latency if devices > 1 else 0.0
    step_s = compute_s + gradient_s + small_s
    speedup = one.seconds / step_s
    return Estimate(devices, examples, compute_s, gradient_s, small_s, step_s, speedup, speedup / devices)
