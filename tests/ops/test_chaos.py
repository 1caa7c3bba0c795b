"""A short campaign in which everything breaks, and that each of its tools does what it says."""

import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE, Popen
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest
import redis
import requests

from db.connections import Conn
from db.runtime.faults import STOP
from ops.chaos import mail, promises, timeline
from ops.chaos.__main__ import run
from ops.chaos.buyer import Told
from ops.chaos.copies import Copies
from ops.chaos.everything import COMMITTERS, POINTS, SHORT, long_form
from ops.chaos.plan import Act, draw_acts, draw_people, named_points
from ops.chaos.timeline import Timeline
from ops.chaos.wire import How, Wire
from ops.local.servers import free_port
from ops.local.supervisor import ROOT, Supervisor
from tests.support.running import Running
from tests.support.theatre import Theatre, build_evening
from tests.support.waiting import wait_until


@pytest.mark.processes
@pytest.mark.system
@pytest.mark.timeout(300)  # everything is killed, and the machine may be busy
def test_nothing_is_lost_or_done_twice_whatever_breaks(tmp_path: Path) -> None:
    out = tmp_path / "chaos.json"
    result = run(SHORT, 1, out, tmp_path / "var")
    assert result["failures"] == []
    assert (result["lost"], result["doubled"], result["invariant_rows"]) == (0, 0, 0)
    assert result["accepted_by_kind"].keys() == {"entry", "booking", "payment", "refund"}
    assert result["accepted"] > 70
    assert result["mails"]["sent"] > 20
    faults = result["faults"]
    for what in ("redis_flushed", "redis_stopped", "postgres_restarted", "snapshot_held"):
        assert faults[what] >= 1, what
    assert faults["cut before commit"] + faults["cut after commit"] >= 2
    assert faults["messages_copied"]["at_once"] > 20
    assert faults["killed"]
    assert faults["died_at"]
    assert json.loads(out.read_text()) == result


def test_a_long_campaign_has_everything_in_it() -> None:
    form = long_form(minutes=30)
    acts, people = draw_acts(form, 7), draw_people(form, 7)
    assert acts == draw_acts(form, 7) != draw_acts(form, 8)
    assert {person.manner for person in people} == set(form.manners)
    assert {act.what for act in acts} >= {"kill", "die", "freeze", "cancel", *form.breaks}
    assert {act.whom for act in acts if act.what == "die"} == {*named_points(), *POINTS}
    killed = {act.whom.partition(".")[0] for act in acts if act.what == "kill"}
    assert killed == {*form.formation, "catcher"}
    assert {"before SMTP", "after message", "before call", "after capture"} <= set(named_points())


def test_every_actor_that_commits_can_be_killed_there(configured: dict[str, str]) -> None:
    from tasks import clock, main
    from tasks.durable import leases

    assert main.QUEUES
    known = {f"task:{name}" for name in leases.policies}
    known |= {f"clock:{name}" for name in clock.JOBS}
    assert {one for one in COMMITTERS if ":" in one} <= known


@pytest.mark.processes
def test_a_worker_stops_where_it_is_ordered_to_and_goes_on_later(
    configured: dict[str, str], tmp_path: Path
) -> None:
    """It is frozen with what it has just read, for certain and not by chance."""
    (tmp_path / "here").write_text(STOP)
    program = "from db.runtime.faults import reach; reach('here'); print('went on')"
    env = os.environ | configured | {"DIE_AT": str(tmp_path)}
    with Popen([sys.executable, "-c", program], env=env, cwd=ROOT, stdout=PIPE, text=True) as one:
        state = Path(f"/proc/{one.pid}/stat")
        wait_until(lambda: state.read_text().rpartition(")")[2].split()[0] == "T")
        assert not (tmp_path / "here").exists()
        one.send_signal(signal.SIGCONT)
        assert one.communicate(timeout=20)[0] == "went on\n"


# The wire.


@pytest.fixture
def wired(database_url: str) -> Iterator[tuple[Wire, str]]:
    port = urlsplit(database_url).port
    assert port
    with Wire(port) as wire:
        yield wire, wire.url_of(database_url)


@pytest.mark.parametrize(
    ("how", "kept"), [("before commit", 0), ("after commit", 1), ("before answer", 0)]
)
def test_the_wire_cuts_at_the_commit(
    wired: tuple[Wire, str], conn: Conn, how: How, kept: int
) -> None:
    wire, url = wired
    conn.execute("create table shows (id int)")
    with psycopg.connect(url) as careful:
        careful.execute("select 1")
        wire.cut(how)
        with pytest.raises(psycopg.OperationalError):
            careful.execute("insert into shows values (7)")
            careful.commit()
    rows = conn.execute("select count(*) as n from shows").fetchall()
    assert rows == [{"n": kept}]
    assert wire.done == {how: 1}


def test_the_wire_cuts_a_statement_that_commits_by_itself(
    wired: tuple[Wire, str], conn: Conn
) -> None:
    wire, url = wired
    conn.execute("create table shows (id int)")
    with psycopg.connect(url, autocommit=True) as hasty:
        wire.cut("before answer")
        with pytest.raises(psycopg.OperationalError):
            hasty.execute("insert into shows values (7)")
    assert conn.execute("select id from shows").fetchall() == [{"id": 7}]
    with psycopg.connect(url) as next_one:
        assert next_one.execute("select 1").fetchone() == (1,)


# Copies of messages.


def test_each_message_is_delivered_again_at_once_and_late(running: Running, redis_url: str) -> None:
    from tasks.drain import drain
    from tasks.durable.broker import broker

    client = redis.Redis.from_url(redis_url)
    with Copies(redis_url, 1, late_s=(0, 0.1)) as copies:
        wait_until(lambda: any(one["cmd"] == "monitor" for one in client.client_list()))
        broker.enqueue(drain.message())
        wait_until(lambda: copies.done == {"at_once": 1, "late": 1})
    queued = client.hvals("dramatiq:drain.msgs")
    assert client.llen("dramatiq:drain") == len(queued) == 3
    messages = [json.loads(text) for text in queued]
    assert len({message["message_id"] for message in messages}) == 1
    assert len({message["options"]["redis_message_id"] for message in messages}) == 3


# What the verdict would notice.


@pytest.fixture
def sale(conn: Conn) -> Theatre:
    return build_evening(conn)


def test_what_was_accepted_and_is_not_there_is_lost(sale: Theatre) -> None:
    entry, nowhere = str(sale.join("alice", 2, 1)), str(uuid4())
    told = [Told(1, "pays", accepted={"entry": entry, "payment 2": nowhere})]
    kept = promises.examine(sale.conn, told)
    assert kept.accepted == {"entry": 1, "payment": 1, "booking": 0, "refund": 0}
    assert kept.lost == [f"entry {entry} is waiting", f"payment {nowhere} is not there"]
    assert kept.doubled == []


def test_who_has_two_places_is_noticed(sale: Theatre) -> None:
    alice, first = sale.add_buyer("alice"), sale.join("alice", 2, 1)
    left = "update entries set state = 'left', decided_at = now() where id = %s"
    sale.conn.execute(left, [first])
    sale.join("alice", 2, 1)
    kept = promises.examine(sale.conn, [Told(1, "pays", account=alice)])
    assert kept.doubled == [f"2 entries of account {alice}"]


def test_mails_that_never_came_or_came_as_another_are_noticed(running: Running) -> None:
    booking = running.sale.hold("alice")
    with running.work():
        running.pay(booking)
        running.wait_for(booking, "confirmed")
        query = "select from emails where state = 'pending'"
        wait_until(lambda: not running.conn.execute(query).fetchall())
    came = Counter(str(each["Message-ID"]) for each in running.catcher.mails())
    post = mail.compare(running.conn, came)
    assert (post.sent, post.repeated, post.missing, post.doubled) == (came.total(), 0, [], [])
    (one, *_) = came
    assert mail.compare(running.conn, came + Counter([one])).repeated == 1
    assert "never received" in mail.compare(running.conn, Counter()).missing[0]
    assert mail.compare(running.conn, came + Counter(["<other@usher.example>"])).doubled


# Faults that meet each other.


@pytest.mark.faults("Campaigns")
@pytest.mark.parametrize(
    "away",
    [
        requests.ConnectionError("refused"),
        requests.ReadTimeout("silent"),
        psycopg.OperationalError("starting up"),
        redis.ConnectionError("refused"),
        ConnectionResetError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_fault_whose_target_was_just_killed_happens_when_it_is_back(away: Exception) -> None:
    tries: list[float] = []

    def do(act: Act) -> Act:
        tries.append(act.at_s)
        if len(tries) < 3:
            raise away
        return Act(act.at_s + 0.1, "end")

    with Timeline([Act(0, "mail")], {"mail": do, "end": lambda act: None}) as line:
        wait_until(lambda: line.done["end"] == 1)
    assert (line.done["mail"], line.late["mail"], line.errors) == (1, 1, [])
    assert len(tries) == 3


@pytest.mark.faults("Campaigns")
def test_a_fault_that_fails_otherwise_or_for_too_long_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(timeline, "PATIENCE_S", 0.3)

    def do(act: Act) -> None:
        raise ConnectionRefusedError if act.whom == "dead" else KeyError

    acts = [Act(0, "cut", "dead"), Act(0, "cut", "odd")]
    with Timeline(acts, {"cut": do}) as line:
        wait_until(lambda: len(line.errors) == 2)
    assert "KeyError" in line.errors[0]
    assert "ConnectionRefusedError" in line.errors[1]


@pytest.mark.processes
@pytest.mark.faults("Campaigns")
def test_the_mail_servers_faults_outlast_its_death(tmp_path: Path) -> None:
    ports = f"--smtp-port {free_port()} --http-port {(port := free_port())}"
    command = f'python -m ops.sandbox.mail_catcher {ports} --dir "{tmp_path}"'
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    url = f"http://127.0.0.1:{port}"
    with Supervisor(env, tmp_path / "log") as supervisor:
        supervisor.start("catcher", command)
        supervisor.wait_for_http("catcher", f"{url}/readyz")
        server = mail.Mail(url, 1)
        supervisor.kill("catcher")
        acts = [Act(0, "mail", lasts_s=0.1)]
        with Timeline(acts, server.doings) as line:
            wait_until(lambda: line.done["mail_well"] == 1, 30)
        assert line.errors == []
        assert server.done.total() == 1
        supervisor.kill("catcher")
        server.rest()
        assert server.caught() == {}
