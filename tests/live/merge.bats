#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# nginx in front of nginx, each captured by itself: merged, every request behind has the one in
# front that caused it. Which one that is shows in the size of the reply.

load helper

FILES=200

setup()
{
	require_bpf jq ss curl nginx wrk python3
}

teardown()
{
	stop_all
}

# configuration PORT LOCATION
configuration()
{
	cat <<-EOF
		$(nginx_alone)
		worker_processes 2;
		events { }
		http {
			access_log off;
			keepalive_requests 1000000;
			$(nginx_folders)
			upstream behind { server 127.0.0.1:${behind:-1}; keepalive 8; }
			server {
				listen 127.0.0.1:$1;
				location = /alive { return 204; }
				location / { $2 }
			}
		}
	EOF
}

# start_nginx NAME LOCATION: sets $port
start_nginx()
{
	local at=$BATS_TEST_TMPDIR/$1

	mkdir -p "$at/www"
	for _ in 1 2 3; do
		port=$(free_port)
		configuration "$port" "$2" >"$at/nginx.conf"
		! start_listening "$1" "$port" nginx -p "$at" -c nginx.conf -e error.log || break
	done
	await "$1 answers" curl -sfo /dev/null "http://127.0.0.1:$port/alive"
}

# capture NAME PORT
capture()
{
	start "capture-$1" "$GAIT" capture --port "$2" -o "$BATS_TEST_TMPDIR/$1.gait"
	captures+=("$pid")
	await "gait captures $1" grep -qs '^gait: capturing' "$BATS_TEST_TMPDIR/capture-$1.err"
}

# Captures of both while wrk asks for files of all sizes.
capture_both()
{
	local front i

	captures=()
	start_nginx behind 'root www;'
	behind=$port
	for ((i = 1; i <= FILES; i++)); do
		head -c $((i * 13)) /dev/zero >"$BATS_TEST_TMPDIR/behind/www/$i"
	done
	start_nginx front 'proxy_pass http://behind; proxy_http_version 1.1; proxy_set_header Connection "";'
	front=$port
	capture front "$front"
	capture behind "$behind"
	echo "request = function() return wrk.format('GET', '/' .. math.random(1, $FILES)) end" \
		>"$BATS_TEST_TMPDIR/sizes.lua"
	wrk -t 1 -c 8 -d 1s -s "$BATS_TEST_TMPDIR/sizes.lua" "http://127.0.0.1:$front/" \
		>"$BATS_TEST_TMPDIR/wrk"
	await "the front sees the connections end" connections_gone "$front"
	for i in "${captures[@]}"; do
		kill -INT "$i"
		await "gait ends" ended "$i"
		reap "$i"
	done
}

merge()
{
	trace=$BATS_TEST_TMPDIR/all.gait
	run -0 --separate-stderr "$GAIT" edit merge --force "$@" -o "$trace"
	printf '%s\n' "$output" | sed 's/^/# /' >&3
}

# How many requests there are behind, with a parent, and with the parent whose reply was theirs.
judge()
{
	csv requests '
		NR > 1 { size[at("request_id")] = at("response_bytes"); parent[at("request_id")] = at("parent_id")
			 behind += at("service_id") == 2 }
		END {
			for (id in parent) {
				if (!parent[id])
					continue
				joined++
				headers[size[parent[id]] - size[id]]++
			}
			for (bytes in headers)
				right = headers[bytes] > right ? headers[bytes] : right
			print behind, joined, right
		}'
}

@test "a request behind has the parent in front; clocks taken for two hosts' are within the bound" {
	local behind_requests joined right exact bound error shift=777000000000

	capture_both
	merge "$BATS_TEST_TMPDIR/front.gait" "$BATS_TEST_TMPDIR/behind.gait"
	read -r behind_requests joined right < <(judge)
	echo "# $behind_requests requests behind, $joined joined, $right with their own parent's reply" >&3
	((behind_requests > 500))
	# every call of the front that has an owner; who owns a call is up to the capture
	((joined * 1000 >= behind_requests * 999))
	((right * 100 >= joined * 99))
	assert_equal "calls without a request" "$(ledger calls_unjoined)" 0
	assert_equal "requests without a call" "$(ledger requests_unjoined)" 0
	exact=$(csv requests '{ print at("request_id"), at("parent_id") }')

	# the same as if it was another host, 777 s up longer, its wall clock 37 ms ahead
	sed -i 's/127\.0\.0\.1/10.0.0.1/g' "$BATS_TEST_TMPDIR"/{front,behind}.gait/connections.csv
	# numbers of 64 bits are too long for jq
	python3 - "$BATS_TEST_TMPDIR"/{front,behind}.gait/manifest.json "$shift" <<-'EOF'
		import json, sys
		shift = int(sys.argv[3])
		for path, by, wall in (sys.argv[1], 0, 0), (sys.argv[2], shift, 37000000 - shift):
		    m = json.load(open(path))
		    m["tables"]["connections"]["sha256"] = ""
		    m["start_monotonic_ns"] += by
		    m["hosts"][0]["boot_id"] = "boot-%d" % by
		    m["hosts"][0]["realtime_offset_start_ns"] += wall
		    json.dump(m, open(path, "w"))
	EOF
	merge "$BATS_TEST_TMPDIR/front.gait" "$BATS_TEST_TMPDIR/behind.gait"
	assert_equal "parents" "$(csv requests '{ print at("request_id"), at("parent_id") }')" "$exact"
	read -r bound error < <(python3 - "$trace/manifest.json" "$shift" <<-'EOF'
		import json, sys
		host = json.load(open(sys.argv[1]))["hosts"][1]
		print(host["clock_bound_ns"], abs(host["clock_offset_ns"] + int(sys.argv[2])))
	EOF
	)
	echo "# the clock is $error ns off, the bound is $bound ns" >&3
	((error <= bound && bound < 100000))
}
