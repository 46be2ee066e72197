"""What is promised of the local models on a real shop; `python -m bench.local_models` measures all of it."""

import pytest

from bench.local_models import LEAST_GAIN, LEAST_HIT_RATE, trained, worth_of_popularity, worth_of_users
from tests.support.processes import RETAIL

pytestmark = pytest.mark.long


@pytest.mark.skipif(not RETAIL.is_dir(), reason="the retail data are not here")
def test_personal_lists_of_a_real_shop_keep_what_is_promised() -> None:
    # Some seconds long: the whole shop is learned, since the figure is for the whole shop.
    held_out, models = trained(RETAIL, ["aws-user-personalization"])

    personal = worth_of_users(models["aws-user-personalization"], held_out)
    popular = worth_of_popularity(held_out)

    assert personal.hit_rate >= LEAST_HIT_RATE
    assert personal.ndcg >= LEAST_GAIN * max(one.ndcg for one in popular.values())
