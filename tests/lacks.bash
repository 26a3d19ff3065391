# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0

# A reason not to run: the test is skipped with it, or fails with it where no test may be skipped.
lacks()
{
	[[ ${GAIT_REQUIRE_BPF:-} == 1 ]] || skip "$1"
	printf '%s (and GAIT_REQUIRE_BPF=1 forbids to skip)\n' "$1" >&2
	return 1
}
