#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The program's own grammar: commands, help, version, wrong use.

bats_require_minimum_version 1.5.0

@test "no command is wrong use: the list goes to stderr" {
	run -2 --separate-stderr "$GAIT"
	[ -z "$output" ]
	[[ "$stderr" == *"usage: gait COMMAND"* ]]
	[[ "$stderr" == *"  show "* ]]
}

@test "help lists the commands" {
	for word in help --help -h; do
		run -0 --separate-stderr "$GAIT" "$word"
		[[ "$output" == *"usage: gait COMMAND"* ]]
		[ -z "$stderr" ]
	done
}

@test "version is one line" {
	run -0 "$GAIT" --version
	[[ "$output" =~ ^gait\ [0-9]+\.[0-9]+\.[0-9]+$ ]]
}

@test "an unknown command is named" {
	run -2 "$GAIT" shwo
	[ "$output" = "gait: there is no command 'shwo'; 'gait help' lists them" ]
	run -2 "$GAIT" help shwo
	[ "$output" = "gait: there is no command 'shwo'; 'gait help' lists them" ]
}

@test "every command has --help with usage, options and examples" {
	"$GAIT" help | sed -n 's/^  \([a-z]*\) .*/\1/p' >"$BATS_TEST_TMPDIR/commands"
	[ -s "$BATS_TEST_TMPDIR/commands" ]
	while read -r command; do
		run -0 --separate-stderr "$GAIT" "$command" --help
		[ "${lines[0]%% \[options\]*}" = "usage: gait $command" ]
		[[ "$output" == *$'\noptions:\n'* ]]
		[[ "${output#*$'\nexamples:\n'}" == *"gait $command"* ]]
		long=$(echo "$output" | awk '/^examples:/ { exit } length > 80')
		[ -z "$long" ]
		with_help=$output
		run -0 "$GAIT" help "$command"
		[ "$output" = "$with_help" ]
	done <"$BATS_TEST_TMPDIR/commands"
}

@test "wrong use exits with 2, one sentence and a hint" {
	run -2 --separate-stderr "$GAIT" show --jsn x
	[ -z "$output" ]
	[ "${stderr_lines[0]}" = "gait: there is no option '--jsn'" ]
	[ "${stderr_lines[1]}" = "try 'gait show --help'" ]
	run -2 --separate-stderr "$GAIT" show
	[ "${stderr_lines[0]}" = "gait: something is missing: gait show X.gait" ]
	run -2 --separate-stderr "$GAIT" show a b
	[ "${stderr_lines[0]}" = "gait: 'b' is one argument too many" ]
}

@test "-- ends the options" {
	run -1 "$GAIT" show -- --json
	[ "$output" = "gait: cannot open trace '--json': No such file or directory" ]
}

@test "control characters reach no terminal" {
	run -1 "$GAIT" show $'evil\e[31m'
	[ "$output" = "gait: cannot open trace 'evil?[31m': No such file or directory" ]
}

@test "help behind a full disk is an error" {
	run -1 --separate-stderr sh -c '"$1" help >/dev/full' sh "$GAIT"
	[[ "$stderr" == *"No space left on device" ]]
}
