# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Sourced by the other scripts: `ensure_packages [GROUP...]` installs what scripts/packages lists
# and this machine lacks. It never starts a service, nor lets one start at the next boot.

setup_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
setup_policy=/usr/sbin/policy-rc.d

# The package names of the groups, one a line; all groups if none is named.
packages_wanted()
{
	local groups=" $* "
	local line

	while read -r -a line; do
		[[ ${#line[@]} -eq 0 || ${line[0]} == \#* ]] && continue
		[[ $# -eq 0 || $groups == *" ${line[0]} "* ]] && printf '%s\n' "${line[@]:1}"
	done <"$setup_root/scripts/packages"
	return 0
}

packages_missing()
{
	local package

	for package in $(packages_wanted "$@"); do
		[[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] ||
			echo "$package"
	done
}

# Debian starts a service when its package is installed, unless policy-rc.d says 101. A policy
# that is already there is the owner's and stays.
packages_install()
(
	if [[ ! -e $setup_policy ]]; then
		trap 'rm -f "$setup_policy"' EXIT
		printf '#!/bin/sh\nexit 101\n' >"$setup_policy"
		chmod 755 "$setup_policy"
	fi
	export DEBIAN_FRONTEND=noninteractive
	apt-get -qq update &&
		apt-get -qq -y --no-install-recommends install "$@" >/dev/null
)

# The services our packages bring that this machine does not have yet. Installing enables them for
# the next boot too, which is not ours to decide: those, and only those, are disabled again.
services_absent()
{
	local unit

	command -v systemctl >/dev/null || return 0
	for unit in redis-server nginx postgresql memcached haproxy; do
		systemctl cat "$unit" >/dev/null 2>&1 || echo "$unit"
	done
}

ensure_packages()
{
	local missing absent unit

	if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
		echo "setup: no apt-get here; install by hand what scripts/packages lists" >&2
		return 0
	fi
	mapfile -t missing < <(packages_missing "$@")
	[[ ${#missing[@]} -eq 0 ]] && return 0
	if [[ $EUID -ne 0 ]]; then
		echo "setup: packages are missing; as root: apt-get install ${missing[*]}" >&2
		return 1
	fi
	echo "setup: installing ${missing[*]}" >&2
	mapfile -t absent < <(services_absent)
	if ! packages_install "${missing[@]}"; then
		echo "setup: apt-get could not install ${missing[*]}" >&2
		return 1
	fi
	for unit in "${absent[@]}"; do
		systemctl --quiet disable "$unit" 2>/dev/null || true
	done
}
