"""Dramatiq's own metrics, in the directory that the API's /metrics reads (dramatiq_prom_db)."""

from typing import Any

from dramatiq.middleware.prometheus import Prometheus


class SharedPrometheus(Prometheus):
    """Without a server of its own: two masters on one machine would fight for its port."""

    @property
    def forks(self) -> list[Any]:
        return []
