"""Who comes first, and how many a phase takes."""

import hashlib

import pytest
from edgewright_fleet.errors import UnprocessableError
from edgewright_fleet.rollouts.model import Phase
from edgewright_fleet.rollouts.order import check_phases, device_order, phase_sizes
from hypothesis import given
from hypothesis import strategies as st

FIVE_FIFTY_ALL = (Phase(percent=5), Phase(percent=50), Phase(percent=100))
NAMES = st.text("abcdefgh0123456789-", min_size=1, max_size=8)
FLEETS = st.dictionaries(NAMES, st.sampled_from(["pi", "jetson", "x86"]), max_size=60)


@pytest.mark.parametrize(
    ("devices", "sizes"),
    [(0, (0, 0, 0)), (1, (1, 1, 1)), (2, (1, 1, 2)), (3, (1, 2, 3)), (40, (2, 20, 40))],
)
def test_percent_phases_are_whole_cumulative_devices(devices: int, sizes: tuple[int, ...]) -> None:
    assert phase_sizes(FIVE_FIFTY_ALL, devices) == sizes


@pytest.mark.parametrize(("devices", "sizes"), [(0, (0, 0)), (1, (1, 1)), (3, (1, 3))])
def test_a_canary_of_one_is_one_where_there_is_one(devices: int, sizes: tuple[int, ...]) -> None:
    assert phase_sizes((Phase(count=1), Phase(percent=100)), devices) == sizes


def test_a_count_above_a_later_percent_does_not_shrink_the_rollout() -> None:
    assert phase_sizes((Phase(count=30), Phase(percent=50), Phase(percent=100)), 40) == (30, 30, 40)


def test_seven_percent_of_a_hundred_is_seven() -> None:
    assert [phase_sizes((Phase(percent=p),), 100)[0] for p in range(1, 101)] == list(range(1, 101))


def test_latecomers_count_in_the_last_phase_only() -> None:
    assert phase_sizes(FIVE_FIFTY_ALL, 40, late=10) == (2, 20, 50)


@given(FLEETS, st.integers(1, 60))
def test_the_first_n_devices_are_of_n_classes_or_of_all(fleet: dict[str, str], n: int) -> None:
    first = device_order("r-1", fleet.items())[:n]
    assert len({fleet[device] for device in first}) == min(n, len(set(fleet.values())), len(first))


@given(FLEETS)
def test_the_order_is_a_permutation_that_does_not_hang_on_how_it_was_asked(
    fleet: dict[str, str],
) -> None:
    order = device_order("r-1", fleet.items())
    assert sorted(order) == sorted(fleet)
    assert order == device_order("r-1", sorted(fleet.items(), reverse=True))


@given(FLEETS.filter(bool))
def test_the_canary_is_the_lowest_hash_of_all(fleet: dict[str, str]) -> None:
    def rank(device: str) -> bytes:
        return hashlib.sha256(f"r-1/{device}".encode()).digest()

    assert device_order("r-1", fleet.items())[0] == min(fleet, key=rank)


def test_another_rollout_has_another_order() -> None:
    fleet = [(f"pi-{index}", "pi") for index in range(40)]
    assert device_order("r-1", fleet) != device_order("r-2", fleet)


@given(FLEETS.filter(lambda fleet: len(fleet) >= 10))
def test_half_of_the_fleet_has_about_half_of_each_class(fleet: dict[str, str]) -> None:
    order = device_order("r-1", fleet.items())
    half = order[: len(order) // 2]
    for stratum in set(fleet.values()):
        whole = sum(value == stratum for value in fleet.values())
        taken = sum(fleet[device] == stratum for device in half)
        # Every class gives its first device early, which may shift the others by one each.
        assert abs(taken - whole / 2) <= 2


@pytest.mark.parametrize(
    ("phases", "words"),
    [
        ((), "there is none"),
        ((Phase(),), "either a count"),
        ((Phase(count=1, percent=5),), "either a count"),
        ((Phase(percent=50), Phase(percent=5)), "must rise; got 50, 5"),
        ((Phase(count=3), Phase(percent=50), Phase(count=3)), "must rise; got 3, 3"),
    ],
)
def test_impossible_phases_are_refused_in_one_line(phases: tuple[Phase, ...], words: str) -> None:
    with pytest.raises(UnprocessableError, match=words) as error:
        check_phases(phases)
    assert "\n" not in str(error.value)
