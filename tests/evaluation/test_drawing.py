import pytest

from keras_gw_resnet import build_model, list_models
from keras_gw_resnet.evaluation.drawing import boxes_of, draw_network


@pytest.mark.parametrize("name", [n for n in list_models() if n not in ("densenet169", "densenet201")])
def test_every_convolution_is_in_a_box(name):
    model = build_model(name, width=4)
    boxes = boxes_of(model)
    drawn = sum(box.count * sum("conv " in line for line in (*box.lines, box.beside)) for box in boxes)
    assert drawn == sum(type(layer).__name__ == "Conv1D" for layer in model.layers)
    assert len(boxes) < 45
    assert boxes[-1].lines == ("dense 1",)


@pytest.mark.parametrize(
    ("name", "kind"), [("resnet50", "residual"), ("highway20", "highway"), ("densenet121", "dense")]
)
def test_blocks_are_known_by_their_kind(name, kind):
    kinds = {box.kind for box in boxes_of(build_model(name, width=4)) if box.stage}
    assert kind in kinds


def test_picture(tmp_path):
    draw_network(build_model("stacked-mixed", width=4), tmp_path / "net.png")
    assert (tmp_path / "net.png").stat().st_size > 20_000
