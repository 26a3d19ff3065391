/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/net/secure.h"

#include "replay/net/key.h"

#include <errno.h>

bool secure_wanted(const struct secure_opts *opts)
{
	return opts->key || opts->cert || opts->cert_key || opts->ca;
}

int secure_check(const struct secure_opts *opts, struct err *err)
{
	bool any = opts->cert || opts->cert_key || opts->ca;
	bool all = opts->cert && opts->cert_key && opts->ca;

	if (opts->key && any)
		return err_set(err, EINVAL,
			       "either --key or certificates, not both: the other end could not "
			       "know which to use");
	if (any && !all)
		return err_set(err, EINVAL,
			       "--tls-cert, --tls-key and --tls-ca belong together: what this end "
			       "shows, what it proves that with, and who signed the other's");
	return 0;
}

#if GAIT_TLS

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* There is one key on a connection, so its name tells nobody anything. */
#define IDENTITY "gait"
#define CHAIN_DEPTH 4

/* Both with SHA-256, as the key's own use of it does (RFC 8446, 4.2.11). */
#define CIPHERS "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256"
static const unsigned char key_cipher[] = { 0x13, 0x01 }; /* TLS_AES_128_GCM_SHA256 */

struct secure {
	SSL_CTX *ctx;
	BIO_METHOD *socket;
	enum secure_role role;
	bool with_key;
	struct key key;
};

struct secure_end {
	struct secure *secure;
	SSL *ssl;
	int fd;
	size_t budget;
	int error;   /* of the socket's last call */
	int failure; /* of the library, for good: said again by each call */
	struct err why;
	char host[256];
};

/* The library's own words; the queue is empty afterwards. */
static const char *reason_text(unsigned long code)
{
	const char *text = code ? ERR_reason_error_string(code) : NULL;

	return text ? text : "no reason is known";
}

static unsigned long take_reason(void)
{
	unsigned long code = ERR_peek_last_error();

	ERR_clear_error();
	return code;
}

/*
 * The socket, as the library sees it: without SIGPIPE, never waiting, and only so many bytes at a
 * time.
 */
static int socket_read(BIO *bio, char *data, int size)
{
	struct secure_end *e = BIO_get_data(bio);
	ssize_t n;

	BIO_clear_retry_flags(bio);
	if (size <= 0)
		return 0;
	if (!e->budget) {
		BIO_set_retry_read(bio);
		return -1;
	}
	n = recv(e->fd, data, (size_t)size < e->budget ? (size_t)size : e->budget, MSG_DONTWAIT);
	if (n > 0)
		e->budget -= (size_t)n;
	else if (n < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_read(bio);
	else if (n < 0)
		e->error = errno;
	return (int)n;
}

static int socket_write(BIO *bio, const char *data, int size)
{
	struct secure_end *e = BIO_get_data(bio);
	ssize_t n;

	BIO_clear_retry_flags(bio);
	n = send(e->fd, data, (size_t)size, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_write(bio);
	else if (n < 0)
		e->error = errno;
	return (int)n;
}

static long socket_ctrl(BIO *bio, int command, long number, void *pointer)
{
	return command == BIO_CTRL_FLUSH;
}

static int make_socket_method(struct secure *s)
{
	s->socket = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket");
	return s->socket && BIO_meth_set_read(s->socket, socket_read) &&
			       BIO_meth_set_write(s->socket, socket_write) &&
			       BIO_meth_set_ctrl(s->socket, socket_ctrl) ?
		       0 :
		       -ENOMEM;
}

static const struct secure *secure_of(const SSL *ssl)
{
	return SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
}

/* The key in the form that the library wants: a session that was never had. */
static SSL_SESSION *key_session(SSL *ssl)
{
	const SSL_CIPHER *cipher = SSL_CIPHER_find(ssl, key_cipher);
	const struct key *key = &secure_of(ssl)->key;
	SSL_SESSION *session = SSL_SESSION_new();

	if (session && cipher &&
	    SSL_SESSION_set1_master_key(session, key->bytes, sizeof(key->bytes)) &&
	    SSL_SESSION_set_cipher(session, cipher) &&
	    SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION))
		return session;
	SSL_SESSION_free(session);
	return NULL;
}

static int client_shows_key(SSL *ssl, const EVP_MD *digest, const unsigned char **ret_name,
			    size_t *ret_bytes, SSL_SESSION **ret_session)
{
	*ret_session = key_session(ssl);
	*ret_name = (const unsigned char *)IDENTITY;
	*ret_bytes = sizeof(IDENTITY) - 1;
	return *ret_session != NULL;
}

static int node_finds_key(SSL *ssl, const unsigned char *name, size_t bytes,
			  SSL_SESSION **ret_session)
{
	*ret_session = NULL;
	if (bytes != sizeof(IDENTITY) - 1 || memcmp(name, IDENTITY, bytes))
		return 1; /* none: a ticket of elsewhere, say */
	*ret_session = key_session(ssl);
	return *ret_session != NULL;
}

/*
 * A node has nothing else to prove itself with, so it serves nobody without the key. A client
 * could be shown a certificate instead: it trusts no CA, so none can be good.
 */
static int use_key(struct secure *s, const struct secure_opts *opts, struct err *err)
{
	int ret = key_read(opts->key, &s->key, err);

	if (ret)
		return ret;
	s->with_key = true;
	SSL_CTX_set_psk_find_session_callback(s->ctx,
					      s->role == SECURE_NODE ? node_finds_key : NULL);
	SSL_CTX_set_psk_use_session_callback(s->ctx,
					     s->role == SECURE_CLIENT ? client_shows_key : NULL);
	SSL_CTX_set_verify(s->ctx, s->role == SECURE_CLIENT ? SSL_VERIFY_PEER : SSL_VERIFY_NONE,
			   NULL);
	return 0;
}

static int refuse_file(const char *what, const char *path, struct err *err)
{
	return err_set(err, EINVAL, "cannot use %s '%s': %s", what, path,
		       reason_text(take_reason()));
}

static int use_certificates(struct secure *s, const struct secure_opts *opts, struct err *err)
{
	ERR_clear_error();
	if (SSL_CTX_use_certificate_chain_file(s->ctx, opts->cert) != 1)
		return refuse_file("the certificate", opts->cert, err);
	if (SSL_CTX_use_PrivateKey_file(s->ctx, opts->cert_key, SSL_FILETYPE_PEM) != 1)
		return refuse_file("the certificate's key", opts->cert_key, err);
	if (SSL_CTX_load_verify_file(s->ctx, opts->ca) != 1)
		return refuse_file("the CA's certificate", opts->ca, err);
	SSL_CTX_set_verify(s->ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_verify_depth(s->ctx, CHAIN_DEPTH);
	if (s->role == SECURE_NODE)
		SSL_CTX_set_client_CA_list(s->ctx, SSL_load_client_CA_file(opts->ca));
	return 0;
}

static int set_up(struct secure *s)
{
	const long modes = SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
			   SSL_MODE_RELEASE_BUFFERS;

	s->ctx = SSL_CTX_new(s->role == SECURE_NODE ? TLS_server_method() : TLS_client_method());
	if (!s->ctx || make_socket_method(s))
		return -ENOMEM;
	SSL_CTX_set_app_data(s->ctx, s);
	SSL_CTX_set_mode(s->ctx, modes);
	SSL_CTX_set_session_cache_mode(s->ctx, SSL_SESS_CACHE_OFF);
	/* the frames say themselves when all has been said */
	SSL_CTX_set_options(s->ctx, SSL_OP_NO_TICKET | SSL_OP_IGNORE_UNEXPECTED_EOF);
	return SSL_CTX_set_min_proto_version(s->ctx, TLS1_3_VERSION) &&
			       SSL_CTX_set_num_tickets(s->ctx, 0) &&
			       SSL_CTX_set_ciphersuites(s->ctx, CIPHERS) ?
		       0 :
		       -ENOTSUP;
}

int secure_new(const struct secure_opts *opts, enum secure_role role, struct secure **ret_secure,
	       struct err *err)
{
	struct secure *s = calloc(1, sizeof(*s));
	int ret;

	if (!s)
		return err_errno(err, ENOMEM, "cannot set up TLS");
	s->role = role;
	ret = secure_check(opts, err);
	if (!ret && set_up(s))
		ret = err_set(err, ENOTSUP, "cannot set up TLS: %s", reason_text(take_reason()));
	if (!ret)
		ret = opts->key ? use_key(s, opts, err) : use_certificates(s, opts, err);
	if (ret)
		secure_free(s);
	else
		*ret_secure = s;
	return ret;
}

void secure_free(struct secure *s)
{
	if (!s)
		return;
	SSL_CTX_free(s->ctx);
	BIO_meth_free(s->socket);
	key_wipe(&s->key);
	free(s);
}

const char *secure_demand(const struct secure *s)
{
	return s->with_key ? "--key with the same key" :
			     "--tls-cert, --tls-key and --tls-ca with certificates of the same CA";
}

static int attach_socket(struct secure_end *e)
{
	BIO *bio = BIO_new(e->secure->socket);

	if (!bio)
		return -ENOMEM;
	BIO_set_data(bio, e);
	BIO_set_init(bio, 1);
	SSL_set_bio(e->ssl, bio, bio);
	return 0;
}

/* The node's certificate has to be for this host, be it an address or a name. */
static int expect_host(struct secure_end *e, const char *host)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(e->ssl);

	strncpy(e->host, host, sizeof(e->host) - 1);
	if (X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1)
		return 0;
	ERR_clear_error();
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return SSL_set_tlsext_host_name(e->ssl, host) && SSL_set1_host(e->ssl, host) ? 0 : -EINVAL;
}

int secure_end_new(struct secure *s, int fd, const char *host, struct secure_end **ret_end,
		   struct err *err)
{
	struct secure_end *e = calloc(1, sizeof(*e));
	int ret = e ? 0 : -ENOMEM;

	if (e) {
		e->secure = s;
		e->fd = fd;
		e->ssl = SSL_new(s->ctx);
		ret = e->ssl ? attach_socket(e) : -ENOMEM;
	}
	if (!ret && host && !s->with_key)
		ret = expect_host(e, host);
	if (ret) {
		secure_end_free(e);
		return err_errno(err, -ret, "cannot set up TLS");
	}
	if (s->role == SECURE_NODE)
		SSL_set_accept_state(e->ssl);
	else
		SSL_set_connect_state(e->ssl);
	*ret_end = e;
	return 0;
}

void secure_end_free(struct secure_end *e)
{
	if (!e)
		return;
	SSL_free(e->ssl);
	free(e);
}

/* What a client does not like about a node's certificate, or a node about a client's. */
static int explain_certificate(const struct secure_end *e, struct err *err)
{
	long found = SSL_get_verify_result(e->ssl);

	if (e->secure->with_key)
		return err_set(err, EACCES,
			       "the node proves itself by a certificate, not by a key: it wants "
			       "--tls-cert, --tls-key and --tls-ca");
	if (found == X509_V_ERR_HOSTNAME_MISMATCH || found == X509_V_ERR_IP_ADDRESS_MISMATCH)
		return err_set(err, EACCES, "the node's certificate is not for '%s'", e->host);
	return err_set(err, EACCES, "the %s's certificate is not good: %s",
		       e->secure->role == SECURE_NODE ? "client" : "node",
		       X509_verify_cert_error_string(found));
}

/* Alerts by which the other end says that it does not like our certificate, or the lack of one. */
static bool is_about_certificate(int reason)
{
	static const int reasons[] = {
		SSL_R_TLSV1_ALERT_UNKNOWN_CA,	       SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED,
		SSL_R_SSLV3_ALERT_BAD_CERTIFICATE,     SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE,
		SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN, SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED,
		SSL_R_TLSV1_ALERT_DECRYPT_ERROR,       SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED,
		SSL_R_TLSV1_ALERT_ACCESS_DENIED,
	};

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i] == reason)
			return true;
	return false;
}

/* Of the reasons that a person can do something about, what each means. */
static const struct {
	enum secure_role role;
	bool with_key;
	int reason;
	const char *text;
} sentences[] = {
	{ SECURE_NODE, true, SSL_R_BINDER_DOES_NOT_VERIFY, "the client has another key" },
	{ SECURE_NODE, true, SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, "the client shows no key" },
	{ SECURE_NODE, true, SSL_R_NO_SHARED_CIPHER, "the client shows no key" },
	{ SECURE_NODE, false, SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE,
	  "the client shows no certificate" },
	{ SECURE_CLIENT, true, SSL_R_SSLV3_ALERT_ILLEGAL_PARAMETER, "the node has another key" },
	{ SECURE_CLIENT, true, SSL_R_TLSV1_ALERT_DECRYPT_ERROR, "the node has another key" },
	{ SECURE_CLIENT, false, SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE,
	  "the node wants a key, not certificates: give the same --key to both" },
};

static const char *sentence_of(const struct secure_end *e, int reason)
{
	for (size_t i = 0; i < sizeof(sentences) / sizeof(sentences[0]); i++)
		if (sentences[i].role == e->secure->role &&
		    sentences[i].with_key == e->secure->with_key && sentences[i].reason == reason)
			return sentences[i].text;
	return NULL;
}

static int explain_reason(const struct secure_end *e, unsigned long code, struct err *err)
{
	const char *other = e->secure->role == SECURE_NODE ? "client" : "node";
	int reason = ERR_GET_REASON(code);
	const char *sentence = sentence_of(e, reason);

	if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED)
		return explain_certificate(e, err);
	if (sentence)
		return err_set(err, EACCES, "%s", sentence);
	if (is_about_certificate(reason))
		return err_set(err, EACCES, "the %s does not accept what this end shows: %s", other,
			       reason_text(code));
	if (e->secure->role == SECURE_CLIENT && reason == SSL_R_WRONG_VERSION_NUMBER)
		return err_set(err, EPROTO,
			       "the node speaks no TLS: was it started without a key?");
	return err_set(err, EPROTO, "no TLS with the %s: %s", other, reason_text(code));
}

/* What has failed once may be found out by whoever sends, and be told by whoever receives. */
static int repeat(const struct secure_end *e, struct err *err)
{
	if (e->failure && err)
		*err = e->why;
	return e->failure;
}

/* Why a call of the library did not succeed: -EAGAIN without a sentence, or a failure with one. */
static int explain(struct secure_end *e, int result, struct err *err)
{
	int what = SSL_get_error(e->ssl, result);
	bool shaken = SSL_is_init_finished(e->ssl);
	unsigned long code;

	if (what == SSL_ERROR_WANT_READ || what == SSL_ERROR_WANT_WRITE)
		return -EAGAIN;
	code = take_reason();
	if (what == SSL_ERROR_SSL && code) {
		e->failure = explain_reason(e, code, &e->why);
		return repeat(e, err);
	}
	if (e->error)
		return err_errno(err, e->error, "lost the connection");
	return err_set(err, ECONNRESET, "the %s hung up%s",
		       e->secure->role == SECURE_NODE ? "client" : "node",
		       shaken ? "" : " before both ends had proved themselves");
}

/* The other end's certificate is judged by the library; that a key was used at all is seen here. */
static int check_shaken(struct secure_end *e, struct err *err)
{
	if (!e->secure->with_key || SSL_session_reused(e->ssl))
		return 1;
	e->failure = err_set(&e->why, EACCES, "the other end did not use the key");
	return repeat(e, err);
}

static void begin_call(struct secure_end *e)
{
	ERR_clear_error();
	e->budget = SECURE_BUDGET_BYTES;
	e->error = 0;
}

static int shake(struct secure_end *e, struct err *err)
{
	int result, ret;

	if (e->failure)
		return repeat(e, err);
	if (SSL_is_init_finished(e->ssl))
		return 1;
	result = SSL_do_handshake(e->ssl);
	if (result == 1)
		return check_shaken(e, err);
	ret = explain(e, result, err);
	return ret == -EAGAIN ? 0 : ret;
}

int secure_end_shake(struct secure_end *e, struct err *err)
{
	begin_call(e);
	return shake(e, err);
}

ssize_t secure_end_recv(struct secure_end *e, void *data, size_t size, struct err *err)
{
	size_t n = 0, taken = 0;
	int ret;

	begin_call(e);
	ret = shake(e, err);
	if (ret <= 0)
		return ret ? ret : -EAGAIN;
	while (taken < size && (ret = SSL_read_ex(e->ssl, (char *)data + taken, size - taken, &n)))
		taken += n;
	if (taken)
		return (ssize_t)taken; /* what else there is comes with the next call */
	if (SSL_get_error(e->ssl, ret) == SSL_ERROR_ZERO_RETURN)
		return 0;
	return explain(e, ret, err);
}

ssize_t secure_end_send(struct secure_end *e, const void *data, size_t size, struct err *err)
{
	size_t sent = 0;
	int ret;

	begin_call(e);
	ret = shake(e, err);
	if (ret <= 0)
		return ret ? ret : -EAGAIN;
	ret = SSL_write_ex(e->ssl, data, size, &sent);
	return ret ? (ssize_t)sent : explain(e, ret, err);
}

bool secure_end_pending(const struct secure_end *e)
{
	return SSL_is_init_finished(e->ssl) && SSL_has_pending(e->ssl);
}

short secure_end_events(const struct secure_end *e, bool sends)
{
	if (!SSL_is_init_finished(e->ssl))
		return SSL_want_write(e->ssl) ? POLLOUT : POLLIN;
	return sends || SSL_want_write(e->ssl) ? POLLIN | POLLOUT : POLLIN;
}

void secure_end_finish(struct secure_end *e)
{
	begin_call(e);
	if (SSL_is_init_finished(e->ssl))
		SSL_shutdown(e->ssl);
	ERR_clear_error();
}

#else /* a build without TLS: nothing can be proved, so nothing is promised */

int secure_new(const struct secure_opts *opts, enum secure_role role, struct secure **ret_secure,
	       struct err *err)
{
	return err_set(err, ENOTSUP,
		       "this gait was built without TLS (GAIT_TLS=OFF): it can use neither keys "
		       "nor certificates");
}

void secure_free(struct secure *s)
{
}

const char *secure_demand(const struct secure *s)
{
	return "";
}

int secure_end_new(struct secure *s, int fd, const char *host, struct secure_end **ret_end,
		   struct err *err)
{
	return err_errno(err, ENOTSUP, "cannot set up TLS");
}

void secure_end_free(struct secure_end *e)
{
}

int secure_end_shake(struct secure_end *e, struct err *err)
{
	return -ENOTSUP;
}

ssize_t secure_end_recv(struct secure_end *e, void *data, size_t size, struct err *err)
{
	return -ENOTSUP;
}

ssize_t secure_end_send(struct secure_end *e, const void *data, size_t size, struct err *err)
{
	return -ENOTSUP;
}

bool secure_end_pending(const struct secure_end *e)
{
	return false;
}

short secure_end_events(const struct secure_end *e, bool sends)
{
	return 0;
}

void secure_end_finish(struct secure_end *e)
{
}

#endif
