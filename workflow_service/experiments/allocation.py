"""Which arm a unit gets: a hash of the experiment and the unit, so that it gets the same one each time, anywhere.

Nothing is looked up and nothing is kept: two starts of one unit at the same moment agree. The experiment's id is part
of what is hashed, so that who got the treatment here does not tell who gets it elsewhere.
"""

import hashlib
import json

from pydantic import JsonValue

from workflow_service.experiments.models import Arm

BUCKETS = 2**64


def unit_of(experiment_id: str, key: JsonValue) -> int:
    """Return the digest, 64 bits with a sign, that stands for a key: the key is not kept, for it may be personal."""
    text = json.dumps([experiment_id, key], sort_keys=True, ensure_ascii=True)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], signed=True)


def arm_of(unit: int, treatment_share: int) -> Arm:
    """Return the arm of a unit; ``treatment_share`` in percent of all units get the treatment."""
    bucket = int.from_bytes(hashlib.sha256(f"arm:{unit}".encode()).digest()[:8])
    return Arm.TREATMENT if bucket * 100 < treatment_share * BUCKETS else Arm.CONTROL
