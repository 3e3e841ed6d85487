/* SPDX-License-Identifier: ISC */
/*
 * names.h: which chain files each use and each server name has, by configuration.
 */
#ifndef CERTD_NAMES_H
#define CERTD_NAMES_H

#include "base/buf.h"
#include "conf/conf.h"

/* The default's files: smtpd_tls_chain_files, or the older parameters. A list. */
void	names_put_server_files(const struct conf *conf, struct buf *b);
/* The parameter that it comes from, for messages. */
const char *names_server_param(const struct conf *conf);

/*
 * fn for each entry of tls_server_sni_maps: name as it is matched (lower case;
 * "*.example.com" also for ".example.com"), files a list. What cannot be used
 * goes to note (one line each). The first entry of a name counts. False when a table
 * could not be listed: there may be more names.
 */
bool	names_each(const struct conf *conf,
	    void (*fn)(const char *name, const char *files, void *arg),
	    void (*note)(const char *text, void *arg), void *arg);
/* fn for the files of the tables themselves. */
void	names_each_table_file(const struct conf *conf, void (*fn)(const char *path, void *arg),
	    void *arg);

#endif
