#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Our signatures against those of the package rxon, over payloads that a seed
makes."""
import os
import subprocess
import sys

sys.dont_write_bytecode = True

import peers  # noqa: E402
from harness import BUILD, SEED, SOURCE, case, check, main  # noqa: E402

COUNT = 1000


@case("1,000 payloads signed by us verify with rxon of {}, and 1,000 signed "
      "by it with us",
      ("1.0b28", "1.0b28"), ("1.0b30", "1.0b30"))
def payloads(_t, _name, version):
    done = subprocess.run(
        [peers.python_of(version), "-B",
         os.path.join(SOURCE, "rxon_payloads.py"),
         os.path.join(BUILD, "tests", "integration", "rxon_signer"),
         str(SEED), str(COUNT)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    check(done.returncode == 0,
          f"AVTOWORKER_SEED={SEED}: {done.stdout.decode(errors='replace')}")


print(f"# AVTOWORKER_SEED={SEED}", flush=True)
main()
