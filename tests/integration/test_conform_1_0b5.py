#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The conformance suite against avtomatika 1.0b5, storage in memory."""
import sys

sys.dont_write_bytecode = True

import conform  # noqa: E402
import conform_day  # noqa: E402,F401
import conform_lives  # noqa: E402,F401
import conform_refusals  # noqa: E402,F401

conform.main("1.0b5")
