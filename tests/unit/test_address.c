/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "replay/net/address.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/un.h>
#include <unistd.h>

/* DistWalk's own defaults. */
static const struct address_defaults local = { "localhost", 7891 };
static const struct address_defaults none = { NULL, -1 };

static const struct {
	const char *word;
	enum transport transport;
	const char *host;
	int port;
	const char *canonical;
} words[] = {
	{ "10.0.0.1:80", TRANSPORT_TCP, "10.0.0.1", 80, "10.0.0.1:80" },
	{ "node-1.example", TRANSPORT_TCP, "node-1.example", 7891, "node-1.example:7891" },
	{ ":80", TRANSPORT_TCP, "localhost", 80, "localhost:80" },
	{ "", TRANSPORT_TCP, "localhost", 7891, "localhost:7891" },
	{ "tcp:", TRANSPORT_TCP, "localhost", 7891, "localhost:7891" },
	{ "tcp://", TRANSPORT_TCP, "localhost", 7891, "localhost:7891" },
	{ "tcp:h", TRANSPORT_TCP, "h", 7891, "h:7891" },
	{ "tcp://h:0", TRANSPORT_TCP, "h", 0, "h:0" },
	{ "tcp::23", TRANSPORT_TCP, "localhost", 23, "localhost:23" },
	{ "udp://:7000", TRANSPORT_UDP, "localhost", 7000, "udp://localhost:7000" },
	{ "udp:h:65535", TRANSPORT_UDP, "h", 65535, "udp://h:65535" },
	{ "ssl:h:7000", TRANSPORT_TLS, "h", 7000, "tls://h:7000" },
	{ "tls://h:7000", TRANSPORT_TLS, "h", 7000, "tls://h:7000" },
	{ "TLS://h:7000", TRANSPORT_TLS, "h", 7000, "tls://h:7000" },
	{ "[::1]:80", TRANSPORT_TCP, "::1", 80, "[::1]:80" },
	{ "[::1]", TRANSPORT_TCP, "::1", 7891, "[::1]:7891" },
	{ "tls://[fe80::1%eth0]:1", TRANSPORT_TLS, "fe80::1%eth0", 1, "tls://[fe80::1%eth0]:1" },
	{ "udp", TRANSPORT_TCP, "udp", 7891, "tcp://udp:7891" },
	{ "unix:///run/gait.sock", TRANSPORT_UNIX, "/run/gait.sock", 0, "unix:///run/gait.sock" },
	{ "unix:/run/gait.sock", TRANSPORT_UNIX, "/run/gait.sock", 0, "unix:///run/gait.sock" },
	{ "unix:here:80", TRANSPORT_UNIX, "here:80", 0, "unix://here:80" },
};

static void test_words(void)
{
	char text[ADDRESS_TEXT_SIZE];
	struct address a, again;

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		check_case("%s", words[i].word);
		if (!CHECK_EQ(address_parse(words[i].word, &local, &a, NULL), 0))
			continue;
		CHECK_EQ(a.transport, words[i].transport);
		CHECK_STR(a.host, words[i].host);
		CHECK_EQ(a.port, words[i].port);
		CHECK_STR(address_format(&a, text), words[i].canonical);
		CHECK_EQ(address_parse(text, &none, &again, NULL), 0);
		CHECK_MEM(&again, &a, sizeof(a));
	}
}

static const struct {
	const char *word;
	int code;
	const char *sentence;
} refused[] = {
	{ "h:", -EINVAL, "the port '' of 'h:' is not within 0 .. 65535" },
	{ "h:http", -EINVAL, "the port 'http' of 'h:http' is not within 0 .. 65535" },
	{ "tls://h:65536", -EINVAL,
	  "the port '65536' of 'tls://h:65536' is not within 0 .. 65535" },
	{ "::1:80", -EINVAL,
	  "'::1:80' has more than one colon: write an IPv6 address as [ADDRESS]:PORT" },
	{ "[::1", -EINVAL, "'[::1' is not [IPV6]:PORT" },
	{ "[[2]:80", -EINVAL, "'[[2]:80' names no host that there can be" },
	{ "a,b:80", -EINVAL, "'a,b:80' names no host that there can be" },
	{ "a\n-C:80", -EINVAL, "'a\n-C:80' names no host that there can be" },
	{ "unix:/a\nb", -EINVAL, "the path in 'unix:/a\nb' has a control character" },
	{ "[]:80", -EINVAL, "'[]:80' is not [IPV6]:PORT" },
	{ "[::1]80", -EINVAL, "'[::1]80' is not [IPV6]:PORT" },
	{ "80", -EINVAL, "'80' in '80' is no host: write a port as :80" },
	{ "udp://7000", -EINVAL, "'7000' in 'udp://7000' is no host: write a port as :7000" },
	{ "dpdk://aa:bb", -EINVAL,
	  "'dpdk://aa:bb' begins with 'dpdk': tcp, tls, udp and unix are known" },
	{ "unix:", -EINVAL, "'unix:' has no path: write unix:///PATH" },
	{ "unix://", -EINVAL, "'unix://' has no path: write unix:///PATH" },
};

static void test_refused_words(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		struct address a = { .port = 23 };
		struct err err = { "" };

		check_case("%s", refused[i].word);
		CHECK_EQ(address_parse(refused[i].word, &local, &a, &err), refused[i].code);
		CHECK_STR(err.text, refused[i].sentence);
		CHECK_EQ(a.port, 23);
	}
}

static void test_parts_that_must_be_given(void)
{
	struct address a;
	struct err err;

	CHECK_EQ(address_parse("h", &none, &a, &err), -EINVAL);
	CHECK_STR(err.text, "'h' has no port: write HOST:PORT");
	CHECK_EQ(address_parse(":80", &none, &a, &err), -EINVAL);
	CHECK_STR(err.text, "':80' has no host: write HOST:PORT");
	CHECK_EQ(address_parse("h:80", &none, &a, &err), 0);
}

/* A text of `len` bytes between two others. */
static const char *long_word(const char *before, size_t len, const char *after)
{
	static char text[1024];

	snprintf(text, sizeof(text), "%s%0*d%s", before, (int)len, 0, after);
	memset(text + strlen(before), 'h', len);
	return text;
}

static void test_lengths(void)
{
	size_t path_max = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;
	struct address a;

	CHECK_EQ(address_parse(long_word("", UNIT_HOST_SIZE - 1, ":1"), &none, &a, NULL), 0);
	CHECK_EQ(address_parse(long_word("", UNIT_HOST_SIZE, ":1"), &none, &a, NULL), -ERANGE);
	CHECK_EQ(address_parse(long_word("unix:/", path_max - 1, ""), &none, &a, NULL), 0);
	CHECK_EQ(address_parse(long_word("unix:/", path_max, ""), &none, &a, NULL), -ERANGE);
}

static void test_local(void)
{
	static const struct {
		const char *word;
		bool local;
	} cases[] = {
		{ "127.0.0.1:1", true }, { "tls://127.9.9.9:1", true },	   { "[::1]:1", true },
		{ "localhost:1", true }, { "unix:/tmp/x", true },	   { "0.0.0.0:1", false },
		{ "[::]:1", false },	 { "udp://192.168.0.1:1", false }, { "h:1", false },
	};
	struct address a;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		check_case("%s", cases[i].word);
		CHECK_EQ(address_parse(cases[i].word, &none, &a, NULL), 0);
		CHECK_EQ(address_is_local(&a), cases[i].local);
	}
}

static void test_unknown_host(void)
{
	struct endpoint endpoints[ADDRESS_ENDPOINTS_MAX];
	struct address a = { .host = "no.such.host.invalid", .port = 1 };
	struct err err = { "" };

	CHECK(address_resolve(&a, false, endpoints, &err) < 0);
	CHECK(!strncmp(err.text, "cannot find the host 'no.such.host.invalid': ", 45));
}

static int option(int fd, int level, int name)
{
	socklen_t size = sizeof(int);
	int value = -1;

	getsockopt(fd, level, name, &value, &size);
	return value;
}

static int dial(const struct address *a)
{
	struct endpoint endpoints[ADDRESS_ENDPOINTS_MAX];
	int count = address_resolve(a, false, endpoints, NULL), which;

	return endpoints_connect(endpoints, count, a->transport, 1000, &which);
}

/* From both ends: what is sent to where it listens comes out there. */
static void check_reaches(struct address *a)
{
	const struct listen_opts opts = { .backlog = 5, .no_delay = true };
	char text[ADDRESS_TEXT_SIZE], got[4];
	struct err err = { "" };
	int listening = address_listen(a, &opts, &err), client, server;

	check_case("%s: %s", address_format(a, text), err.text);
	if (!CHECK(listening >= 0))
		return;
	client = dial(a);
	CHECK(client >= 0);
	CHECK_EQ(send(client, "walk", 4, 0), 4);
	server = a->transport == TRANSPORT_UDP ? dup(listening) : accept(listening, NULL, NULL);
	CHECK_EQ(recv(server, got, sizeof(got), 0), 4);
	CHECK_MEM(got, "walk", 4);
	close(client);
	close(server);
	address_unlisten(a, listening);
	if (a->transport != TRANSPORT_UDP)
		CHECK_EQ(dial(a), a->transport == TRANSPORT_UNIX ? -ENOENT : -ECONNREFUSED);
}

static void test_listen_and_connect(void)
{
	static const char *const reached[] = { "127.0.0.1:0", "[::1]:0", "udp://127.0.0.1:0",
					       "udp://[::1]:0", "tls://127.0.0.1:0" };
	struct address a;

	for (size_t i = 0; i < ARRAY_SIZE(reached); i++) {
		CHECK_EQ(address_parse(reached[i], &none, &a, NULL), 0);
		check_reaches(&a);
		CHECK(a.port != 0);
	}
}

static void test_options(void)
{
	struct address a = { .host = "127.0.0.1" };
	struct listen_opts opts = { .backlog = 5, .receive_lowat = 32, .no_delay = true };
	int fd = address_listen(&a, &opts, NULL);

	CHECK_EQ(option(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */), 1);
	CHECK_EQ(option(fd, SOL_SOCKET, SO_RCVLOWAT), 32);
	CHECK_EQ(option(fd, SOL_SOCKET, SO_REUSEPORT), 0);
	close(fd);
	opts = (struct listen_opts){ .backlog = 5, .shares_port = true };
	fd = address_listen(&a, &opts, NULL);
	CHECK_EQ(option(fd, IPPROTO_TCP, 1), 0);
	CHECK_EQ(option(fd, SOL_SOCKET, SO_REUSEPORT), 1);
	close(fd);
}

static void test_port_taken(void)
{
	const struct listen_opts opts = { .backlog = 5 };
	struct address a = { .host = "127.0.0.1" };
	int fd = address_listen(&a, &opts, NULL);
	char sentence[128];
	struct err err;

	CHECK_EQ(address_listen(&a, &opts, &err), -EADDRINUSE);
	snprintf(sentence, sizeof(sentence),
		 "cannot listen on 127.0.0.1:%u: Address already in use", a.port);
	CHECK_STR(err.text, sentence);
	close(fd);
}

static void test_unix_socket(void)
{
	const struct listen_opts opts = { .backlog = 5 };
	struct address a = { .transport = TRANSPORT_UNIX };
	int fd;

	snprintf(a.host, sizeof(a.host), "/tmp/gait-test-address-%d", getpid());
	check_reaches(&a);
	CHECK(access(a.host, F_OK) != 0);
	fd = address_listen(&a, &opts, NULL);
	CHECK_EQ(address_listen(&a, &opts, NULL), -EADDRINUSE); /* somebody listens */
	close(fd);						/* and dies */
	CHECK(access(a.host, F_OK) == 0);
	check_reaches(&a);
	fclose(fopen(a.host, "w")); /* a file that is no socket is somebody's */
	CHECK_EQ(address_listen(&a, &opts, NULL), -EADDRINUSE);
	CHECK(access(a.host, F_OK) == 0);
	unlink(a.host);
}

int main(void)
{
	RUN(test_words);
	RUN(test_refused_words);
	RUN(test_parts_that_must_be_given);
	RUN(test_lengths);
	RUN(test_local);
	RUN(test_unknown_host);
	RUN(test_listen_and_connect);
	RUN(test_options);
	RUN(test_port_taken);
	RUN(test_unix_socket);
	return check_done();
}
