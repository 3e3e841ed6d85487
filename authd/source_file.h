/* SPDX-License-Identifier: ISC */
/*
 * source_file.h: the file of a database or directory: "name = value" lines as
 * main.cf has them, with a password in it. postkeep-sql(5), postkeep-ldap(5).
 */
#ifndef PK_AUTHD_SOURCE_FILE_H
#define PK_AUTHD_SOURCE_FILE_H

#include "base/buf.h"
#include "base/view.h"
#include "sys/sandbox.h"

struct source_file;

/*
 * Reads path; a name that is not in `names` (NULL ends them) is an error that
 * says the file and line. NULL with why.
 */
struct source_file *source_file_read(const char *path, const char *const *names,
	    struct buf *why);
/* Wipes: it has a password. */
void	source_file_free(struct source_file **f);
/* "" if it is not there. */
const char *source_file_get(const struct source_file *f, const char *name);
const char *source_file_path(const struct source_file *f);

enum source_tls {
	SOURCE_TLS_NONE,
	SOURCE_TLS_REQUIRE,	/* encrypted, with whomever */
	SOURCE_TLS_VERIFY,	/* the certificate's chain and name */
};
/*
 * The parameter `tls`: disable, require, verify; without it verify, but
 * disable where the server is this machine. PK_ESYNTAX with why.
 */
int	source_file_tls(const struct source_file *f, const char *host, enum source_tls *tls_r,
	    struct buf *why);
/* A path or a loopback address. */
bool	source_host_is_local(struct view host);
/*
 * "host", "host:port", "[::1]:port", "unix:/path" or "/path": what it says.
 * host_r and port_r are xmalloc'ed; port_r "" if there is none.
 */
void	source_host_split(struct view item, char **host_r, char **port_r);

/* What connecting to `hosts` and reading `path` and the CA file asks of the sandbox. */
void	source_file_needs(const char *path, const char *const *names, struct sandbox_spec *spec);

#endif
