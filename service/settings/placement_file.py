"""Reads `PLACEMENTS_FILE`; every mistake is a line with the placement and the key, all at once."""

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from service.filters import FilterError, parse_filter
from service.settings.base import shown
from service.settings.placements import CONTROL, MAX_PLACEMENTS, PlacementTerms, RuleTerms, VariantTerms


def read_placements(path: Path) -> tuple[dict[str, PlacementTerms], list[str]]:
    """The placements of a file by name, in its order, and a line for each mistake."""
    import tomllib  # noqa: PLC0415  # most have no such file

    try:
        document = tomllib.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        return {}, [f"{path} cannot be read: {error.strerror}"]
    except UnicodeDecodeError:
        return {}, [f"{path} is not UTF-8"]
    except tomllib.TOMLDecodeError as error:
        return {}, [f"{path} is not TOML: {error}"]
    tables = document.get("placements")
    problems = [
        f"{path}: unknown key {name!r}; placements are tables [placements.NAME]"
        for name in document
        if name != "placements"
    ]
    if not isinstance(tables, dict) or not tables:
        return {}, [*problems, f"{path} holds no table [placements.NAME]"]
    if len(tables) > MAX_PLACEMENTS:
        problems.append(f"{path}: at most {MAX_PLACEMENTS} placements, not {len(tables)}")
    placements: dict[str, PlacementTerms] = {}
    for name, table in tables.items():
        if not re.fullmatch(r"[a-z0-9-]{1,63}", name):
            problems.append(f"placement {shown(name)}: a name is 1 to 63 of a-z, 0-9 and '-'")
        if not isinstance(table, dict):
            problems.append(f"placement {name}: is not a table [placements.{name}]")
            continue
        try:
            placements[name] = PlacementTerms.model_validate(table)
        except ValidationError as error:
            problems += (f"placement {name}: {_line(detail)}" for detail in error.errors())
    problems += placement_problems(placements, known=tables.keys())
    return placements, problems


def placement_problems(placements: Mapping[str, PlacementTerms], known: Collection[str] = ()) -> Iterator[str]:
    """What is wrong with placements though each value is fine by itself."""
    names = set(known) | placements.keys()
    tps_of: dict[str, tuple[float, str]] = {}
    for name, terms in placements.items():
        for problem in _own_problems(terms, placements, names):
            yield f"placement {name}: {problem}"
        for arn, tps, where in (
            (terms.arn, terms.tps, name),
            *((one.arn, one.tps, f"{name}, variant {one.name}") for one in terms.variants),
        ):
            if not arn or tps is None:
                continue
            first = tps_of.setdefault(arn, (tps, where))
            if first[0] != tps:
                yield (
                    f"placement {where}: tps: {tps:g} differs from {first[0]:g} of placement {first[1]}; "
                    "placements of one ARN share one budget and must agree on it"
                )


def _own_problems(terms: PlacementTerms, placements: Mapping[str, PlacementTerms], names: set[str]) -> Iterator[str]:
    yield from _arn_problems(terms)
    yield from _rule_problems(terms, "")
    yield from _kind_problems(terms)
    for other in terms.fallback:
        if other not in names:
            yield f"fallback: no placement {shown(other)}; there are: {', '.join(sorted(names))}"
        elif other in placements and placements[other].kind == "ranking":
            yield f"fallback: {other} is a ranking, which keeps no list of its own"
        elif other in placements and placements[other] is terms:
            yield "fallback: names the placement itself"
    if (
        terms.stale_seconds is not None
        and terms.fresh_seconds is not None
        and terms.stale_seconds < terms.fresh_seconds
    ):
        yield f"stale_seconds: {terms.stale_seconds:g} is below fresh_seconds, {terms.fresh_seconds:g}"
    yield from _variant_problems(terms)


def _kind_problems(terms: PlacementTerms) -> Iterator[str]:
    """Keys that the placement's kind does not have."""
    not_for = {
        "ranking": ("recommender_arn", "promotion", "fallback", "category_column", "needs_user", "item_from"),
        "recommendations": ("category_column", "needs_user", "item_from"),
        "similar-items": (),
    }
    for key in not_for[terms.kind]:
        if getattr(terms, key):
            yield f"{key}: a placement of kind {terms.kind} has none; remove it"


def _arn_problems(terms: PlacementTerms) -> Iterator[str]:
    if terms.campaign_arn and terms.recommender_arn:
        yield "campaign_arn, recommender_arn: both are set; exactly one is needed"
    elif not terms.arn:
        yield "campaign_arn, recommender_arn: neither is set; one is required"
    yield from _kinds_of_arn(terms.campaign_arn, terms.recommender_arn, terms.filter_arn)
    if terms.promotion is not None and ":filter/" not in terms.promotion.filter_arn:
        yield f"promotion.filter_arn: {shown(terms.promotion.filter_arn)} is not the ARN of a filter"


def _kinds_of_arn(campaign: str | None, recommender: str | None, filter_arn: str | None) -> Iterator[str]:
    for kind, arn in (("campaign", campaign), ("recommender", recommender), ("filter", filter_arn)):
        if arn and f":{kind}/" not in arn:
            yield f"{kind}_arn: {shown(arn)} is not the ARN of a {kind}"


def _rule_problems(rules: RuleTerms, where: str) -> Iterator[str]:
    for key in ("exclusion_filter", "boost", "bury"):
        text: str | None = getattr(rules, key)
        if text:
            try:
                placeholders = sorted(parse_filter(text).placeholders)
            except FilterError as error:
                yield f"{where}{key}: {str(error).splitlines()[0]}"
                continue
            if placeholders and key != "exclusion_filter":
                yield f"{where}{key}: ${placeholders[0]} gets no value here; write the value itself"
    slots = [pin.slot for pin in rules.pin]
    for slot in sorted({slot for slot in slots if slots.count(slot) > 1}):
        yield f"{where}pin: slot {slot} is given twice"
    items = [pin.item for pin in rules.pin]
    for item in sorted({item for item in items if items.count(item) > 1}):
        yield f"{where}pin: {shown(item)} is given twice, and no answer holds an item twice"
    for pin in rules.pin:
        if pin.until is not None and pin.until.tzinfo is None:
            yield f"{where}pin: until of {shown(pin.item)} has no time zone; write 2026-12-24T00:00:00Z"


def _variant_problems(terms: PlacementTerms) -> Iterator[str]:
    names = [one.name for one in terms.variants]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"variants: {name} is given twice"
    total = sum(one.share for one in terms.variants)
    if total > 1 + 1e-9:
        yield f"variants: their shares are {total:g} together; at most 1"
    for one in terms.variants:
        where = f"variant {one.name}: "
        yield from (f"{where}{problem}" for problem in _arm_problems(one, terms))
        yield from _rule_problems(one, where)


def _arm_problems(one: VariantTerms, terms: PlacementTerms) -> Iterator[str]:
    if one.name == CONTROL:
        yield "name: is what the placement's own arm is called; take another"
    if one.campaign_arn and one.recommender_arn:
        yield "campaign_arn, recommender_arn: both are set; at most one is needed"
    if one.popular and (one.arn or one.filter_arn or one.tps):
        yield "popular: a holdout asks nobody; remove its ARNs and tps"
    elif one.tps is not None and not one.arn:
        yield "tps: is of no use without an ARN of its own"
    if one.recommender_arn and terms.kind == "ranking":
        yield "recommender_arn: a placement of kind ranking has none; remove it"
    if one.arn and one.arn != terms.arn and one.tps is None:
        yield "tps: is required for an ARN of its own"
    yield from _kinds_of_arn(one.campaign_arn, one.recommender_arn, one.filter_arn)


_PATTERNS: Final = {
    "arn": "is not an ARN such as arn:aws:personalize:REGION:ACCOUNT:campaign/NAME",
    "promotion": "a name is 1 to 63 letters, digits, _ and -, and begins with a letter or a digit",
    "context": "a name is 1 to 150 letters, digits and _",
    "": "a name is 1 to 63 of a-z, 0-9 and '-'",
}
"""What a text has to look like, by a word of its key."""


def _line(detail: Mapping[str, Any]) -> str:
    key = ".".join(str(part) for part in detail["loc"] if part != "[key]")
    if detail["type"] == "extra_forbidden":
        return f"{key}: is no key of a placement; misspelt?"
    if detail["type"] == "missing":
        return f"{key}: is missing"
    value = detail["input"]
    said = ""
    if isinstance(value, str | int | float | bool):
        said = f"{shown(value) if isinstance(value, str) else value}: "
    message = str(detail["msg"])
    if detail["type"] == "string_pattern_mismatch":
        message = _PATTERNS[next(name for name in _PATTERNS if name in key)]
    elif key.endswith(".until"):
        message = "is no moment; write 2026-12-24T00:00:00Z, without quotes"
    return f"{key}: {said}{message[0].lower()}{message[1:]}"
