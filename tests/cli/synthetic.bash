# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Traces of known content, and a look into tables by the names of their columns.

# synthetic DIR CONNECTIONS RATE SECONDS [WORK]: evenly spaced requests of 64 bytes, one connection
# after the other, each with WORK units of CPU (none) and a reply of 64 bytes, all by the clock.
synthetic()
{
	mkdir -p "$1"
	# mawk's %d ends at 2^31
	awk -v dir="$1" -v connections="$2" -v rate="$3" -v seconds="$4" -v work="${5:-0}" 'BEGIN {
		OFS = ","
		print "service_id,host_id,name,threads\n1,1,made,1" >(dir "/services.csv")
		print "class_id,service_id,name\n1,1,only" >(dir "/classes.csv")
		print "connection_id,service_id,requests" >(dir "/connections.csv")
		print "request_id,class_id,service_id,connection_id,thread_id,arrival_ns,request_bytes,response_bytes" \
			>(dir "/requests.csv")
		print "op_id,request_id,kind,service_id,start_ns,work,bytes" >(dir "/ops.csv")
		count = rate * seconds
		for (c = 1; c <= connections; c++)
			print c, 1, int(count / connections) >(dir "/connections.csv")
		for (r = 1; r <= count; r++) {
			at = sprintf("%.0f", (r - 1) * 1e9 / rate)
			print r, 1, 1, (r - 1) % connections + 1, 1, at, 64, 64 >(dir "/requests.csv")
			if (work)
				print 2 * r, r, "compute", 1, at, work, 0 >(dir "/ops.csv")
			print 2 * r + 1, r, "reply", 1, at, 0, 64 >(dir "/ops.csv")
		}
		printf "{\"schema\":{\"major\":1,\"minor\":0},\"tool\":\"script\",\"source\":\"synthetic\"," \
			"\"duration_ns\":%.0f}\n", seconds * 1e9 >(dir "/manifest.json")
	}'
}

# table FILE PROGRAM: awk over a table whose fields are at("name")
table()
{
	awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) column[$i] = i; next }
		function at(name) { return $(column[name]) }
		'"$2" "$1"
}

# percentile P of the numbers on stdin, by rank
percentile()
{
	sort -n | awk -v p="$1" '{ x[NR] = $1 } END { i = int((NR * p + 99) / 100); print x[i < 1 ? 1 : i] }'
}
