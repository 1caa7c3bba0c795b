"""The mutants fit the tree as it is, and are judged honestly."""

from pathlib import Path

import pytest

from ops.chaos import everything, mutants
from ops.chaos.forms import FORMS
from ops.chaos.mutants import MUTANTS, Change, GuardMoved, apply, copy_of_tree, judge

GOOD = {"failures": [], "seed": 1}
BAD = {"failures": ["2 captured twice: …"], "seed": 1}


def test_every_guard_is_where_its_mutant_has_it() -> None:
    """If this fails, a guard has moved: change its mutant in ops/chaos/mutants.py."""
    mutants.check_texts(MUTANTS)
    assert len(MUTANTS) == len({mutant.name for mutant in MUTANTS}) >= 6
    assert {mutant.form for mutant in MUTANTS} <= FORMS.keys() | everything.FORMS.keys()
    assert not FORMS.keys() & everything.FORMS.keys()


@pytest.mark.parametrize("times", [0, 2])
def test_a_guard_that_has_moved_breaks_off(tmp_path: Path, times: int) -> None:
    (tmp_path / "file").write_text("guard\n" * times)
    with pytest.raises(GuardMoved, match=f"{times} times"):
        apply(Change("file", "guard", ""), tmp_path)


@pytest.mark.processes
def test_a_mutant_is_a_copy() -> None:
    change = MUTANTS[0].changes[0]
    with copy_of_tree() as tree:
        apply(change, tree)
        assert change.old not in (tree / change.path).read_text()
        assert (tree / "ops" / "chaos" / "money.py").exists()
    assert not tree.exists()
    mutants.check_texts(MUTANTS)


def test_killed_is_only_what_fails_beside_a_control_that_passes() -> None:
    assert judge(GOOD, BAD) == ("killed", "2 captured twice: …")
    assert judge(GOOD, GOOD)[0] == "survived"
    assert judge(GOOD, {"failures": ["it broke off"]}) == ("invalid", "it broke off")
    assert judge(BAD, BAD)[0] == judge(BAD, GOOD)[0] == "invalid"


@pytest.mark.processes
@pytest.mark.system
@pytest.mark.timeout(600)  # two campaigns
def test_a_campaign_kills_a_mutant() -> None:
    [mutant] = [mutant for mutant in MUTANTS if mutant.name == "one_message_id"]
    [found] = mutants.try_all([mutant])
    assert (found["outcome"], found["form"]) == ("killed", "quiet"), found["how"]
