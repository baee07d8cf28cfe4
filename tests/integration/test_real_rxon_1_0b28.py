#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The cases of test_real.py against avtomatika 1.0b28."""
import sys

sys.dont_write_bytecode = True

import test_real  # noqa: E402

test_real.main("1.0b28")
