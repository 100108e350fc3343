"""Lock a project: solve what changed, keep what still fits, write every derived file or none.

`lock --check` has 0.3 s for its whole process: rattler, conda_lock and pydantic are imported only where they are used.
"""

from nomic_scaffold.adapters.lock_files import check, read_inputs
from nomic_scaffold.workflows.lock.other import lint, merge
from nomic_scaffold.workflows.lock.run import lock
from nomic_scaffold.workflows.lock.wanted import LockedVariant, LockResult, Wanted

__all__ = ["LockResult", "LockedVariant", "Wanted", "check", "lint", "lock", "merge", "read_inputs"]
