/* SPDX-License-Identifier: Apache-2.0 */
/* What is said on a connection and what is found in it. Marks: see framed.h. */
static const struct conversation conversations[] = {
	{
		"one request",
		"http/1",
		">0 Q1:GET >27 q1:GET <0 R1 <43 r1",
		false,
		false,
		{
			IN("GET / HTTP/1.1\r\nHost: x\r\n"
			   "\r\n"),
			OUT("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"
			    "\r\nhello"),
		},
	},
	{
		"pipelined, keep-alive",
		"http/1",
		">0 Q1:GET >19 q1:GET >19 Q2:POST >63 q2:POST >63 Q3:GET >82 q3:GET "
		"<0 R1 <38 r1 <38 R2! <78 r2! <78 R3 <117 r3",
		false,
		false,
		{
			IN("GET /a HTTP/1.1\r\n\r\nPOST /b HTTP/1.1\r\n"
			   "content-length:  3 \r\n\r\n"
			   "abcGET /c HTTP/1.1\r\n\r\n"),
			OUT("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"
			    "\r\nHTTP/1.1 404 No\r\nContent-Length: 2\r\n"
			    "\r\nnoHTTP/1.1 200 OK\r\n"
			    "CONTENT-LENGTH: 1\r\n\r\n"
			    "."),
		},
	},
	{
		"chunked both ways, extensions and trailers",
		"http/1",
		">0 Q1:PUT >79 q1:PUT <0 R1 <97 r1",
		false,
		false,
		{
			IN("PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n"
			   "\r\n4\r\nabcd\r\nA;x=y\r\n"
			   "0123456789\r\n0\r\n\r\n"),
			OUT("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n"
			    "Content-Length: 7\r\n\r\n"
			    "1\r\n.\r\n0\r\nSum: 1\r\n"
			    "X: y\r\n\r\n"),
		},
	},
	{
		"interim reply is not the reply",
		"http/1",
		">0 Q1:POST >62 q1:POST <62 R1 <105 r1",
		false,
		false,
		{
			IN("POST / HTTP/1.1\r\nExpect: 100-continue\r\n"
			   "Content-Length: 2\r\n\r\n"),
			OUT("HTTP/1.1 100 Continue\r\n"
			    "\r\n"),
			IN("hi"),
			OUT("HTTP/1.1 103 Early Hints\r\n"
			    "Link: x\r\n\r\nHTTP/1.1 201 Created\r\n"
			    "Content-Length: 0\r\n\r\n"),
		},
	},
	{
		"no body: HEAD, 204, 304",
		"http/1",
		">0 Q1:HEAD >19 q1:HEAD >19 Q2:DELETE >40 q2:DELETE >40 Q3:GET "
		">58 q3:GET <0 R1 <40 r1 <40 R2 <67 r2 <67 R3 <115 r3",
		false,
		false,
		{
			IN("HEAD / HTTP/1.1\r\n\r\nDELETE / HTTP/1.1\r\n"
			   "\r\nGET / HTTP/1.1\r\n\r\n"),
			OUT("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n"
			    "\r\nHTTP/1.1 204 No Content\r\n"
			    "\r\nHTTP/1.1 304 Not Modified\r\n"
			    "Content-Length: 9\r\n\r\n"),
		},
	},
	{
		"a reply that ends with the connection",
		"http/1",
		">0 Q1:GET >18 q1:GET <0 R1 <48 r1",
		false,
		true,
		{
			IN("GET / HTTP/1.0\r\n\r\n"),
			OUT("HTTP/1.1 200 OK\r\n\r\nas long as it lasts"),
			OUT(", and more"),
		},
	},
	{
		"upgrade ends the framing",
		"http/1",
		">0 Q1:GET >40 q1:GET <0 R1 <36 r1",
		true,
		false,
		{
			IN("GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n"
			   "\r\n"),
			OUT("HTTP/1.1 101 Switching Protocols\r\n"
			    "\r\n"),
			OUT("\x81\x05hello"),
		},
	},
	{
		"a tunnel ends the framing",
		"http/1",
		">0 Q1:CONNECT >29 q1:CONNECT <0 R1 <19 r1",
		true,
		false,
		{
			IN("CONNECT host:443 HTTP/1.1\r\n"
			   "\r\n"),
			OUT("HTTP/1.1 200 OK\r\n\r\n"),
			IN("\x16\x03\x01"),
		},
	},
	{
		"a refused tunnel does not",
		"http/1",
		">0 Q1:CONNECT >29 q1:CONNECT <0 R1! <40 r1! >29 Q2:GET >47 q2:GET",
		false,
		false,
		{
			IN("CONNECT host:443 HTTP/1.1\r\n"
			   "\r\n"),
			OUT("HTTP/1.1 403 No\r\nContent-Length: 2\r\n"
			    "\r\nno"),
			IN("GET / HTTP/1.1\r\n\r\n"),
		},
	},
	{
		"reply before the request is whole",
		"http/1",
		">0 Q1:POST <0 R1! <41 r1! >44 q1:POST",
		false,
		false,
		{
			IN("POST / HTTP/1.1\r\nContent-Length: 6\r\n"
			   "\r\nabc"),
			OUT("HTTP/1.1 413 Large\r\nContent-Length: 0\r\n"
			    "\r\n"),
			IN("def"),
		},
	},
	{
		"nobody asked",
		"http/1",
		">0 Q1:GET >18 q1:GET <0 R1 <38 r1 <38 R0+! <81 r0+!",
		false,
		false,
		{
			IN("GET / HTTP/1.1\r\n\r\n"),
			OUT("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"
			    "\r\nHTTP/1.1 408 Timeout\r\n"
			    "Content-Length: 0\r\n\r\n"),
		},
	},
	{
		"hidden body of a gigabyte",
		"http/1",
		">0 Q1:POST >1073741871 q1:POST <0 R1 <3000044 r1",
		false,
		false,
		{
			IN_HIDING("POST / HTTP/1.1\r\nContent-Length: 1073741824\r\n"
				  "\r\n",
				  1073741824),
			OUT_HIDING("HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n"
				   "\r\n",
				   3000000),
		},
	},
	{
		"long target, long fields, an unknown method, empty lines",
		"http/1",
		">0 Q1:GET >228 q1:GET >230 Q2 >250 q2",
		false,
		false,
		{
			IN("GET /long/long/long/long/long/long/long/long/long/long/long/l"
			   "ong/long/long/long/long/long/long/long/long/ HTTP/1.1\r\n"
			   "Cookie: ccccccccccccccccccccccccccccccccccccccccccccccccccccc"
			   "ccccccccccccccccccccccccccccccccccccccccccccccc\r\n"
			   "\r\n\r\nBREW /pot HTTP/1.1\n"
			   "\n"),
		},
	},
	{
		"lengths that differ",
		"http/1",
		">0 Q1:POST",
		true,
		false,
		{
			IN("POST / HTTP/1.1\r\nContent-Length: 3\r\n"
			   "Content-Length: 4\r\n\r\n"
			   "abc"),
		},
	},
	{
		"a length that is none",
		"http/1",
		">0 Q1:POST",
		true,
		false,
		{
			IN("POST / HTTP/1.1\r\nContent-Length: -3\r\n"
			   "\r\n"),
		},
	},
	{
		"a coding that has no end",
		"http/1",
		">0 Q1:POST",
		true,
		false,
		{
			IN("POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n"
			   "\r\n"),
		},
	},
	{
		"a chunk that is longer than it said",
		"http/1",
		">0 Q1:POST",
		true,
		false,
		{
			IN("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n"
			   "\r\n3\r\nabcd\r\n"),
		},
	},
	{
		"no reply but something else",
		"http/1",
		">0 Q1:GET >18 q1:GET",
		true,
		false,
		{
			IN("GET / HTTP/1.1\r\n\r\n"),
			OUT("SSH-2.0-x\r\n"),
		},
	},
	{
		"preface, settings, one request",
		"http/2",
		">52 Q1:GET >67 q1:GET <18 R1 <45 r1",
		false,
		false,
		{
			IN("PRI * HTTP/2.0\r\n\r\nSM\r\n"
			   "\r\n\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00"
			   "d"
			   "\x00\x00\x04\x08\x00\x00\x00\x00\x00\x00\x00\xff\xff\x00\x00\x06"
			   "\x01\x05\x00\x00\x00\x01\x82\x84\x86"
			   "A\x01x"),
			OUT("\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x04\x01\x00\x00"
			    "\x00\x00\x00\x00\x04\x01\x04\x00\x00\x00\x01\x88\\\x01"
			    "5\x00"
			    "\x00\x05\x00\x01\x00\x00\x00\x01hello"),
		},
	},
	{
		"gRPC: data both ways, trailers, interleaved",
		"http/2",
		">33 Q1:POST >45 Q3:POST >72 q3:POST >101 q1:POST <9 R3 <19 R1 <67 r3 "
		"<77 r1",
		false,
		false,
		{
			IN("PRI * HTTP/2.0\r\n\r\nSM\r\n"
			   "\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x03\x01\x04\x00"
			   "\x00\x00\x01\x83\x84\x86\x00\x00\x03\x01\x04\x00\x00\x00\x03\x83"
			   "\x84\x86\x00\x00\x06\x00\x01\x00\x00\x00\x03\x00\x00\x00\x00\x01"
			   "x"),
			IN("\x00\x00\x08\x06\x00\x00\x00\x00\x00"
			   "12345678\x00\x00\x03\x00"
			   "\x01\x00\x00\x00\x01"
			   "abc"),
			OUT("\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x01\x01\x04\x00\x00"
			    "\x00\x03\x88\x00\x00\x01\x01\x04\x00\x00\x00\x01\x88\x00\x00\x02"
			    "\x00\x00\x00\x00\x00\x01xx\x00\x00\x04\x00\x00\x00\x00\x00\x03"
			    "yyyy\x00\x00\x05\x01\x05\x00\x00\x00\x03@\x01"
			    "a\x01"
			    "b\x00"
			    "\x00\x01\x01\x05\x00\x00\x00\x01\xbf"),
		},
	},
	{
		"padding, priority, CONTINUATION, other methods",
		"http/2",
		">33 Q1:PUT >84 q1:PUT >84 Q3:DELETE >101 q3:DELETE >101 Q5 >112 q5",
		false,
		false,
		{
			IN("PRI * HTTP/2.0\r\n\r\nSM\r\n"
			   "\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x13\x01)\x00"
			   "\x00\x00\x01\x02\x00\x00\x00\x00\x10?\xe1\x1f"
			   "A\x01xB\x03PU"
			   "T\x00\x00\x00\x00\x05\x09\x00\x00\x00\x00\x01@\x01"
			   "a\x01"
			   "b"
			   "\x00\x00\x00\x09\x04\x00\x00\x00\x01\x00\x00\x08\x01\x05\x00\x00"
			   "\x00\x03"
			   "B\x86\xbf\x83>\r\xf8?\x00\x00\x02\x01\x05\x00\x00\x00"
			   "\x05\xbe\x84"),
		},
	},
	{
		"interim, errors",
		"http/2",
		">24 Q1:GET >39 q1:GET >39 Q3:GET >54 q3:GET >54 Q5:GET >69 q5:GET "
		"<14 R1! <24 r1! <37 R3! <51 r3! <51 R5! <65 r5!",
		false,
		false,
		{
			IN("PRI * HTTP/2.0\r\n\r\nSM\r\n"
			   "\r\n\x00\x00\x06\x01\x05\x00\x00\x00\x01\x82\x84\x86"
			   "A\x01x"
			   "\x00\x00\x06\x01\x05\x00\x00\x00\x03\x82\x84\x86"
			   "A\x01x\x00"
			   "\x00\x06\x01\x05\x00\x00\x00\x05\x82\x84\x86"
			   "A\x01x"),
			OUT("\x00\x00\x05\x01\x04\x00\x00\x00\x01H\x03"
			    "103\x00\x00\x01\x01"
			    "\x05\x00\x00\x00\x01\x8d\x00\x00\x04\x01\x04\x00\x00\x00\x03\x08"
			    "\x82\x08\x19\x00\x00\x05\x01\x05\x00\x00\x00\x03H\x03"
			    "503\x00"
			    "\x00\x05\x01\x05\x00\x00\x00\x05H\x83hO\xff"),
		},
	},
	{
		"reset by either end",
		"http/2",
		">24 Q1:GET >39 q1:GET >39 Q3:POST >51 Q5:POST <0 R1 <23 r1! <23 R3 "
		"<33 r3 <46 q3:POST >76 q5:POST >76 R5! >76 r5!",
		false,
		false,
		{
			IN("PRI * HTTP/2.0\r\n\r\nSM\r\n"
			   "\r\n\x00\x00\x06\x01\x05\x00\x00\x00\x01\x82\x84\x86"
			   "A\x01x"
			   "\x00\x00\x03\x01\x04\x00\x00\x00\x03\x83\x84\x86\x00\x00\x03\x01"
			   "\x04\x00\x00\x00\x05\x83\x84\x86"),
			OUT("\x00\x00\x01\x01\x04\x00\x00\x00\x01\x88\x00\x00\x04\x03\x00\x00"
			    "\x00\x00\x01\x00\x00\x00\x02\x00\x00\x01\x01\x05\x00\x00\x00\x03"
			    "\x88\x00\x00\x04\x03\x00\x00\x00\x00\x03\x00\x00\x00\x00"),
			IN("\x00\x00\x04\x03\x00\x00\x00\x00\x05\x00\x00\x00\x08"),
		},
	},
	{
		"server push",
		"http/2",
		">24 Q1:GET >39 q1:GET <19 R1 <29 r1 <29 R2+ <54 r2+",
		false,
		false,
		{
			IN("PRI * HTTP/2.0\r\n\r\nSM\r\n"
			   "\r\n\x00\x00\x06\x01\x05\x00\x00\x00\x01\x82\x84\x86"
			   "A\x01x"),
			OUT("\x00\x00\n\x05\x04\x00\x00\x00\x01\x00\x00\x00\x02\x82\x84\x86"
			    "A\x01x\x00\x00\x01\x01\x05\x00\x00\x00\x01\x88\x00\x00\x01\x01"
			    "\x04\x00\x00\x00\x02\x88\x00\x00\x06\x00\x01\x00\x00\x00\x02p"
			    "ushed"),
		},
	},
	{
		"found open",
		"http/2",
		">0 Q7:GET >15 q7:GET <27 R7 <47 r7",
		false,
		false,
		{
			IN("\x00\x00\x06\x01\x05\x00\x00\x00\x07\x82\x84\x86"
			   "A\x01x"),
			OUT("\x00\x00\x12\x00\x01\x00\x00\x00\x05of an older stream\x00\x00"
			    "\x01\x01\x04\x00\x00\x00\x07\x88\x00\x00\x01\x00\x01\x00\x00\x00"
			    "\x07x"),
		},
	},
	{
		"hidden data",
		"http/2",
		">24 Q1:POST >16429 q1:POST",
		false,
		false,
		{
			IN_HIDING("PRI * HTTP/2.0\r\n\r\nSM\r\n"
				  "\r\n\x00\x00\x03\x01\x04\x00\x00\x00\x01\x83\x84\x86\x00@\x00"
				  "\x00\x01\x00\x00\x00\x01",
				  16384),
		},
	},
	{
		"an extension frame, then none",
		"http/2",
		"",
		true,
		false,
		{
			IN("PRI * HTTP/2.0\r\n\r\nSM\r\n"
			   "\r\n\x00\x00\x04\x10\x00\x00\x00\x00\x00prio\x00\x00\x03\x08\x00"
			   "\x00\x00\x00\x00\x00\x00\x00"),
		},
	},
	{
		"pipelined, all kinds of replies",
		"resp",
		">0 Q1 >20 q1:GET >20 Q2 >51 q2:SET >51 Q3 >89 q3:LRANGE >89 Q4 "
		">110 q4:INCR >110 Q5 >135 q5:JSON.GET >135 Q6 >158 q6:HGETALL <0 R1 "
		"<11 r1 <11 R2 <16 r2 <16 R3 <44 r3 <44 R4 <59 r4! <59 R5 <64 r5 <64 R6 "
		"<69 r6",
		false,
		false,
		{
			IN("*2\r\n$3\r\nget\r\n$1\r\n"
			   "k\r\n*3\r\n$3\r\nSET\r\n$1\r\n"
			   "k\r\n$5\r\nv\r\n*1\r\n*4\r\n"
			   "$6\r\nLRANGE\r\n$1\r\nl\r\n"
			   "$1\r\n0\r\n$2\r\n-1\r\n*2\r\n"
			   "$4\r\nINCR\r\n$1\r\nl\r\n"
			   "*2\r\n$8\r\nJSON.GET\r\n$1\r\n"
			   "x\r\n*2\r\n$7\r\nHGETALL\r\n"
			   "$0\r\n\r\n"),
			OUT("$5\r\nva\r\nl\r\n+OK\r\n*3\r\n"
			    "$1\r\na\r\n*2\r\n:1\r\n$-1\r\n"
			    "*0\r\n-WRONGTYPE no\r\n$-1\r\n"
			    "*-1\r\n"),
		},
	},
	{
		"version 3: maps, sets, attributes, pushes",
		"resp",
		">0 Q1 >22 q1:HELLO >22 Q2 >42 q2:GET >42 Q3 >67 q3:SMEMBERS <0 R1 "
		"<46 r1 <46 R0+ <78 r0+ <78 R2 <102 r2 <102 R3 <140 r3",
		false,
		false,
		{
			IN("*2\r\n$5\r\nHELLO\r\n$1\r\n"
			   "3\r\n*2\r\n$3\r\nGET\r\n$1\r\n"
			   "k\r\n*2\r\n$8\r\nSMEMBERS\r\n"
			   "$1\r\ns\r\n"),
			OUT("%2\r\n+server\r\n+redis\r\n"
			    "+modules\r\n*1\r\n%1\r\n_\r\n"
			    "#t\r\n>2\r\n$10\r\ninvalidate\r\n"
			    "*1\r\n$1\r\nk\r\n|1\r\n+ttl\r\n"
			    ":3600\r\n$1\r\nv\r\n~4\r\n"
			    ",1.5\r\n(123\r\n=7\r\ntxt:abc\r\n"
			    "!3\r\nERR\r\n"),
		},
	},
	{
		"inline commands",
		"resp",
		">0 Q1 >6 q1:PING >8 Q2 >23 q2:SET >23 Q3 >37 q3 >41 Q4 >46 q4:QUIT "
		"<0 R1 <7 r1 <7 R2 <12 r2 <12 R3 <26 r3! <26 R4 <31 r4",
		false,
		false,
		{
			IN("PING\r\n\r\nset key value\r\n"
			   "secret words\r\n*0\r\nQUIT\n"),
			OUT("+PONG\r\n+OK\r\n-ERR unknown\r\n"
			    "+OK\r\n"),
		},
	},
	{
		"a transaction",
		"resp",
		">0 Q1 >15 q1:MULTI >15 Q2 >36 q2:INCR >36 Q3 >50 q3:EXEC <0 R1 <5 r1 "
		"<5 R2 <14 r2 <14 R3 <22 r3",
		false,
		false,
		{
			IN("*1\r\n$5\r\nMULTI\r\n*2\r\n"
			   "$4\r\nINCR\r\n$1\r\na\r\n"
			   "*1\r\n$4\r\nEXEC\r\n"),
			OUT("+OK\r\n+QUEUED\r\n*1\r\n:1\r\n"),
		},
	},
	{
		"subscriber: a reply for each channel, then messages",
		"resp",
		">0 Q1 >33 q1:SUBSCRIBE <0 R1 <30 R0+ <58 r0+ <88 r1 <88 R0+ <116 r0+ "
		">33 Q2 >47 q2:PING <116 R0+ <144 r0+ <144 R2 <164 r2",
		false,
		false,
		{
			IN("*3\r\n$9\r\nSUBSCRIBE\r\n"
			   "$1\r\na\r\n$1\r\nb\r\n"),
			OUT("*3\r\n$9\r\nsubscribe\r\n"
			    "$1\r\na\r\n:1\r\n*3\r\n$7\r\n"
			    "message\r\n$1\r\na\r\n:7\r\n"
			    "*3\r\n$9\r\nsubscribe\r\n"
			    "$1\r\nb\r\n:2\r\n*3\r\n$7\r\n"
			    "message\r\n$1\r\na\r\n:8\r\n"),
			IN("*1\r\n$4\r\nPING\r\n"),
			OUT("*3\r\n$7\r\nmessage\r\n$1\r\n"
			    "a\r\n:9\r\n*2\r\n$4\r\npong\r\n"
			    "$0\r\n\r\n"),
		},
	},
	{
		"a subscription that is refused",
		"resp",
		">0 Q1 >33 q1:SUBSCRIBE >33 Q2 >53 q2:GET <0 R1 <9 r1! <9 R2 <14 r2",
		false,
		false,
		{
			IN("*3\r\n$9\r\nSUBSCRIBE\r\n"
			   "$1\r\na\r\n$1\r\nb\r\n*2\r\n"
			   "$3\r\nGET\r\n$1\r\nk\r\n"),
			OUT("-NOPERM\r\n$-1\r\n"),
		},
	},
	{
		"subscriber of version 3",
		"resp",
		">0 Q1 >26 q1:SUBSCRIBE >26 Q2 >46 q2:GET <0 R0+ <28 r0+ <28 R1 <58 r1 "
		"<58 R2 <63 r2 <63 R0+ <91 r0+",
		false,
		false,
		{
			IN("*2\r\n$9\r\nSUBSCRIBE\r\n"
			   "$1\r\na\r\n*2\r\n$3\r\nGET\r\n"
			   "$1\r\nk\r\n"),
			OUT(">3\r\n$7\r\nmessage\r\n$1\r\n"
			    "z\r\n:1\r\n>3\r\n$9\r\nsubscribe\r\n"
			    "$1\r\na\r\n:1\r\n$-1\r\n>3\r\n"
			    "$7\r\nmessage\r\n$1\r\na\r\n"
			    ":1\r\n"),
		},
	},
	{
		"hidden values",
		"resp",
		">0 Q1 >100031 q1:SET <0 R1 <5 r1",
		false,
		false,
		{
			IN_HIDING("*3\r\n$3\r\nSET\r\n$1\r\n"
				  "k\r\n$100000\r\n",
				  100002),
			OUT("+OK\r\n"),
		},
	},
	{
		"replies switched off",
		"resp",
		">0 Q1",
		true,
		false,
		{
			IN("*3\r\n$6\r\nCLIENT\r\n$5\r\n"
			   "REPLY\r\n$3\r\nOFF\r\n"),
		},
	},
	{
		"a replica",
		"resp",
		">0 Q1",
		true,
		false,
		{
			IN("*3\r\n$5\r\nPSYNC\r\n$1\r\n"
			   "?\r\n$2\r\n-1\r\n"),
		},
	},
	{
		"an argument that is none",
		"resp",
		">0 Q1",
		true,
		false,
		{
			IN("*2\r\n$3\r\nGET\r\n:1\r\n"),
		},
	},
	{
		"no reply of its kind",
		"resp",
		">0 Q1 >20 q1:GET <0 R1",
		true,
		false,
		{
			IN("*2\r\n$3\r\nGET\r\n$1\r\n"
			   "k\r\n"),
			OUT("*2\r\nVALUE\r\n"),
		},
	},
	{
		"startup, simple query, terminate",
		"postgresql",
		">0 Q1:startup >28 q1:startup <0 R1 <50 r1 >40 Q2:query >54 q2:query "
		"<50 R2 <92 r2 >54 Q3:terminate >59 q3-:terminate",
		false,
		false,
		{
			IN("\x00\x00\x00\x1c\x00\x03\x00\x00user\x00x\x00"
			   "database\x00y"
			   "y\x00\x00"),
			OUT("R\x00\x00\x00\x0c\x00\x00\x00\x05salt"),
			IN("p\x00\x00\x00\x0bmd5abc\x00"),
			OUT("R\x00\x00\x00\x08\x00\x00\x00\x00S\x00\x00\x00\x08"
			    "a\x00"
			    "b"
			    "\x00K\x00\x00\x00\x0c"
			    "12345678Z\x00\x00\x00\x05I"),
			IN("Q\x00\x00\x00\rselect 1\x00"),
			OUT("T\x00\x00\x00\x09\x00\x01"
			    "abcD\x00\x00\x00\x0b\x00\x01\x00\x00"
			    "\x00\x01"
			    "1C\x00\x00\x00\rSELECT 1\x00Z\x00\x00\x00\x05I"),
			IN("X\x00\x00\x00\x04"),
		},
	},
	{
		"no encryption, then startup",
		"postgresql",
		">0 Q1:ssl-request >8 q1:ssl-request <0 R1 <1 r1 >8 Q2:startup "
		">36 q2:startup <1 R2 <16 r2",
		false,
		false,
		{
			IN("\x00\x00\x00\x08\x04\xd2\x16/"),
			OUT("N"),
			IN("\x00\x00\x00\x1c\x00\x03\x00\x00user\x00x\x00"
			   "database\x00y"
			   "y\x00\x00"),
			OUT("R\x00\x00\x00\x08\x00\x00\x00\x00Z\x00\x00\x00\x05I"),
		},
	},
	{
		"encryption ends the framing",
		"postgresql",
		">0 Q1:ssl-request >8 q1:ssl-request <0 R1 <1 r1",
		true,
		false,
		{
			IN("\x00\x00\x00\x08\x04\xd2\x16/"),
			OUT("S"),
			IN("\x16\x03\x01"),
		},
	},
	{
		"cancel",
		"postgresql",
		">0 Q1:cancel >16 q1-:cancel",
		false,
		false,
		{
			IN("\x00\x00\x00\x10\x04\xd2\x16.\x00\x00\x00\x01\x00\x00\x00\x02"),
		},
	},
	{
		"found open: extended, pipelined",
		"postgresql",
		">0 Q1:extended >53 q1:extended >53 Q2:extended >87 q2:extended "
		">87 Q3:query >96 q3:query >96 Q4:function >105 q4:function "
		">105 Q5:extended >110 q5:extended <0 R1 <28 r1 <28 R2 <46 r2 <46 R3 "
		"<65 r3! <65 R4 <80 r4 <80 R5 <86 r5",
		false,
		false,
		{
			IN("P\x00\x00\x00\x11\x00select $1\x00\x00\x00"
			   "B\x00\x00\x00\x0c"
			   "\x00\x00\x00\x00\x00\x00\x00\x00"
			   "D\x00\x00\x00\x06P\x00"
			   "E"
			   "\x00\x00\x00\x09\x00\x00\x00\x00\x00S\x00\x00\x00\x04"
			   "B\x00"
			   "\x00\x00\r\x00s\x00\x00\x00\x00\x00\x00\x00"
			   "E\x00\x00\x00\x09"
			   "\x00\x00\x00\x00\x00H\x00\x00\x00\x04S\x00\x00\x00\x04Q\x00\x00"
			   "\x00\x08"
			   "bad\x00"
			   "F\x00\x00\x00\x08\x00\x00\x00\x00S\x00\x00"
			   "\x00\x04"),
			OUT("1\x00\x00\x00\x04"
			    "2\x00\x00\x00\x04n\x00\x00\x00\x04"
			    "C\x00"
			    "\x00\x00\x06x\x00Z\x00\x00\x00\x05I2\x00\x00\x00\x04"
			    "C\x00\x00"
			    "\x00\x06x\x00Z\x00\x00\x00\x05IE\x00\x00\x00\x0cSERROR\x00\x00"
			    "Z\x00\x00\x00\x05IV\x00\x00\x00\x08\x00\x00\x00\x00Z\x00\x00\x00"
			    "\x05IZ\x00\x00\x00\x05I"),
		},
	},
	{
		"notifications and notices between",
		"postgresql",
		">0 Q1:query >14 q1:query <0 R1 <18 r1 >14 Q2:query >26 q2:query <58 R2 "
		"<69 r2",
		false,
		false,
		{
			IN("Q\x00\x00\x00\rlisten x\x00"),
			OUT("C\x00\x00\x00\x0bLISTEN\x00Z\x00\x00\x00\x05IA\x00\x00\x00\x0b"
			    "\x00\x00\x00\x01x\x00\x00N\x00\x00\x00\x06S\x00S\x00\x00\x00\x08"
			    "a\x00"
			    "b\x00"),
			IN("Q\x00\x00\x00\x0bselect\x00"),
			OUT("A\x00\x00\x00\x0b\x00\x00\x00\x01x\x00\x00I\x00\x00\x00\x04Z\x00"
			    "\x00\x00\x05I"),
		},
	},
	{
		"copy in and out",
		"postgresql",
		">0 Q1:query >23 q1:query <0 R1 <26 r1 >42 Q2:query >64 q2:query <26 R2 "
		"<62 r2",
		false,
		false,
		{
			IN("Q\x00\x00\x00\x16"
			   "copy t from stdin\x00"),
			OUT("G\x00\x00\x00\x07\x00\x00\x00"),
			IN("d\x00\x00\x00\x06"
			   "1\nd\x00\x00\x00\x06"
			   "2\n"
			   "c\x00\x00\x00\x04"),
			OUT("C\x00\x00\x00\x0b"
			    "COPY 2\x00Z\x00\x00\x00\x05I"),
			IN("Q\x00\x00\x00\x15"
			   "copy t to stdout\x00"),
			OUT("H\x00\x00\x00\x07\x00\x00\x00"
			    "d\x00\x00\x00\x06"
			    "1\n"
			    "c\x00\x00\x00\x04"
			    "C\x00\x00\x00\x09"
			    "COPY\x00Z\x00\x00\x00"
			    "\x05I"),
		},
	},
	{
		"copy in, extended: one of two Syncs counts",
		"postgresql",
		">0 Q1:extended >54 q1:extended <0 R1 <36 r1 >71 Q2:query >85 q2:query "
		"<36 R2 <47 r2",
		false,
		false,
		{
			IN("P\x00\x00\x00\x19\x00"
			   "copy t from stdin\x00\x00\x00"
			   "B\x00"
			   "\x00\x00\x0c\x00\x00\x00\x00\x00\x00\x00\x00"
			   "E\x00\x00\x00\x09"
			   "\x00\x00\x00\x00\x00S\x00\x00\x00\x04"),
			OUT("1\x00\x00\x00\x04"
			    "2\x00\x00\x00\x04G\x00\x00\x00\x07\x00\x00"
			    "\x00"),
			IN("d\x00\x00\x00\x06"
			   "1\nc\x00\x00\x00\x04S\x00\x00\x00\x04"),
			OUT("C\x00\x00\x00\x0b"
			    "COPY 1\x00Z\x00\x00\x00\x05I"),
			IN("Q\x00\x00\x00\rselect 1\x00"),
			OUT("I\x00\x00\x00\x04Z\x00\x00\x00\x05I"),
		},
	},
	{
		"refused",
		"postgresql",
		">0 Q1:startup >28 q1:startup <0 R1 <13 r1!",
		false,
		true,
		{
			IN("\x00\x00\x00\x1c\x00\x03\x00\x00user\x00x\x00"
			   "database\x00y"
			   "y\x00\x00"),
			OUT("E\x00\x00\x00\x0cSFATAL\x00\x00"),
		},
	},
	{
		"hidden rows",
		"postgresql",
		">0 Q1:query >16 q1:query <0 R1 <1000021 r1",
		false,
		false,
		{
			IN("Q\x00\x00\x00\x0fselect big\x00"),
			OUT_HIDING("T\x00\x00\x00\x09\x00\x01"
				   "abcD\x00\x0f"
				   "BD",
				   1000000),
			OUT("Z\x00\x00\x00\x05I"),
		},
	},
	{
		"no message of its kind",
		"postgresql",
		">0 Q1:query >14 q1:query",
		true,
		false,
		{
			IN("Q\x00\x00\x00\rselect 1\x00?\x00\x00\x00\x04"),
		},
	},
	{
		"a replica",
		"postgresql",
		">0 Q1:query >23 q1:query",
		true,
		false,
		{
			IN("Q\x00\x00\x00\x16START_REPLICATION\x00"),
			OUT("W\x00\x00\x00\x07\x00\x00\x00"),
		},
	},
	{
		"handshake with rounds, query, quit",
		"mysql",
		">0 Q1:handshake >42 q1:handshake <78 R1 <127 r1 >54 Q2 >67 q2:query "
		"<127 R2 <176 r2 >67 Q3 >72 q3-:quit",
		false,
		false,
		{
			OUT("J\x00\x00\x00\n8.0.36\x00\x01\x00\x00\x00saltsalt\x00\xff\xff"
			    "!\x02\x00\xff\xdf\x15\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
			    "salt2salt2..\x00"
			    "caching_sha2_password\x00"),
			IN("&\x00\x00\x01\x00\x82\x00\x01\x00\x00\x00\x01!\x00\x00\x00\x00"
			   "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
			   "\x00\x00\x00root\x00\x00"),
			OUT("\x1c\x00\x00\x02\xfe"
			    "caching_sha2_password\x00salt\x00"),
			IN("\x08\x00\x00\x03scramble"),
			OUT("\x02\x00\x00\x04\x01\x03\x07\x00\x00\x05\x00\x00\x00\x02\x00\x00"
			    "\x00"),
			IN("\x09\x00\x00\x00\x03select 1"),
			OUT("\x01\x00\x00\x01\x01\x17\x00\x00\x02\x03"
			    "def\x00\x00\x00\x01"
			    "a\x00\x0c?\x00\x01\x00\x00\x00\x08\x81\x00\x00\x00\x00\x02\x00"
			    "\x00\x03\x01"
			    "1\x07\x00\x00\x04\xfe\x00\x00\x02\x00\x00\x00"),
			IN("\x01\x00\x00\x00\x01"),
		},
	},
	{
		"EOF behind columns, several results, errors",
		"mysql",
		">0 Q1:handshake >42 q1:handshake <78 R1 <89 r1 >42 Q2 >55 q2:query "
		"<89 R2 <245 r2 >55 Q3 >63 q3:query <245 R3 <260 r3! >63 Q4 >79 q4:query "
		"<260 R4 <322 r4! >79 Q5 >86 q5:init-db <322 R5 <333 r5 >86 Q6 "
		">91 q6:statistics <333 R6 <346 r6",
		false,
		false,
		{
			OUT("J\x00\x00\x00\n8.0.36\x00\x01\x00\x00\x00saltsalt\x00\xff\xff"
			    "!\x02\x00\xff\xdf\x15\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
			    "salt2salt2..\x00"
			    "caching_sha2_password\x00"),
			IN("&\x00\x00\x01\x00\x82\x00\x00\x00\x00\x00\x01!\x00\x00\x00\x00"
			   "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
			   "\x00\x00\x00root\x00\x00"),
			OUT("\x07\x00\x00\x02\x00\x00\x00\x02\x00\x00\x00"),
			IN("\x09\x00\x00\x00\x03"
			   "call p()"),
			OUT("\x01\x00\x00\x01\x02\x17\x00\x00\x02\x03"
			    "def\x00\x00\x00\x01"
			    "a\x00\x0c?\x00\x01\x00\x00\x00\x08\x81\x00\x00\x00\x00\x17\x00"
			    "\x00\x03\x03"
			    "def\x00\x00\x00\x01"
			    "a\x00\x0c?\x00\x01\x00\x00"
			    "\x00\x08\x81\x00\x00\x00\x00\x05\x00\x00\x04\xfe\x00\x00\x02\x00"
			    "\x03\x00\x00\x05\x01"
			    "1\xfb\x05\x00\x00\x06\xfe\x00\x00\n"
			    "\x00\x01\x00\x00\x07\x01\x17\x00\x00\x08\x03"
			    "def\x00\x00\x00"
			    "\x01"
			    "a\x00\x0c?\x00\x01\x00\x00\x00\x08\x81\x00\x00\x00\x00"
			    "\x05\x00\x00\x09\xfe\x00\x00\x02\x00\x05\x00\x00\n"
			    "\xfe\x00\x00\n\x00\x07\x00\x00\x0b\x00\x00\x00\n"
			    "\x00\x00\x00\x07\x00\x00\x0c\x00\x00\x00\x02\x00\x00\x00"),
			IN("\x04\x00\x00\x00\x03"
			   "bad"),
			OUT("\x0b\x00\x00\x01\xff(\x04#42000no"),
			IN("\x0c\x00\x00\x00\x03select half"),
			OUT("\x01\x00\x00\x01\x01\x17\x00\x00\x02\x03"
			    "def\x00\x00\x00\x01"
			    "a\x00\x0c?\x00\x01\x00\x00\x00\x08\x81\x00\x00\x00\x00\x05\x00"
			    "\x00\x03\xfe\x00\x00\x02\x00\x02\x00\x00\x04\x01"
			    "1\x0b\x00\x00"
			    "\x05\xff(\x04#42000no"),
			IN("\x03\x00\x00\x00\x02"
			   "db"),
			OUT("\x07\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00"),
			IN("\x01\x00\x00\x00\x09"),
			OUT("\x09\x00\x00\x01Uptime: 1"),
		},
	},
	{
		"prepared statements without EOF",
		"mysql",
		">0 Q1:handshake >42 q1:handshake <78 R1 <89 r1 >42 Q2 "
		">55 q2:stmt-prepare <89 R2 <159 r2 >55 Q3 >69 q3:stmt-execute <159 R3 "
		"<209 r3 >69 Q4 >81 q4:stmt-prepare <209 R4 <225 r4 >81 Q5 "
		">96 q5-:stmt-send-long-data >96 Q5 >105 q5-:stmt-close >105 Q5 "
		">110 q5:ping <225 R5 <236 r5",
		false,
		false,
		{
			OUT("J\x00\x00\x00\n8.0.36\x00\x01\x00\x00\x00saltsalt\x00\xff\xff"
			    "!\x02\x00\xff\xdf\x15\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
			    "salt2salt2..\x00"
			    "caching_sha2_password\x00"),
			IN("&\x00\x00\x01\x00\x82\x00\x01\x00\x00\x00\x01!\x00\x00\x00\x00"
			   "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
			   "\x00\x00\x00root\x00\x00"),
			OUT("\x07\x00\x00\x02\x00\x00\x00\x02\x00\x00\x00"),
			IN("\x09\x00\x00\x00\x16select ?"),
			OUT("\x0c\x00\x00\x01\x00\x01\x00\x00\x00\x01\x00\x01\x00\x00\x00\x00"
			    "\x17\x00\x00\x02\x03"
			    "def\x00\x00\x00\x01"
			    "a\x00\x0c?\x00\x01"
			    "\x00\x00\x00\x08\x81\x00\x00\x00\x00\x17\x00\x00\x03\x03"
			    "de"
			    "f\x00\x00\x00\x01"
			    "a\x00\x0c?\x00\x01\x00\x00\x00\x08\x81\x00"
			    "\x00\x00\x00"),
			IN("\n\x00\x00\x00\x17\x01\x00\x00\x00\x00\x01\x00\x00\x00"),
			OUT("\x01\x00\x00\x01\x01\x17\x00\x00\x02\x03"
			    "def\x00\x00\x00\x01"
			    "a\x00\x0c?\x00\x01\x00\x00\x00\x08\x81\x00\x00\x00\x00\x03\x00"
			    "\x00\x03\x00\x00\xfe\x07\x00\x00\x04\xfe\x00\x00\x02\x00\x00\x00"),
			IN("\x08\x00\x00\x00\x16set x=1"),
			OUT("\x0c\x00\x00\x01\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
			IN("\x0b\x00\x00\x00\x18\x01\x00\x00\x00\x00\x00"
			   "data\x05\x00\x00"
			   "\x00\x19\x01\x00\x00\x00\x01\x00\x00\x00\x0e"),
			OUT("\x07\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00"),
		},
	},
	{
		"prepared statements with EOF, a cursor",
		"mysql",
		">0 Q1:handshake >42 q1:handshake <78 R1 <89 r1 >42 Q2 "
		">57 q2:stmt-prepare <89 R2 <204 r2 >57 Q3 >69 q3:stmt-prepare <204 R3 "
		"<256 r3 >69 Q4 >83 q4:stmt-execute <256 R4 <297 r4 >83 Q5 "
		">96 q5:stmt-fetch <297 R5 <313 r5",
		false,
		false,
		{
			OUT("J\x00\x00\x00\n8.0.36\x00\x01\x00\x00\x00saltsalt\x00\xff\xff"
			    "!\x02\x00\xff\xdf\x15\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
			    "salt2salt2..\x00"
			    "caching_sha2_password\x00"),
			IN("&\x00\x00\x01\x00\x82\x00\x00\x00\x00\x00\x01!\x00\x00\x00\x00"
			   "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
			   "\x00\x00\x00root\x00\x00"),
			OUT("\x07\x00\x00\x02\x00\x00\x00\x02\x00\x00\x00"),
			IN("\x0b\x00\x00\x00\x16select ?,?"),
			OUT("\x0c\x00\x00\x01\x00\x01\x00\x00\x00\x01\x00\x02\x00\x00\x00\x00"
			    "\x17\x00\x00\x02\x03"
			    "def\x00\x00\x00\x01"
			    "a\x00\x0c?\x00\x01"
			    "\x00\x00\x00\x08\x81\x00\x00\x00\x00\x17\x00\x00\x03\x03"
			    "de"
			    "f\x00\x00\x00\x01"
			    "a\x00\x0c?\x00\x01\x00\x00\x00\x08\x81\x00"
			    "\x00\x00\x00\x05\x00\x00\x04\xfe\x00\x00\x02\x00\x17\x00\x00\x05"
			    "\x03"
			    "def\x00\x00\x00\x01"
			    "a\x00\x0c?\x00\x01\x00\x00\x00\x08"
			    "\x81\x00\x00\x00\x00\x05\x00\x00\x06\xfe\x00\x00\x02\x00"),
			IN("\x08\x00\x00\x00\x16set x=?"),
			OUT("\x0c\x00\x00\x01\x00\x01\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00"
			    "\x17\x00\x00\x02\x03"
			    "def\x00\x00\x00\x01"
			    "a\x00\x0c?\x00\x01"
			    "\x00\x00\x00\x08\x81\x00\x00\x00\x00\x05\x00\x00\x03\xfe\x00\x00"
			    "\x02\x00"),
			IN("\n\x00\x00\x00\x17\x01\x00\x00\x00\x01\x01\x00\x00\x00"),
			OUT("\x01\x00\x00\x01\x01\x17\x00\x00\x02\x03"
			    "def\x00\x00\x00\x01"
			    "a\x00\x0c?\x00\x01\x00\x00\x00\x08\x81\x00\x00\x00\x00\x05\x00"
			    "\x00\x03\xfe\x00\x00"
			    "B\x00"),
			IN("\x09\x00\x00\x00\x1c\x01\x00\x00\x00\x01\x00\x00\x00"),
			OUT("\x03\x00\x00\x01\x00\x00\x01\x05\x00\x00\x02\xfe\x00\x00\x82\x00"),
		},
	},
	{
		"found open: what it does is learned",
		"mysql",
		">0 Q1 >22 q1:stmt-prepare <0 R1 <70 r1 >22 Q2 >35 q2:query <79 R2 "
		"<135 r2",
		false,
		false,
		{
			IN("\x12\x00\x00\x00\x16select a,b from c"),
			OUT("\x0c\x00\x00\x01\x00\x01\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00"
			    "\x17\x00\x00\x02\x03"
			    "def\x00\x00\x00\x01"
			    "a\x00\x0c?\x00\x01"
			    "\x00\x00\x00\x08\x81\x00\x00\x00\x00\x17\x00\x00\x03\x03"
			    "de"
			    "f\x00\x00\x00\x01"
			    "a\x00\x0c?\x00\x01\x00\x00\x00\x08\x81\x00"
			    "\x00\x00\x00\x05\x00\x00\x04\xfe\x00\x00\x02\x00"),
			IN("\x09\x00\x00\x00\x03select 1"),
			OUT("\x01\x00\x00\x01\x01\x17\x00\x00\x02\x03"
			    "def\x00\x00\x00\x01"
			    "a\x00\x0c?\x00\x01\x00\x00\x00\x08\x81\x00\x00\x00\x00\x05\x00"
			    "\x00\x03\xfe\x00\x00\x02\x00\x02\x00\x00\x04\x01"
			    "1\x05\x00\x00"
			    "\x05\xfe\x00\x00\x02\x00"),
		},
	},
	{
		"found open: query attributes, no rows",
		"mysql",
		">0 Q1 >22 q1:query <0 R1 <43 r1",
		false,
		false,
		{
			IN("\x12\x00\x00\x00\x03\x00\x01select 1 from t"),
			OUT("\x01\x00\x00\x01\x01\x17\x00\x00\x02\x03"
			    "def\x00\x00\x00\x01"
			    "a\x00\x0c?\x00\x01\x00\x00\x00\x08\x81\x00\x00\x00\x00\x07\x00"
			    "\x00\x03\xfe\x00\x00\x02\x00\x00\x00"),
		},
	},
	{
		"pipelined",
		"mysql",
		">0 Q1 >5 q1:ping >5 Q2 >14 q2:query >14 Q3 >19 q3:ping <0 R1 <11 r1 "
		"<11 R2 <22 r2 <22 R3 <33 r3",
		false,
		false,
		{
			IN("\x01\x00\x00\x00\x0e\x05\x00\x00\x00\x03"
			   "do 1\x01\x00\x00\x00"
			   "\x0e"),
			OUT("\x07\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x07\x00\x00\x01\x00"
			    "\x00\x00\x02\x00\x00\x00\x07\x00\x00\x01\x00\x00\x00\x02\x00\x00"
			    "\x00"),
		},
	},
	{
		"hung up on",
		"mysql",
		">0 Q1 >5 q1:ping <0 R1 <11 r1 <11 R0+! <26 r0+!",
		false,
		false,
		{
			IN("\x01\x00\x00\x00\x0e"),
			OUT("\x07\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x0b\x00\x00\x00\xff"
			    "(\x04#42000no"),
		},
	},
	{
		"refused",
		"mysql",
		">0 Q1:handshake >42 q1:handshake <78 R1 <93 r1!",
		false,
		false,
		{
			OUT("J\x00\x00\x00\n8.0.36\x00\x01\x00\x00\x00saltsalt\x00\xff\xff"
			    "!\x02\x00\xff\xdf\x15\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
			    "salt2salt2..\x00"
			    "caching_sha2_password\x00"),
			IN("&\x00\x00\x01\x00\x82\x00\x00\x00\x00\x00\x01!\x00\x00\x00\x00"
			   "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
			   "\x00\x00\x00root\x00\x00"),
			OUT("\x0b\x00\x00\x02\xff(\x04#42000no"),
		},
	},
	{
		"encryption ends the framing",
		"mysql",
		"",
		true,
		false,
		{
			OUT("J\x00\x00\x00\n8.0.36\x00\x01\x00\x00\x00saltsalt\x00\xff\xff"
			    "!\x02\x00\xff\xdf\x15\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
			    "salt2salt2..\x00"
			    "caching_sha2_password\x00"),
			IN(" \x00\x00\x01\x00\x8a\x00\x00\x00\x00\x00\x01!\x00\x00\x00\x00"
			   "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
			   "\x00\x00\x00"),
		},
	},
	{
		"compression ends it behind the handshake",
		"mysql",
		">0 Q1:handshake >42 q1:handshake <78 R1 <89 r1",
		true,
		false,
		{
			OUT("J\x00\x00\x00\n8.0.36\x00\x01\x00\x00\x00saltsalt\x00\xff\xff"
			    "!\x02\x00\xff\xdf\x15\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
			    "salt2salt2..\x00"
			    "caching_sha2_password\x00"),
			IN("&\x00\x00\x01 \x82\x00\x00\x00\x00\x00\x01!\x00\x00\x00\x00\x00"
			   "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
			   "\x00\x00root\x00\x00"),
			OUT("\x07\x00\x00\x02\x00\x00\x00\x02\x00\x00\x00"),
			IN("\x05\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x0e"),
		},
	},
	{
		"a file from the client ends it",
		"mysql",
		">0 Q1 >14 q1:query <0 R1",
		true,
		false,
		{
			IN("\n\x00\x00\x00\x03load data"),
			OUT("\x06\x00\x00\x01\xfb/file"),
		},
	},
	{
		"a row of more than 16 MiB",
		"mysql",
		">0 Q1 >15 q1:query <0 R1 <16777267 r1",
		false,
		false,
		{
			IN("\x0b\x00\x00\x00\x03select big"),
			OUT_HIDING("\x01\x00\x00\x01\x01\x17\x00\x00\x02\x03"
				   "def\x00\x00\x00\x01"
				   "a\x00\x0c?\x00\x01\x00\x00\x00\x08\x81\x00\x00\x00\x00\xff\xff"
				   "\xff\x03\xfdxxxxxxxxxxxxxxxxxxxxxxx",
				   16777191),
			OUT("\x01\x00\x00\x04\xfe\x07\x00\x00\x05\xfe\x00\x00\x02\x00\x00\x00"),
		},
	},
	{
		"storage and retrieval",
		"memcached",
		">0 Q1:set >20 q1:set >20 Q2:get >27 q2:get >27 Q3:gets >39 q3:gets "
		">39 Q4:get >49 q4:get >49 Q5:incr >59 q5:incr >59 Q6:cas >77 q6:cas "
		">77 Q7:delete >87 q7:delete >87 Q8:touch >98 q8:touch >98 Q9:version "
		">107 q9:version <0 R1 <8 r1 <8 R2 <33 r2 <33 R3 <73 r3 <73 R4 <78 r4 "
		"<78 R5 <100 r5 <100 R6 <108 r6 <108 R7 <117 r7 <117 R8 <128 r8 <128 R9 "
		"<144 r9",
		false,
		false,
		{
			IN("set k 0 0 5\r\nva\r\nl\r\n"
			   "get k\r\ngets a b c\r\nget miss\r\n"
			   "incr n 1\r\ncas k 0 0 1 9\r\n"
			   "x\r\ndelete k\r\ntouch k 1\r\n"
			   "version\r\n"),
			OUT("STORED\r\nVALUE k 0 5\r\n"
			    "va\r\nl\r\nEND\r\nVALUE a 0 1 7\r\n"
			    "a\r\nVALUE c 0 0 8\r\n\r\n"
			    "END\r\nEND\r\n18446744073709551615\r\n"
			    "EXISTS\r\nDELETED\r\nNOT_FOUND\r\n"
			    "VERSION 1.6.18\r\n"),
		},
	},
	{
		"noreply, stats, errors, quit",
		"memcached",
		">0 Q1:set >24 q1-:set >24 Q1:flush_all >43 q1-:flush_all >43 Q1:stats "
		">50 q1:stats >50 Q2:get >63 q2:get >63 Q3:incr >73 q3:incr >73 Q4:quit "
		">79 q4-:quit <0 R1 <32 r1 <32 R2 <37 r2 <37 R3 <68 r3!",
		false,
		false,
		{
			IN("set k 0 0 1 noreply\r\nx\r\n"
			   "flush_all noreply\r\nstats\r\n"
			   "get noreply\r\nincr k 1\r\n"
			   "quit\r\n"),
			OUT("STAT pid 1\r\nSTAT uptime 2\r\n"
			    "END\r\nEND\r\nCLIENT_ERROR cannot increment\r\n"),
		},
	},
	{
		"meta commands",
		"memcached",
		">0 Q1:mg >10 q1:mg >10 Q2:ms >25 q2:ms >25 Q3:md >31 q3:md >31 Q4:mg "
		">39 q4:mg >39 Q5:ma >45 q5:ma >45 Q6:mn >49 q6:mn <0 R1 <17 r1 <17 R2 "
		"<21 r2 <21 R3 <25 r3 <25 R4 <29 r4 <29 R5 <33 r5 <33 R6 <37 r6",
		false,
		false,
		{
			IN("mg k v t\r\nms k 2 T0\r\n"
			   "hi\r\nmd k\r\nmg q v\r\nma n\r\n"
			   "mn\r\n"),
			OUT("VA 5 t-1\r\nhello\r\nHD\r\n"
			    "NF\r\nEN\r\nHD\r\nMN\r\n"),
		},
	},
	{
		"quiet meta commands before a no-op",
		"memcached",
		">0 Q1:mg >10 q1-:mg >10 Q1:mg >20 q1-:mg >20 Q1:mn >24 q1:mn <0 R0+ "
		"<9 r0+ <9 R1 <13 r1",
		false,
		false,
		{
			IN("mg a v q\r\nmg b v q\r\nmn\r\n"),
			OUT("VA 1\r\nx\r\nMN\r\n"),
		},
	},
	{
		"long keys, a hidden value",
		"memcached",
		">0 Q1:set >1000270 q1:set <0 R1 <8 r1 >1000270 Q2:get >1000526 q2:get "
		"<8 R2 <1000283 r2",
		false,
		false,
		{
			IN_HIDING("set kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
				  "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
				  "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
				  "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
				  "kkkkkkkkkk 0 0 1000000\r\n",
				  1000002),
			OUT("STORED\r\n"),
			IN("get kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
			   "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
			   "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
			   "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
			   "kkkkkkkkkk\r\n"),
			OUT_HIDING("VALUE kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
				   "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
				   "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
				   "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
				   "kkkkkkkkkkkk 0 1000000\r\n",
				   1000002),
			OUT("END\r\n"),
		},
	},
	{
		"Redis typed in small letters is found out",
		"memcached",
		">0 Q1:get >7 q1:get",
		true,
		false,
		{
			IN("get k\r\n"),
			OUT("$-1\r\n"),
		},
	},
	{
		"get, set, stat, errors",
		"memcached-binary",
		">0 Q1:get >25 q1:get >25 Q2:set >88 q2:set >88 Q3:stat >112 q3:stat "
		">112 Q4:noop >136 q4:noop <0 R1 <29 r1 <29 R2! <62 r2! <62 R3 <141 r3 "
		"<141 R4 <165 r4",
		false,
		false,
		{
			IN("\x80\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x07"
			   "\x00\x00\x00\x00\x00\x00\x00\x00k\x80\x01\x00\x01\x08\x00\x00"
			   "\x00\x00\x00\x00'\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00\x00"
			   "\x00\x00\x00\x00\x00\x00\x00\x00\x00kvvvvvvvvvvvvvvvvvvvvvvvv"
			   "vvvvvv\x80\x10\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
			   "\x00\x07\x00\x00\x00\x00\x00\x00\x00\x00\x80\n"
			   "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07\x00\x00"
			   "\x00\x00\x00\x00\x00\x00"),
			OUT("\x81\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x07"
			    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00v\x81\x01\x00"
			    "\x00\x00\x00\x00\x03\x00\x00\x00\x09\x00\x00\x00\x07\x00\x00\x00"
			    "\x00\x00\x00\x00\x00Too large\x81\x10\x00\x03\x00\x00\x00\x00"
			    "\x00\x00\x00\x04\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00\x00\x00"
			    "pid1\x81\x10\x00\x02\x00\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00"
			    "\x07\x00\x00\x00\x00\x00\x00\x00\x00up1\x81\x10\x00\x00\x00\x00"
			    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00"
			    "\x00\x00\x81\n\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
			    "\x00\x07\x00\x00\x00\x00\x00\x00\x00\x00"),
		},
	},
	{
		"quiet gets before a no-op",
		"memcached-binary",
		">0 Q1:getkq >25 q1-:getkq >25 Q1:getkq >50 q1-:getkq >50 Q1:noop "
		">74 q1:noop <0 R0+ <30 r0+ <30 R1 <54 r1",
		false,
		false,
		{
			IN("\x80\r\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x07"
			   "\x00\x00\x00\x00\x00\x00\x00\x00"
			   "a\x80\r\x00\x01\x00\x00\x00"
			   "\x00\x00\x00\x00\x01\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00\x00"
			   "\x00"
			   "b\x80\n\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
			   "\x00\x07\x00\x00\x00\x00\x00\x00\x00\x00"),
			OUT("\x81\r\x00\x01\x04\x00\x00\x00\x00\x00\x00\x06\x00\x00\x00\x07"
			    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
			    "av\x81\n"
			    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07\x00\x00"
			    "\x00\x00\x00\x00\x00\x00"),
		},
	},
	{
		"a key longer than its body",
		"memcached-binary",
		">0 Q1:get >25 q1:get",
		true,
		false,
		{
			IN("\x80\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x07"
			   "\x00\x00\x00\x00\x00\x00\x00\x00k\x80\x00\x00\x01\x00\x00\x00"
			   "\x00\x00\x00\x00\x00\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00\x00"
			   "\x00"),
		},
	},
	{
		"over TCP, out of order",
		"dns",
		">0 Q1:query >35 q1:query >35 Q4661:query >70 q4661:query <0 R4661 "
		"<35 r4661 <35 R1! <70 r1!",
		false,
		false,
		{
			IN("\x00!\x00\x00\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x07"
			   "example\x03org\x00\x00\x01\x00\x01\x00!\x12"
			   "4\x01\x00\x00\x01"
			   "\x00\x00\x00\x00\x00\x00\x03www\x07"
			   "example\x03org\x00\x00\x01"
			   "\x00\x01"),
			OUT("\x00!\x12"
			    "4\x81\x83\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x07"
			    "example\x03org\x00\x00\x01\x00\x01\x00!\x00\x00\x81\x82\x00\x01"
			    "\x00\x00\x00\x00\x00\x00\x03www\x07"
			    "example\x03org\x00\x00\x01"
			    "\x00\x01"),
		},
	},
};
