"""Health and readiness of this process."""

from pathlib import Path
from typing import Any

import psycopg
import redis
from flask import Blueprint, jsonify
from psycopg_pool import PoolTimeout

from db.connections import autocommit
from db.maintenance import health
from db.runtime.settings import settings
from web.support.errors import problem

blp = Blueprint("health", __name__)

MIGRATIONS = Path(__file__).resolve().parents[2] / "sql" / "migrations"
WANTED = max(int(path.name[1:5]) for path in MIGRATIONS.glob("V*.sql"))
PING_TIMEOUT = 0.5


@blp.get("/healthz")
def get_health() -> Any:
    """Answer 200 as long as the process runs."""
    return jsonify(alive=True)


@blp.get("/readyz")
def get_readiness() -> Any:
    """Ready when Postgres can be reached and is migrated. Redis is not needed."""
    try:
        with autocommit() as conn:
            version = health.get_version(conn)
    except (psycopg.OperationalError, PoolTimeout):
        return problem(503, "The database cannot be reached.")
    if version < WANTED:
        return problem(503, f"The database has version {version} of {WANTED}: run the migrations.")
    return jsonify(ready=True, schema_version=version, redis=_ping_redis())


def _ping_redis() -> str:
    url = settings().redis_url
    try:
        with redis.Redis.from_url(
            url, socket_timeout=PING_TIMEOUT, socket_connect_timeout=PING_TIMEOUT
        ) as client:
            client.ping()
    except redis.RedisError:
        return "unreachable"
    return "ok"
