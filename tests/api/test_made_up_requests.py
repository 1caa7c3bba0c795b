"""Some hundreds of requests that are made up from the description; `make fuzz` sends many more."""

from random import Random

import pytest
from flask import Flask

from db.connections import Conn
from db.maintenance.invariants import violations
from ops.fuzz.__main__ import list_operations
from ops.fuzz.run import Sender, Size, send
from ops.fuzz.tally import Tally, read_reasons
from ops.fuzz.world import World

SEED = 7
FEW = Size(examples=2, scenarios=20)


@pytest.mark.slow
def test_answers_to_made_up_requests_are_as_described(app: Flask, conn: Conn) -> None:
    dice, tally = Random(SEED), Tally()
    sender = Sender(World(conn, dice), dice)
    for event in send(app, sender, SEED, FEW):
        tally.take(event, sender.roles)
    assert tally.errors == []
    assert "\n".join(map(str, tally.failures)) == ""
    assert tally.cases > 300
    assert set(tally.roles) >= {"anonymous", "buyer", "organisation", "operator"}
    assert violations(conn) == []


def test_each_operation_that_is_excused_exists(app: Flask) -> None:
    assert set(read_reasons()) <= set(list_operations(app))
