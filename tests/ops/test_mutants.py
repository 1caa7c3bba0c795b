"""The mutants fit the tree as it is, and are judged honestly."""

from pathlib import Path

import pytest

from db.connections import Conn
from ops.chaos import everything, met, mutants
from ops.chaos.forms import FORMS
from ops.chaos.mutants import MUTANTS, Change, GuardMoved, apply, copy_of_tree, judge
from ops.chaos.plan import named_points

GOOD = {"failures": [], "seed": 1}
BAD = {"failures": ["2 captured twice: …"], "seed": 1}


def test_every_guard_is_where_its_mutant_has_it() -> None:
    """If this fails, a guard has moved: change its mutant in ops/chaos/mutants.py."""
    mutants.check_texts(MUTANTS)
    assert len(MUTANTS) == len({mutant.name for mutant in MUTANTS}) >= 6
    campaigns = {mutant.form for mutant in MUTANTS if not mutant.form.startswith("tests/")}
    assert campaigns <= FORMS.keys() | everything.FORMS.keys()
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
    assert judge(GOOD, BAD, 3) == ("killed", "2 captured twice: …")
    assert judge(GOOD, GOOD, 3)[0] == "survived"
    assert judge(GOOD, {"failures": ["it broke off"]}, 0) == ("invalid", "it broke off")
    assert judge(BAD, BAD, 3)[0] == judge(BAD, GOOD, 3)[0] == "invalid"


@pytest.mark.processes
@pytest.mark.parametrize(
    ("broken", "outcome"),
    [("set_up", "invalid"), ("test", "killed"), ("tear_down", "killed"), ("none", "survived")],
)
def test_what_only_breaks_the_set_up_of_a_test_kills_nothing(
    tmp_path: Path, broken: str, outcome: str
) -> None:
    """A mutant that cannot be installed says nothing about its guard."""
    (tmp_path / "test_guard.py").write_text(f"""
import pytest

@pytest.fixture
def world():
    assert {broken!r} != "set_up"
    yield
    assert {broken!r} != "tear_down"

def test_guard(world):
    assert {broken!r} not in ("test", "tear_down")
""")
    found = mutants.run_test(tmp_path, "test_guard.py", 1, tmp_path)
    assert judge(GOOD, found, 1)[0] == outcome


@pytest.mark.faults("Campaigns")
def test_a_campaign_that_did_not_meet_the_guard_is_repeated_with_another_seed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seeds: list[int] = []

    def campaign(form: str, changes: object, seed: int) -> dict[str, object]:
        seeds.append(seed)
        return BAD | {"met": 2} if len(seeds) == 4 else GOOD | {"met": 0}

    monkeypatch.setattr(mutants, "campaign", campaign)
    [found] = mutants.try_all(MUTANTS[:1])
    assert (found["outcome"], found["met"], found["seed"]) == ("killed", 2, 2)
    assert seeds == [1, 1, 2, 2]
    assert judge(GOOD, GOOD, 0)[0] == "missed"


@pytest.mark.faults("Campaigns")
def test_what_a_mutant_did_is_counted_in_python_and_in_sql(
    conn: Conn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert met.counted(conn) == {}
    monkeypatch.setenv(met.VARIABLE, str(tmp_path))
    assert met.counted(conn) == {"met": 0}
    met.met()
    for payment in ("p1", "p2", "p1", "p1"):
        met.again(payment)
    assert met.counted(conn) == {"met": 3}
    conn.execute("create sequence met")
    assert met.counted(conn) == {"met": 3}
    conn.execute("select nextval('met'), nextval('met')")
    assert met.counted(conn) == {"met": 5}


@pytest.mark.faults("Campaigns")
def test_deaths_are_counted_where_each_kind_of_campaign_reports_them() -> None:
    [mutant] = [mutant for mutant in MUTANTS if mutant.point]
    died_at = {"died_at": {mutant.point: 3, "before mail": 2}}
    for found in ({"faults": died_at}, {"faults": {"drop_after": 1}} | died_at):
        assert mutants.times_met(mutant, {}, found) == 3
    assert mutants.times_met(mutant, {}, {"failures": ["it broke off"]}) == 0


def test_each_mutant_counts() -> None:
    """By what replaces its guard, or by what its control counts."""
    for mutant in MUTANTS:
        texts = [change.new for change in (*mutant.changes, *mutant.meter)]
        counts = any("nextval('met'" in text or "ops.chaos.met" in text for text in texts)
        assert counts != bool(mutant.point), mutant.name
        assert not mutant.point or mutant.point in named_points()


@pytest.mark.processes
@pytest.mark.system
@pytest.mark.timeout(600)  # two campaigns
def test_a_campaign_kills_a_mutant() -> None:
    [mutant] = [mutant for mutant in MUTANTS if mutant.name == "one_message_id"]
    [found] = mutants.try_all([mutant])
    assert (found["outcome"], found["form"]) == ("killed", "quiet"), found["how"]
    assert found["met"] > 20
