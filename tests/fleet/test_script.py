"""What a script may answer; anything else is a proxy's, or the answer to another question."""

import pytest
from redis.exceptions import InvalidResponse

from service.fleet.script import Answers, Script


class Way:
    def __init__(self, answer: object) -> None:
        self._answer = answer

    async def evalsha(self, sha: str, count: int, *keys_and_args: object) -> object:
        del sha, count, keys_and_args
        return self._answer

    async def eval(self, text: str, count: int, *keys_and_args: object) -> object:
        del text, count, keys_and_args
        raise AssertionError("the server knows it")


@pytest.mark.parametrize(
    ("answers", "answer", "is_one"),
    [
        (int, 1, True),
        (int, b"1", False),
        (bytes | None, None, True),
        ((bytes, int), [b"a", 1], True),
        ((bytes, int), [b"a", 1, b"more"], True),
        ((bytes, int), [b"a"], False),
        ((bytes, int), [1, 1], False),
        ((bytes, int), [], False),
        ((int, int), b"ab", False),
    ],
)
async def test_a_script_that_answers_with_something_else_than_it_returns_has_not_answered(
    answers: Answers, answer: object, *, is_one: bool
) -> None:
    script = Script(lambda: Way(answer), "return", answers)
    if is_one:
        assert await script(keys=["k"]) == answer
    else:
        with pytest.raises(InvalidResponse, match="something else"):
            await script(keys=["k"])
