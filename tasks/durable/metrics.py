"""Dramatiq's own metrics, in the directory that the API's /metrics reads (dramatiq_prom_db)."""

from typing import Any

from dramatiq.middleware.prometheus import Prometheus


class SharedPrometheus(Prometheus):
    """Does not start a server: two workers on one machine would want the same port."""

    @property
    def forks(self) -> list[Any]:
        return []
