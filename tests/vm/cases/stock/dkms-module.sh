#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The module that DKMS built from an installation (tests/dkms/run) loads and registers the file system.
# weft-vm: no-cluster
set -euo pipefail

module=$WEFT_BUILD/check/weft-dkms.ko
if [[ ! -e $module ]]; then
	echo "DKMS has built nothing: tests/dkms/run does"
	exit 4
fi
rmmod weft
insmod "$module"
grep -qw weft /proc/filesystems
rmmod weft
modprobe weft
