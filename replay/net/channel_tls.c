/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/net/channel.h"

#include <stdlib.h>
#include <unistd.h>

#if GAIT_TLS

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#define RECORD_BYTES 16384
#define READ_AHEAD_BYTES (2 * RECORD_BYTES) /* less than what a node receives at a time */
#define CERT_SECONDS (10L * 365 * 24 * 3600)

struct tls_context {
	SSL_CTX *ctx;
	BIO_METHOD *method; /* our own socket, which raises no SIGPIPE */
	bool node;
};

struct tls_stream {
	SSL *ssl;
	int fd;
	int error;		      /* errno of the socket's last failure */
	bool eof;		      /* the socket has ended */
	bool broken;		      /* no goodbye is possible */
	struct socket_stamps *stamps; /* the channel's */
	uint32_t reads, writes;	      /* events that the next receive, send waits for */
};

static int on_read(BIO *bio, char *data, int size)
{
	struct tls_stream *tls = BIO_get_data(bio);
	ssize_t n = tls->stamps ? socket_stamps_recv(tls->stamps, tls->fd, data, (size_t)size) :
				  recv(tls->fd, data, (size_t)size, MSG_DONTWAIT);

	BIO_clear_retry_flags(bio);
	tls->eof = !n;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_read(bio);
	else if (n < 0)
		tls->error = errno;
	return (int)n;
}

static int on_write(BIO *bio, const char *data, int size)
{
	struct tls_stream *tls = BIO_get_data(bio);
	ssize_t n = tls->stamps ? socket_stamps_send(tls->stamps, tls->fd, data, (size_t)size) :
				  send(tls->fd, data, (size_t)size, MSG_DONTWAIT | MSG_NOSIGNAL);

	BIO_clear_retry_flags(bio);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_write(bio);
	else if (n < 0)
		tls->error = errno;
	return (int)n;
}

static long on_control(BIO *bio, int command, long number, void *pointer)
{
	const struct tls_stream *tls = BIO_get_data(bio);

	if (command == BIO_CTRL_EOF)
		return tls->eof;
	return command == BIO_CTRL_FLUSH; /* nothing is held back */
}

static BIO_METHOD *make_method(void)
{
	BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "gait");

	if (!method)
		return NULL;
	BIO_meth_set_read(method, on_read);
	BIO_meth_set_write(method, on_write);
	BIO_meth_set_ctrl(method, on_control);
	return method;
}

/* What OpenSSL says of its first complaint, and forgets. */
static int refuse(struct err *err, const char *what, const char *on)
{
	char reason[256];

	ERR_error_string_n(ERR_peek_error(), reason, sizeof(reason));
	ERR_clear_error();
	return err_set(err, EINVAL, "%s '%s': %s", what, on, reason);
}

/* Names, dates and a key: enough to be encrypted with, and nothing to be trusted. */
static X509 *sign_own(EVP_PKEY *key)
{
	X509 *cert = X509_new();
	X509_NAME *name;

	if (!cert)
		return NULL;
	name = X509_get_subject_name(cert);
	if (X509_set_version(cert, X509_VERSION_3) &&
	    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1) &&
	    X509_gmtime_adj(X509_getm_notBefore(cert), 0) &&
	    X509_gmtime_adj(X509_getm_notAfter(cert), CERT_SECONDS) && X509_set_pubkey(cert, key) &&
	    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"gait node",
				       -1, -1, 0) &&
	    X509_set_issuer_name(cert, name) && X509_sign(cert, key, EVP_sha256()))
		return cert;
	X509_free(cert);
	return NULL;
}

static int use_own(SSL_CTX *ctx, struct err *err)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = key ? sign_own(key) : NULL;
	bool used = cert && SSL_CTX_use_certificate(ctx, cert) == 1 &&
		    SSL_CTX_use_PrivateKey(ctx, key) == 1;

	X509_free(cert);
	EVP_PKEY_free(key);
	return used ? 0 : refuse(err, "cannot make a certificate", "gait node");
}

static int use_files(SSL_CTX *ctx, const char *cert, const char *key, struct err *err)
{
	if (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1)
		return refuse(err, "cannot use the certificate", cert);
	if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
		return refuse(err, "cannot use the key", key);
	if (SSL_CTX_check_private_key(ctx) != 1)
		return refuse(err, "the key is not that of the certificate", cert);
	return 0;
}

static void configure(SSL_CTX *ctx, const struct tls_setup *setup)
{
	SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	/* nothing that comes between requests unasked: no tickets, no second handshake */
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
					 SSL_OP_NO_TICKET | SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_num_tickets(ctx, 0);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_read_ahead(ctx, setup->reads_ahead);
	if (setup->reads_ahead)
		SSL_CTX_set_default_read_buffer_len(ctx, READ_AHEAD_BYTES);
}

int tls_context_new(const struct tls_setup *setup, struct tls_context **ret_context,
		    struct err *err)
{
	struct tls_context *context = calloc(1, sizeof(*context));
	int rc = 0;

	if (!context)
		return err_errno(err, ENOMEM, "cannot set up TLS");
	context->node = setup->node;
	context->method = make_method();
	context->ctx = SSL_CTX_new(setup->node ? TLS_server_method() : TLS_client_method());
	if (!context->method || !context->ctx) {
		tls_context_free(context);
		return refuse(err, "cannot set up", "TLS");
	}
	configure(context->ctx, setup);
	if (setup->cert)
		rc = use_files(context->ctx, setup->cert, setup->key ? setup->key : setup->cert,
			       err);
	else if (setup->node)
		rc = use_own(context->ctx, err);
	if (rc)
		tls_context_free(context);
	else
		*ret_context = context;
	return rc;
}

void tls_context_free(struct tls_context *context)
{
	if (!context)
		return;
	SSL_CTX_free(context->ctx);
	BIO_meth_free(context->method);
	free(context);
}

static void tls_stamp(struct tls_stream *tls, struct socket_stamps *stamps)
{
	if (tls)
		tls->stamps = stamps;
}

static void tls_free(struct tls_stream *tls)
{
	if (!tls)
		return;
	if (tls->ssl && !tls->broken && SSL_is_init_finished(tls->ssl))
		SSL_shutdown(tls->ssl);
	ERR_clear_error();
	SSL_free(tls->ssl);
	free(tls);
}

int channel_begin_tls(struct channel *ch, struct tls_context *context)
{
	struct tls_stream *tls = calloc(1, sizeof(*tls));
	BIO *bio = BIO_new(context->method);

	if (tls)
		tls->ssl = SSL_new(context->ctx);
	if (!tls || !tls->ssl || !bio) {
		tls_free(tls);
		BIO_free(bio);
		return -ENOMEM;
	}
	tls->fd = ch->fd;
	tls->reads = EPOLLIN;
	tls->writes = EPOLLOUT;
	BIO_set_data(bio, tls);
	BIO_set_init(bio, 1);
	SSL_set_bio(tls->ssl, bio, bio);
	if (context->node)
		SSL_set_accept_state(tls->ssl);
	else
		SSL_set_connect_state(tls->ssl);
	ch->tls = tls;
	return 0;
}

/*
 * Why a call of OpenSSL moved nothing. Its queue of errors is empty again afterwards, so that
 * the next call need not empty it first.
 */
static int why(struct tls_stream *tls, int result, uint32_t *events)
{
	int error = SSL_get_error(tls->ssl, result);

	ERR_clear_error();
	if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
		*events = error == SSL_ERROR_WANT_READ ? EPOLLIN : EPOLLOUT;
		return -EAGAIN;
	}
	if (error == SSL_ERROR_ZERO_RETURN)
		return 0;
	tls->broken = true;
	return tls->error ? -tls->error : -EPROTO;
}

int channel_handshake(struct channel *ch)
{
	struct tls_stream *tls = ch->tls;
	int result, rc;

	if (!tls || SSL_is_init_finished(tls->ssl))
		return 0;
	result = SSL_do_handshake(tls->ssl);
	if (result == 1)
		return 0;
	rc = why(tls, result, &tls->reads);
	tls->writes = tls->reads;
	return rc ? rc : -ECONNRESET;
}

/* A record at a time is what OpenSSL gives: the ones behind it are taken too. */
ssize_t tls_recv(struct tls_stream *tls, void *data, size_t size)
{
	size_t got = 0;
	int n = 1;

	while (got < size && n > 0 && (!got || SSL_has_pending(tls->ssl))) {
		n = SSL_read(tls->ssl, (char *)data + got, (int)(size - got));
		got += n > 0 ? (size_t)n : 0;
	}
	tls->reads = EPOLLIN;
	n = n > 0 ? n : why(tls, n, &tls->reads);
	return got ? (ssize_t)got : n;
}

ssize_t tls_send(struct tls_stream *tls, const void *data, size_t size)
{
	size_t sent = 0;
	int n = 1;

	while (sent < size && n > 0) {
		size_t part = size - sent < RECORD_BYTES ? size - sent : RECORD_BYTES;

		n = SSL_write(tls->ssl, (const char *)data + sent, (int)part);
		sent += n > 0 ? (size_t)n : 0;
	}
	tls->writes = EPOLLOUT;
	n = n > 0 ? n : why(tls, n, &tls->writes);
	return sent ? (ssize_t)sent : n ? n : -EPIPE;
}

ssize_t tls_sendfile(struct tls_stream *tls, int file, off_t offset, size_t size)
{
	char record[RECORD_BYTES];
	size_t sent = 0;

	while (sent < size) {
		size_t part = size - sent < sizeof(record) ? size - sent : sizeof(record);
		ssize_t n = pread(file, record, part, offset + (off_t)sent);

		if (n <= 0)
			return sent ? (ssize_t)sent : n ? -errno : 0;
		n = tls_send(tls, record, (size_t)n);
		if (n < 0)
			return sent ? (ssize_t)sent : n;
		sent += (size_t)n;
	}
	return (ssize_t)sent;
}

bool tls_has_more(const struct tls_stream *tls)
{
	return SSL_has_pending(tls->ssl);
}

uint32_t tls_read_events(const struct tls_stream *tls)
{
	return tls->reads;
}

uint32_t tls_write_events(const struct tls_stream *tls)
{
	return tls->writes;
}

#else /* no channel ever has a stream */

int tls_context_new(const struct tls_setup *setup, struct tls_context **ret_context,
		    struct err *err)
{
	return err_set(err, ENOTSUP, "this gait was built without TLS (GAIT_TLS)");
}

void tls_context_free(struct tls_context *context)
{
}

static void tls_stamp(struct tls_stream *tls, struct socket_stamps *stamps)
{
}

static void tls_free(struct tls_stream *tls)
{
}

int channel_begin_tls(struct channel *ch, struct tls_context *context)
{
	return -ENOTSUP;
}

int channel_handshake(struct channel *ch)
{
	return 0;
}

ssize_t tls_recv(struct tls_stream *tls, void *data, size_t size)
{
	return -ENOTSUP;
}

ssize_t tls_send(struct tls_stream *tls, const void *data, size_t size)
{
	return -ENOTSUP;
}

ssize_t tls_sendfile(struct tls_stream *tls, int file, off_t offset, size_t size)
{
	return -ENOTSUP;
}

bool tls_has_more(const struct tls_stream *tls)
{
	return false;
}

uint32_t tls_read_events(const struct tls_stream *tls)
{
	return EPOLLIN;
}

uint32_t tls_write_events(const struct tls_stream *tls)
{
	return EPOLLOUT;
}

#endif

void channel_stamp(struct channel *ch, struct stamps *to, bool sends)
{
	ch->stamps = socket_stamps_new(to, ch->fd, sends);
	tls_stamp(ch->tls, ch->stamps);
}

void channel_close(struct channel *ch)
{
	tls_free(ch->tls);
	free(ch->stamps);
	if (ch->fd >= 0)
		close(ch->fd);
	*ch = CHANNEL_NONE;
}
