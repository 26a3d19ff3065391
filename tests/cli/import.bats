#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# gait import without a network: what it refuses and how it says so, and captures of a few bytes.
# Real captures are in tests/live/import.bats.

bats_require_minimum_version 1.5.0
load ../lacks

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	# no packets: magic (us), version 2.4, zone, accuracy, snap length, Ethernet
	printf '\xd4\xc3\xb2\xa1\2\0\4\0\0\0\0\0\0\0\0\0\0\0\4\0\1\0\0\0' >empty.pcap
	# one of 4 bytes, at 1 s, that is no IP
	{
		cat empty.pcap
		printf '\1\0\0\0\0\0\0\0\16\0\0\0\16\0\0\0............\x08\x06'
	} >arp.pcap
}

@test "a wrong use is told, with what is right" {
	run -2 "$GAIT" import
	run -2 "$GAIT" import pcap
	run -2 "$GAIT" import pcap empty.pcap
	[[ $output == *"-o X.gait"* ]]
	run -2 "$GAIT" import har empty.pcap -o x.gait
	[[ $output == *"there is no format 'har'"* ]]
	run -2 "$GAIT" import pcap empty.pcap -o x.gait --port 0
	run -2 "$GAIT" import pcap empty.pcap -o x.gait --server shop:80
	[[ $output == *"'shop' is no address"* ]]
	[ ! -e x.gait ]
}

@test "what is no capture is refused, and named" {
	run -1 "$GAIT" import pcap none.pcap -o x.gait
	[[ $output == *"'none.pcap'"*"No such file"* ]]
	printf 'name,bytes\n' >table.csv
	run -1 "$GAIT" import pcap empty.pcap table.csv -o x.gait
	[[ $output == *"'table.csv' is no capture of packets"*"tcpdump -w"* ]]
	: >nothing
	run -1 "$GAIT" import pcap nothing -o x.gait
	[[ $output == *"'nothing' has nothing in it"*"tcpdump -w"* ]]
	[ ! -e x.gait ]
}

@test "a capture without packets is an empty trace; one that is there is not replaced" {
	run -0 "$GAIT" import pcap empty.pcap -o x.gait
	[[ $output == "0 requests on 0 connections"* ]]
	run -0 "$GAIT" show x.gait
	run -1 "$GAIT" import pcap empty.pcap -o x.gait
	[[ $output == *x.gait* ]]
	run -1 "$GAIT" replay x.gait --local -o run.gait
	[[ $output == *"is made of packets"* ]]
	run -0 "$GAIT" import pcap empty.pcap -o x.gait -f
}

@test "packets that are not understood are counted with the reason" {
	run -0 --separate-stderr "$GAIT" import pcap arp.pcap empty.pcap arp.pcap -o x.gait --json
	[[ $(jq .packets <<<"$output") == 2 ]]
	[[ $(jq .packets_not_ip <<<"$output") == 2 ]]
	[[ $(jq .source x.gait/manifest.json) == '"pcap"' ]]
	[[ $(jq .started_at x.gait/manifest.json) == '"1970-01-01T00:00:01Z"' ]]
}

@test "a file that ends within a packet is read as far as it goes, and it is said" {
	head -c -1 arp.pcap >cut.pcap
	run -0 "$GAIT" import pcap arp.pcap cut.pcap -o x.gait
	[[ $output == *"'cut.pcap' ends within a packet"* ]]
	[[ $(jq .ledger.packets x.gait/manifest.json) == 1 ]]
	[[ $(jq .ledger.captures_cut x.gait/manifest.json) == 1 ]]
}

# block TYPE HEX: a block of pcapng, its body given by digits in pairs
block() {
	local body=${2//[^0-9a-f]/} length

	length=$(printf '%08x' $((12 + ${#body} / 2)))
	length=${length:6}${length:4:2}${length:2:2}${length:0:2}
	# shellcheck disable=SC2001 # pairs of digits, not one pattern
	printf '%b' "$(sed 's/../\\x&/g' <<<"$1$length$body$length")"
}

@test "a capture of interfaces that differ is read, but not as a stream" {
	# UDP from 10.0.0.1:9 to 10.0.0.2:7, one byte
	local udp="45 00 00 1d 00 01 00 00 40 11 00 00 0a 00 00 01 0a 00 00 02 00 09 00 07 00 09 00 00 78"
	local ethernet="00 00 00 00 00 00 00 00 00 00 00 00 08 00"

	{
		block 0a0d0d0a "4d 3c 2b 1a 01 00 00 00 ff ff ff ff ff ff ff ff"
		block 01000000 "01 00 00 00 00 00 04 00"
		block 01000000 "65 00 00 00 60 00 00 00 09 00 01 00 09 00 00 00 00 00 00 00" # raw IP, in ns
		block 06000000 "00 00 00 00 00 00 00 00 40 42 0f 00 2b 00 00 00 2b 00 00 00 $ethernet $udp 00"
		block 06000000 "01 00 00 00 00 00 00 00 01 ca 9a 3b 1d 00 00 00 1d 00 00 00 ${udp/00 01/00 02} 00 00 00"
		# the statistics of the second: 3 dropped
		block 05000000 "01 00 00 00 00 00 00 00 00 00 00 00 07 00 08 00 03 00 00 00 00 00 00 00"
	} >mixed.pcapng
	run -3 --separate-stderr "$GAIT" import pcap mixed.pcapng -o x.gait --json
	[[ $(jq -c '[.packets, .connections, .requests, .packets_dropped, .duration_ns]' <<<"$output") == "[2,1,2,3,1]" ]]
	run bash -c 'cat mixed.pcapng | "$GAIT" import pcap - -o y.gait'
	[ "$status" -eq 1 ]
	[[ $output == *"'standard input'"* ]]
	[[ $output == *"built without libpcap"* || $output == *"which can be read from a plain file alone"* ]]
	[ ! -e y.gait ]
	run "$GAIT" import pcap mixed.pcapng -o x.gait -f --filter 'dst port 7 and less 30'
	[[ $output != *"built without"* ]] || lacks "--filter needs libpcap"
	[[ $output == *"1 requests on 1 connections"* ]]
}

@test "a filter takes packets of a tunnel's device too, which begin with IP" {
	# as empty.pcap, of raw IP; one of 29 bytes: UDP from 10.0.0.1:9 to 10.0.0.2:7, one byte
	{
		head -c 20 empty.pcap
		printf '\145\0\0\0\1\0\0\0\0\0\0\0\35\0\0\0\35\0\0\0'
		printf '\105\0\0\35\0\1\0\0\100\21\0\0\12\0\0\1\12\0\0\2'
		printf '\0\11\0\7\0\11\0\0x'
	} >tunnel.pcap
	run "$GAIT" import pcap tunnel.pcap -o x.gait --filter 'dst port 7'
	[[ $output != *"built without"* ]] || lacks "--filter needs libpcap"
	[ "$status" -eq 0 ]
	[[ $output == *"1 requests on 1 connections"* ]]
	run -0 "$GAIT" import pcap tunnel.pcap -o x.gait -f --filter tcp
	[[ $output == "0 requests on 0 connections"* ]]
}
