"""Every guard is needed: where it is missing, a row turns red. All slow but the check that the list fits the code."""

from pathlib import Path

import pytest

from tests.faults.mutations import MUTATIONS, ROOT, Mutation, run


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.guard)
def test_a_guard_on_the_list_is_in_the_code_once(mutation: Mutation) -> None:
    assert (ROOT / mutation.path).read_text(encoding="utf-8").count(mutation.before) == 1
    assert (ROOT / mutation.test.split("::")[0]).exists()


@pytest.mark.slow
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.guard)
def test_a_missing_guard_is_seen(mutation: Mutation, tmp_path: Path) -> None:
    done = run(mutation, tmp_path)
    assert done.returncode == 1, done.stdout
    assert "failed" in done.stdout
