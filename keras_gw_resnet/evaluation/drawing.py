"""Draw a network: one box for each kind of block, one column for each stage."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from keras_gw_resnet.files import written_aside
from keras_gw_resnet.models.graph_blocks import blocks_of

if TYPE_CHECKING:
    import keras

KINDS = {
    "residual": ("#cfe3f7", "y = relu(F(x) + x)"),
    "highway": ("#fbe3c2", "y = H(x) T(x) + x (1 - T(x))"),
    "dense": ("#d9efd2", "y = [x, F(x)]"),
    "plain": ("#eeeeee", ""),
}
# Boxes in a column; a longer stage goes on in the next.
TALLEST = 6


@dataclass
class Box:
    """A block, or a run of equal blocks, as it is drawn; `beside` says what stands on the way around it."""

    stage: str
    title: str
    lines: tuple
    kind: str
    shape: tuple
    count: int = 1
    beside: str = ""


def _stage_of(layer):
    """Return the stage that a layer is drawn in, as the families call them: stage1 of stage1_block0_conv1; "" where it is in none."""
    named = re.match(r"(?:stage|group)\d+", layer.name)
    return named.group() if named else ""


def _describe(layer, block):
    """Return what a layer, of a block or of none, does in a few words, or None where it goes without saying."""
    kind = type(layer).__name__
    if kind == "Conv1D":
        stride = f", stride {layer.strides[0]}" if layer.strides[0] > 1 else ""
        dilation = f", dilation {layer.dilation_rate[0]}" if layer.dilation_rate[0] > 1 else ""
        role = ""
        if block and block.kind == "highway":
            role = "gate: " if layer is block.decisive else "transform: "
        return f"{role}conv {layer.kernel_size[0]}, {layer.filters}{stride}{dilation}"
    if kind in ("MaxPooling1D", "AveragePooling1D"):
        return f"{'max' if kind[0] == 'M' else 'average'}-pool {layer.pool_size[0]}, stride {layer.strides[0]}"
    if kind == "Dense":
        return f"dense {layer.units}"
    if kind == "Maximum":
        return f"the largest of {len(layer.input)} shifts"
    if kind == "Cropping1D":
        return f"drop {layer.cropping[0]} and {layer.cropping[1]} features at the edges"
    return {
        "GlobalAveragePooling1D": "average over time",
        "GlobalMaxPooling1D": "maximum over time",
        "Flatten": "flatten",
        "Functional": f"{layer.name}",
    }.get(kind)


def boxes_of(model: keras.Model) -> list[Box]:
    """List the Boxes of a network in the order of its layers, runs of equal blocks in one."""
    blocks = {layer.name: block for block in blocks_of(model, dense=True) for layer in block.layers}
    groups = {}
    for layer in model.layers:
        block = blocks.get(layer.name)
        groups.setdefault(block.name if block else layer.name, (block, []))[1].append(layer)
    boxes = []
    for name, (block, layers) in groups.items():
        around = {layer.name for layer in block.around} if block else set()
        described = [(layer, text) for layer in layers if (text := _describe(layer, block))]
        lines = tuple(text for layer, text in described if layer.name not in around)
        beside = ", ".join(text for layer, text in described if layer.name in around)
        if not lines:
            continue
        shape, kind = tuple(layers[-1].output.shape[1:]), block.kind if block else "plain"
        box = Box(_stage_of(layers[0]), name, lines, kind, shape, beside=beside)
        last = boxes[-1] if boxes else None
        # In a dense block the channels grow from layer to layer; what each adds is the same.
        alike = last and (last.stage, last.kind, last.lines, last.beside) == (
            box.stage,
            box.kind,
            box.lines,
            box.beside,
        )
        if alike and box.stage:
            last.count, last.shape = last.count + 1, box.shape
            continue
        boxes.append(box)
    return boxes


def draw_network(model: keras.Model, path: Path | str) -> None:
    """Draw a network from its input to its output.

    Args:
        model: `keras.Model`.
        path: Picture to write (.png, .svg or .pdf).
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = []
    for box in boxes_of(model):
        if not columns or columns[-1][0].stage != box.stage or len(columns[-1]) == TALLEST:
            columns.append([])
        columns[-1].append(box)
    heights = [[0.55 + 0.2 * (len(box.lines) + 1 + bool(box.beside)) for box in column] for column in columns]
    tall = max(sum(column) + 0.35 * len(column) for column in heights)
    wide = max(2.9 * len(columns), 8.0)
    figure = Figure(figsize=(wide, tall + 1.3))
    FigureCanvasAgg(figure)
    axis = figure.add_axes((0, 0, 1, 1), xlim=(0, wide), ylim=(-tall - 0.4, 0.9))
    axis.axis("off")
    samples, detectors = model.input_shape[1:]
    title = f"{model.name}: strain of {samples} samples x {detectors} detectors, {model.count_params():,} parameters"
    axis.text(0.15, 0.55, title, fontsize=11, weight="bold")
    note = (
        "every convolution of a block with norm and ReLU; a curve at a box is the way around it, with what stands on it"
    )
    if any(box.kind != "plain" for column in columns for box in column):
        axis.text(0.15, -tall - 0.25, note, fontsize=7.5, color="0.35")
    arrow = {"arrowstyle": "->", "color": "0.4", "shrinkA": 0, "shrinkB": 0}
    for number, (column, high) in enumerate(zip(columns, heights, strict=True)):
        left, bottom = 2.9 * number + 0.5, -sum(high) - 0.35 * (len(high) - 1)
        _draw_column(axis, left, column, high, arrow)
        if number + 1 < len(columns):
            # From below the last box of this column to the first of the next.
            below, gap, next_left = bottom - 0.15, left + 2.6, left + 4.05
            axis.plot(
                [left + 1.15, left + 1.15, gap, gap, next_left], [bottom - 0.03, below, below, 0.2, 0.2], "0.4", lw=1
            )
            axis.annotate("", (next_left, 0.03), (next_left, 0.2), arrowprops=arrow)
    with written_aside(path) as aside:
        figure.savefig(aside, dpi=110)


def _draw_column(axis, left, column, heights, arrow):
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

    top = 0.0
    for box, height in zip(column, heights, strict=True):
        colour, formula = KINDS[box.kind]
        axis.add_patch(
            FancyBboxPatch(
                (left, top - height), 2.3, height, boxstyle="round,pad=0.03", facecolor=colour, edgecolor="0.4"
            )
        )
        times = f"  x {box.count}" if box.count > 1 else ""
        axis.text(left + 0.1, top - 0.2, box.title.replace("_", " ") + times, fontsize=7.5, weight="bold", va="center")
        for index, line in enumerate(box.lines):
            axis.text(left + 0.1, top - 0.42 - 0.2 * index, line, fontsize=7.5, va="center")
        out = " x ".join("?" if size is None else str(size) for size in box.shape)
        axis.text(left + 2.2, top - height + 0.12, out, fontsize=6.5, color="0.35", ha="right", va="center")
        axis.text(left + 0.1, top - height + 0.12, formula, fontsize=6.5, color="0.35", va="center", style="italic")
        if box.kind != "plain":
            curve: dict = {"connectionstyle": "arc3,rad=0.45", "arrowstyle": "->", "mutation_scale": 8, "color": "0.3"}
            axis.add_patch(FancyArrowPatch((left - 0.03, top - 0.08), (left - 0.03, top - height + 0.08), **curve))
            if box.beside:
                at = top - 0.42 - 0.2 * len(box.lines)
                axis.text(left + 0.1, at, f"on the way around: {box.beside}", fontsize=7, color="0.2", va="center")
        if box is not column[-1]:
            axis.annotate("", (left + 1.15, top - height - 0.32), (left + 1.15, top - height - 0.03), arrowprops=arrow)
        top -= height + 0.35
