"""What became of the requests: counts, failures, and the verdict."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
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
    """A check that an answer did not pass."""

    operation: str
    check: str
    title: str
    message: str
    phase: str
    status: int | None
    curl: str
    answer: str

    @property
    def kind(self) -> tuple[str, str, str]:
        return self.operation, self.check, self.title

    @property
    def text(self) -> str:
        return f"{self.operation}: {self.title} ({self.check})"

    def details(self) -> Iterator[str]:
        yield from (f"    {line}" for line in self.message.splitlines() if line)
        yield f"    {self.curl}"
        yield f"    {self.status} {self.answer[:300]}"

    def __str__(self) -> str:
        answer = f"{self.status} {self.answer}"
        return (
            f"## {self.operation}: {self.title}\n\n{self.check} ({self.phase}): {self.message}\n\n"
            f"```\n{self.curl}\n```\n\n```\n{answer}\n```\n"
        )


@dataclass
class Tally:
    """Counts of requests by operation and status, by role, and by phase."""

    statuses: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    roles: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    phases: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    failures: list[Failure] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    """What kept requests from being made or sent."""
    violations: list[str] = field(default_factory=list)
    """Invariants that do not hold afterwards."""

    def take(self, event: events.EngineEvent, roles: Mapping[str, str]) -> None:
        if isinstance(event, events.ScenarioFinished):
            self._count(event.recorder, roles, event.phase.value)
        elif isinstance(event, events.NonFatalError):
            self.errors.append(f"{event.label}: {event.info.title}: {event.info.message}")
        elif isinstance(event, events.FatalError):
            self.errors.append(f"the engine: {event.exception!r}")

    def _count(self, recorder: ScenarioRecorder, roles: Mapping[str, str], phase: str) -> None:
        for id, interaction in recorder.interactions.items():
            case = recorder.cases[id].value
            if interaction.response is None:
                continue
            operation = case.operation.label
            if case.method.upper() != case.operation.method.upper():
                operation = "another method"
            status = interaction.response.status_code
            self.statuses[operation][status] += 1
            self.roles[roles.get(id, "none")][f"{status // 100}xx"] += 1
            self.phases[phase][f"{status // 100}xx"] += 1
        for id, checks in recorder.checks.items():
            for check in checks:
                if check.status == Status.FAILURE and check.failure_info:
                    found = describe(recorder, id, check.name, check.failure_info, phase)
                    self.failures.append(found)

    def add(self, other: "Tally") -> None:
        for operation, statuses in other.statuses.items():
            self.statuses[operation].update(statuses)
        for role, classes in other.roles.items():
            self.roles[role].update(classes)
        for phase, classes in other.phases.items():
            self.phases[phase].update(classes)
        self.failures += other.failures
        self.errors += other.errors
        self.violations += other.violations

    @property
    def cases(self) -> int:
        return sum(counts.total() for counts in self.statuses.values())

    def successes(self, operation: str) -> int:
        counts = self.statuses.get(operation, Counter())
        return sum(count for status, count in counts.items() if 200 <= status < 300)

    def lacking(self, operations: Sequence[str], reasons: Mapping[str, str]) -> list[str]:
        """Operations that did not succeed often enough, and have no reason."""
        return [
            name for name in operations if name not in reasons and self.successes(name) < ENOUGH
        ]


def describe(
    recorder: ScenarioRecorder, id: str, check: str, found: CheckFailureInfo, phase: str
) -> Failure:
    failing = found.failure.case_id or id
    response = recorder.find_response(case_id=failing)
    content = response.content if response and response.content else b""
    return Failure(
        recorder.cases[id].value.operation.label,
        check,
        found.failure.title,
        found.failure.message,
        phase,
        response.status_code if response else None,
        found.code_sample,
        content.decode(errors="replace")[:2000],
    )


def read_reasons(page: Path = REASONS) -> dict[str, str]:
    """By operation: why it does not succeed here, from the table of the page."""
    return dict(re.findall(r"^\| `([A-Z]+ /\S+)` \| (.+) \|$", page.read_text(), re.MULTILINE))


def summary(
    tally: Tally, operations: Sequence[str], reasons: Mapping[str, str], seed: int
) -> dict[str, Any]:
    """The object of var/fuzz.json: counts alone."""
    by_check = Counter(failure.check for failure in tally.failures)
    others = by_check.total() - by_check[SERVER_ERROR] - by_check[UNDOCUMENTED]
    return {
        "cases": tally.cases,
        "operations": len(operations),
        "operations_never_2xx": len(tally.lacking(operations, reasons)),
        "server_errors": by_check[SERVER_ERROR],
        "undocumented_statuses": by_check[UNDOCUMENTED],
        "schema_breaches": others,
        "violations": len(tally.violations),
        "errors": len(tally.errors),
        "excused": len(reasons.keys() & set(operations)),
        "seed": seed,
        "failed_checks": dict(sorted(by_check.items())),
        "phases": by_status(tally.phases),
        "roles": by_status(tally.roles),
    }


def by_status(counts: Mapping[str, Counter[str]]) -> dict[str, dict[str, int]]:
    return {name: dict(sorted(counts[name].items())) for name in sorted(counts)}


ZEROS = (
    "operations_never_2xx", "server_errors", "undocumented_statuses", "schema_breaches",
    "violations", "errors",
)  # fmt: skip
"""Figures of the summary that have to be 0."""


def tell(tally: Tally, operations: Sequence[str], reasons: Mapping[str, str]) -> Iterator[str]:
    """Lines about all that has to be mended: each kind of failure once, with one request of it."""
    for name in tally.lacking(operations, reasons):
        statuses = list_statuses(tally.statuses.get(name, Counter()))
        yield f"{name}: answered 2xx {tally.successes(name)} times: {statuses or 'never sent'}"
    kinds = Counter(failure.kind for failure in tally.failures)
    first = {failure.kind: failure for failure in reversed(tally.failures)}
    for kind, count in kinds.most_common():
        yield f"{first[kind].text}, {count} times"
        yield from first[kind].details()
    yield from (f"invariant: {found}" for found in tally.violations)
    yield from (f"error: {error}" for error in tally.errors)


def list_statuses(statuses: Counter[int]) -> str:
    return ", ".join(f"{status}: {statuses[status]}" for status in sorted(statuses))


def report(tally: Tally, operations: Sequence[str], reasons: Mapping[str, str]) -> Iterator[str]:
    """var/fuzz.md: each failure, then what each operation was answered."""
    yield "# Failures\n"
    yield from map(str, tally.failures)
    yield from (f"- {found}" for found in (*tally.violations, *tally.errors))
    yield "\n# Answers\n\n| Operation | 2xx | All statuses |\n|---|---|---|"
    for operation in (*operations, "another method"):
        each = list_statuses(tally.statuses.get(operation, Counter()))
        excused = " (excused)" if operation in reasons else ""
        yield f"| `{operation}`{excused} | {tally.successes(operation)} | {each} |"
