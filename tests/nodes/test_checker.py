"""The checker finds every fault that is planted, and finds none where there is none."""

from __future__ import annotations

import copy
from typing import Callable, Dict, List, Tuple

import pytest

from checker import Gap, Heard, Message, Position, Said, check

World = Tuple[List[Said], List[Heard]]


def at(sequence: int, epoch: str = "e") -> Position:
    return Position(epoch, sequence)


def good() -> World:
    """Two publishers, and three listeners: one that heard all, one that came late, and one that was told that it has missed three."""
    order = [Message("pq"[n % 2], n // 2, heads=n % 6 == 0) for n in range(20)]
    said = [Said(by, "s", [message for message in order if message.by == by]) for by in "pq"]
    for each in said:
        each.confirmed = set(each.messages)
        each.positions = {message: at(order.index(message) + 1) for message in each.messages}
    placed = [(at(sequence), message) for sequence, message in enumerate(order, 1)]
    whole = Heard("whole", "s", True, at(0), list(placed), is_over=True, headers=[(at(0), None)])
    late = Heard("late", "s", False, at(8), placed[8:], is_over=True, headers=[(at(8), order[6])])
    missing = Heard("missing", "s", True, at(0), placed[:5] + placed[8:], [Gap(at(5), at(8), 3)], [(at(0), None), (at(8), order[6])], True)
    return said, [whole, late, missing]


def test_nothing_is_wrong_with_a_good_world() -> None:
    assert check(*good()) == []


def test_what_was_not_confirmed_may_be_lost_and_may_be_heard() -> None:
    said, heard = good()
    more = Message("p", 10)
    said[0].messages.append(more)
    assert check(said, heard) == []
    heard[0].messages.append((at(21), more))
    heard[1].messages.append((at(21), more))
    heard[2].messages.append((at(21), more))
    assert check(said, heard) == []


def test_what_is_on_its_way_is_not_lost() -> None:
    said, heard = good()
    heard[0].is_over = False
    del heard[0].messages[-3:]
    assert check(said, heard) == []


def test_a_gap_of_another_run_has_no_number() -> None:
    said, heard = good()
    heard[2].gaps[0] = Gap(at(5), at(8), None)
    assert check(said, heard) == []


def lose_in_the_middle(said: List[Said], heard: List[Heard]) -> None:
    del heard[0].messages[7]


def lose_at_the_end(said: List[Said], heard: List[Heard]) -> None:
    for each in heard:
        del each.messages[-1:]


def lose_at_the_end_of_one(said: List[Said], heard: List[Heard]) -> None:
    del heard[1].messages[-1:]


def lose_everywhere_and_count_as_if_not(said: List[Said], heard: List[Heard]) -> None:
    said[0].positions = {}
    for each in heard:
        each.messages = [(position, message) for position, message in each.messages if message != Message("p", 9, True)]
        each.messages = [(at(position.sequence - (position.sequence > 18)), message) for position, message in each.messages]
    said[1].positions = {}


def lose_all(said: List[Said], heard: List[Heard]) -> None:
    heard[0].messages.clear()


def lose_more_than_told(said: List[Said], heard: List[Heard]) -> None:
    heard[2].messages.pop(0)
    heard[2].first = at(1)


def swap_two_of_one(said: List[Said], heard: List[Heard]) -> None:
    one = heard[0].messages
    (first, a), (second, b) = one[4], one[6]
    one[4], one[6] = (first, b), (second, a)


def swap_two_of_different_publishers(said: List[Said], heard: List[Heard]) -> None:
    one = heard[1].messages
    (first, a), (second, b) = one[4], one[5]
    one[4], one[5] = (first, b), (second, a)


def double_at_one(said: List[Said], heard: List[Heard]) -> None:
    heard[0].messages.append((at(21), heard[0].messages[-1][1]))


def double_everywhere(said: List[Said], heard: List[Heard]) -> None:
    for each in heard:
        each.messages.append((at(21), Message("q", 9)))


def double_between_listeners(said: List[Said], heard: List[Heard]) -> None:
    # The second listener has what came after a resumption one further on.
    heard[1].messages = [(at(position.sequence + 1), message) for position, message in heard[1].messages]
    heard[1].first = at(9)
    heard[1].headers.clear()


def hear_the_same_again(said: List[Said], heard: List[Heard]) -> None:
    heard[0].messages.insert(5, heard[0].messages[4])


def invent(said: List[Said], heard: List[Heard]) -> None:
    for each in heard:
        each.messages.append((at(21), Message("r", 0)))


def begin_another_run_without_a_word(said: List[Said], heard: List[Heard]) -> None:
    heard[0].messages[10:] = [(at(position.sequence, "f"), message) for position, message in heard[0].messages[10:]]


def tell_another_number(said: List[Said], heard: List[Heard]) -> None:
    heard[2].gaps[0] = Gap(at(5), at(8), 4)


def send_back(said: List[Said], heard: List[Heard]) -> None:
    heard[0].gaps.append(Gap(at(10), at(7), None))
    heard[0].messages[10:10] = heard[0].messages[7:10]


def tell_a_number_of_another_run(said: List[Said], heard: List[Heard]) -> None:
    heard[2].gaps[0] = Gap(at(5, "f"), at(8), 3)


def have_a_receipt_with_another_position(said: List[Said], heard: List[Heard]) -> None:
    said[0].positions[said[0].messages[3]] = at(2)


def give_an_old_header(said: List[Said], heard: List[Heard]) -> None:
    heard[1].headers[0] = (at(8), Message("p", 0, True))


def give_no_header(said: List[Said], heard: List[Heard]) -> None:
    heard[1].headers[0] = (at(8), None)


def give_a_header_before_there_is_one(said: List[Said], heard: List[Heard]) -> None:
    heard[0].headers[0] = (at(0), Message("p", 0, True))


PLANTED: Dict[Callable[[List[Said], List[Heard]], None], str] = {
    lose_in_the_middle: "behind Position",
    lose_at_the_end: "lacks 1 and was told of none: q 9",
    lose_at_the_end_of_one: "lacks 1 and was told of none: q 9",
    lose_everywhere_and_count_as_if_not: "lacks 1 and was told of none: p 9",
    lose_all: "lacks 20 and was told of none",
    lose_more_than_told: "lacks 4 and was told of 3",
    swap_two_of_one: "behind number",
    swap_two_of_different_publishers: "where others have",
    double_at_one: "it is at Position",
    double_everywhere: "behind number 9",
    double_between_listeners: "where others have",
    hear_the_same_again: "behind number",
    invent: "what nobody said: r 0",
    begin_another_run_without_a_word: "behind Position",
    tell_another_number: "was told that it missed 4",
    send_back: "was sent back from Position(epoch='e', sequence=10)",
    tell_a_number_of_another_run: "of another run",
    have_a_receipt_with_another_position: "p's receipt has",
    give_an_old_header: "got the header",
    give_no_header: "got the header None",
    give_a_header_before_there_is_one: "where there was none",
}


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_planted_fault_is_found(plant: Callable[[List[Said], List[Heard]], None]) -> None:
    said, heard = copy.deepcopy(good())
    plant(said, heard)
    found = check(said, heard)
    assert any(PLANTED[plant] in complaint for complaint in found), found


def test_streams_are_apart() -> None:
    said, heard = good()
    others = copy.deepcopy(good())
    for said_there in others[0]:
        said_there.stream = "t"
    for heard_there in others[1]:
        heard_there.stream = "t"
    assert check(said + others[0], heard + others[1]) == []
    lose_at_the_end_of_one(*others)
    assert [complaint[:2] for complaint in check(said + others[0], heard + others[1])] == ["t:"]
