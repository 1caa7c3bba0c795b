"""A small sale end to end, and that the demo's checks would notice what is wrong."""

import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from db.catalogue.seating import read_plan
from db.connections import Conn, one
from ops.demo import check
from ops.demo.__main__ import draw_arena, run, sale_options
from ops.demo.buyer import Told
from ops.demo.meter import Meter
from ops.demo.pace import LEAST_CAP, MOST_CAP, suitable_cap
from ops.demo.people import Hall, demand, gather
from ops.demo.report import activity
from ops.local.supervisor import ROOT
from tests.support.drawings import WIDTH, small_hall


@pytest.mark.system
def test_a_small_hall_sells_out_from_queue_to_inbox(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = tmp_path / "small.json"
    plan.write_text(json.dumps(small_hall()))
    result = run(plan, buyers=120, seed=1, hold_seconds=10, var_dir=tmp_path / "var")
    assert result["failures"] == []
    assert (result["sold_seats"], result["oversold_seats"]) == (60, 0)
    assert result["confirmed_bookings"] == result["emails_delivered"] > 0
    assert result["captured_minor"] == result["ledger_captured_minor"] > 0
    assert json.loads((tmp_path / "var" / "demo.json").read_text()) == result
    used, took = result["phase_cpu_s"], result["phase_s"]
    assert list(took) == ["start", "sign_up", "selling", "tail", "checks"]
    assert sum(took.values()) == pytest.approx(result["seconds"], abs=0.5)
    assert {"crowd", "web", "worker", "postgres for web", "postgres for worker"} <= {
        name for phase in ("sign_up", "selling", "tail") for name in used[phase]
    }
    whole = sum(used[phase]["all"] for phase in ("sign_up", "selling", "tail"))
    assert used["sale"]["all"] == pytest.approx(whole)
    said = capsys.readouterr().out
    assert "holds last 10 s" in said
    assert said.index("Every seat sold once") < said.index("What next:") < said.index("make run")


@pytest.mark.faults("First minutes")
@pytest.mark.parametrize(
    ("start_s", "seats", "hold_seconds"),
    [(5, 1188, 15), (7.2, 1188, 15), (30, 1188, 60), (900, 1188, 300), (5, 39_616, 60)],
)
def test_holds_are_longer_on_a_machine_that_took_long_to_start(
    start_s: float, seats: int, hold_seconds: int
) -> None:
    assert sale_options(seats, 3000, None, start_s)["hold_seconds"] == hold_seconds
    assert sale_options(seats, 3000, 20, start_s)["hold_seconds"] == 20


@pytest.mark.parametrize(
    ("paid_a_second", "hold_seconds", "cap"),
    [(40, 15, 300), (4, 15, 30), (40, 60, MOST_CAP), (0, 15, LEAST_CAP), (0.5, 300, 75)],
)
def test_as_many_bookings_are_in_flight_as_are_paid_in_half_of_their_hold(
    paid_a_second: float, hold_seconds: int, cap: int
) -> None:
    assert suitable_cap(paid_a_second, hold_seconds) == cap


@pytest.mark.parametrize("seats", [7, 40_000])
def test_an_arena_has_as_many_seats_as_were_asked_for_and_none_of_its_categories_is_empty(
    tmp_path: Path, seats: int
) -> None:
    plan = read_plan(draw_arena(seats, tmp_path / "var").read_bytes())
    assert len(plan.seats) == seats
    assert {seat.category for seat in plan.seats} == set(range(len(plan.categories)))


@pytest.mark.faults("First minutes")
@pytest.mark.parametrize(
    ("since", "seats", "stages", "doing"),
    [
        (None, {}, {"coming": 3000}, "3,000 buyers make their accounts"),
        (-4, {"free": 60}, {"coming": 7}, "7 buyers make their accounts; the sale opens in 4 s"),
        (-2, {"free": 60}, {"signed up": 9}, "waiting; the sale opens in 2 s"),
        (3, {"free": 60}, {"waiting": 9}, "selling"),
        (3, {"held": 6}, {"waiting": 2251, "holding": 1, "paying": 2},
         "2,251 wait for seats of 3 buyers who may not pay for theirs"),
        (3, {"sold": 6}, {"waiting": 2251, "paying": 2}, "sold out: 2,251 are being told"),
        (3, {"held": 6}, {"paying": 2}, "the last 2 pay, or let their seats expire"),
        (3, {"sold": 6}, {"done": 9}, "the last buyers come"),
    ],
)  # fmt: skip
def test_the_demo_says_what_it_waits_for(
    since: float | None, seats: dict[str, int], stages: dict[str, int], doing: str
) -> None:
    assert activity(seats, {"since_opening_s": since, "stages": stages}) == doing


@pytest.mark.processes
@pytest.mark.faults("First minutes")
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--plan", "no-such.json"], "The plan cannot be read"),
        (["--plan", "README.md"], "README.md is not a seating plan"),
        (["--buyers", "0"], "invalid positive value: '0'"),
        (["--seats", "0"], "invalid positive value: '0'"),
        (["--buyers", "many"], "invalid positive value: 'many'"),
    ],
)
def test_the_demo_says_what_is_wrong_with_its_options(options: list[str], said: str) -> None:
    command = [sys.executable, "-m", "ops.demo", *options]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode != 0
    assert said in answer.stderr
    assert "Traceback" not in answer.stderr


def chart() -> Hall:
    seats = [
        {
            "guid": seat["seat_guid"],
            "zone": "Hall",
            "row": row["row_number"],
            "category": 1 if seat["category"] == "Front" else 2,
            "accessible": seat["accessible"],
            "companion": seat["companion"],
            "x": seat["position"]["x"],
            "y": seat["position"]["y"],
        }
        for row in small_hall()["zones"][0]["rows"]
        for seat in row["seats"]
    ]
    return Hall(seats)


def test_a_crowd_is_the_same_for_the_same_seed() -> None:
    crowd = gather(500, 7, chart(), 8)
    again = gather(500, 7, chart(), 8)
    assert [repr(person) for person in crowd] == [repr(person) for person in again]
    assert repr(crowd) != repr(gather(500, 8, chart(), 8))


def test_a_crowd_is_mixed_and_asks_for_more_than_there_is() -> None:
    crowd = gather(3000, 1, chart(), 8)
    manners = Counter(person.manner for person in crowd)
    assert set(manners) == {"pays", "declined", "gives_up", "authenticates", "walks_away"}
    assert manners["pays"] > 2400
    assert {person.quantity for person in crowd} == {1, 2, 3, 4, 5, 6}
    assert any(person.accessible for person in crowd)
    assert 200 < sum(person.named for person in crowd) < 400
    assert all(person.flexible and person.manner == "pays" for person in crowd if person.late)
    assert demand(crowd) > 6000


def test_named_seats_are_free_ones_side_by_side_and_never_kept_ones() -> None:
    hall = chart()
    [person, *_] = gather(10, 1, hall, 8)
    taken = {f"{row}-{seat}" for row in (1, 2, 3, 4, 5) for seat in range(1, WIDTH + 1)} | {"6-8"}
    assert hall.choose(5, taken, person.dice) == ["6-5", "6-6", "6-7", "6-9", "6-10"]
    assert hall.choose(6, taken, person.dice) is None


@pytest.mark.parametrize(
    ("taken", "quantity"),
    [(set(), 2), ({"6-1", "6-2"}, 2), ({"6-2", "6-4"}, 1), ({"6-1", "6-3"}, None)],
)
def test_a_late_buyer_asks_for_a_wheelchair_place_that_is_free_with_a_companion(
    taken: set[str], quantity: int | None
) -> None:
    wish = chart().wish_for_kept(taken)
    assert (wish and wish["quantity"]) == quantity


# What the checks would notice: one true story, and one change at a time.


def alice() -> Told:
    return Told(
        number=1, email="alice@usher.example", outcome="confirmed", quantity=2, booking_id="b-1",
        code="ABCD2345", total=10500, currency="EUR", seats=["1-1", "1-2"], tickets=["1-1", "1-2"],
    )  # fmt: skip


def bob() -> Told:
    return Told(number=2, email="bob@usher.example", outcome="expired", quantity=1,
                booking_id="b-2", seats=["1-3"])  # fmt: skip


def ledger(**changes: int) -> dict[str, Any]:
    row = {"captured": 10500, "captures": 1, "refunded": 0, "held": 0} | changes
    return {"bookings": {"b-1": row}, "currencies": {"eur": {"captured": 10500}}}


INSIDE = {"captured": 10500, "refunded": 0, "on_receipts": 10500, "confirmed": 1, "dead_letters": 0}


def test_a_sale_as_it_should_be_has_no_failures() -> None:
    told = [alice(), bob()]
    assert list(check.check_everybody_told(told)) == []
    assert list(check.check_seats(told, Counter(sold=2))) == []
    assert list(check.check_money(told, ledger(), INSIDE)) == []
    assert list(check.check_inside(told, INSIDE)) == []


def test_a_buyer_who_was_told_nothing_is_noticed() -> None:
    bob_waits = bob()
    bob_waits.outcome = ""
    [failure] = check.check_everybody_told([alice(), bob_waits])
    assert "bob@usher.example" in failure


def test_a_missing_ticket_is_noticed() -> None:
    told = alice()
    told.tickets.pop()
    assert len(list(check.check_everybody_told([told]))) == 1


def test_a_seat_with_two_owners_is_noticed() -> None:
    charlie = Told(number=3, outcome="confirmed", tickets=["1-2"])
    [failure, _] = check.check_seats([alice(), charlie], Counter(sold=2))
    assert "1-2 has 2" in failure


def test_seats_left_while_people_were_sent_away_are_noticed() -> None:
    told = [alice(), bob()]
    assert "1 seats are left" in next(check.check_seats(told, Counter(sold=2, free=1)))
    assert list(check.check_seats(told, Counter(sold=2, free=9))) == []  # nobody asked for so many


@pytest.mark.parametrize("changes", [{"captured": 10499}, {"captures": 2}, {"refunded": 1}])
def test_a_booking_that_is_not_paid_once_and_whole_is_noticed(changes: dict[str, int]) -> None:
    [failure] = check.check_money([alice(), bob()], ledger(**changes), INSIDE)
    assert "ABCD2345" in failure


def test_money_of_somebody_who_got_nothing_is_noticed() -> None:
    books = ledger()
    books["bookings"]["b-2"] = {"captured": 0, "captures": 0, "refunded": 0, "held": 5250}
    [failure] = check.check_money([alice(), bob()], books, INSIDE)
    assert "b-2" in failure


def keep_mail(folder: Path, subject: str, text: str, recipients: str, message_id: str) -> None:
    lines = [
        f"X-Envelope-To: {recipients}", f"Subject: {subject}", f"Message-ID: {message_id}",
        "MIME-Version: 1.0", 'Content-Type: multipart/alternative; boundary="b"', "", "--b",
        'Content-Type: text/plain; charset="utf-8"', "Content-Transfer-Encoding: quoted-printable",
        "", text, "--b", "Content-Type: text/html", "", "<p>EFGH6789</p>", "--b--",
    ]  # fmt: skip
    (folder / f"{message_id}.eml").write_bytes("\r\n".join(lines).encode())


def test_a_confirmation_is_found_by_its_recipient_and_the_code_in_its_text(tmp_path: Path) -> None:
    keep_mail(tmp_path, "=?utf-8?q?Your_tickets_=E2=80=93_x?=", "Code ABCD=\r\n2345.",
              "Alice@usher.example, x@usher.example", "1")  # fmt: skip
    keep_mail(tmp_path, "Pay soon", "ABCD2345", "alice@usher.example", "2")
    assert check.check_mail([alice(), bob()], tmp_path) == (1, [])


@pytest.mark.parametrize(
    ("subject", "text", "recipient"),
    [
        ("Your tickets", "no code", "alice@usher.example"),
        ("Pay soon", "ABCD2345", "alice@usher.example"),
        ("Your tickets", "ABCD2345", "bob@usher.example"),
        ("Your tickets", "EFGH6789", "alice@usher.example"),
    ],
)
def test_a_confirmation_that_is_missing_or_wrong_is_noticed(
    tmp_path: Path, subject: str, text: str, recipient: str
) -> None:
    keep_mail(tmp_path, subject, text, recipient, "1")
    assert check.check_mail([alice()], tmp_path)[0] == 0


def test_a_confirmation_that_came_twice_is_noticed(tmp_path: Path) -> None:
    for number in ("1", "2"):
        keep_mail(tmp_path, "Your tickets", "ABCD2345", "alice@usher.example", number)
    found, [failure] = check.check_mail([alice()], tmp_path)
    assert (found, "(ABCD2345) has 2" in failure) == (0, True)


BUSY = """
import sys, psycopg
with psycopg.connect(sys.argv[1]) as conn:
    conn.execute("SELECT count(*) FROM generate_series(1, 3000000)")
    print("done", flush=True)
    sys.stdin.read()
"""


@pytest.mark.processes
def test_what_postgresql_does_counts_for_the_process_that_asked_for_it(
    conn: Conn, database_url: str
) -> None:
    server = int(Path(f"/proc/{own_backend(conn)}/stat").read_text().rpartition(")")[2].split()[1])
    command = [sys.executable, "-c", BUSY, database_url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        meter = Meter(lambda: {"client": [client.pid], "postgres": [server]}, time.monotonic())
        client.stdout.readline()
        meter.end_phase("busy", conn, {"crowd": 1.5})
        meter.end_phase("idle", conn, {"crowd": 0.5})
        client.communicate(b"")
    assert meter.cpu_s["busy"]["postgres for client"] >= 0.1
    assert meter.cpu_s["idle"].get("postgres for client", 0) < 0.1
    whole = meter.cpu_s["busy"]["all"] + meter.cpu_s["idle"]["all"]
    assert meter.cpu_s["sale"] == {"all": pytest.approx(whole)}


def own_backend(conn: Conn) -> int:
    return int(one(conn.execute("SELECT pg_backend_pid() AS pid"))["pid"])


def test_a_difference_between_the_gateways_books_and_ours_is_noticed() -> None:
    [failure] = check.check_money([alice()], ledger(), INSIDE | {"captured": 1, "on_receipts": 1})
    assert "10500" in failure
