"""What became of the requests: counts, failures, and the verdict."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from schemathesis.engine import Status, events
from schemathesis.engine.recorder import CheckFailureInfo, ScenarioRecorder

from ops.local.supervisor import ROOT

ENOUGH = 20
"""Answers 2xx of each operation."""
REASONS = ROOT / "ops" / "docs" / "fuzz.md"
SERVER_ERROR = "not_a_server_error"
UNDOCUMENTED = "status_code_conformance"


@dataclass(frozen=True)
class Failure:
    operation: str
    check: str
    title: str
    message: str
    status: int | None
    curl: str
    answer: str

    def __str__(self) -> str:
        answer = f"{self.status} {self.answer}"
        return (
            f"## {self.operation}: {self.title}\n\n{self.check}: {self.message}\n\n"
            f"```\n{self.curl}\n```\n\n```\n{answer}\n```\n"
        )


@dataclass
class Tally:
    """Counts of requests by operation, status and role."""

    statuses: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    roles: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    failures: list[Failure] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    """What kept requests from being made or sent."""

    def take(self, event: events.EngineEvent, roles: Mapping[str, str]) -> None:
        if isinstance(event, events.ScenarioFinished):
            self._count(event.recorder, roles)
        elif isinstance(event, events.NonFatalError):
            self.errors.append(f"{event.label}: {event.info.title}: {event.info.message}")

    def _count(self, recorder: ScenarioRecorder, roles: Mapping[str, str]) -> None:
        for id, interaction in recorder.interactions.items():
            case = recorder.cases[id].value
            if interaction.response is None:
                continue
            operation = case.operation.label
            if case.method.upper() != case.operation.method.upper():
                operation = "another method"
            self.statuses[operation][interaction.response.status_code] += 1
            self.roles[roles.get(id, "none")][f"{interaction.response.status_code // 100}xx"] += 1
        for id, checks in recorder.checks.items():
            for check in checks:
                if check.status == Status.FAILURE and check.failure_info:
                    self.failures.append(describe(recorder, id, check.name, check.failure_info))

    @property
    def cases(self) -> int:
        return sum(counts.total() for counts in self.statuses.values())

    def successes(self, operation: str) -> int:
        counts = self.statuses.get(operation, Counter())
        return sum(count for status, count in counts.items() if 200 <= status < 300)

    def lacking(self, operations: list[str], reasons: Mapping[str, str]) -> list[str]:
        """Operations that did not succeed often enough, and have no reason."""
        return [
            name for name in operations if name not in reasons and self.successes(name) < ENOUGH
        ]


def describe(recorder: ScenarioRecorder, id: str, check: str, found: CheckFailureInfo) -> Failure:
    failing = found.failure.case_id or id
    response = recorder.find_response(case_id=failing)
    content = response.content if response and response.content else b""
    return Failure(
        recorder.cases[id].value.operation.label,
        check,
        found.failure.title,
        found.failure.message,
        response.status_code if response else None,
        found.code_sample,
        content.decode(errors="replace")[:2000],
    )


def read_reasons(page: Path = REASONS) -> dict[str, str]:
    """By operation: why it does not succeed here, from the table of the page."""
    return dict(re.findall(r"^\| `([A-Z]+ /\S+)` \| (.+) \|$", page.read_text(), re.MULTILINE))


def rows(tally: Tally, operations: list[str], reasons: Mapping[str, str]) -> Iterator[Any]:
    for operation in operations:
        statuses = tally.statuses.get(operation, Counter())
        row = {"operation": operation, "successes": tally.successes(operation)}
        row["statuses"] = {str(status): statuses[status] for status in sorted(statuses)}
        yield row | ({"reason": reasons[operation]} if operation in reasons else {})


def summary(
    tally: Tally, operations: list[str], reasons: Mapping[str, str], seed: int
) -> dict[str, Any]:
    by_check = Counter(failure.check for failure in tally.failures)
    others = by_check.total() - by_check[SERVER_ERROR] - by_check[UNDOCUMENTED]
    return {
        "cases": tally.cases,
        "operations": len(operations),
        "operations_never_2xx": len(tally.lacking(operations, reasons)),
        "server_errors": by_check[SERVER_ERROR],
        "undocumented_statuses": by_check[UNDOCUMENTED],
        "schema_breaches": others,
        "errors": len(tally.errors),
        "seed": seed,
        "failed_checks": dict(by_check),
        "roles": {role: dict(sorted(tally.roles[role].items())) for role in sorted(tally.roles)},
        "rows": list(rows(tally, operations, reasons)),
    }


ZEROS = (
    "operations_never_2xx", "server_errors", "undocumented_statuses", "schema_breaches", "errors",
)  # fmt: skip
"""Figures of the summary that have to be 0."""
