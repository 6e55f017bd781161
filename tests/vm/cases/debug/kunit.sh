#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The KUnit suites of the module, which ran when it was loaded: each has run and none has failed.
set -euo pipefail

suites=0
for results in /sys/kernel/debug/kunit/weft*/results; do
	[[ -e $results ]] || break
	cat "$results"
	grep -q '^ok ' "$results"
	if grep -q 'not ok ' "$results"; then exit 1; fi
	suites=$((suites + 1))
done
echo "$suites suites"
((suites > 0))
