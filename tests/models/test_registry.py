import pytest

from keras_gw_resnet import InputError, build_model, list_models


def test_natural_order_and_pattern():
    names = list_models()
    assert names.index("resnet18") < names.index("resnet101")
    assert list_models("resnet1?") == ["resnet16", "resnet18"]
    assert list_models("nothing*") == []


def test_unknown_name_gives_the_nearest():
    with pytest.raises(InputError, match=r"unknown model 'resnet19'.*resnet18"):
        build_model("resnet19")


def test_unknown_option_lists_the_known():
    with pytest.raises(InputError, match=r"resnet18 has no option depth.*kernel_size"):
        build_model("resnet18", depth=3)
