"""Lists that wait for a refresh."""

from service.personalize.refresher import RefreshQueue


def test_lists_wait_once_each_the_longest_first_and_no_more_than_allowed() -> None:
    queue = RefreshQueue[str, int](3)
    assert [queue.add(key, number) for number, key in enumerate("abac")] == [True] * 4
    assert [queue.add(key, 9) for key in "da"] == [False, False]
    assert (list(queue), len(queue)) == (["a", "b", "c"], 3)
    assert queue.take() == ("a", 0)
    queue.forget("b")
    queue.forget("unknown")
    assert queue.add("d", 4)
    assert [queue.take(), queue.take()] == [("c", 3), ("d", 4)]
    assert not len(queue)
