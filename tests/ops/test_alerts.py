"""ops/deploy/alerts/rules.yml: whole, over metrics that exist, and firing when they should."""

import re
from typing import Any

import pytest
import yaml
from flask import Flask
from prometheus_client import CollectorRegistry, generate_latest
from promql_parser import Expr, VectorSelector, parse, parse_duration, walk

from db.connections import Conn
from ops.local.supervisor import ROOT
from tests.support.world import Caller
from web.app import create_app
from web.live.server import HubGauges
from web.live.streams import Hub

RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((ROOT / "ops/deploy/alerts/rules.yml").read_text())["groups"]
    for rule in group["rules"]
]


@pytest.fixture
def app(configured: dict[str, str]) -> Flask:
    """An app of its own, whose metrics are those of one test."""
    return create_app()


@pytest.fixture
def metrics(anybody: Caller) -> set[str]:
    """The names that web and live processes show."""
    anybody.get("/v1/events")
    live = CollectorRegistry()
    live.register(HubGauges(Hub()))
    text = anybody.get("/metrics").text + generate_latest(live).decode()
    return set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))


def metrics_of(expression: Expr) -> set[str]:
    """The names of all metrics that a PromQL expression reads."""
    names = set()

    def visit(node: Expr) -> bool:
        if isinstance(node, VectorSelector):
            names.add(str(node.name))
        return True

    walk(expression, visit)
    return names


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_it_is_whole_and_its_metrics_exist(rule: dict[str, Any], metrics: set[str]) -> None:
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert parse_duration(rule.get("for", "1m"))
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert {"summary", "remedy"} == set(rule["annotations"])
    assert set() < metrics_of(parse(rule["expr"])) <= metrics


def test_each_alert_has_a_name_of_its_own() -> None:
    assert len({rule["alert"] for rule in RULES}) == len(RULES)


def test_a_dead_letter_is_counted_and_ages(anybody: Caller, conn: Conn) -> None:
    conn.execute(
        "INSERT INTO dead_letters (task_id, actor, queue, args, reason, claims, errors,"
        " created_at, died_at) SELECT n, 'send_email', 'mail', '{}', 'no', 1, '[]', now(),"
        " now() - n * interval '1 min' FROM generate_series(1, 2) n"
    )
    text = anybody.get("/metrics").text
    assert 'usher_dead_letters_open{actor="send_email"} 2.0' in text
    (age,) = re.findall(r'usher_dead_letters_age_seconds{actor="send_email"} ([\d.]+)', text)
    assert 120 <= float(age) < 150


def test_an_outage_is_seen_until_it_ends(anybody: Caller, opera: Caller, conn: Conn) -> None:
    conn.execute(
        "INSERT INTO outages (gateway_account_id, opened_at)"
        " SELECT min(id), now() - interval '1 min' FROM gateway_accounts"
    )
    (age,) = re.findall(
        r'usher_outage_seconds{gateway_account="\d+"} ([\d.]+)', anybody.get("/metrics").text
    )
    assert 60 <= float(age) < 90


def test_what_is_in_hand_is_not_late(anybody: Caller, conn: Conn) -> None:
    """However long it takes: its lease tells whether somebody is still at it."""
    long_ago = "clock_timestamp() - interval '1 h'"
    conn.execute(f"SELECT enqueue('cancel_event', 'payments', 'one', '{{}}', 1, {long_ago})")
    conn.execute(
        "UPDATE outbox SET lease_token = gen_random_uuid(), lease_until = now() + interval '1 min'"
    )
    assert "usher_outbox_age_seconds{" not in anybody.get("/metrics").text
