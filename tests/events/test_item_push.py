"""Putting a catalogue's items: at which rate, what is noted, and what a value has to be. Time is moved by the push."""

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from service.errors import BatchError, ConfigurationError, RecommenderError, RecommenderRefused
from service.events.items.push import ItemPush, PushReport
from service.events.items.pushed import PushedItems
from service.events.items.schema import ItemProblem, ItemSchema, SchemaColumn, schema_as_named, schema_of

ARN = "arn:aws:personalize:eu-west-1:123456789012:dataset/shop/ITEMS"


class Taker:
    """Says when it was called and with what; fails for items of a name, or while it is away."""

    def __init__(self, *, seconds: float = 0.0) -> None:
        self.now = 0.0
        self.seconds = seconds
        self.away_until = -1.0
        self.bad: set[str] = set()
        self.calls: list[tuple[float, int]] = []
        self.taken: list[str] = []
        self.progress: list[int] = []
        self.report = PushReport()

    def put(self, items: Sequence[tuple[str, str]]) -> None:
        self.calls.append((round(self.now, 3), len(items)))
        self.now += self.seconds
        if self.now <= self.away_until:
            raise RecommenderError("ResourceInUseException")
        if self.bad & {item_id for item_id, _ in items}:
            raise RecommenderRefused("InvalidInputException (400): bad")
        self.taken += [item_id for item_id, _ in items]

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds

    def run(self, pushed: PushedItems) -> PushReport:
        report = self.report = PushReport()
        push = ItemPush(
            self, pushed, report, on_progress=self.progress.append, clock=lambda: self.now, sleep=self.sleep
        )
        push.run()
        return report


@pytest.fixture
def pushed(tmp_path: Path) -> Iterator[PushedItems]:
    with closing(PushedItems(tmp_path, ARN)) as found:
        yield found


def want(pushed: PushedItems, count: int) -> None:
    for number in range(count):
        assert pushed.want(f"i{number}", "{}", anew=False)


def test_ten_items_go_in_a_call_and_ten_calls_in_a_second(pushed: PushedItems) -> None:
    want(pushed, 43)
    taker = Taker()
    report = taker.run(pushed)
    assert taker.calls == [(0.0, 10), (0.1, 10), (0.2, 10), (0.3, 10), (0.4, 3)]
    assert taker.progress == [10, 20, 30, 40, 43]
    assert (report.put, report.refused, report.problems) == (43, 0, [])
    assert taker.taken == [f"i{number}" for number in range(43)]


def test_a_slow_call_is_not_made_up_for(pushed: PushedItems) -> None:
    want(pushed, 30)
    taker = Taker(seconds=0.35)
    taker.run(pushed)
    assert [at for at, _ in taker.calls] == [0.0, 0.35, 0.7]
    want_again = [f"i{number}" for number in range(30) if pushed.want(f"i{number}", "{}", anew=False)]
    assert want_again == []


def test_of_a_refused_call_each_item_goes_by_itself_and_only_the_bad_one_is_left_out(pushed: PushedItems) -> None:
    want(pushed, 12)
    taker = Taker()
    taker.bad = {"i3", "i11"}
    report = taker.run(pushed)
    assert [count for _, count in taker.calls] == [10, *[1] * 10, 2, 1, 1]
    assert (report.put, report.refused) == (10, 2)
    assert report.problems == [f"{name}: InvalidInputException (400): bad" for name in ("i3", "i11")]
    assert taker.progress == [10, 12]
    assert pushed.is_new("i3")
    assert not pushed.is_new("i4")


def test_a_failure_is_waited_out_ever_longer_and_for_ten_minutes(pushed: PushedItems) -> None:
    want(pushed, 1)
    taker = Taker()
    taker.away_until = 130.0
    assert taker.run(pushed).put == 1
    # A second, twice as long each time, and never more than half a minute.
    assert [at for at, _ in taker.calls] == [0.0, 1.0, 3.0, 7.0, 15.0, 31.0, 61.0, 91.0, 121.0, 151.0]

    assert pushed.want("i0", "{}", anew=True)
    taker = Taker()
    taker.away_until = 10_000.0
    with pytest.raises(RecommenderError):
        taker.run(pushed)
    assert taker.calls[-1][0] == 601.0
    assert pushed.want("other", "{}", anew=False)


def test_what_is_wanted_is_what_differs_from_what_was_put(tmp_path: Path) -> None:
    with closing(PushedItems(tmp_path / "new", ARN)) as pushed:
        assert pushed.is_new("a")
        assert pushed.want("a", '{"x":1}', anew=False)
        assert pushed.want("b", '{"x":1}', anew=False)
        assert Taker().run(pushed).put == 2
        for number, item_id in enumerate("bc"):
            pushed.add(number, item_id, b"r", eligible=False)
        assert [one in pushed for one in ("a", "b", "c")] == [False, True, True]
        assert pushed.gone() == 1
        pushed.clear()
        assert pushed.gone() == 2
    with closing(PushedItems(tmp_path / "new", ARN)) as pushed:
        assert not pushed.is_new("a")
        assert [list(one) for one in pushed.portions(2)] == []
        assert not pushed.want("a", '{"x":1}', anew=False)
        assert pushed.want("a", '{"x":1}', anew=True)
        assert pushed.want("b", '{"x":2}', anew=False)
        assert pushed.want("c", "{}", anew=False)
        assert [[item for item, _ in one] for one in pushed.portions(2)] == [["a", "b"], ["c"]]
    # Another dataset has a file of its own.
    with closing(PushedItems(tmp_path / "new", ARN + "2")) as pushed:
        assert pushed.is_new("a")
    assert len(list((tmp_path / "new").glob("pushed-*.sqlite"))) == 2


def test_a_file_that_cannot_be_used_is_named_whatever_is_asked_of_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BatchError, match="pushed-.*: cannot be used"):
        PushedItems(tmp_path / "file", ARN)
    pushed = PushedItems(tmp_path, ARN)
    pushed.close()
    asked: list[Any] = [
        lambda: "a" in pushed,
        lambda: pushed.add(1, "a", b"", eligible=True),
        pushed.clear,
        lambda: list(pushed.records()),
        lambda: pushed.want("a", "", anew=False),
        lambda: pushed.is_new("a"),
        lambda: list(pushed.portions(1)),
        lambda: pushed.put([("a", "")]),
        pushed.gone,
    ]
    for ask in asked:
        with pytest.raises(BatchError, match="cannot be used"):
            ask()


@pytest.mark.parametrize(
    ("kind", "value", "put"),
    [
        ("float", "2.5", 2.5),
        ("double", 2, 2.0),
        ("int", "7.9", 7),
        ("long", 7, 7),
        ("int", "x" * 60, f"s: {'x' * 40!r} is no number, and NAME is one"),
        ("float", ["a"], "s: \"['a']\" is no number, and NAME is one"),
        ("boolean", " YES ", True),
        ("boolean", "1", True),
        ("boolean", True, True),
        ("boolean", "no", False),
        ("boolean", 0, False),
        ("boolean", "maybe" * 20, f"s: {('maybe' * 8)!r} is neither true nor false"),
        ("string", ["a", 1], "a|1"),
        ("", ["a", "b"], "a|b"),
        ("string", True, "true"),
        ("string", False, "false"),
        ("", True, True),
        ("string", 5, "5"),
        ("", 5, 5),
        ("string", "", None),
        ("int", None, None),
    ],
)
def test_a_value_is_put_as_the_schema_wants_it(kind: str, value: object, put: object) -> None:
    schema = ItemSchema((SchemaColumn("NAME", "s", kind),))
    if isinstance(put, str) and put.startswith("s: "):
        with pytest.raises(ItemProblem) as problem:
            schema.properties({"s": value})
        assert str(problem.value) == put
    else:
        assert json.loads(schema.properties({"s": value})) == ({} if put is None else {"name": put})


def test_a_value_that_has_to_be_there_is_missed_and_properties_have_a_bound() -> None:
    schema = ItemSchema((SchemaColumn("B_C_1", "b", "string", is_optional=False), SchemaColumn("A", "a")))
    assert schema.properties({"b": "x", "a": 1}) == '{"a":1,"bC1":"x"}'
    with pytest.raises(ItemProblem, match="^b: is missing, and B_C_1 is not nullable in the schema$"):
        schema.properties({"a": 1})
    room = 32_000 - len('{"bC1":""}')
    assert len(schema.properties({"b": "x" * room})) == 32_000
    with pytest.raises(ItemProblem, match="^its columns have 32,001 characters as JSON; at most 32,000$"):
        schema.properties({"b": "x" * (room + 1)})


def avro(*fields: tuple[str, object]) -> str:
    return json.dumps({"fields": [{"name": name, "type": kind} for name, kind in fields]})


def test_a_column_is_found_however_it_is_written() -> None:
    schema = schema_of(
        avro(
            ("ITEM_ID", "string"),
            ("Brand_Name", "string"),
            ("SIZE", ["null", {"type": "array"}, "int"]),
            ("X", ["null", "int"]),
        ),
        ["brand name", "BRANDNAME", "size", "item_id"],
    )
    assert schema.columns == (
        SchemaColumn("Brand_Name", "brand name", "string", is_optional=False),
        SchemaColumn("SIZE", "size", "int", is_optional=True),
    )
    assert SchemaColumn("SIZE", "size").is_optional
    with pytest.raises(ConfigurationError, match=r"no column for A, B, which the items dataset needs"):
        schema_of(avro(("A", "string"), ("B", ["int"]), ("C", ["null", "int"])), ["c"])
    with pytest.raises(ConfigurationError, match="the catalogue has none of the columns of the items dataset"):
        schema_of(avro(("ITEM_ID", "string"), ("C", ["null", "int"])), ["x"])
    named = schema_as_named(" PRICE = price,brand, ,", ["price", "brand"])
    assert [(one.name, one.source, one.kind) for one in named.columns] == [
        ("PRICE", "price", ""),
        ("BRAND", "brand", ""),
    ]
    with pytest.raises(ConfigurationError, match="--columns: the catalogue has no column x; it has: price, brand"):
        schema_as_named("x", ["price", "brand"])
