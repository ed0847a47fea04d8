"""How the command line is parsed."""

import pytest

from keras_gw_resnet.cli import build_parser


@pytest.mark.parametrize(
    "words", ["MODEL --slides 2 A B", "--slides 2 MODEL A B", "MODEL A --slides 2 B", "MODEL A B --slides 2"]
)
def test_options_of_a_search_stand_anywhere(words):
    args = build_parser().parse_args(["search", "--output", "x.hdf", *words.split()])
    assert (args.model, args.strain, args.slides) == ("MODEL", ["A", "B"], 2)
