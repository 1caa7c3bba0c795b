"""Who sends a request: usually one who may, sometimes another."""

from random import Random

from ops.fuzz.asking import Asked
from ops.fuzz.world import World

ROLES = ("anonymous", "buyer", "other buyer", "organisation", "other organisation", "operator")
WRONG = 0.15
"""How often the caller is any other one."""


def choose_role(dice: Random, schemes: set[str], asked: Asked) -> str:
    """schemes: those of the operation's security; none: it is public."""
    if dice.random() < WRONG or not schemes:
        return dice.choice(ROLES)
    if "buyer" in schemes or "queue_ticket" in schemes:
        return "buyer"
    needs_operator = asked.operator or "operator_key" in schemes
    return "operator" if needs_operator or dice.random() < 0.3 else "organisation"


def token_of(world: World, role: str, asked: Asked) -> str | None:
    if role == "anonymous":
        return None
    if role == "buyer":
        return asked.token or (asked.buyer or world.stranger).token
    return world.stranger.token if role == "other buyer" else world.keys[role]
