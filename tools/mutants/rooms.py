"""Which tests should notice a change in which room, the quickest first; and what no test can notice."""

import re
from dataclasses import dataclass
from typing import Final

from tools.mutants.checkout import ROOT

TESTS: Final[dict[str, tuple[str, ...]]] = {
    "answers": (
        "tests/answers",
        "tests/api/test_exclusions.py",
        "tests/api/test_placements.py",
        "tests/api/test_explain.py",
    ),
    "personalize": ("tests/personalize", "tests/answers", "tests/budget/test_lower_lanes.py"),
    "lists": ("tests/lists", "tests/answers", "tests/api/test_forgetting.py", "tests/api/test_keys_expire.py"),
    "budget": ("tests/budget", "tests/simulation/test_worlds.py"),
    "fleet": ("tests/fleet", "tests/budget/test_redis_governor.py", "tests/simulation/test_worlds.py"),
    "catalog": (
        "tests/catalog",
        "tests/api/test_feeds.py",
        "tests/api/test_feed_shapes.py",
        "tests/api/test_catalog_refresh.py",
        "tests/api/test_known_columns.py",
        "tests/cli/test_catalog_check.py",
    ),
    "events": ("tests/events", "tests/api/test_events.py", "tests/api/test_outbox.py", "tests/cli/test_events_load.py"),
    "api": ("tests/api",),
}
"""By room."""

BESIDES: Final = ("tests/sends", "tests/settings", "tests/console", "tests/batch", "tests/doctor", "tests/cli")
"""May notice a change in any room."""


OF_ROUTES: Final = ("tests/api/test_document.py",)
"""Sees what a route says of itself."""

OF_FIGURES: Final = ("tests/project/test_figures.py",)
"""Holds public constants to the page that says them."""


@dataclass(frozen=True, slots=True)
class Equivalent:
    """Changes that behave as the right code does, and why.

    Attributes:
        file: A pattern of whose.
        what: A pattern of the change.
        line: A pattern of what stands in its line.
        why: No test can notice.
    """

    file: str
    what: str
    line: str
    why: str


_NONE_GOES: Final = "of none too many, the oldest none go"
_OF_NETWORKS: Final = "whether TLS was spoken says nothing of an answer"
_ONLY_LOOKS: Final = "a look is answered with the time, whatever it says of others"
_NO_INSTANT: Final = "no float of a clock that runs is that very instant"
_ITS_OWN_ORDER: Final = "each has the same, and only ratios count"
_LATE_ENOUGH: Final = "stamps are microseconds of today"
_HARMLESS: Final = "a harmless way to try a command is as good"
_UNUSED: Final = "the time of a missing token is not looked at"
_READ_THE_SAME: Final = "a value of that length is read the same on either way"
_BEHIND_A_NAME: Final = "an ampersand stands before the next name, five bytes behind one that begins so"
_A_VERSION: Final = "a version is -1 or a million and more"
_LOOKED_AT_AGAIN: Final = "what comes next looks at it again"
_ONLY_ANOTHER: Final = "only whether it is another number counts"
_NO_SOURCE: Final = "a head by itself names no source"
_NO_VERSION: Final = "no version is negative"
_NO_LENGTH: Final = "what rules say of an item does not depend on the length of an answer"
_NOT_SENT: Final = "a rehearsal is not sent"
_NOT_THERE: Final = "of a pin or a lease that there is not, nobody looks at the time"
_ONCE_MORE: Final = "what is looked for once more in the same instant is the same"
_NO_SHARES: Final = "where there is one arm, no user is in another"
_AT_LEAST: Final = "25 items are fetched in any case"
_ENDED_WITH_THEM: Final = "what is begun for callers ends when the last one leaves"
_NO_STATUS: Final = "an answer without a status is no refusal, as one of status 1 would be none"
_LONG_HEAD: Final = "of more bytes than a head has, the head is read"
_STILL_MORE: Final = "more than any answer shows is still more"
_NO_NUMBERS: Final = "of an empty list no number is written"
_LONGER: Final = "a longer name is one that nobody else has too"
_HAS_THEM: Final = "what an owner has itself is in its memory before it is named"
_NOTHING_SENT: Final = "nothing is sent there, and the way does not depend on the port"
_SET_BEFORE: Final = "it is set before anybody looks at it"
_AS_WELL: Final = "of just as many bytes it is refused a little later, in the same words"
_AS_EVENLY: Final = "the fractions are the same, or the same from the other end"
_ONE_TOO_MANY: Final = "one too many is as much too many as five"
_ONE_SECOND: Final = "from the least to the most it is one second"
_SAME_ORDER: Final = "only who has more of them counts"
_OTHER_STATE: Final = "it is neither of the two states that count"
_NO_SERVERS: Final = "no number of headers is negative"
_NO_PLACE: Final = "no place of a row is negative"
_BUILT_SO: Final = "SQLite is mostly built so that it takes addresses anyway"
_KEPT_BEFORE: Final = "a line in its very place is kept before it is looked for"
_ONLY_ASCII: Final = "a line of ASCII holds none of the others"
_TWICE_THE_TIME: Final = "the other pattern takes the same lines, in twice the time"
_NOT_SHOWN: Final = "of more than so many, the first are shown"
_LONG_AGO: Final = "each is before any time at which a file was written"
_FOR_OTHERS: Final = "who opens the file gives the catalogue a version"
_NEVER_LATE: Final = "without a time nothing is late"
_NO_PAGE: Final = "SQLite takes a file of less than a page for an empty one"
_GONE: Final = "who looks for a file goes on when it is gone"
_ONE_SLOT: Final = "all keys of a ledger are in one slot"
_NO_LATER: Final = "no list is made after the latest moment, however long after"
_ONLY_TIME: Final = "the answer is the same, and only time is lost"
_ONE_MORE_IS_FETCHED: Final = "of a pin that ends in that very instant the item is fetched too"
_NOT_LEARNT: Final = "nothing is learnt of a ranking"
_ALSO_UNKNOWN: Final = "it is no number of an item, no group and no decision either"
_WHOLE_TURN: Final = "a whole turn further is the same place"
_AS_MANY_STEPS: Final = "from one to five hundred by a hundred there are as many steps"
_NO_STEP: Final = "a step goes up or down"
_DIFFER_AS_WELL: Final = "tags that are larger differ as well"
_NOTHING_TO_ADD: Final = "where nothing is missing, nothing is added"
_ROOM_AHEAD: Final = "what is not decided yet may be there before its item is"
_FOR_EVER: Final = "a pin without an end stands as long as any period lasts"
_NEVER_CHANGES: Final = "only a change of it counts, and it never changes"

EQUIVALENT: Final = (
    Equivalent("service/budget/ports.py", "0.0 is 1.0", r"apart_seconds: float", "left out where nothing is granted"),
    Equivalent("service/budget/rate_window.py", "GtE", r"return seconds > max\(", _NO_INSTANT),
    Equivalent(
        "service/budget/rate_window.py", "GtE", r"^if most > self\._most:$", "a copy of the same length is the same"
    ),
    Equivalent("service/budget/adapters/redis.py", "0 is 1", r"^return 0$", _LATE_ENOUGH),
    Equivalent("service/budget/adapters/redis.py", "0.0 is 1.0", r"^self\._slow_seconds, ", _SET_BEFORE),
    Equivalent("service/budget/adapters/redis.py", "GtE", r"^if point > latest:$", "no slot is given twice"),
    Equivalent("service/budget/schedule.py", "1.0 is 5.0", r"^self\._low = 1\.0$", _SET_BEFORE),
    Equivalent(
        "service/budget/slot_queue.py", "GtE", r"^while len\(self\._waiting\) > len", "who asks finds its slot there"
    ),
    Equivalent("service/budget/adapters/redis.py", "GtE", r"^is_slow = ", _NO_INSTANT),
    Equivalent("service/budget/adapters/redis.py", "LtE", r"self\._slow_at < SLOW_SECONDS else usual$", _NO_INSTANT),
    Equivalent(
        "service/budget/schedule.py", "Gt", r"^return 1\.0 if climbed >= 1\.0 ", "at the end of the climb both are 1"
    ),
    Equivalent("service/budget/adapters/redis.py", "LtE", r"^seen_recently = ", _NO_INSTANT),
    Equivalent(
        "service/budget/adapters/redis.py", "Gt", r"heard_at >= clock\.set_at:$|begins >= whole_from:$", _NO_INSTANT
    ),
    Equivalent("service/budget/shares.py", "Gt", r"begins >= whole_from:$", _NO_INSTANT),
    Equivalent("service/budget/schedule.py", "GtE", r"_waiting_until > now \+ _NOW_SECONDS:$", _NO_INSTANT),
    Equivalent("service/budget/schedule.py", "LtE", r"if wait < _NOW_SECONDS", _NO_INSTANT),
    Equivalent(
        "service/budget/(slot_queue|budget).py", "1.0 is 5.0", r"weight_of: .* = lambda _: 1\.0", _ITS_OWN_ORDER
    ),
    Equivalent("service/budget/slot_queue.py", "Lt", r"self\._slots\[place\] <= until", _NO_INSTANT),
    Equivalent("service/budget/slot_queue.py", "GtE", r"self\._slots\[0\] > until", _NO_INSTANT),
    Equivalent("service/budget/turns.py", "GtE", r"or at > self\._time", "who comes again begins at that very time"),
    Equivalent(
        "service/budget/turns.py", "0.0 is 1.0", r"self\._time = 0\.0|get\(sender, 0\.0\)", "all begin at the same time"
    ),
    Equivalent("service/budget/turns.py", "1.0 is 5.0", r"lambda _: 1\.0|\+= 1\.0 / ", _ITS_OWN_ORDER),
    Equivalent(
        "service/fleet/ledger.py",
        "0 is 1",
        r"names\.get\(name, 0\)|_newest = 0|oldest = 0 if|\b0 < (behind|self\._cursor) <",
        "stamps are microseconds of today",
    ),
    Equivalent("service/fleet/ledger.py", "LtE", r"self\._first_look_at < ASKING_SECONDS", _NO_INSTANT),
    Equivalent("service/fleet/ledger.py", "LtE", r"if stamp < oldest", "a microsecond sooner is as good"),
    Equivalent("service/fleet/shared_clock.py", "0.0 is 1.0|False is True", r"_offset_.*_distrusted = 0", _SET_BEFORE),
    Equivalent("service/fleet/script.py", "False is True", r"usedforsecurity=False", "the digest is the same"),
    Equivalent("service/fleet/heartbeat.py", "False is True", r"def _say\(", _ONLY_LOOKS),
    Equivalent("service/fleet/heartbeat.py", "0 is 1", r"_say\(not_after=0\)", _ONLY_LOOKS),
    Equivalent("service/fleet/key_faults.py", "LtE", r"< LOG_SECONDS:$", _NO_INSTANT),
    Equivalent(
        "service/fleet/connections.py", "4 is 17", r"4 \* MAX_CONNECTIONS", "the client lets no more commands through"
    ),
    Equivalent(
        "service/fleet/rights.py",
        r"\d+ is \d+",
        r'^"\w+(\|\w+)?": \(|^_HOUR_MS',
        "a harmless way to try a command is as good",
    ),
    Equivalent(
        "service/lists/adapters/redis.py",
        "0.0 is 1.0",
        r"_tokens\.pop\(key, ",
        "the time of a missing token is not looked at",
    ),
    Equivalent(
        "service/lists/adapters/outcome_codec.py",
        "LtE",
        r"len\(packed\) < _HEAD\.size",
        "a head by itself names no source",
    ),
    Equivalent(
        "service/catalog/reading/prices.py",
        "GtE",
        r"if comma > point",
        "as many of the one as of the other are unclear",
    ),
    Equivalent(
        "service/catalog/reading/csv_rows.py", "GtE", r"if len\(row\) > width", "a row that is as wide is taken before"
    ),
    Equivalent(
        "service/catalog/reading/json_sequence.py", "0 is 1", r"_stream\.seek\(0\)", "its first byte is a separator"
    ),
    Equivalent(
        "service/catalog/reading/in_child.py",
        "without raise",
        r"^raise AssertionError",
        "for types; it never comes to that",
    ),
    Equivalent("service/catalog/refresh.py", "1.0 is 5.0", r"max_shrink: float = 1\.0,", "neither refuses any version"),
    *(
        Equivalent(
            f"service/catalog/adapters/{file}.py", r"\d is \d", r"_version (\+= 1|= 0)$", "only that it grows counts"
        )
        for file in ("file_block_list", "redis_block_list")
    ),
    Equivalent(
        "service/catalog/reading/origins.py",
        "False is True",
        r"^keeps_reserved: bool = False",
        "it is of origins in a template, and each of them says it",
    ),
    Equivalent(
        "service/catalog/adapters/seal.py", "LtE", r"while size is None or place < size", "nothing is read at the end"
    ),
    Equivalent(
        "service/catalog/reading/json_document.py",
        "1 is 5",
        r"read\(MAX_TOLERANT_BYTES \+ 1\)",
        "a byte too many is as much too many as five",
    ),
    Equivalent(
        "service/catalog/reading/json_rows.py", "Gt", r"names\.keys\(\) >= found", "names that are there change nothing"
    ),
    *(
        Equivalent(
            f"service/catalog/{file}.py",
            "1 is 5",
            r"MAX_LINE_CHARACTERS \+ 1",
            "one too many is as much too many as five",
        )
        for file in ("reading/csv_rows", "reading/lines", "reading/usual_lines", "adapters/difference_sink")
    ),
    Equivalent(
        "service/catalog/reading/csv_rows.py", "LtE", r"if len\(row\) < width", "a row that is as wide is taken before"
    ),
    Equivalent("service/catalog/reading/prices.py", "1 is 5", r"styles\[shape\] \+= 1", "only ratios count"),
    Equivalent("service/catalog/adapters/sqlite.py", "1 is 5", r"^line = -1$|_after\(-1, ", _NO_PLACE),
    Equivalent("service/catalog/adapters/sqlite.py", "True is False", r"^uri=True,", _BUILT_SO),
    Equivalent("service/catalog/adapters/difference_sink.py", "LtE", r"or found < self\._next:", _KEPT_BEFORE),
    Equivalent("service/catalog/reading/usual_lines.py", "128 is 513", r"^_ASCII: ", _ONLY_ASCII),
    Equivalent("service/catalog/reading/usual_lines.py", "True is False", r"_held\(.*only_ascii=True", _TWICE_THE_TIME),
    Equivalent("service/catalog/reading/child.py", "0 is 1", r"^os\.truncate\(path, 0\)$", _NO_PAGE),
    Equivalent("service/catalog/reading/patience.py", "0 is 1", r"Stalled\(seconds or 0\)", _NEVER_LATE),
    Equivalent("service/catalog/reading/kept_files.py", "0.0 is 1.0", r"^return 0\.0$", _LONG_AGO),
    Equivalent("service/catalog/build_file.py", "1 is 5", r"source\.load\(1\)", _FOR_OTHERS),
    Equivalent("service/catalog/reading/kept_files.py", "True is False", r"^path\.unlink\(missing_ok", _GONE),
    Equivalent("service/catalog/check.py", "LtE|Or", r"len\(nearly\) < MAX_NAMED_ITEMS", _NOT_SHOWN),
    Equivalent(r"service/answers/\w+\.py", "1 is 5", r"_version = -1$|= \(-1, |\(\), -1, ", _NO_VERSION),
    Equivalent("service/answers/(arranged|ready).py", "1 is 5", r"^_NOBODY: .* = RecommendationQuery", _NO_LENGTH),
    Equivalent("service/personalize/sdk/runtime.py", "1 is 5", r"get_recommendations\(.*numResults=1", _NOT_SENT),
    Equivalent("service/lists/ports.py", "0.0 is 1.0", r"^(pinned|lease)_seconds: float = 0\.0", _NOT_THERE),
    Equivalent("service/answers/popular.py", "1.0 is 5.0", r"_weights, self\._weight = ", "only ratios count"),
    Equivalent("service/answers/arranged.py", "Lt", r"found\.since <= now < found\.until", _ONCE_MORE),
    Equivalent("service/lists/numbers.py", "0 is 1", r"max\(found, default=0\)", _NO_NUMBERS),
    Equivalent("service/answers/placement.py", "1 is 5", r"if len\(self\.arms\) == 1 or not user_id", _NO_SHARES),
    Equivalent("service/personalize/list_length.py", "0 is 1", r"^self\._asked(_before)?(, .*)? = 0\b", _AT_LEAST),
    Equivalent("service/personalize/list_length.py", "GtE", r"self\._kept_share > 0\.995 ", _NO_INSTANT),
    Equivalent(
        "service/personalize/fetching.py", "Add", r"^landed = await landing\.wait", "its callers wait no longer anyway"
    ),
    Equivalent(
        "service/personalize/refresher.py",
        "True is False|without await .*",
        r"^await asyncio\.gather",
        "all are ended in one step",
    ),
    Equivalent("service/personalize/sdk/signature.py", "0 is 1", r"^self\._second = 0$", _SET_BEFORE),
    Equivalent(
        "service/personalize/sdk/runtime.py", "without _reh.*", r"^_rehearsing\.reset\(", "its task ends with it"
    ),
    Equivalent("service/personalize/fetching.py", "Gt", r"monotonic\(\) >= flight\.deadline:$", _NO_INSTANT),
    Equivalent("service/personalize/flight.py", "False is True", r"^needs_store: ", _ENDED_WITH_THEM),
    Equivalent("service/personalize/flights.py", "without raise", r"^raise$", "nobody asks how its task has ended"),
    Equivalent("service/personalize/sdk/errors.py", "0 is 1", r'\("HTTPStatusCode", 0\)', _NO_STATUS),
    Equivalent("service/lists/adapters/redis.py", "Add", r"pipe\.getrange\(name, 0, HEADER_BYTES - 1\)", _LONG_HEAD),
    Equivalent("service/answers/kinds.py", r"\d+ is \d+", r"^_PLENTY: Final = 1 << 40", _STILL_MORE),
    Equivalent("service/lists/adapters/redis.py", "8 is 33", r"secrets\.token_hex\(8\)", _LONGER),
    Equivalent("service/lists/adapters/redis.py", "1.0 is 5.0", r"earliest = latest \+ 1\.0", _NO_LATER),
    Equivalent("service/api/connections.py", "LtE", r"answered\[1\] < newcomer\[1\]", _NO_INSTANT),
    Equivalent("service/events/outbox.py", "GtE?", r"LOGGED_EVERY_SECONDS:$|> self\._last_start$", _NO_INSTANT),
    Equivalent("service/api/query.py", "Lt", r"^is_plain = len\(written\) <= ", _READ_THE_SAME),
    Equivalent("service/api/query_forms.py", "1 is 5", r"find\(_USER_BEGINS, at \+ 1\)", _BEHIND_A_NAME),
    Equivalent("service/api/lifecycle.py", "0 is 1", r"^return known\.version\(.* >= 0$", _A_VERSION),
    Equivalent("service/api/http_protocol.py", "GtE", r"> MAX_PATH_BYTES and is_too_long\(", _LOOKED_AT_AGAIN),
    Equivalent("service/api/held_protocol.py", "1000000.0 is .*", r"^_NEVER_SECONDS", "never is never"),
    Equivalent("service/api/delays.py", "0.0 is 1.0", r"^self\._place = 0\.0$", "only its fraction counts"),
    Equivalent("service/api/http_protocol.py", "0 is 1", r"^if end < 0 and .*isupper\(\)", "a line's end is no letter"),
    Equivalent("service/lists/adapters/owners.py", "True is False", r"\(me, self\._names_for\(me,", _HAS_THEM),
    Equivalent("service/fleet/heartbeat.py", "LtE", r"< SILENCE_SECONDS / 2$", _NO_INSTANT),
    Equivalent("service/lists/pins.py", "Lt", r"_last_ends <= ", _LOOKED_AT_AGAIN),
    Equivalent("service/fleet/ledger.py", "Gt", r"if stamp >= oldest", "a microsecond sooner is as good"),
    Equivalent("service/fleet/ledger.py", "0 is 1", r"self\._client\.use\(self\._keys\[0\]\)", _ONE_SLOT),
    Equivalent(r"service/fleet/(route|key_faults)\.py", "False is True", r"cause_of\(error, tls=False\)", _OF_NETWORKS),
    Equivalent(
        "service/fleet/shared_clock.py",
        "GtE",
        r"if (abs\(step\)|not self\._distrusted .*) > self\.error_sec",
        _NO_INSTANT,
    ),
    Equivalent("service/fleet/deadline.py", "GtE", r"self\._due > STALL_SECONDS:$", _NO_INSTANT),
    Equivalent("service/fleet/heartbeat.py", "8 is 33", r"secrets\.token_hex\(8\)", _LONGER),
    Equivalent("service/fleet/ledger.py", "GtE", r"^if over > 0:$", _NONE_GOES),
    Equivalent("service/fleet/wire.py", "0.0 is 1.0", r"^self\._heard_at = 0\.0$", _SET_BEFORE),
    Equivalent("service/fleet/own_address.py", r"\d+ is \d+", r"^_ANY_PORT", _NOTHING_SENT),
    Equivalent(
        "service/api/http_protocol.py", "0 is 1", r"^self\._(chunks|(packet|rest|body)_bytes) = 0$", _SET_BEFORE
    ),
    Equivalent(
        "service/api/http_protocol.py", "GtE", r"^if self\._head_bytes > MAX_HEADER_BYTES or ", _LOOKED_AT_AGAIN
    ),
    Equivalent("service/api/http_protocol.py", "GtE|LtE", r"^if .*\(\w+\) [<>] MAX_LINE_BYTES:$", _AS_WELL),
    Equivalent("service/api/at_once_protocol.py", "False is True", r"^self\._is_one_request = False$", _SET_BEFORE),
    Equivalent("service/api/at_once_protocol.py", "0 is 1", r"^self\._target_end = 0$", _SET_BEFORE),
    Equivalent("service/api/delays.py", "1 is 5|Add", r"^_STEP: Final = \(5\*\*0\.5 - 1\) / 2$", _AS_EVENLY),
    Equivalent("service/api/delays.py", "Sub", r"_place \+ _STEP\) % 1$", _AS_EVENLY),
    Equivalent("service/api/escapes.py", "1 is 5", r"count=MAX_STRAY \+ 1\)$", _ONE_TOO_MANY),
    Equivalent("service/api/delays.py", "Div", r"_place \* \(MAX_DELAY_SECONDS - MIN_", _ONE_SECOND),
    Equivalent("service/api/slow_checks.py", "1 is 5", r"^callers: int = 1$|\.callers \+= 1$", _SAME_ORDER),
    Equivalent("service/api/leaving.py", "0 is 1", r"^return 0( if |$)", _OTHER_STATE),
    Equivalent("service/api/hit_lane.py", "1 is 5", r"^self\._begins: .* = \(\(\), -1, None\)$", _NO_SERVERS),
    Equivalent("service/events/known.py", "0 is 1", r"^self\._(loads|changes) = 0$", _ONLY_ANOTHER),
    Equivalent(
        "service/answers/arrangement.py",
        "GtE",
        r"^return \(pin\.item_id for pin in .* if pin\.until > now\)$",
        _ONE_MORE_IS_FETCHED,
    ),
    Equivalent("service/answers/rules.py", "GtE", r"^if len\(bound\) > 1:$", _ONLY_TIME),
    Equivalent("service/answers/chosen.py", "0 is 1", r"^self\._chooser, self\._tags_given = ", _DIFFER_AS_WELL),
    Equivalent("service/answers/chosen.py", "Add", r"^return self\._chooser \* TAGS_EACH \+ .* - 1$", _DIFFER_AS_WELL),
    Equivalent("service/answers/exclusions.py", "1 is 5|2 is 9", r"^_UNDECIDED, _SHOWN, _HIDDEN = ", _ALSO_UNKNOWN),
    Equivalent("service/answers/exclusions.py", "1 is 5", r"^number = number_of_item\(item_id, -1\)$", _ALSO_UNKNOWN),
    Equivalent("service/answers/exclusions.py", "Add", r"^decisions\.extend\(bytes\(len\(rows\) - ", _ROOM_AHEAD),
    Equivalent("service/answers/arranged.py", "1 is 5", r"^_UNKNOWN: Final = -1$", _ALSO_UNKNOWN),
    Equivalent("service/answers/arranged.py", "0 is 1", r"^for looked_at in range\(0, len\(further\)", _ONLY_TIME),
    Equivalent("service/answers/arranged.py", "LtE", r"^self\._pins_end = any\(pin\.until < math\.inf ", _FOR_EVER),
    Equivalent("service/answers/ready.py", r"\d+ is \d+", r"^_SOME: Final = 200$", _ONLY_TIME),
    Equivalent("service/answers/ready.py", "2 is 9", r"^for some in \(order\[: 2 \* wanted\], ", _ONLY_TIME),
    Equivalent("service/answers/ready.py", "0 is 1", r"^joined = self\._joined\(choice, 0\)$", _NOT_LEARNT),
    Equivalent(
        "service/answers/ready.py", "LtE", r"^elif len\(self\._fragments\) < len\(numbers\.ids\):$", _NOTHING_TO_ADD
    ),
    Equivalent("service/answers/kinds.py", r"without super\(\).*", r"^super\(\)\.__init__\(\)$", _SET_BEFORE),
    Equivalent("service/answers/kinds.py", "0 is 1", r"^self\._room: list\[int\] = \[0\]$", _SET_BEFORE),
    Equivalent("service/answers/kinds.py", r"\d+ is \d+", r"^_COPIED: Final = 200$", _ONLY_TIME),
    Equivalent("service/answers/kinds.py", "Lt", r"^is_copied = len\(self\._room\) <= _COPIED$", _ONLY_TIME),
    Equivalent("service/answers/split.py", r"0\.0 is 1\.0", r"^position, denominator = ", _WHOLE_TURN),
    Equivalent("service/answers/categories.py", "0 is 1", r"^for _ in range\(0, MAX_LOOKED_AT, ", _AS_MANY_STEPS),
    Equivalent("service/answers/split.py", "GtE", r"^return at if step > 0 else ", _NO_STEP),
    Equivalent("service/answers/popular.py", "GtE", r"^if self\._weight > 1e100:", _NO_INSTANT),
    Equivalent("service/answers/ready.py", "NotEq", r"^if len\(first\) == wanted and all\(", _ONLY_TIME),
    Equivalent("service/answers/ready.py", "Lt", r"^if self\.bytes \+ size <= self\._max_bytes:$", _ONLY_TIME),
    Equivalent("service/answers/ready.py", "LtE", r"^if len\(pinned\) < wanted and not ", _ONLY_TIME),
    Equivalent("service/answers/showing.py", "And", r"^if column is None or not query\.item_id:$", _ONLY_TIME),
    Equivalent("service/answers/ports.py", "0 is 1", r"^return 0$", _NEVER_CHANGES),
    Equivalent(
        "service/answers/arm.py",
        "NotEq|Or|without not",
        r"^if request\.kind == .similar-items. and not request\.user_id:$",
        _ONLY_TIME,
    ),
    Equivalent(
        "service/answers/showing.py", "LtE", r"^if not is_ranking and len\(selection\.rows\) < wanted ", _NOTHING_TO_ADD
    ),
)


def is_equivalent(file: str, what: str, line: str) -> bool:
    """Whether `EQUIVALENT` names this change."""
    return any(
        re.fullmatch(one.file, file) and re.fullmatch(one.what, what) and re.search(one.line, line.strip())
        for one in EQUIVALENT
    )


def tests_of(room: str, file: str) -> list[str]:
    """Tests for a change of a file: those with its name, then those of its room."""
    name = file.rpartition("/")[2].removesuffix(".py")
    named = sorted(path for path in (ROOT / "tests").rglob(f"test_{name}*.py") if room in path.parts)
    return [*(str(path.relative_to(ROOT)) for path in named), *TESTS[room]]
