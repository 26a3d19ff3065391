#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The manual pages say what the option tables say: --help is what both are compared by.

load ../lacks

bats_require_minimum_version 1.5.0

setup() {
	MAN=$GAIT_SOURCE/man
	cd "$BATS_TEST_TMPDIR" || return
	"$GAIT" help | sed -n 's/^  \([a-z]*\)  .*/\1/p' >commands
	[ -s commands ]
}

# page COMMAND: its file
page() {
	echo "$MAN/gait-$1.1"
}

# section NAME FILE: the lines of one section of a page
section() {
	awk -v name="$1" '/^\.Sh / { on = substr($0, 5) == name; next } on' "$2"
}

# The options of --help on stdin as "-o, --output X.gait", one a line.
help_options() {
	awk '/^options:/ { on = 1; next } /^examples:/ { on = 0 } on' |
		sed -nE 's/^ {2,6}(-[^ ].*)$/\1/p' | sed -E 's/ {2,}.*//' | sort
}

# The same of a page.
page_options() {
	section OPTIONS "$1" |
		sed -nE '/^\.It Fl/ { s/^\.It //; s/Fl -/--/g; s/Fl /-/g; s/ , /, /g; s/Ar //; p }' | sort
}

@test "every command has a page, and every page a command" {
	diff <(sort commands) <(basename -s .1 -a "$MAN"/gait-*.1 | sed 's/^gait-//' | sort)
	diff <(sort commands) <(section COMMANDS "$MAN/gait.1" |
		sed -n 's/^\.It Xr gait-\([a-z]*\) 1$/\1/p' | sort)
}

@test "a page has the options of --help, all of them and no others" {
	while read -r command; do
		echo "gait $command (< --help, > page)"
		diff <("$GAIT" "$command" --help | help_options) <(page_options "$(page "$command")")
	done <commands
	# the two words of gait itself
	diff <(printf '%s\n' --version '-h, --help' | sort) <(page_options "$MAN/gait.1")
}

@test "a page has the defaults of --help" {
	while read -r command; do
		"$GAIT" "$command" --help | tr -s '\n ' '  ' |
			grep -oE '\(default: [^)]*\)' | sed 's/(default: \(.*\))/\1/' >defaults || true
		diff defaults <(section OPTIONS "$(page "$command")" |
			sed -n 's/^The default is \(.*\)\.$/\1/p')
	done <commands
}

@test "a page has the values of --help that an option chooses from" {
	for how in live recorded auto clock dependent; do
		"$GAIT" replay --help | grep -qw "$how"
		section OPTIONS "$(page replay)" | grep -q "^\.Ql $how :"
	done
	for how in work cpu wall; do
		"$GAIT" node --help | grep -qw "$how"
		section OPTIONS "$(page node)" | grep -q "^\.Ql $how :"
	done
}

@test "examples use commands and options that there are" {
	for file in "$MAN"/*.1; do
		section EXAMPLES "$file" | sed -n 's/\\-/-/g; s/^gait //p' >examples
		[ -s examples ]
		while read -r command words; do
			grep -qx "$command" commands
			"$GAIT" "$command" --help | help_options >options
			# what stands behind " -- " or a pipe is not ours
			words=${words%% -- *}
			for word in ${words%%|*}; do
				[[ $word == -* ]] || continue
				[[ $word == --* ]] || word=${word:0:2}
				echo "$file: gait $command: $word"
				grep -qE -e "(^|, )$word( |,|\$)" options
			done
		done <examples
	done
}

@test "pages have the sections that are looked for, and refer to pages that there are" {
	for file in "$MAN"/*.1; do
		echo "$file"
		for name in NAME SYNOPSIS DESCRIPTION OPTIONS "EXIT STATUS" EXAMPLES "SEE ALSO"; do
			[ -n "$(section "$name" "$file")" ]
		done
		for code in 0 1 2; do
			section "EXIT STATUS" "$file" | grep -qx ".It $code"
		done
		[ "$(sed -n '/^\.Nm /{s///p;q}' "$file")" = "$(basename "$file" .1)" ]
		sed -nE 's/.*\.(It )?Xr (gait[a-z-]*) 1.*/\2/p' "$file" >references
		[ -s references ]
		while read -r name; do
			[ -e "$MAN/$name.1" ]
		done <references
	done
}

@test "groff renders the pages without a warning" {
	command -v groff >/dev/null || lacks "groff is not installed"
	for file in "$MAN"/*.1; do
		run -0 groff -man -Tutf8 -ww -z "$file"
		[ -z "$output" ]
		groff -man -Tutf8 "$file" >text
		[ -s text ]
	done
}
