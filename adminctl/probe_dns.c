/* SPDX-License-Identifier: ISC */
/*
 * probe_dns.c: what `tls probe` asks of the suite: DNS of dnsd, policy tables
 * of lookupd, so that its answers are those that a delivery would get.
 *
 * Runs in adminctl with the caller's rights. Answers come from processes that
 * speak with strangers: each text is parsed again before it is used.
 */
#include <string.h>

#include "adminctl/probe.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "ipc/route.h"

static const char *
member(const json_t *j, const char *key)
{
	const char *s = json_string_value(json_object_get(j, key));

	return s != NULL ? s : "";
}

bool
probe_lookup(const struct context *x, const char *name, const char *type,
    struct probe_answer *a_r, int *status_r)
{
	json_t *args = json_pack("{s:s, s:s}", "name", name, "type", type);
	struct probe_answer a = { .error = PK_ETEMP };

	a.json = client_ask_whole(x, IPC_ROLE_dnsd, "dns lookup", args, status_r);
	json_decref(args);
	if (a.json == NULL)
		return false;
	a.security = member(a.json, "security");
	a.rcode = member(a.json, "rcode");
	a.canonical = member(a.json, "canonical");
	a.records = json_object_get(a.json, "records");
	a.secure = strcmp(a.security, "secure") == 0;
	if (strcmp(a.security, "bogus") != 0 &&
	    (strcmp(a.rcode, "NOERROR") == 0 || strcmp(a.rcode, "NXDOMAIN") == 0))
		a.error = json_array_size(a.records) > 0 ? 0 : PK_ENOENT;
	*a_r = a;
	return true;
}

void
probe_answer_fini(struct probe_answer *a)
{
	json_decref(a->json);
	memset(a, 0, sizeof(*a));
}

/* ---- TLSA ---- */

static void
show_record(json_t *list, const char *text, struct view rdata)
{
	struct tls_tlsa t = { 0 };

	if (rdata.len >= 3) {
		t.usage = (uint8_t)rdata.p[0];
		t.selector = (uint8_t)rdata.p[1];
		t.matching = (uint8_t)rdata.p[2];
		t.data = view_from(rdata, 3);
	}
	json_array_append_new(list, json_pack("{s:s, s:b}", "record", text, "usable",
	    rdata.len >= 3 && tls_tlsa_usable(&t)));
}

static void
give_answer(struct tls_dane *d, const struct probe_answer *a, json_t *shown)
{
	struct view rdata[IPC_DNS_RECORDS_MAX];
	const char *text;
	struct buf all[IPC_DNS_RECORDS_MAX];
	size_t i, n = 0, k;

	memset(rdata, 0, sizeof(rdata));
	for (i = 0; a->error == 0 && d->type == DNS_TYPE_TLSA &&
	     i < json_array_size(a->records) && n < IPC_DNS_RECORDS_MAX; i++) {
		text = json_string_value(json_array_get(a->records, i));
		buf_init(&all[n], DNS_RDATA_MAX);
		if (text == NULL || dns_rdata_put_wire(&all[n], DNS_TYPE_TLSA,
			view_str(text)) != 0) {
			buf_fini(&all[n]);
			continue;
		}
		rdata[n] = buf_view(&all[n]);
		show_record(shown, text, rdata[n]);
		n++;
	}
	tls_dane_answer(d, a->error, a->secure, rdata, n);
	for (k = 0; k < n; k++)
		buf_fini(&all[k]);
}

bool
probe_dane(const struct context *x, struct tls_dane *d, json_t *host, int *status_r)
{
	static const char *const states[] = {
		[TLS_DANE_ASKING] = "asking", [TLS_DANE_ABSENT] = "none",
		[TLS_DANE_PRESENT] = "present", [TLS_DANE_FAILED] = "failed",
	};
	json_t *asked = json_array(), *records = json_array();
	struct probe_answer a;

	while (d->state == TLS_DANE_ASKING) {
		if (!probe_lookup(x, d->name, dns_type_name((uint16_t)d->type), &a,
			status_r)) {
			json_decref(asked);
			json_decref(records);
			return false;
		}
		json_array_append_new(asked, json_pack("{s:s, s:s, s:s, s:s}", "name",
		    d->name, "type", dns_type_name((uint16_t)d->type), "rcode", a.rcode,
		    "security", a.security));
		give_answer(d, &a, records);
		probe_answer_fini(&a);
	}
	json_object_set_new(host, "tlsa_state", json_string(states[d->state]));
	if (d->base != NULL)
		json_object_set_new(host, "tlsa_base", json_string(d->base));
	json_object_set_new(host, "tlsa_questions", asked);
	json_object_set_new(host, "tlsa", records);
	return true;
}

/* ---- smtp_tls_policy_maps ---- */

/* 1: found, 0: not there, -1: no answer */
static int
table_get(const struct context *x, struct view table, struct view key, char **row_r)
{
	struct context quiet = *x;
	json_t *args, *answer;
	const char *row;
	int status;

	quiet.quiet = true;
	args = json_object();
	json_object_set_new(args, "table", json_stringn(table.p, table.len));
	json_object_set_new(args, "query", json_stringn(key.p, key.len));
	answer = client_ask_whole(&quiet, IPC_ROLE_lookupd, "table get", args, &status);
	json_decref(args);
	if (answer == NULL)
		return status == EXIT_NOTHING ? 0 : -1;
	row = json_string_value(json_object_get(answer, "answer"));
	if (row != NULL)
		*row_r = xstrdup(row);
	json_decref(answer);
	return row != NULL ? 1 : -1;
}

static bool
take_row(struct tls_policy *policy, const char *row, struct view key, char **source_r)
{
	struct buf why;
	bool ok;

	buf_init(&why, 16384);
	ok = tls_policy_parse(policy, view_str(row), &why) == 0;
	*source_r = ok ? xasprintf("smtp_tls_policy_maps: %.*s %s", VIEW_ARG(key), row) :
	    xasprintf("client TLS configuration problem: policy of %.*s: %s", VIEW_ARG(key),
		buf_cstr(&why));
	buf_fini(&why);
	return ok;
}

bool
probe_policy(const struct context *x, const struct conf *conf, const char *nexthop,
    struct tls_policy *policy, char **source_r)
{
	char *hop = view_dup_lower(view_str(nexthop)), *row = NULL;
	struct view tables, table, key;
	unsigned n;
	int found = 0;
	bool ok = true;

	tls_policy_init(policy, conf);
	for (n = 0; found == 0 && n < TLS_POLICY_KEYS_MAX &&
	     tls_policy_key(view_str(hop), n, &key); n++) {
		tables = view_str(conf->smtp_tls_policy_maps);
		while (found == 0 && conf_list_next(&tables, &table))
			found = table_get(x, table, key, &row);
	}
	if (found < 0) {
		*source_r = xstrdup("client TLS configuration problem: the policy table"
		    " does not answer");
		ok = false;
	} else if (found > 0) {
		ok = take_row(policy, row, key, source_r);
	} else {
		*source_r = xasprintf("smtp_tls_security_level = %s",
		    conf->smtp_tls_security_level);
	}
	xfree(row);
	xfree(hop);
	return ok;
}
