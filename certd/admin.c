/* SPDX-License-Identifier: ISC */
/*
 * admin.c: "tls certificates", "tls certificate show", "tls reload" and
 * "tls ticket-keys rotate" of adminctl.
 *
 * Runs in certd; the caller is an administrator (child.c has checked). No
 * private part of a key is in any answer.
 */
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/x509v3.h>

#include "base/clock.h"
#include "base/codec.h"
#include "base/error.h"
#include "base/mem.h"
#include "certd/certd.h"
#include "certd/expiry.h"
#include "ipc/admin_reply.h"

#define PART_BYTES	40000
#define NAMES_SHOWN	100	/* of a row in the list */

static const char *
string_arg(const json_t *args, const char *name)
{
	return json_string_value(json_object_get(args, name));
}

/* ---- a certificate as JSON ---- */

/* Certificates may hold anything: what is no UTF-8 is shown as hex. */
static json_t *
json_text(const char *p, size_t len)
{
	json_t *j = json_stringn(p, len);
	struct buf b;

	if (j != NULL)
		return j;
	buf_init(&b, 2 * len + 16);
	hex_put(&b, view_of(p, len));
	j = json_stringn(buf_view(&b).p, b.len);
	buf_fini(&b);
	return j;
}

static json_t *
name_json(const X509_NAME *name)
{
	BIO *bio = BIO_new(BIO_s_mem());
	json_t *j = json_string("");
	char *p = NULL;
	long len;

	if (bio != NULL && X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) >= 0) {
		len = BIO_get_mem_data(bio, &p);
		json_decref(j);
		j = json_text(p != NULL ? p : "", len > 0 ? (size_t)len : 0);
	}
	BIO_free(bio);
	return j;
}

static json_t *
serial_json(const X509 *x)
{
	BIGNUM *n = ASN1_INTEGER_to_BN(X509_get0_serialNumber(x), NULL);
	char *hex = n != NULL ? BN_bn2hex(n) : NULL;
	json_t *j = json_string(hex != NULL ? hex : "");

	OPENSSL_free(hex);
	BN_free(n);
	return j;
}

static json_t *
fingerprint_json(const uint8_t *p, size_t len)
{
	static const char digits[] = "0123456789ABCDEF";
	struct buf b;
	json_t *j;
	size_t i;

	buf_init(&b, 3 * len + 1);
	for (i = 0; i < len; i++)
		buf_printf(&b, "%s%c%c", i > 0 ? ":" : "", digits[p[i] >> 4], digits[p[i] & 15]);
	j = json_string(buf_cstr(&b));
	buf_fini(&b);
	return j;
}

static const char *
use_text(const struct set_row *r)
{
	if ((r->flags & CERT_CLIENT) != 0)
		return "client";
	return (r->flags & CERT_DEFAULT) != 0 ? "default" : "name";
}

static void
add_user(const char *role, void *arg)
{
	json_array_append_new(arg, json_string(role));
}

static json_t *
row_json(const struct certd *d, const struct set_row *r, size_t names_max)
{
	const struct pair *p = r->pair;
	json_t *j = json_object(), *names = json_array(), *users = json_array();
	size_t i;

	for (i = 0; i < r->nnames && i < names_max; i++)
		json_array_append_new(names, json_string(r->names[i]));
	certd_each_user(d, r->flags, add_user, users);
	json_object_set_new(j, "use", json_string(use_text(r)));
	json_object_set_new(j, "names", names);
	json_object_set_new(j, "names_count", json_integer((json_int_t)r->nnames));
	json_object_set_new(j, "kind", json_string(pair_key_text(p)));
	json_object_set_new(j, "subject", name_json(X509_get_subject_name(p->leaf)));
	json_object_set_new(j, "issuer", name_json(X509_get_issuer_name(p->leaf)));
	json_object_set_new(j, "serial", serial_json(p->leaf));
	json_object_set_new(j, "key_number", json_integer((json_int_t)p->number));
	json_object_set_new(j, "not_before_ms", json_integer(p->not_before_s * 1000));
	json_object_set_new(j, "not_after_ms", json_integer(p->not_after_s * 1000));
	json_object_set_new(j, "days_left", json_integer(expiry_days(p, clock_wall_ms())));
	json_object_set_new(j, "file", json_text(p->files, strlen(p->files)));
	json_object_set_new(j, "fingerprint_sha256",
	    fingerprint_json(p->fingerprint, sizeof(p->fingerprint)));
	json_object_set_new(j, "in_use_by", users);
	return j;
}

/* ---- tls certificates ---- */

static int
list_verb(struct certd *d, struct ipc_channel *ch, uint32_t id)
{
	json_t *part = json_array(), *row;
	size_t i, bytes = 0, size;

	for (i = 0; i < d->set->nrows; i++) {
		row = row_json(d, &d->set->rows[i], NAMES_SHOWN);
		size = json_dumpb(row, NULL, 0, JSON_COMPACT);
		if (bytes > 0 && bytes + size > PART_BYTES) {
			(void)admin_reply_json(ch, id, true, json_pack("{s:i, s:o}", "version", 1,
			    "certificates", part), VIEW(""));
			part = json_array();
			bytes = 0;
		}
		json_array_append_new(part, row);
		bytes += size;
	}
	return admin_reply_json(ch, id, false, json_pack("{s:i, s:o}", "version", 1,
	    "certificates", part), VIEW(""));
}

/* ---- tls certificate show ---- */

static json_t *
alt_names_json(X509 *leaf)
{
	GENERAL_NAMES *list = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
	json_t *j = json_array();
	int i;

	for (i = 0; i < sk_GENERAL_NAME_num(list); i++) {
		const GENERAL_NAME *n = sk_GENERAL_NAME_value(list, i);

		if (n->type == GEN_DNS)
			json_array_append_new(j, json_text(
			    (const char *)ASN1_STRING_get0_data(n->d.dNSName),
			    (size_t)ASN1_STRING_length(n->d.dNSName)));
	}
	GENERAL_NAMES_free(list);
	return j;
}

static json_t *
chain_json(const struct pair *p)
{
	json_t *list = json_array(), *c;
	const unsigned char *der;
	unsigned i;
	X509 *x;

	for (i = 0; i < p->nchain; i++) {
		der = (const unsigned char *)p->chain[i].p;
		x = d2i_X509(NULL, &der, (long)p->chain[i].len);
		if (x == NULL)
			continue;
		c = json_object();
		json_object_set_new(c, "subject", name_json(X509_get_subject_name(x)));
		json_object_set_new(c, "issuer", name_json(X509_get_issuer_name(x)));
		json_array_append_new(list, c);
		X509_free(x);
	}
	return list;
}

static bool
row_has_name(const struct set_row *r, const char *name)
{
	size_t i;

	for (i = 0; i < r->nnames; i++)
		if (strcasecmp(r->names[i], name) == 0)
			return true;
	return false;
}

/* A server name, default, client, a serial number or a fingerprint. */
static bool
row_is(const struct set_row *r, const json_t *row, const char *name)
{
	return strcmp(use_text(r), name) == 0 || row_has_name(r, name) ||
	    strcasecmp(string_arg(row, "serial"), name) == 0 ||
	    strcasecmp(string_arg(row, "fingerprint_sha256"), name) == 0;
}

static int
show_verb(struct certd *d, struct ipc_channel *ch, uint32_t id, const json_t *args)
{
	const char *name = string_arg(args, "name");
	json_t *found = json_array(), *row;
	size_t i, bytes = 0;

	for (i = 0; name != NULL && i < d->set->nrows; i++) {
		row = row_json(d, &d->set->rows[i], NAMES_SHOWN);
		if (row_is(&d->set->rows[i], row, name) && bytes < PART_BYTES) {
			json_object_set_new(row, "alt_names",
			    alt_names_json(d->set->rows[i].pair->leaf));
			json_object_set_new(row, "chain", chain_json(d->set->rows[i].pair));
			bytes += json_dumpb(row, NULL, 0, JSON_COMPACT);
			if (bytes < PART_BYTES || json_array_size(found) == 0)
				json_array_append(found, row);
		}
		json_decref(row);
	}
	if (json_array_size(found) > 0)
		return admin_reply_json(ch, id, false, json_pack("{s:i, s:o}", "version", 1,
		    "certificates", found), VIEW(""));
	json_decref(found);
	return admin_reply_error(ch, id, PK_ENOENT, "no certificate of that name is in use: give a"
	    " name of tls_server_sni_maps, default, client, a serial number or a fingerprint");
}

/* ---- tls reload, tls ticket-keys rotate ---- */

static int
reload_verb(struct certd *d, struct ipc_channel *ch, uint32_t id, uint32_t uid)
{
	child_audit(d->child, uid, "tls reload");
	certd_load_again(d);
	if (d->set->nerrors > 0)
		return admin_reply_error(ch, id, PK_EFORMAT, "%s%s", d->set->errors[0],
		    d->set->nerrors > 1 ? " (and more: see the log)" : "");
	return admin_reply_json(ch, id, false, json_pack("{s:i, s:I, s:I, s:I}", "version", 1,
	    "certificates", (json_int_t)d->set->nrows, "new", (json_int_t)d->set->fresh,
	    "unchanged", (json_int_t)d->set->kept), VIEW(""));
}

static int
rotate_verb(struct certd *d, struct ipc_channel *ch, uint32_t id, uint32_t uid)
{
	child_audit(d->child, uid, "tls ticket-keys rotate");
	certd_tickets_rotate(d);
	return admin_reply_json(ch, id, false, json_pack("{s:i, s:i}", "version", 1,
	    "secrets", (int)d->tickets.count), VIEW(""));
}

static int
dispatch(struct certd *d, struct ipc_channel *ch, uint32_t id, struct view verb,
    const json_t *args, uint32_t uid)
{
	if (view_eq(verb, VIEW("tls certificates")))
		return list_verb(d, ch, id);
	if (view_eq(verb, VIEW("tls certificate show")))
		return show_verb(d, ch, id, args);
	if (view_eq(verb, VIEW("tls reload")))
		return reload_verb(d, ch, id, uid);
	if (view_eq(verb, VIEW("tls ticket-keys rotate")))
		return rotate_verb(d, ch, id, uid);
	return admin_reply_error(ch, id, PK_EUNSUPPORTED, "certd knows: tls certificates, tls"
	    " certificate show, tls reload, tls ticket-keys rotate");
}

int
certd_admin(struct child *c, struct ipc_channel *ch, struct ipc_msg *m, struct view verb,
    struct view args, uint32_t uid)
{
	struct certd *d = child_arg(c);
	json_t *j = args.len > 0 ? json_loadb(args.p, args.len, 0, NULL) : json_object();
	int error;

	if (!d->ready)
		error = admin_reply_error(ch, m->id, PK_EAGAIN, "certd is starting");
	else if (!json_is_object(j))
		error = admin_reply_error(ch, m->id, PK_ESYNTAX,
		    "the arguments are no JSON object");
	else
		error = dispatch(d, ch, m->id, verb, j, uid);
	json_decref(j);
	return error;
}
