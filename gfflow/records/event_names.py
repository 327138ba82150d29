"""What events are called: the same on the terminal, in figures and in TensorBoard."""

from __future__ import annotations

import re

OF_GROUPS = {
    "aligned": "neurons aligned, cosine 0.999",
    "plus_leaves_zero": "u+ at 1% of its limit",
    "plus_fitted": "u+ at 99% of its limit",
    "minus_leaves_zero": "u- at 1% of its limit",
    "minus_fitted": "u- at 99% of its limit",
}
OF_LOSS = {"leaves_zero": "the loss leaves its level at zero, 1%", "fitted": "the loss has come to its end, 99%"}
EVENT_NAMES = OF_GROUPS | OF_LOSS
SADDLE_EVENT = re.compile(r"saddle_(\d+)_(reached|left)")
