import resource

import pytest

from node.open_files import MAX_CONNECTIONS, MAX_OPEN_FILES, compute_max_connections, raise_limit

NONE = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("soft", "hard", "limit"),
    [
        (1024, 4096, 4096),
        (1024, 1 << 20, MAX_OPEN_FILES),
        (1024, NONE, MAX_OPEN_FILES),
        (4096, 4096, 4096),
        (1 << 20, 1 << 20, 1 << 20),
        (NONE, NONE, MAX_OPEN_FILES),
    ],
)
def test_the_limit_is_raised_as_far_as_allowed_and_wanted(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, limit: int
) -> None:
    calls: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: calls.append(limits))
    assert raise_limit() == limit
    assert calls == ([(limit, hard)] if NONE != soft < limit else [])


@pytest.mark.parametrize(("max_open_files", "connections"), [(256, 192), (1024, 768), (65_536, MAX_CONNECTIONS)])
def test_connections_leave_files_to_others(max_open_files: int, connections: int) -> None:
    assert compute_max_connections(max_open_files) == connections
