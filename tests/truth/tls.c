/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A TLS server of known plaintext, its client, and a loop that times the library's calls.
 * The server makes its own key and certificate.
 *
 *   --serve threads|ex|lazy  a thread a connection; requests and replies of fixed size. `ex` uses
 *                            SSL_read_ex() and SSL_write_ex(), `lazy` leaves the handshake to the
 *                            first SSL_read(). What was served goes to --log at SIGTERM.
 *   --ask PORT               --requests in all, dealt out to --connections in turn, in a closed loop
 *   --pairs N                N times SSL_write() and SSL_read() of 16 bytes in memory, each time a
 *                            line comes on stdin; prints ns a pair
 */
#include "truth.h"

#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

static struct {
	const char *serve, *log;
	uint64_t port, connections, requests, request_bytes, reply_bytes, pairs;
} opts = { .connections = 1, .requests = 1, .request_bytes = 1, .reply_bytes = 1 };

struct served {
	uint64_t connection, request, bytes_in, bytes_out;
};

static SSL_CTX *context;
static uint64_t connections;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* for the rest */
static struct served *served;
static size_t served_count;

static void insist(bool held, const char *what)
{
	if (!held)
		die(what);
}

static X509 *certificate_of(EVP_PKEY *key)
{
	X509 *x = X509_new();
	X509_NAME *name = X509_get_subject_name(x);

	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), 0);
	X509_gmtime_adj(X509_getm_notAfter(x), 86400);
	X509_set_pubkey(x, key);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *)"truth", -1, -1, 0);
	X509_set_issuer_name(x, name);
	insist(X509_sign(x, key, EVP_sha256()), "certificate");
	return x;
}

static SSL_CTX *server_context(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	EVP_PKEY *key = EVP_EC_gen("P-256");

	insist(ctx && key && SSL_CTX_use_certificate(ctx, certificate_of(key)) == 1 &&
		       SSL_CTX_use_PrivateKey(ctx, key) == 1,
	       "key");
	return ctx;
}

static bool use_ex(void)
{
	return opts.serve && !strcmp(opts.serve, "ex");
}

/* All of it, or less at the end of the connection. */
static uint64_t read_all(SSL *ssl, char *buffer, uint64_t want)
{
	uint64_t got = 0;

	while (got < want) {
		size_t n = 0;

		if (use_ex() && !SSL_read_ex(ssl, buffer + got, want - got, &n))
			break;
		if (!use_ex()) {
			int rc = SSL_read(ssl, buffer + got, want - got);

			if (rc <= 0)
				break;
			n = rc;
		}
		got += n;
	}
	return got;
}

static void write_all(SSL *ssl, const char *buffer, uint64_t bytes)
{
	size_t n = 0;

	if (use_ex())
		insist(SSL_write_ex(ssl, buffer, bytes, &n) == 1, "SSL_write_ex");
	else
		insist(SSL_write(ssl, buffer, bytes) == (int)bytes, "SSL_write");
}

static char *buffer_new(void)
{
	return must_alloc(calloc(1, opts.request_bytes + opts.reply_bytes));
}

struct accepted {
	int fd;
	uint64_t id;
};

static void remember(uint64_t connection, uint64_t request)
{
	pthread_mutex_lock(&mutex);
	served = must_alloc(realloc(served, (served_count + 1) * sizeof(*served)));
	served[served_count++] =
		(struct served){ connection, request, opts.request_bytes, opts.reply_bytes };
	pthread_mutex_unlock(&mutex);
}

static void *serve_one(void *arg)
{
	struct accepted *c = arg;
	SSL *ssl = SSL_new(context);
	char *buffer = buffer_new();
	uint64_t n = 0;

	SSL_set_fd(ssl, c->fd);
	SSL_set_accept_state(ssl);
	if (strcmp(opts.serve, "lazy") && SSL_accept(ssl) != 1)
		fputs("a handshake failed\n", stderr);
	while (read_all(ssl, buffer, opts.request_bytes) == opts.request_bytes) {
		write_all(ssl, buffer, opts.reply_bytes);
		remember(c->id, ++n);
	}
	SSL_shutdown(ssl);
	SSL_free(ssl);
	close(c->fd);
	free(buffer);
	free(c);
	return NULL;
}

static void write_log(void)
{
	FILE *f = opts.log ? fopen(opts.log, "we") : stdout;

	if (!f)
		die(opts.log);
	pthread_mutex_lock(&mutex);
	fprintf(f, "connection,request,bytes_in,bytes_out\n");
	for (size_t i = 0; i < served_count; i++)
		fprintf(f, "%lu,%lu,%lu,%lu\n", served[i].connection, served[i].request,
			served[i].bytes_in, served[i].bytes_out);
	pthread_mutex_unlock(&mutex);
	if (fclose(f))
		die("log");
}

static void *accept_all(void *arg)
{
	int listener = *(int *)arg;

	for (;;) {
		struct accepted *c = must_alloc(calloc(1, sizeof(*c)));
		pthread_t thread;

		c->fd = must(accept(listener, NULL, NULL), "accept");
		c->id = ++connections;
		insist(!pthread_create(&thread, NULL, serve_one, c), "thread");
		pthread_detach(thread);
	}
	return NULL;
}

static void serve(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int listener = must(socket(AF_INET, SOCK_STREAM, 0), "socket"), signal_number;
	socklen_t size = sizeof(at);
	pthread_t thread;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	context = server_context();
	must(bind(listener, (struct sockaddr *)&at, size), "bind");
	must(listen(listener, 1024), "listen");
	must(getsockname(listener, (struct sockaddr *)&at, &size), "getsockname");
	insist(!pthread_create(&thread, NULL, accept_all, &listener), "thread");
	printf("listening on %d\n", ntohs(at.sin_port));
	fflush(stdout);
	sigwait(&set, &signal_number);
	write_log();
}

static SSL *connect_one(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(opts.port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = must(socket(AF_INET, SOCK_STREAM, 0), "socket");
	SSL *ssl = SSL_new(context);

	must(connect(fd, (struct sockaddr *)&to, sizeof(to)), "connect");
	SSL_set_fd(ssl, fd);
	insist(SSL_connect(ssl) == 1, "SSL_connect");
	return ssl;
}

static void ask(void)
{
	SSL **all = must_alloc(calloc(opts.connections, sizeof(SSL *)));
	char *buffer = buffer_new();

	context = SSL_CTX_new(TLS_client_method());
	for (uint64_t i = 0; i < opts.connections; i++)
		all[i] = connect_one();
	for (uint64_t i = 0; i < opts.requests; i++) {
		SSL *ssl = all[i % opts.connections];

		write_all(ssl, buffer, opts.request_bytes);
		insist(read_all(ssl, buffer, opts.reply_bytes) == opts.reply_bytes, "reply");
	}
	for (uint64_t i = 0; i < opts.connections; i++) {
		SSL_shutdown(all[i]);
		close(SSL_get_fd(all[i]));
	}
}

/* Two ends in one thread, a pair of buffers between them. */
static void time_pairs(void)
{
	SSL *a = SSL_new(SSL_CTX_new(TLS_client_method())), *b = SSL_new(server_context());
	BIO *to_a, *to_b;
	char line[16], bytes[16] = "";

	insist(BIO_new_bio_pair(&to_a, 0, &to_b, 0) == 1, "BIO");
	SSL_set_bio(a, to_a, to_a);
	SSL_set_bio(b, to_b, to_b);
	SSL_set_connect_state(a);
	SSL_set_accept_state(b);
	while (SSL_do_handshake(a) != 1 || SSL_do_handshake(b) != 1)
		SSL_do_handshake(b);
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		int64_t start = clock_ns(CLOCK_THREAD_CPUTIME_ID);

		for (uint64_t i = 0; i < opts.pairs; i++)
			insist(SSL_write(a, bytes, 16) == 16 && SSL_read(b, bytes, 16) == 16,
			       "pair");
		printf("%lu\n", (clock_ns(CLOCK_THREAD_CPUTIME_ID) - start) / opts.pairs);
		fflush(stdout);
	}
}

static const char usage[] =
	"usage: tls --serve threads|ex|lazy [--request BYTES] [--reply BYTES] [--log FILE]\n"
	"       tls --ask PORT [--connections N] [--requests N] [--request BYTES] [--reply BYTES]\n"
	"       tls --pairs N\n";

int main(int argc, char **argv)
{
	const struct truth_option table[] = {
		{ "serve", .text = &opts.serve },
		{ "log", .text = &opts.log },
		{ "ask", .number = &opts.port },
		{ "connections", .number = &opts.connections },
		{ "requests", .number = &opts.requests },
		{ "request", .number = &opts.request_bytes },
		{ "reply", .number = &opts.reply_bytes },
		{ "pairs", .number = &opts.pairs },
		{ 0 },
	};

	take_options(table, argv, usage);
	if (opts.serve)
		serve();
	else if (opts.port)
		ask();
	else if (opts.pairs)
		time_pairs();
	else
		die("nothing to do");
	return 0;
}
