"""The accepted providers and precisions of a machine."""

import pytest

from lipsync_core.errors import OptionError
from lipsync_core.execution import Execution, ProviderChoice
from lipsync_core.providers import choose_provider, provider_account


def test_by_default_the_machine_decides() -> None:
    assert Execution() == Execution("auto", "fp32")


@pytest.mark.parametrize(("providers", "precision"), [("gpu", "fp32"), ("", "fp32"), ("cpu", "int8")])
def test_an_execution_fails_when_there_is_no_such_choice(providers: str, precision: str) -> None:
    with pytest.raises(OptionError, match="choose"):
        Execution(providers, precision)  # type: ignore[arg-type]


@pytest.mark.parametrize("providers", ["auto", "cpu", "cuda"])
def test_an_execution_fails_when_its_provider_cannot_convert_to_fp16(providers: str) -> None:
    with pytest.raises(OptionError, match=f"precision fp16 does not go with providers {providers}; choose tensorrt"):
        Execution(providers, "fp16")  # type: ignore[arg-type]
    assert Execution("tensorrt", "fp16").precision == "fp16"


def test_a_choice_says_how_a_network_is_opened() -> None:
    assert ProviderChoice("auto", "cuda", "it works", "fp32").opening == "cuda"
    assert ProviderChoice("tensorrt", "tensorrt", "asked for", "fp16").opening == "tensorrt-fp16"


def test_a_model_server_has_a_precision_of_its_own_whatever_the_provider() -> None:
    served = Execution("cuda", "fp16", model_server="grpc://gpu-node:8001")
    choice = choose_provider(served)
    assert (choice.chosen, choice.precision) == ("server", "fp16")
    assert "grpc://gpu-node:8001" in choice.reason
    assert provider_account(served, is_used=True) == choice
    with pytest.raises(OptionError, match="grpc://HOST:PORT"):
        Execution(model_server="gpu-node:8001")
