/* SPDX-License-Identifier: ISC */
/*
 * tls_server.c: what a listener offers: names, tickets, client certificates.
 *
 * Runs in acceptors. Files are read when a listener's context is made; the
 * OpenSSL contexts in it are made anew when certd has stated a new set (one
 * for clients that name nobody, one a name when it is asked for, the least
 * used ones are dropped). Running sessions hold what they began with.
 *
 * Tickets are stateless, so that any worker resumes them; their keys are
 * derived from certd's secret and the service's name: a ticket of another
 * service does not even have a known name here (A20).
 */
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/kdf.h>
#include <openssl/rand.h>

#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "net/tls_internal.h"

#define CIPHERS_MAX	8192
/* Contexts for names a listener keeps: about 20 KiB each. */
#define FAMILIES_MAX	256
/*
 * A server without keys of its own has neither RSA decryption nor DH
 * parameters; an anonymous server cannot be told from anybody.
 */
#define NEVER		":!aNULL:!kRSA:!kDHE:!kPSK:!kRSAPSK:!kDHEPSK:!kECDHEPSK:!SRP"

/*
 * What certd signs with. Without a list OpenSSL would also choose SHA-224 for
 * a client that likes it best.
 */
#define SIGNATURES							\
	"ECDSA+SHA256:ed25519:ECDSA+SHA384:ECDSA+SHA512:"		\
	"RSA-PSS+SHA256:RSA-PSS+SHA384:RSA-PSS+SHA512:"			\
	"RSA+SHA256:RSA+SHA384:RSA+SHA512"

/* A context with the certificates of one name. */
struct tls_family {
	const struct tls_group *group;
	SSL_CTX		*ctx;
	TAILQ_ENTRY(tls_family) link;
};

/* ---- tickets ---- */

static bool
derive(const struct tls_server *s, const uint8_t *secret, struct tls_ticket *t)
{
	static const char label[] = "postkeep ticket ";
	char digest[] = "SHA256";
	EVP_KDF_CTX *kdf = EVP_KDF_CTX_new(tls_library()->hkdf);
	uint8_t key[TICKET_SECRET_SIZE];
	OSSL_PARAM params[5];
	bool ok;

	memcpy(key, secret, sizeof(key));
	params[0] =
	    OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0);
	params[1] = OSSL_PARAM_construct_octet_string(
	    OSSL_KDF_PARAM_KEY, key, sizeof(key));
	params[2] = OSSL_PARAM_construct_octet_string(
	    OSSL_KDF_PARAM_SALT, (void *)(uintptr_t)label, sizeof(label) - 1);
	params[3] = OSSL_PARAM_construct_octet_string(
	    OSSL_KDF_PARAM_INFO, (void *)(uintptr_t)s->id, sizeof(s->id));
	params[4] = OSSL_PARAM_construct_end();
	ok = kdf != NULL &&
	    EVP_KDF_derive(kdf, (uint8_t *)t, sizeof(*t), params) == 1;
	EVP_KDF_CTX_free(kdf);
	explicit_bzero(key, sizeof(key));
	return ok;
}

bool
tls_server_has_tickets(struct tls_server *s)
{
	const struct tls_ticket_secrets *secrets = tls_keys_tickets(s->keys);
	unsigned i;

	if (s->ticket_seconds == 0 || secrets->n == 0)
		return false;
	if (s->tickets_generation == secrets->generation)
		return s->ntickets > 0;
	s->tickets_generation = secrets->generation;
	s->ntickets = 0;
	for (i = 0; i < secrets->n; i++) {
		if (!derive(s, secrets->secret[i], &s->tickets[i]))
			return false;
		s->ntickets++;
	}
	return true;
}

static int
set_mac_key(EVP_MAC_CTX *mac, struct tls_ticket *t)
{
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, t->mac,
		    sizeof(t->mac)),
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_end(),
	};

	return EVP_MAC_CTX_set_params(mac, params);
}

static int
seal_ticket(struct tls_server *s, unsigned char *name, unsigned char *iv,
    EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
	struct tls_ticket *t = &s->tickets[0];

	if (!tls_server_has_tickets(s))
		return 0;
	if (RAND_bytes_ex(tls_library()->ctx, iv, 16, 0) != 1 ||
	    EVP_EncryptInit_ex2(
		cipher, tls_library()->aes256_cbc, t->cipher, iv, NULL) != 1 ||
	    set_mac_key(mac, t) != 1)
		return -1;
	memcpy(name, t->name, sizeof(t->name));
	return 1;
}

static int
open_ticket(struct tls_server *s, bool used_once, const unsigned char *name,
    unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
	struct tls_ticket *t;
	unsigned i;

	if (!tls_server_has_tickets(s))
		return 0;
	for (i = 0; i < s->ntickets; i++)
		if (memcmp(name, s->tickets[i].name, 16) == 0)
			break;
	if (i == s->ntickets)
		return 0;
	t = &s->tickets[i];
	if (EVP_DecryptInit_ex2(
		cipher, tls_library()->aes256_cbc, t->cipher, iv, NULL) != 1 ||
	    set_mac_key(mac, t) != 1)
		return -1;
	/* 2: good, and a new one comes with it. */
	return i > 0 || used_once ? 2 : 1;
}

static int
on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv,
    EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int seal)
{
	struct tls_server *s = tls_conn_of(ssl)->server;

	return seal ? seal_ticket(s, name, iv, cipher, mac) :
		      open_ticket(s, SSL_version(ssl) >= TLS1_3_VERSION, name,
			  iv, cipher, mac);
}

/* ---- callbacks of the handshake ---- */

/* Protocols that a browser or another client may be made to speak to us (A4). */
static bool
is_foreign_protocol(struct view name)
{
	static const char *const known[] = {
		"http/0.9", "http/1.0", "http/1.1", "h2", "h2c", "h3", "spdy/1",
		"spdy/2", "spdy/3", "spdy/3.1", "ftp", "imap", "pop3",
		"managesieve", "nntp", "nnsp", "xmpp-client", "xmpp-server",
		"dot", "doq", "mqtt", "irc", "sunrpc", "smb", "ntske/1",
		"postgresql", "radius/1.0", "radius/1.1", "tds/8.0", "dicom",
		"stun.turn", "stun.nat-discovery", "webrtc", "c-webrtc", "coap",
		"acme-tls/1", "sip/2",
	};
	size_t i;

	for (i = 0; i < NELEMS(known); i++)
		if (view_eq(name, view_str(known[i])))
			return true;
	return false;
}

static int
on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
    const unsigned char *in, unsigned int in_len, void *arg)
{
	struct view list = view_of((const char *)in, in_len), name;
	bool foreign = false;

	(void)out;
	(void)out_len;
	(void)arg;
	while (list.len > 0) {
		name = view_head(view_from(list, 1), (unsigned char)list.p[0]);
		list = view_from(list, 1 + name.len);
		if (view_eq(name, VIEW("smtp")))
			return SSL_TLSEXT_ERR_NOACK;
		foreign = foreign || is_foreign_protocol(name);
	}
	if (!foreign)
		return SSL_TLSEXT_ERR_NOACK;
	tls_conn_set_error(
	    tls_conn_of(ssl), "client wants another protocol (ALPN)");
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* Certificates that do not lead to a CA are a fact for the caller's policy, unless demanded. */
static int
on_verify(int ok, X509_STORE_CTX *ctx)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(
	    ctx, SSL_get_ex_data_X509_STORE_CTX_idx());

	return ok || !tls_conn_of(ssl)->server->require;
}

static SSL_CTX *family_context(struct tls_server *s, struct tls_group *g);

static int
on_server_name(SSL *ssl, int *alert, void *arg)
{
	struct tls_server *s = tls_conn_of(ssl)->server;
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	struct tls_group *g;
	SSL_CTX *ctx;

	(void)alert;
	(void)arg;
	if (name == NULL || s->set == NULL)
		return SSL_TLSEXT_ERR_NOACK;
	g = tls_set_find(s->set, view_str(name));
	ctx = g != NULL ? family_context(s, g) : NULL;
	if (ctx == NULL)
		return SSL_TLSEXT_ERR_NOACK;
	if (ctx != SSL_get_SSL_CTX(ssl))
		(void)SSL_set_SSL_CTX(ssl, ctx);
	return SSL_TLSEXT_ERR_OK;
}

/* ---- contexts ---- */

static void
set_options(const struct tls_server *s, SSL_CTX *ctx)
{
	/* CLEANSE: a password that was read does not stay in the record buffer. */
	uint64_t options = SSL_OP_CLEANSE_PLAINTEXT | SSL_OP_NO_COMPRESSION |
	    SSL_OP_NO_RENEGOTIATION |
	    SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION |
	    s->protocols.options;

	if (s->preempt)
		options |= SSL_OP_CIPHER_SERVER_PREFERENCE;
	if (s->ticket_seconds == 0)
		options |= SSL_OP_NO_TICKET;
	SSL_CTX_set_options(ctx, options);
	SSL_CTX_set_mode(ctx,
	    SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN |
		SSL_MODE_ENABLE_PARTIAL_WRITE |
		SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	/* One is what a client uses for its next connection. */
	SSL_CTX_set_num_tickets(ctx, s->ticket_seconds > 0 ? 1 : 0);
	if (s->ticket_seconds > 0)
		SSL_CTX_set_timeout(ctx, (long)s->ticket_seconds);
	SSL_CTX_set_max_early_data(ctx, 0);
	SSL_CTX_set_recv_max_early_data(ctx, 0);
}

static void
set_callbacks(const struct tls_server *s, SSL_CTX *ctx)
{
	SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
	SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket);
	SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
	if (!s->ask && !s->require)
		return;
	SSL_CTX_set_verify(ctx,
	    SSL_VERIFY_PEER | SSL_VERIFY_CLIENT_ONCE |
		(s->require ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
	    on_verify);
	SSL_CTX_set_verify_depth(ctx, s->depth);
	/* OpenSSL's 100 KiB are more than a stranger may hold (A7). */
	SSL_CTX_set_max_cert_list(ctx, TLS_HELLO_MAX);
	SSL_CTX_set1_cert_store(ctx, s->trust);
	if (s->ca_names != NULL)
		SSL_CTX_set_client_CA_list(ctx, SSL_dup_CA_list(s->ca_names));
}

static SSL_CTX *
context_new(const struct tls_server *s)
{
	SSL_CTX *ctx =
	    SSL_CTX_new_ex(tls_library()->ctx, NULL, TLS_server_method());

	if (ctx == NULL)
		return NULL;
	SSL_CTX_set_security_level(
	    ctx, strncmp(s->ciphers, "eNULL:", 6) == 0 ? 0 : 1);
	set_options(s, ctx);
	set_callbacks(s, ctx);
	if (SSL_CTX_set_min_proto_version(ctx, s->protocols.least) == 1 &&
	    SSL_CTX_set_max_proto_version(ctx, s->protocols.greatest) == 1 &&
	    SSL_CTX_set_cipher_list(ctx, s->ciphers) == 1 &&
	    SSL_CTX_set1_sigalgs_list(ctx, SIGNATURES) == 1 &&
	    (s->curves[0] == '\0' ||
		SSL_CTX_set1_groups_list(ctx, s->curves) == 1) &&
	    SSL_CTX_set_session_id_context(ctx, s->id, sizeof(s->id)) == 1)
		return ctx;
	SSL_CTX_free(ctx);
	return NULL;
}

static void
family_free(struct tls_server *s, struct tls_family *f)
{
	TAILQ_REMOVE(&s->lru, f, link);
	map_del_u64(s->by_group, (uintptr_t)f->group);
	s->nfamilies--;
	SSL_CTX_free(f->ctx);
	xfree(f);
}

static SSL_CTX *
family_context(struct tls_server *s, struct tls_group *g)
{
	struct tls_family *f = map_get_u64(s->by_group, (uintptr_t)g);
	SSL_CTX *ctx;

	if (f != NULL) {
		TAILQ_REMOVE(&s->lru, f, link);
		TAILQ_INSERT_HEAD(&s->lru, f, link);
		return f->ctx;
	}
	ctx = context_new(s);
	if (ctx == NULL || !tls_set_use(s->set, g, ctx)) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	if (s->nfamilies == FAMILIES_MAX)
		family_free(s, TAILQ_LAST(&s->lru, tls_families));
	f = XNEW(struct tls_family);
	f->group = g;
	f->ctx = ctx;
	map_put_u64(s->by_group, (uintptr_t)g, f);
	TAILQ_INSERT_HEAD(&s->lru, f, link);
	s->nfamilies++;
	return ctx;
}

static void
forget_contexts(struct tls_server *s)
{
	while (!TAILQ_EMPTY(&s->lru))
		family_free(s, TAILQ_FIRST(&s->lru));
	SSL_CTX_free(s->main);
	s->main = NULL;
	tls_set_unref(&s->set);
}

SSL_CTX *
tls_server_context(struct tls_server *s, struct buf *why)
{
	struct tls_set *set = tls_keys_set(s->keys);

	if (s->main != NULL && s->set == set)
		return s->main;
	if (set == NULL || (set->flags & CERT_SERVER) == 0) {
		buf_put_str(why, "no server certificate");
		return NULL;
	}
	forget_contexts(s);
	s->main = context_new(s);
	if (s->main == NULL) {
		buf_printf(why, "OpenSSL: %s",
		    ERR_reason_error_string(ERR_peek_last_error()));
		ERR_clear_error();
		return NULL;
	}
	s->set = tls_set_ref(set);
	/* Without a default certificate only clients that name one get on. */
	(void)tls_set_use(set, &set->server, s->main);
	return s->main;
}

/* ---- configuration ---- */

static bool
is_mandatory(const struct conf *conf)
{
	return strcmp(conf->smtpd_tls_security_level, "encrypt") == 0 ||
	    conf->smtpd_tls_wrappermode;
}

static int
read_ciphers(struct tls_server *s, const struct conf *conf, struct buf *why)
{
	bool must = is_mandatory(conf);
	struct tls_cipher_words w = {
		.grade_param = must ? "smtpd_tls_mandatory_ciphers" :
				      "smtpd_tls_ciphers",
		.grade = must ? conf->smtpd_tls_mandatory_ciphers :
				conf->smtpd_tls_ciphers,
		.exclude_param = { "smtpd_tls_exclude_ciphers",
		    "smtpd_tls_mandatory_exclude_ciphers" },
		.exclude = { conf->smtpd_tls_exclude_ciphers,
		    must ? conf->smtpd_tls_mandatory_exclude_ciphers : NULL },
		.always = NEVER,
	};
	struct buf list;
	int error;

	buf_init(&list, CIPHERS_MAX);
	error = tls_params_ciphers(conf, &w, &list, why);
	if (error == 0)
		s->ciphers = buf_steal(&list, NULL);
	buf_fini(&list);
	return error;
}

/* TLS 1.0 and 1.1 sign with SHA-1, which certd does not. */
static int
read_protocols(struct tls_server *s, const char *param, const char *value,
    struct buf *why)
{
	char *words = xasprintf("%s >=TLSv1.2", value);
	int error = tls_params_protocols(param, value, &s->protocols, why);

	if (error == 0 && s->protocols.least < TLS1_2_VERSION)
		error = tls_params_protocols(param, words, &s->protocols, why);
	xfree(words);
	return error;
}

static int
read_words(struct tls_server *s, const struct conf *conf, struct buf *why)
{
	bool must = is_mandatory(conf);
	struct buf list;
	int error;

	error = read_protocols(s,
	    must ? "smtpd_tls_mandatory_protocols" : "smtpd_tls_protocols",
	    must ? conf->smtpd_tls_mandatory_protocols :
		   conf->smtpd_tls_protocols,
	    why);
	if (error == 0)
		error = read_ciphers(s, conf, why);
	if (error != 0)
		return error;
	buf_init(&list, CIPHERS_MAX);
	error = tls_params_curves(
	    "tls_eecdh_auto_curves", conf->tls_eecdh_auto_curves, &list, why);
	if (error == 0) {
		buf_put_str(&list, "");
		s->curves = xstrdup(buf_cstr(&list));
	}
	buf_fini(&list);
	return error;
}

/* What a session must share with the one it resumes. */
static void
make_id(struct tls_server *s, const struct conf *conf)
{
	char *all =
	    xasprintf("%s|%d%d|%d|%s|%s", s->service, s->ask, s->require,
		s->depth, conf->smtpd_tls_CAfile, conf->smtpd_tls_CApath);

	if (EVP_Digest(all, strlen(all), s->id, NULL, tls_library()->sha256,
		NULL) != 1)
		log_fatal("OpenSSL: no SHA-256");
	xfree(all);
}

struct tls_server *
tls_server_new(struct tls_keys *k, const struct conf *conf, const char *service,
    struct buf *why)
{
	struct tls_server *s = XNEW(struct tls_server);

	(void)tls_library();
	s->refs = 1;
	s->keys = k;
	s->service = xstrdup(service);
	s->by_group = map_new();
	TAILQ_INIT(&s->lru);
	s->preempt = conf->tls_preempt_cipherlist;
	s->ticket_seconds = conf->smtpd_tls_session_cache_timeout / 1000;
	s->require = conf->smtpd_tls_req_ccert && is_mandatory(conf);
	s->ask = conf->smtpd_tls_ask_ccert || conf->smtpd_tls_req_ccert;
	s->depth = (int)conf->smtpd_tls_ccert_verifydepth;
	make_id(s, conf);
	if (read_words(s, conf, why) == 0)
		s->trust =
		    tls_params_trust("smtpd_tls_CAfile", conf->smtpd_tls_CAfile,
			"smtpd_tls_CApath", conf->smtpd_tls_CApath,
			conf->tls_append_default_CA, &s->ca_names, why);
	if (s->trust == NULL)
		tls_server_unref(&s);
	return s;
}

void
tls_server_preload(const struct conf *conf)
{
	X509_STORE *store;
	struct buf why;

	buf_init(&why, 1000);
	store = tls_params_trust("smtpd_tls_CAfile", conf->smtpd_tls_CAfile,
	    "smtpd_tls_CApath", conf->smtpd_tls_CApath,
	    conf->tls_append_default_CA, NULL, &why);
	X509_STORE_free(store);
	buf_fini(&why);
}

struct tls_server *
tls_server_ref(struct tls_server *s)
{
	s->refs++;
	return s;
}

void
tls_server_unref(struct tls_server **server)
{
	struct tls_server *s = *server;

	*server = NULL;
	if (s == NULL || --s->refs > 0)
		return;
	forget_contexts(s);
	map_free(&s->by_group, NULL);
	X509_STORE_free(s->trust);
	sk_X509_NAME_pop_free(s->ca_names, X509_NAME_free);
	explicit_bzero(s->tickets, sizeof(s->tickets));
	xfree(s->service);
	xfree(s->ciphers);
	xfree(s->curves);
	xfree(s);
}
