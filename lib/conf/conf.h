/* SPDX-License-Identifier: ISC */
/*
 * conf.h: main.cf.
 *
 * params.def declares every parameter once; it gives struct conf (one member
 * a parameter, by its name), the parser, the defaults, `adminctl config`, the
 * manual page and the sample file. Syntax: `name = value`; a line that begins
 * with a blank goes on; `#` begins a comment line; $name, ${name}, ${name?x},
 * ${name:x}, ${name?x:y}; the last definition wins, with a warning.
 *
 * Scopes: `submission_smtpd_timeout = 1m` overrides smtpd_timeout on the
 * listener `submission`, `slow_destination_rate_delay` that of the transport
 * `slow` (for rows with a scope). conf_scope() gives the whole set as it is
 * for one listener or transport.
 */
#ifndef PK_CONF_CONF_H
#define PK_CONF_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/view.h"

enum conf_type {
	CONF_BOOL,		/* yes | no */
	CONF_INT,		/* int64_t */
	CONF_TIME,		/* uint64_t milliseconds */
	CONF_SIZE,		/* uint64_t bytes, 0 = no limit where the row says so */
	CONF_STRING,		/* const char *, never NULL */
	CONF_LIST,		/* const char *: by commas or blanks, see conf_list_next() */
	CONF_ENUM,		/* const char *: one of the row's words */
};

enum conf_scope_kind {
	CONF_GLOBAL,
	CONF_LISTENER,		/* may be overridden a listener */
	CONF_TRANSPORT,		/* may be overridden a transport */
};

struct conf {
#define PARAM_BOOL(name, def, scope, apply, text)			bool name;
#define PARAM_INT(name, def, least, greatest, scope, apply, text)	int64_t name;
#define PARAM_TIME(name, def, unit, least, greatest, scope, apply, text) uint64_t name;
#define PARAM_SIZE(name, def, least, greatest, scope, apply, text)	uint64_t name;
#define PARAM_STRING(name, def, scope, apply, text)			const char *name;
#define PARAM_LIST(name, def, scope, apply, text)			const char *name;
#define PARAM_ENUM(name, def, words, scope, apply, text)		const char *name;
#include "conf/params.def"
#include "conf/params_undef.h"
	struct conf_private *priv;	/* text values, overrides, scopes, origin */
};

enum conf_apply { CONF_RELOAD, CONF_RESTART };

struct conf_row {
	const char	*name;
	enum conf_type	 type;
	const char	*def;		/* default text, may contain $name */
	char		 unit;		/* times: unit without suffix */
	int64_t		 least, greatest;
	const char	*words;		/* CONF_ENUM: "may|encrypt|none" */
	enum conf_scope_kind scope;
	enum conf_apply	 apply;
	const char	*text;		/* one line of meaning */
	size_t		 offset;	/* in struct conf */
};
extern const struct conf_row conf_rows[];
extern const size_t conf_nrows;

/* A complaint: file, line (0: none), level 'w' or 'e', text with the way out. */
struct conf_note {
	const char	*file;
	unsigned	 line;
	char		 level;
	const char	*text;
};
typedef void (*conf_note_fn)(const struct conf_note *note, void *arg);

/*
 * Parses file `path` (or `text` when path is only its name and text.p is set).
 * Every complaint goes to `note`. Returns the configuration, or NULL if there
 * was an error: unknown name (the nearest known one is named), bad value,
 * $name without definition or in a circle, unreadable file. A Postfix
 * parameter without counterpart is a warning that names what to use instead.
 */
struct conf *conf_load(const char *path, struct view text, conf_note_fn note, void *arg);
void	conf_free(struct conf **c);
/* Effective "name = value" lines of all scopes, that conf_load() reads back to the same. */
int	conf_serialise(const struct conf *c, struct buf *b);
/* The set for a listener or transport; c itself when nothing is overridden. Lives as long as c. */
const struct conf *conf_scope(const struct conf *c, const char *name);
/* Value as text; PK_ENOENT for an unknown name. expanded: with $name replaced. */
int	conf_get(const struct conf *c, struct view name, bool expanded, struct buf *b);
/* True if the file sets it (else it is the default). */
bool	conf_is_set(const struct conf *c, struct view name);
/* Calls fn for each parameter (and each override) that differs. */
void	conf_diff(const struct conf *a, const struct conf *b,
	    void (*fn)(const char *name, const char *old, const char *new, enum conf_apply apply,
	    void *arg), void *arg);
/*
 * Takes the next element of a CONF_LIST value: separators are commas and
 * blanks; {...} is kept whole.
 */
bool	conf_list_next(struct view *list, struct view *item_r);

/* An item of `listeners`. */
struct conf_listener {
	struct view	name;
	struct view	family;		/* inet, inet6 or unix */
	struct view	address;	/* as written */
	struct view	host;		/* inet, inet6: without []; empty: any */
	uint64_t	port;
};
bool	conf_listener_parse(struct view item, struct conf_listener *l_r);
/* An item of `transports`: "NAME:TYPE". */
bool	conf_transport_parse(struct view item, struct view *name_r, struct view *type_r);
/* smtp, lmtp, mailbox, discard or error for a transport's name; empty: no such transport. */
struct view conf_transport_type(const struct conf *c, struct view name);

/* The nearest known parameter by edit distance, or NULL. */
const char *conf_nearest(struct view name);

#endif
