#!/bin/sh
# blockbuster 1.5.29: a list of modules that may block, excluded_modules, given by itself.
#
# Guess before the run: blocking calls out of these modules are let through, all others are still caught.
# Seen: they are caught as well; the list is looked at only where scanned_modules is given, too.
# What it means: to let one module block, name the modules that are looked at besides it.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q blockbuster==1.5.29 forbiddenfruit==0.1.4
mkdir "$folder/code"
printf 'import time\n\n\ndef block():\n    time.sleep(0.001)\n' > "$folder/code/slow.py"
cat > "$folder/code/run.py" <<'PY'
import asyncio
import sys

import slow
from blockbuster import BlockBuster, BlockingError


async def blocks():
    try:
        slow.block()
    except BlockingError:
        return "caught"
    return "let through"


CASES = {
    "nothing given": {},
    "excluded_modules=['slow']": {"excluded_modules": ["slow"]},
    "scanned_modules=['slow']": {"scanned_modules": ["slow"]},
    "scanned_modules=['slow'], excluded_modules=['slow']": {"scanned_modules": ["slow"], "excluded_modules": ["slow"]},
}
name = list(CASES)[int(sys.argv[1])]
guard = BlockBuster(**CASES[name])
guard.activate()
print(f"{name}: {asyncio.run(blocks())}")
PY
cat > "$folder/expected" <<'TXT'
nothing given: caught
excluded_modules=['slow']: caught
scanned_modules=['slow']: caught
scanned_modules=['slow'], excluded_modules=['slow']: let through
TXT
for case in 0 1 2 3; do
    "$folder/venv/bin/python" "$folder/code/run.py" "$case"
done | tee "$folder/seen"
diff "$folder/expected" "$folder/seen"
