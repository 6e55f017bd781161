#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The module loads and unloads again and again, and says its version.
# weft-vm: no-cluster
set -euo pipefail

version=$(sed -n 's/^PACKAGE_VERSION="\(.*\)"/\1/p' "$(dirname "$0")/../../../../dkms.conf")
for _ in {1..10}; do
	rmmod weft
	if grep -q '^weft ' /proc/modules; then exit 1; fi
	modprobe weft
	[[ $(cat /sys/module/weft/version) == "$version" ]]
done
grep -qw weft /proc/filesystems
