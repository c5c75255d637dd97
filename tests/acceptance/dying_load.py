"""The pipeline's load, in a worker that is killed once between the load's commit and the block's finish."""

import os
import signal

from examples.sales_etl import use_cases
from examples.sales_etl.values import LoadInput, LoadOutput
from workflow_service.agents.use_cases import RunContext, use_case


@use_case("dying.load")
def load(params: LoadInput, run: RunContext) -> LoadOutput:
    """Load as the pipeline does, and die of it the first time."""
    output = use_cases.load(params, run)
    if output.times_loaded == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return output
