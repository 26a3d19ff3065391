# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Debian's packages of another architecture, unpacked below a folder: nothing of them is installed here, and
# apt's own lists stay as they are. Sourced by tests/kernels/run.

# foreign_apt ARCHITECTURE DIR: sets $foreign, apt's options for that, its lists in DIR.
foreign_apt()
{
	mkdir -p "$2/state/lists/partial" "$2/cache/archives/partial"
	touch "$2/status"
	foreign=(-o "APT::Architecture=$1" -o "APT::Architectures::=$1" -o "Dir::State=$2/state"
		-o "Dir::State::status=$2/status" -o "Dir::Cache=$2/cache" -o APT::Sandbox::User=root)
}

# foreign_unpack DIR PACKAGE...: with all that they need
foreign_unpack()
{
	local dir=$1 archive

	shift
	[[ -e $dir/unpacked ]] && return
	rm -rf "$dir"
	mkdir -p "$dir/archives/partial"
	apt-get "${foreign[@]}" -qq update || return
	apt-get "${foreign[@]}" -o "Dir::Cache::archives=$dir/archives" -qq -y --no-install-recommends \
		--download-only install "$@" >/dev/null || return
	for archive in "$dir"/archives/*.deb; do
		dpkg-deb -x "$archive" "$dir" || return
	done
	rm -r "$dir/archives"
	touch "$dir/unpacked"
}

# foreign_find DIR NAME PLACE...: the path of that file below DIR, which is in the first of the places there.
foreign_find()
{
	local dir=$1 name=$2 place

	shift 2
	for place in "$@"; do
		[[ -e $dir/$place/$name ]] && { echo "/$place/$name"; return 0; }
	done
	return 1
}

# foreign_libraries FILE: the names of those that it is linked with
foreign_libraries()
{
	readelf -d "$1" 2>/dev/null | sed -n 's/.*(NEEDED).*\[\(.*\)\]$/\1/p'
}
