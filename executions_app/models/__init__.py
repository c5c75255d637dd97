"""What runs: executions, their block executions, and everything that is written down about them.

Child rows reference their execution without a database constraint: an insert must not take a foreign-key lock on
the execution row, which settlers lock with ``FOR NO KEY UPDATE SKIP LOCKED``. Status columns are written by
``transitions.py`` and the settlement alone.
"""

from executions_app.models.answers import Callback, Signal
from executions_app.models.blocks import BlockExecution, BlockOutput, ContextValue, block_execution_id
from executions_app.models.executions import Execution, ExecutionInput, StartRequest, new_execution_id
from executions_app.models.history import ExecutionEvent, ExecutionLog, WritingTransaction
from executions_app.models.limits import AgentSlot, ConcurrencyLimit
from executions_app.models.mirror import MirrorCursor, MirrorState
from executions_app.models.recovery import RecoveryAction, RecoveryPattern, RecoveryPoint, RecoveryStatistic
from executions_app.models.scopes import Scope
from executions_app.models.workers import SweeperState, WorkerLease

__all__ = [
    "AgentSlot",
    "BlockExecution",
    "BlockOutput",
    "Callback",
    "ConcurrencyLimit",
    "ContextValue",
    "Execution",
    "ExecutionEvent",
    "ExecutionInput",
    "ExecutionLog",
    "MirrorCursor",
    "MirrorState",
    "RecoveryAction",
    "RecoveryPattern",
    "RecoveryPoint",
    "RecoveryStatistic",
    "Scope",
    "Signal",
    "StartRequest",
    "SweeperState",
    "WorkerLease",
    "WritingTransaction",
    "block_execution_id",
    "new_execution_id",
]
