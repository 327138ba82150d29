"""Everything that grouped descent keeps from step to step, in arrays and as one value of compiled code."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.experimental import structref
from numpy.typing import NDArray

from gfflow.compiled import compiled

Array = NDArray[np.float64]

PAGE = 128  # neurons in a page
SLOTS = 1024  # of the wheel on which blocks wait for their due date
SLOT_STEPS = 4  # steps, at the speed of the build, that a slot of the wheel lasts
GATES = 6  # near gates of a neuron in a page, at most
LOOSE = 512  # loose neurons at most
BANDS = 64  # bands at most
LANES = 8  # strands side by side in a pack

# without regard to NaN, which is never seen here: it ends a call before
shortened: Any = compiled(fastmath={"reassoc", "contract", "nnan", "nsz"})

# indices into `counts`
(
    PATTERNS,
    EDGES,
    GROUPS,
    BLOCKS,
    FREE_GROUP,
    FREE_BLOCK,
    PAGES,
    FREE_PAGE,
    LOOSE_COUNT,
    SLOT,
    BAND_COUNT,  # the last band in use is before
    MANY,  # chatterers on one gate that make a band
) = range(12)
# indices into `clock`
NOW, AHEAD, WIDTH, NEAR, WORK, CHECKS, DONE_STEPS, ASKED = range(8)
# indices into `planes`: x_k, lr r_k x_k / n, and the sum of a_j w_j over the neurons open on k
INPUTS, PULLS, SUMS = range(3)
# rows of a pack of strands, each LANES wide: the map (3, 3) of the weights (w, a), their second moment (its upper
# half), the middle of the neurons' directions (3,), how far these lie from it along the gate's x and across, whether
# the gate is open, and whether this is in doubt
MAP, MOMENT, MIDDLE, ALONG, ACROSS, OPEN, DOUBT, STRAND_ROWS = 0, 9, 15, 18, 19, 20, 21, 22
# indices into `lines`: x_k, and x_k / ||x_k||
INPUT, UNIT = range(2)

WHOLE, REAL = np.int64, np.float64


def record(whole: str, real: str = "") -> np.dtype[Any]:
    """A numpy record of these fields."""
    return np.dtype([(name, WHOLE) for name in whole.split()] + [(name, REAL) for name in real.split()])


SAMPLE = np.dtype([*((name, REAL) for name in ("y", "inverse_length", "h", "loose_h")), ("key", np.uint64)])
PATTERN = np.dtype([("code", np.uint64), *((name, WHOLE) for name in ("parent", "edges", "newest", "page"))])
GROUP = record("pattern first_block", "scale square birth reference")
BLOCK = record("group head size following preceding in_slot", "radius")
BAND = record("closed gate first size formed neurons", "scale square due")
STRAND = record("head size")
RESIDENT = record("neuron", "due wait")
PAGE_RECORD = record("pattern gates size place listed free next", "due")


class Arrays(NamedTuple):
    """Everything that grouped descent keeps while it steps: m neurons, n samples, e = d + 1 weights a neuron."""

    sample: NDArray[Any]  # (n,): label, 1 / ||x_k||, outputs, and a random word: a pattern's code is the exclusive or
    # of the words of its open samples
    planes: NDArray[Any]  # (3, n, d): INPUTS, PULLS, SUMS
    counts: NDArray[Any]
    clock: NDArray[Any]  # NOW = sum over the steps of the largest lr ||D||, an upper bound of every ln ||map||
    gates: NDArray[Any]  # (patterns, n) bool
    patterns: NDArray[Any]  # code, a parent that differs in few gates (a smaller number; 0 is the pattern of dead
    # neurons), where the differences from it begin in `edge`, the group that takes newcomers, the first of its pages
    table: NDArray[Any]  # hash table of codes: pattern + 1, or 0
    edge: NDArray[Any]  # a sample that is open here and closed in the parent, or -1 - it the other way round
    fields: NDArray[Any]  # (d, patterns): lr D
    total: NDArray[Any]  # (d, patterns): sum of a_j w_j over the neurons of the pattern
    groups: NDArray[Any]  # theirs: a power of two by which theta is divided, its square, the clock when the group was
    # formed, the trace of the moments when they were last summed afresh
    maps: NDArray[Any]  # (e e, groups)
    moments: NDArray[Any]  # (e e, groups)
    work: NDArray[Any]  # (4 e, groups): room for a sweep
    blocks: NDArray[Any]
    centre: NDArray[Any]  # (blocks, e)
    block_moments: NDArray[Any]  # (blocks, e e)
    slots: NDArray[Any]  # the wheel: the first block that waits in each slot
    theta: NDArray[Any]  # (m, e): weights when the neuron joined its group, over the group's scale; or as they are
    chain: NDArray[Any]  # (m,): the next neuron of the same block
    bands: NDArray[Any]  # theirs: the pattern on the closed side of the gate; the first of its strands, how
    # many there are and were when it was formed; a power of two by which theta is divided, and its square
    strands: NDArray[Any]  # what a step needs of them, see `strands`
    strand_chains: NDArray[Any]  # (strands,): their neurons
    pages: NDArray[Any]  # their pattern with all their gates closed; the next page of this pattern; `listed` and
    # `free` are lists, of the pages in use and of the others
    page_gates: NDArray[Any]  # (pages, GATES): the samples whose gates are near
    residents: NDArray[Any]  # (pages PAGE,)
    near: NDArray[Any]  # (e, pages PAGE): their weights
    room: NDArray[Any]  # (2 + GATES, PAGE): room for the sweep of a page
    lines: NDArray[Any]  # (2, d, n): INPUT, UNIT, by coordinate
    distance: NDArray[Any]  # (n,): room for distances from gates
    near_gates: NDArray[Any]  # (GATES,): the near gates of the neuron that is looked at
    loose: NDArray[Any]  # (LOOSE,)


class StateType(types.StructRef):
    """Arrays as compiled code hands them from function to function: by one pointer."""

    def preprocess_fields(self, fields):  # type: ignore[no-untyped-def]
        return tuple((name, types.unliteral(kind)) for name, kind in fields)


class State:
    """Stands for StateType in compiled code; made of Arrays by state_of."""


structref.register(StateType)
structref.define_constructor(State, StateType, list(Arrays._fields))
structref.define_attributes(StateType)


@compiled
def strands_of(neurons):  # type: ignore[no-untyped-def]
    """How many strands a band of so many neurons is formed with, where its upkeep costs least."""
    return int(np.sqrt(30.0 * neurons)) + 1


@compiled
def state_of(arrays):  # type: ignore[no-untyped-def]
    """The arrays as one value of compiled code."""
    return State(  # type: ignore[call-arg]
        arrays.sample,
        arrays.planes,
        arrays.counts,
        arrays.clock,
        arrays.gates,
        arrays.patterns,
        arrays.table,
        arrays.edge,
        arrays.fields,
        arrays.total,
        arrays.groups,
        arrays.maps,
        arrays.moments,
        arrays.work,
        arrays.blocks,
        arrays.centre,
        arrays.block_moments,
        arrays.slots,
        arrays.theta,
        arrays.chain,
        arrays.bands,
        arrays.strands,
        arrays.strand_chains,
        arrays.pages,
        arrays.page_gates,
        arrays.residents,
        arrays.near,
        arrays.room,
        arrays.lines,
        arrays.distance,
        arrays.near_gates,
        arrays.loose,
    )


def room_of_band(neurons: int) -> int:
    """For how many strands a band of up to so many neurons has room, in whole packs."""
    return -(-(4 * int(strands_of(neurons)) + 256) // LANES) * LANES


def empty_state(x: Array, y: Array, keys: NDArray[np.uint64], m: int, patterns: int, many: int) -> Arrays:
    """Arrays for samples x (n, d), y (n,) with the words `keys` (n,), m neurons and up to so many patterns: no
    pattern, no group and no neuron is in them yet. `many` chatterers on one gate make a band."""
    n, d = x.shape
    bands = min(BANDS, m // many) if d == 2 else 0
    strands = bands * room_of_band(m)
    e, groups, pages = d + 1, 2 * patterns + 64, m // PAGE + 2 * patterns + 64
    table = 64
    while table < 4 * patterns:
        table *= 2
    lengths = np.linalg.norm(x, axis=1)
    sample = np.zeros(n, SAMPLE)
    sample["y"], sample["inverse_length"], sample["key"] = y, 1 / lengths, keys
    planes = np.zeros((3, n, d))
    planes[INPUTS] = x
    counts = np.zeros(12, dtype=np.int64)
    counts[MANY] = many
    counts[[FREE_GROUP, FREE_BLOCK]] = -1
    counts[FREE_PAGE] = pages
    page_records = np.zeros(pages, PAGE_RECORD)
    page_records["free"] = np.arange(pages)[::-1]
    return Arrays(
        sample=sample,
        planes=planes,
        counts=counts,
        clock=np.zeros(8),
        gates=np.zeros((patterns, n), np.bool_),
        patterns=np.zeros(patterns + 1, PATTERN),
        table=np.zeros(table, np.int64),
        edge=np.zeros(patterns * min(n, 64) + 2 * n, np.int64),
        fields=np.zeros((d, patterns)),
        total=np.zeros((d, patterns)),
        groups=np.zeros(groups, GROUP),
        maps=np.zeros((e * e, groups)),
        moments=np.zeros((e * e, groups)),
        work=np.zeros((4 * e, max(groups, d))),
        blocks=np.empty(m + 1, BLOCK),
        centre=np.empty((m + 1, e)),
        block_moments=np.empty((m + 1, e * e)),
        slots=np.full(SLOTS, -1, np.int64),
        theta=np.empty((0, e)),
        chain=np.empty(m, np.int64),
        bands=np.zeros(bands, BAND),
        strands=np.empty(strands * STRAND_ROWS),
        strand_chains=np.empty(strands, STRAND),
        pages=page_records,
        page_gates=np.zeros((pages, GATES), np.int64),
        residents=np.empty(pages * PAGE, RESIDENT),
        near=np.empty((e, pages * PAGE)),
        room=np.zeros((2 + GATES, PAGE)),
        lines=np.stack([x.T, (x / lengths[:, None]).T]),
        distance=np.zeros(n),
        near_gates=np.zeros(GATES, np.int64),
        loose=np.zeros(LOOSE, np.int64),
    )
