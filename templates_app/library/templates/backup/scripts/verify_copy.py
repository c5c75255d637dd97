"""Open an archive, hash what is in it, and compare it with the files it was made of."""

import hashlib
import json
import os
import sys
import zipfile
from pathlib import Path


def main() -> None:
    message = json.load(sys.stdin)
    given = message["input"]
    with zipfile.ZipFile(Path(message["context"]["filesDir"], given["copy"])) as archive:
        found = {name: hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()}
    missing = sorted(set(given["required"]) - set(found))
    if missing or sorted(found.values()) != sorted(one["digest"] for one in given["digests"]):
        sys.stderr.write(f"ERROR: the copy is not whole; missing: {', '.join(missing) or 'nothing'}\n")
        raise SystemExit(os.EX_DATAERR)
    json.dump({"verified": len(found), "names": sorted(found)}, sys.stdout)


main()
