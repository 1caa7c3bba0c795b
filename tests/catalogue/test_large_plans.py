"""Large plans are read in the background: once, wholly or not at all, and with an answer."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from werkzeug.serving import make_server

from db.catalogue import plans
from db.catalogue.seating import read_plan
from db.connections import Conn, many, one, transaction
from ops.crowd.organiser import Organiser
from ops.local.supervisor import read_procfile
from ops.plans.arena import arena
from tests.support.processes import environment_of, process, relaying
from tests.support.running import Running
from tests.support.waiting import wait_until
from tests.support.world import Answer, Caller, Sale, event_fields, seller, small_hall

Json = dict[str, Any]
PATIENCE = 60


def large(plan: Json) -> Json:
    """The same plan, as a file of more than 1 MiB."""
    return plan | {"uuid": "x" * 2**20}


def plans_of(sale: Sale) -> str:
    return f"/v1/venues/{sale.venue['id']}/plans"


def versions_of(sale: Sale) -> str:
    return f"/v1/plans/{sale.plan['id']}/versions"


def look(caller: Caller, started: Answer) -> Json:
    """The import that an answer started, as it is now."""
    assert started.status_code == 202, started.text
    found: Json = caller.get(started.json["links"]["self"]).json
    return found


def follow(running: Running, caller: Caller, started: Answer) -> Json:
    """The same, when it has ended."""
    with running.work():
        wait_until(lambda: look(caller, started)["poll_after_s"] is None, PATIENCE)
    return look(caller, started)


def count(conn: Conn, table: str) -> int:
    return int(one(conn.execute(f"select count(*) as n from {table}".encode()))["n"])


def state_of(conn: Conn) -> Json:
    """The only import."""
    return one(conn.execute("select state, source, progress from plan_imports"))


# What is answered


@pytest.mark.faults("H5")
def test_a_large_plan_is_answered_at_once_and_read_in_the_background(
    running: Running, hall: Sale, conn: Conn
) -> None:
    started = hall.opera.post(plans_of(hall), large(small_hall()))
    assert started.status_code == 202, started.text
    waiting = started.json
    assert (waiting["state"], waiting["progress"], waiting["poll_after_s"]) == ("waiting", 0, 1)
    assert started.headers["Location"] == waiting["links"]["self"]
    assert (waiting["plan_id"], waiting["version"], waiting["problem"]) == (None, None, None)
    before = count(conn, "plans")
    done = follow(running, hall.opera, started)
    assert (done["state"], done["progress"], done["problem"]) == ("done", 1, None)
    assert count(conn, "plans") == before + 1
    small = hall.opera.post(plans_of(hall), small_hall()).json
    own = dict.fromkeys(("id", "version_id", "created_at"))
    assert done["version"] | own == small | own
    assert (done["plan_id"], done["version_id"]) == (
        done["version"]["id"],
        done["version"]["version_id"],
    )
    assert state_of(conn)["source"] is None
    assert hall.opera.get(f"{plans_of(hall)[:-5]}plan-imports").json[0]["id"] == done["id"]


def test_a_large_plan_is_called_as_the_request_says(running: Running, hall: Sale) -> None:
    started = hall.opera.post(f"{plans_of(hall)}?name=Arena", large(small_hall()))
    assert follow(running, hall.opera, started)["version"]["name"] == "Arena"


@pytest.mark.faults("H5")
def test_a_large_plan_that_is_wrong_fails_with_the_errors_of_a_small_one(
    running: Running, hall: Sale, conn: Conn
) -> None:
    before = count(conn, "plans"), count(conn, "plan_versions")
    wrong = small_hall()
    wrong["zones"][0]["rows"][0]["seats"][0]["category"] = "Nothing"
    wrong["zones"][0]["rows"][1]["seats"][0].pop("seat_guid")
    refused = hall.opera.post(plans_of(hall), wrong)
    failed = follow(running, hall.opera, hall.opera.post(plans_of(hall), large(wrong)))
    assert (failed["state"], failed["version"], refused.status_code) == ("failed", None, 422)
    assert len(failed["problem"]["errors"]) == 2
    own = {"instance", "request_id"}
    assert strip(failed["problem"], own) == strip(refused.json, own)
    assert (count(conn, "plans"), count(conn, "plan_versions")) == before
    assert running.dead_letters() == running.tasks("import_plan") == []
    assert state_of(conn)["source"] is None


def strip(problem: Json, names: set[str]) -> Json:
    return {name: value for name, value in problem.items() if name not in names}


@pytest.mark.parametrize(
    "source",
    [
        b'{"name": "' + b"x" * 2**20,
        b'"' + b"x" * 2**20 + b'"',
        b'{"uuid": "' + b"x" * 2**20 + b'"}',
        b'{"uuid": ' + b"[" * 200_000 + b" " * 2**20,
        b"{" + b",".join(b'"k%d":1' % n for n in range(200_000)) + b"}",
        json.dumps(large(small_hall() | {"name": "\x00"})).encode(),
    ],
    ids=["cut off", "a text", "nothing in it", "deep", "many names", "a name with a null"],
)
def test_no_large_file_breaks_the_import(
    running: Running, hall: Sale, conn: Conn, source: bytes
) -> None:
    before = count(conn, "plans")
    started = hall.opera.post(plans_of(hall), data=source, content_type="application/json")
    failed = follow(running, hall.opera, started)
    assert (failed["state"], failed["problem"]["status"]) == ("failed", 422)
    assert failed["problem"]["errors"]
    assert count(conn, "plans") == before
    assert running.dead_letters() == []


@pytest.mark.parametrize("key", ["a\x00b", "\ud800"])
def test_keys_that_cannot_be_stored_are_told_of_without_what_cannot(
    running: Running, hall: Sale, key: str
) -> None:
    """In a plan that is read at once, and in a large one, strict or not."""
    plan = small_hall() | {key: 1}
    told = hall.opera.post(plans_of(hall), plan)
    assert told.status_code == 201, told.text
    path = plans_of(hall)
    done = follow(running, hall.opera, hall.opera.post(path, large(plan | {"name": "Other"})))
    assert done["version"]["warnings"] == told.json["warnings"]
    failed = follow(running, hall.opera, hall.opera.post(f"{path}?strict=true", large(plan)))
    assert failed["state"] == "failed"
    assert running.dead_letters() == []


def test_a_worker_that_waits_for_another_plan_does_not_forget_earlier_deaths(
    running: Running, hall: Sale, conn: Conn
) -> None:
    """Otherwise a plan over which workers die would be tried for ever, in turn with another."""
    from tasks.plan_imports import READING  # its broker has the settings of the test

    hall.opera.post(plans_of(hall), large(small_hall()))
    conn.execute("update outbox set claims = 3 where actor = 'import_plan'")
    with READING, running.work():
        wait_until(lambda: running.tasks("import_plan")[0]["put_off"])
    assert running.tasks("import_plan")[0]["claims"] == 3


def test_a_strict_import_of_a_large_plan_refuses_what_would_be_warned_of(
    running: Running, hall: Sale
) -> None:
    plan = large(small_hall() | {"accesible": True})
    started = hall.opera.post(f"{plans_of(hall)}?strict=true", plan)
    failed = follow(running, hall.opera, started)
    paths = {error["path"] for error in failed["problem"]["errors"]}
    assert (failed["state"], "accesible" in paths) == ("failed", True)


def test_the_large_plan_of_another_venue_is_no_version(running: Running, hall: Sale) -> None:
    other = small_hall()
    for row in other["zones"][0]["rows"]:
        for seat in row["seats"]:
            seat["seat_guid"] += "-other"
    failed = follow(running, hall.opera, hall.opera.post(versions_of(hall), large(other)))
    refused = hall.opera.post(versions_of(hall), other)
    own = {"instance", "request_id"}
    assert (refused.status_code, failed["plan_id"]) == (409, hall.plan["id"])
    assert strip(failed["problem"], own) == strip(refused.json, own)
    path = f"{versions_of(hall)}?unrelated=true"
    done = follow(running, hall.opera, hall.opera.post(path, large(other)))
    assert (done["state"], done["version"]["version"]) == ("done", 2)


@pytest.mark.faults("H5")
def test_a_file_of_too_many_parts_is_refused_before_it_is_stored(hall: Sale, conn: Conn) -> None:
    source = b'{"zones":[' + b"[]," * 700_000 + b"[]]}"
    answer = hall.opera.post(plans_of(hall), data=source, content_type="application/json")
    assert (answer.status_code, answer.json["errors"][0]["path"]) == (422, "plan")
    assert count(conn, "plan_imports") == 0


# Whose it is, and how many there are


def test_one_key_is_one_import(running: Running, hall: Sale, conn: Conn) -> None:
    first = hall.opera.post(plans_of(hall), large(small_hall()), key="once")
    done = follow(running, hall.opera, first)
    again = hall.opera.post(plans_of(hall), large(small_hall()), key="once")
    assert (again.status_code, again.json) == (202, first.json)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Location"] == first.headers["Location"]
    other = hall.opera.post(plans_of(hall), large(small_hall(rows=4)), key="once")
    assert (other.status_code, other.json["conflict_reason"]) == (422, "key_reused")
    assert (count(conn, "plan_imports"), done["state"]) == (1, "done")


def test_two_at_once_with_one_key_are_one_import(hall: Sale, app: Flask, conn: Conn) -> None:
    both = threading.Barrier(2)

    def send(_: int) -> int:
        both.wait(5)
        caller = Caller(app.test_client(), hall.opera.token)
        return int(caller.post(plans_of(hall), large(small_hall()), key="once").status_code)

    with ThreadPoolExecutor(2) as threads:
        statuses = set(threads.map(send, range(2)))
    assert 202 in statuses
    assert statuses <= {202, 409, 503}
    assert count(conn, "plan_imports") == count(conn, "outbox") == 1


def test_an_organisation_has_three_imports_under_way_at_most(
    running: Running, hall: Sale, app: Flask, conn: Conn
) -> None:
    started = [hall.opera.post(plans_of(hall), large(small_hall())) for _ in range(3)]
    assert [answer.status_code for answer in started] == [202] * 3
    refused = hall.opera.post(versions_of(hall), large(small_hall()))
    assert (refused.status_code, refused.json["conflict_reason"]) == (409, "imports_under_way")
    assert hall.opera.post(plans_of(hall), small_hall()).status_code == 201
    circus = seller(app, "organiser", "Circus")
    tent = circus.post("/v1/venues", {"name": "Tent", "time_zone": "Europe/Berlin"}).json
    path = f"/v1/venues/{tent['id']}/plans"
    assert circus.post(path, large(small_hall())).status_code == 202
    with running.work():
        wait_until(lambda: not running.tasks("import_plan"), PATIENCE)
    assert hall.opera.post(versions_of(hall), large(small_hall())).status_code == 202
    assert count(conn, "plan_imports") == 5


def test_a_version_is_accepted_while_another_one_is_being_stored(hall: Sale) -> None:
    plan = read_plan(json.dumps(small_hall()).encode())
    with transaction() as conn:
        plans.add_version(conn, None, hall.plan["id"], plan, b"{}")
        answer = hall.opera.post(versions_of(hall), large(small_hall()))
    assert answer.status_code == 202, answer.text


def test_another_organisation_sees_no_import(
    hall: Sale, circus: Caller, operator: Caller, alice: Caller, conn: Conn
) -> None:
    started = hall.opera.post(plans_of(hall), large(small_hall()))
    path = started.json["links"]["self"]
    listed = f"/v1/venues/{hall.venue['id']}/plan-imports"
    assert [who.get(path).status_code for who in (circus, operator, alice)] == [404, 200, 403]
    assert [who.get(listed).status_code for who in (circus, operator)] == [404, 200]
    for target in (plans_of(hall), versions_of(hall)):
        assert circus.post(target, large(small_hall())).status_code == 404
    assert count(conn, "plan_imports") == 1


# Workers


@pytest.mark.faults("H5")
@pytest.mark.processes
@pytest.mark.parametrize("point", ["after plan is read", "before plan version commits"])
def test_an_import_survives_the_death_of_its_worker(
    running: Running, hall: Sale, configured: dict[str, str], tmp_path: Path, point: str
) -> None:
    orders, conn = tmp_path / "orders", running.conn
    orders.mkdir()
    (orders / point).touch()
    started = hall.opera.post(plans_of(hall), large(small_hall()))
    before = count(conn, "plans"), count(conn, "plan_versions")
    env = environment_of(configured | {"DIE_AT": str(orders)})
    command = read_procfile()["keeper"]
    with relaying():
        with process(command, env, tmp_path / "first.log"):
            wait_until(lambda: not (orders / point).exists(), PATIENCE)
        assert state_of(conn)["state"] == "reading"
        assert (count(conn, "plans"), count(conn, "plan_versions")) == before
        with process(command, env, tmp_path / "second.log") as keeper:
            wait_until(lambda: look(hall.opera, started)["state"] == "done", PATIENCE)
            keeper.terminate()
            keeper.wait(PATIENCE)
    assert (count(conn, "plans"), count(conn, "plan_versions")) == (before[0] + 1, before[1] + 1)
    assert look(hall.opera, started)["version"]["seats"] == 30
    assert running.tasks("import_plan") == []


def test_an_import_over_which_workers_die_ends_with_a_dead_letter(
    running: Running, hall: Sale, conn: Conn
) -> None:
    started = hall.opera.post(plans_of(hall), large(small_hall()))
    conn.execute("update outbox set claims = 4 where actor = 'import_plan'")
    failed = follow(running, hall.opera, started)
    assert (failed["state"], failed["problem"]["status"]) == ("failed", 500)
    (letter,) = running.dead_letters()
    assert (letter["actor"], letter["args"]) == ("import_plan", {"import_id": failed["id"]})
    assert running.tasks("import_plan") == []
    assert state_of(conn)["source"] is None


@pytest.fixture
def told_to_stop() -> Iterator[threading.Event]:
    """Whether this process is to stop: not yet, whatever workers of other tests were told."""
    from tasks.durable.leases import told_to_stop

    told_to_stop.clear()
    yield told_to_stop
    told_to_stop.clear()


def test_progress_is_seen_while_a_plan_is_read_and_stored(
    running: Running,
    hall: Sale,
    told_to_stop: threading.Event,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from tasks import plan_imports

    monkeypatch.setattr(plan_imports, "PAUSE", 0.0)
    started = hall.opera.post(plans_of(hall), large(small_hall()))
    running.conn.execute("update outbox set claims = 1 where actor = 'import_plan'")
    lease = running.lease("import_plan")
    wanted = plan_imports.begin(lease)
    assert wanted
    progress = plan_imports.Progress(lease, wanted.id, 30)
    progress.read(15)
    assert (look(hall.opera, started)["state"], look(hall.opera, started)["progress"]) == (
        "reading",
        0.25,
    )
    (task,) = running.tasks("import_plan")
    assert task["claims"] == 2  # a death after this counts, since nothing is kept
    with lease.transaction():
        progress.stored(15)
    assert look(hall.opera, started)["progress"] == 0.75
    plan_imports.read_and_store(lease, wanted)
    assert look(hall.opera, started)["state"] == "done"


def test_an_import_whose_worker_is_told_to_stop_begins_anew_elsewhere(
    running: Running, hall: Sale, told_to_stop: threading.Event
) -> None:
    from tasks import plan_imports
    from tasks.durable.backoff import record_failure
    from tasks.durable.leases import Stopping

    started = hall.opera.post(plans_of(hall), large(small_hall()))
    lease = running.lease("import_plan")
    wanted = plan_imports.begin(lease)
    assert wanted
    told_to_stop.set()
    with pytest.raises(Stopping) as stopped:
        plan_imports.read_and_store(lease, wanted)
    record_failure(lease, stopped.value)
    assert follow(running, hall.opera, started)["state"] == "done"


def test_a_process_reads_one_plan_at_a_time(running: Running, hall: Sale) -> None:
    from tasks import plan_imports
    from tasks.durable.leases import TryLater

    with plan_imports.alone(), pytest.raises(TryLater), plan_imports.alone():
        pass
    started = [hall.opera.post(plans_of(hall), large(small_hall())) for _ in range(3)]
    with running.work():
        wait_until(lambda: not running.tasks("import_plan"), PATIENCE)
    assert [look(hall.opera, answer)["state"] for answer in started] == ["done"] * 3


# A stadium


@pytest.fixture
def site(app: Flask) -> Iterator[str]:
    """The app at an address."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()


def keep_statistics(conn: Conn) -> None:
    """Let Postgres know what the tables have now, and nothing of what comes.

    Autovacuum tells it within a minute, and a stadium is imported and put on sale in less.
    """
    tables = (
        "select format('alter table %I set (autovacuum_enabled = false)', relname) as statement"
        " from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace"
    )
    for row in many(conn.execute(tables)):
        conn.execute(row["statement"])
    conn.execute("analyze")


@pytest.mark.system
@pytest.mark.timeout(300)
@pytest.mark.faults("H5")
def test_a_stadium_is_imported_sold_and_moved_to_its_next_version(
    running: Running, hall: Sale, site: str
) -> None:
    """40,000 seats, as a client of the API imports them."""
    keep_statistics(running.conn)
    stadium = json.dumps(arena(40_000)).encode()
    organiser = Organiser(site, str(hall.opera.token))
    with running.work():
        plan = organiser.import_plan(hall.venue["id"], stadium)
        assert (plan["seats"], plan["version"], plan["changes"]) == (40_000, 1, None)
        path = f"/v1/plans/{plan['id']}/versions"
        second = organiser.follow_import(organiser.post_bytes(path, stadium))["version"]
    assert (second["version"], second["changes"]["stayed"]["count"]) == (2, 40_000)
    prices = [
        {"category": category["category"], "price": 5000}
        for category in plan["categories"]
        if category["seats"]
    ]
    fields = event_fields(hall.venue, plan, categories=prices)
    event = f"/v1/events/{organiser.post('/v1/events', fields)['id']}"
    organiser.patch(event, {"plan_version_id": second["version_id"]})
    organiser.post(f"{event}/open", {})
    moved = organiser.post(f"{event}/plan-version", {"plan_version_id": plan["version_id"]})
    assert moved["plan_version_id"] == plan["version_id"]
    seats = "select count(*) as n from seats where event_id = %s"
    assert one(running.conn.execute(seats, [moved["id"]]))["n"] == 40_000
    running.check()
