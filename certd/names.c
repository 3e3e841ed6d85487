/* SPDX-License-Identifier: ISC */
/*
 * names.c: which chain files each server name has.
 *
 * Runs in certd. tls_server_sni_maps is listed as a whole (a client's server
 * name is never looked up in a file), so that it must be a table that can be.
 */
#include "certd/names.h"

#include "base/error.h"
#include "base/map.h"
#include "base/mem.h"
#include "mail/domain.h"
#include "table/table.h"

const char *
names_server_param(const struct conf *conf)
{
	return conf->smtpd_tls_chain_files[0] != '\0' ? "smtpd_tls_chain_files" :
	    conf->smtpd_tls_cert_file[0] != '\0' ? "smtpd_tls_cert_file" :
	    "smtpd_tls_eccert_file";
}

/* The key's file in front, and once if it is the same. */
static void
put_pair(struct buf *b, const char *cert, const char *key)
{
	if (cert[0] == '\0')
		return;
	if (key[0] != '\0' && strcmp(cert, key) != 0)
		buf_printf(b, "%s, ", key);
	buf_printf(b, "%s, ", cert);
}

void
names_put_server_files(const struct conf *conf, struct buf *b)
{
	if (conf->smtpd_tls_chain_files[0] != '\0') {
		buf_put_str(b, conf->smtpd_tls_chain_files);
		return;
	}
	put_pair(b, conf->smtpd_tls_cert_file, conf->smtpd_tls_key_file);
	put_pair(b, conf->smtpd_tls_eccert_file, conf->smtpd_tls_eckey_file);
}

/* ---- tables ---- */

struct listing {
	const char	*table;
	struct map	*seen;
	void	(*fn)(const char *name, const char *files, void *arg);
	void	(*note)(const char *text, void *arg);
	void	*arg;
};

static void
complain(const struct listing *l, struct view what, const char *why)
{
	char *text = xasprintf("tls_server_sni_maps: %s: \"%.*s\": %s", l->table,
	    VIEW_ARG(view_head(what, 300)), why);

	l->note(text, l->arg);
	xfree(text);
}

static void
each(struct view key, struct view value, void *arg)
{
	struct listing *l = arg;
	struct view host = key;
	char *name, *files;
	bool below = false;

	/* Postfix's form and that of certificates. */
	if (view_starts(host, VIEW("*.")))
		host = view_from(host, 2), below = true;
	else if (view_starts(host, VIEW(".")))
		host = view_from(host, 1), below = true;
	if (!domain_is_hostname(host)) {
		complain(l, key, "is no server name: write mail.example.com, or"
		    " *.example.com, and names in other scripts as xn--...");
		return;
	}
	host = view_of(view_dup_lower(host), host.len);
	name = xasprintf("%s%.*s", below ? "*." : "", VIEW_ARG(host));
	xfree((void *)(uintptr_t)host.p);
	if (map_put(l->seen, view_str(name), l) == NULL) {
		files = view_dup(value);
		l->fn(name, files, l->arg);
		xfree(files);
	}
	xfree(name);
}

static bool
list_table(struct listing *l, struct view spec)
{
	struct table *t = NULL;
	struct buf why;
	int error;

	buf_init(&why, 4096);
	error = table_open(spec, &t, &why);
	if (error == 0) {
		error = table_each(t, each, l);
		if (error != 0)
			buf_put_str(&why, "its names cannot be listed: use inline: or texthash:");
	}
	if (error != 0)
		complain(l, spec, buf_cstr(&why));
	table_close(&t);
	buf_fini(&why);
	return error == 0;
}

bool
names_each(const struct conf *conf, void (*fn)(const char *name, const char *files, void *arg),
    void (*note)(const char *text, void *arg), void *arg)
{
	struct listing l = { .fn = fn, .note = note, .arg = arg, .seen = map_new() };
	struct view list = view_str(conf->tls_server_sni_maps), item;
	bool whole = true;
	char *table;

	while (conf_list_next(&list, &item)) {
		table = view_dup(view_head(item, 200));
		l.table = table;
		whole = list_table(&l, item) && whole;
		xfree(table);
	}
	map_free(&l.seen, NULL);
	return whole;
}

void
names_each_table_file(const struct conf *conf, void (*fn)(const char *path, void *arg), void *arg)
{
	struct view list = view_str(conf->tls_server_sni_maps), item;

	while (conf_list_next(&list, &item))
		table_spec_files(item, fn, arg);
}
