/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes a capture of known shape for tests/bench/packets: `bench_packets KIND N FILE`.
 *
 *	full	N requests of HTTP on 16 connections, each with a reply of 512 KiB in full-size packets
 *	small	N requests of RESP on 1000 connections, four packets each
 *	open	N connections that stay open, with a request each
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADERS (14 + 20 + 20)
#define MSS 1448
#define BODY (512 << 10)
#define STEP_NS 1000
#define PORT 8080

enum tcp_flag { FIN = 1, SYN = 2, PUSH = 8, ACK = 16 };

struct stream {
	uint32_t sent[2];
};

static FILE *out;
static uint64_t now_ns = 1700000000000000000ull;
static uint16_t ip_id;

static void put16(uint8_t *at, unsigned value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value)
{
	put16(at, value >> 16);
	put16(at + 2, value & 0xffff);
}

static void packet(struct stream *s, uint32_t client, bool reply, unsigned flags, const void *bytes,
		   size_t len)
{
	uint8_t at[HEADERS + MSS] = { 0 };
	uint32_t record[4] = { (uint32_t)(now_ns / 1000000000), (uint32_t)(now_ns % 1000000000),
			       (uint32_t)(HEADERS + len), (uint32_t)(HEADERS + len) };
	uint8_t *ip = at + 14, *tcp = ip + 20;
	uint16_t port = (uint16_t)(10000 + client % 50000);
	uint32_t host = client / 50000;

	put16(at + 12, 0x0800);
	ip[0] = 0x45;
	put16(ip + 2, (unsigned)(40 + len));
	put16(ip + 4, ++ip_id);
	ip[8] = 64;
	ip[9] = 6;
	put32(ip + 12, reply ? 0x0a000001 : 0x0a010000 + host);
	put32(ip + 16, reply ? 0x0a010000 + host : 0x0a000001);
	put16(tcp, reply ? PORT : port);
	put16(tcp + 2, reply ? port : PORT);
	put32(tcp + 4, s->sent[reply]);
	put32(tcp + 8, s->sent[!reply]);
	tcp[12] = 5 << 4;
	tcp[13] = (uint8_t)flags;
	put16(tcp + 14, 1000);
	if (len)
		memcpy(at + HEADERS, bytes, len);
	fwrite(record, sizeof(record), 1, out);
	fwrite(at, HEADERS + len, 1, out);
	s->sent[reply] += (uint32_t)len + !!(flags & (SYN | FIN));
	now_ns += STEP_NS;
}

static void handshake(struct stream *s, uint32_t client)
{
	packet(s, client, false, SYN, NULL, 0);
	packet(s, client, true, SYN | ACK, NULL, 0);
	packet(s, client, false, ACK, NULL, 0);
}

static void say(struct stream *s, uint32_t client, bool reply, const char *text)
{
	packet(s, client, reply, ACK | PUSH, text, strlen(text));
}

static void say_body(struct stream *s, uint32_t client)
{
	static const uint8_t body[MSS];

	for (size_t left = BODY, n = 0; left; left -= n < MSS ? n : MSS) {
		n = left;
		packet(s, client, true, ACK, body, n < MSS ? n : MSS);
		if (left / MSS % 4 == 0)
			packet(s, client, false, ACK, NULL, 0);
	}
}

static void write_full(uint32_t n)
{
	struct stream s[16] = { 0 };

	for (uint32_t i = 0; i < n; i++) {
		uint32_t c = i % 16;

		if (i < 16)
			handshake(&s[c], c);
		say(&s[c], c, false, "GET /file HTTP/1.1\r\nHost: x\r\n\r\n");
		say(&s[c], c, true, "HTTP/1.1 200 OK\r\nContent-Length: 524288\r\n\r\n");
		say_body(&s[c], c);
	}
}

static void write_small(uint32_t n)
{
	static struct stream s[1000];

	for (uint32_t i = 0; i < n; i++) {
		uint32_t c = i * 7 % 1000;

		if (i < 1000)
			handshake(&s[c], c);
		say(&s[c], c, false, "*2\r\n$3\r\nGET\r\n$5\r\nhello\r\n");
		packet(&s[c], c, true, ACK, NULL, 0);
		say(&s[c], c, true, "$5\r\nworld\r\n");
		packet(&s[c], c, false, ACK, NULL, 0);
	}
}

static void write_open(uint32_t n)
{
	struct stream *s = calloc(n, sizeof(*s));

	for (uint32_t c = 0; s && c < n; c++) {
		handshake(&s[c], c);
		say(&s[c], c, false, "*1\r\n$4\r\nPING\r\n");
		say(&s[c], c, true, "+PONG\r\n");
	}
	free(s);
}

static const struct {
	const char *name;
	void (*write)(uint32_t n);
} kinds[] = { { "full", write_full }, { "small", write_small }, { "open", write_open } };

int main(int argc, char **argv)
{
	static const uint32_t header[6] = { 0xa1b23c4d, 2 | 4 << 16, 0, 0, 65535, 1 };

	for (size_t i = 0; argc == 4 && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(argv[1], kinds[i].name))
			continue;
		out = fopen(argv[3], "wb");
		if (!out) {
			perror(argv[3]);
			return 1;
		}
		fwrite(header, sizeof(header), 1, out);
		kinds[i].write((uint32_t)strtoul(argv[2], NULL, 10));
		return fclose(out) ? 1 : 0;
	}
	fprintf(stderr, "usage: bench_packets full|small|open N FILE\n");
	return 2;
}
