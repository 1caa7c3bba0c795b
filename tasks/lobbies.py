"""The clock's work with lobbies: close them, fix their lists, and draw."""

from datetime import timedelta

import psycopg
import structlog

from db.connections import Conn
from db.queue import lobbies

log = structlog.get_logger()

TEND_EVERY = timedelta(seconds=1)
WATCH_EVERY = timedelta(minutes=1)


def tend_lobbies(conn: Conn) -> dict[str, int]:
    """Do what is due; an error of one lobby does not stop others. {lobbies, drawn, late}"""
    done = {"lobbies": 0, "drawn": 0, "late": 0}
    for event_id in lobbies.list_due(conn):
        try:
            with conn.transaction():
                tended = lobbies.tend(conn, event_id)
        except psycopg.OperationalError:
            raise  # Postgres is away: the lobby is not the cause
        except psycopg.Error as error:
            log.error("lobby failed", event_id=event_id, error=str(error))
            continue
        if tended.closed or tended.drawn is not None or tended.late or tended.ended:
            log.info("lobby", event_id=event_id, **vars(tended))
        done["lobbies"] += 1
        done["drawn"] += tended.drawn or 0
        done["late"] += tended.late
    return done


def watch_lobbies(conn: Conn) -> dict[str, int]:
    """Log an error for each sale that should have begun and waits for its draw; find entries
    that were committed long after their lobby's end. {waiting_for_draw, late}"""
    late = lobbies.list_late(conn)
    for lobby in late:
        log.error(
            "sale waits for its draw",
            event_id=lobby["event_id"],
            since=lobby["on_sale_at"].isoformat(),
            remedy=_remedy(lobby),
        )
    return {"waiting_for_draw": len(late), "late": lobbies.move_latecomers(conn)}


def _remedy(lobby: dict[str, object]) -> str:
    if lobby["closed_at"] and lobby["public_source"] and not lobby["value_given"]:
        return f"POST …/lobby/draw with the public value: {lobby['public_source']}"
    return "see the errors of the job tend_lobbies above"
