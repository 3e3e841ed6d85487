/* SPDX-License-Identifier: ISC */
/*
 * conf_private.h: what the files of lib/conf share and nobody else sees.
 */
#ifndef PK_CONF_CONF_PRIVATE_H
#define PK_CONF_CONF_PRIVATE_H

#include <bsd/sys/queue.h>

#include "base/map.h"
#include "conf/conf.h"

/* main.cf itself; Postfix's greatest in the wild are a tenth of this. */
#define CONF_FILE_MAX	(1024 * 1024)
/* One value with everything expanded; a list of networks may be long. */
#define CONF_VALUE_MAX	65536
/* $name in $name, and ${a?${b?...}}: what a person can still follow. */
#define CONF_DEPTH_MAX	16
#define CONF_NAME_MAX	128

enum conf_index {
#define PARAM_BOOL(name, def, scope, apply, text)			CONF_I_##name,
#define PARAM_INT(name, def, least, greatest, scope, apply, text)	CONF_I_##name,
#define PARAM_TIME(name, def, unit, least, greatest, scope, apply, text) CONF_I_##name,
#define PARAM_SIZE(name, def, least, greatest, scope, apply, text)	CONF_I_##name,
#define PARAM_STRING(name, def, scope, apply, text)			CONF_I_##name,
#define PARAM_LIST(name, def, scope, apply, text)			CONF_I_##name,
#define PARAM_ENUM(name, def, words, scope, apply, text)		CONF_I_##name,
#include "conf/params.def"
#include "conf/params_undef.h"
	CONF_ROWS
};

enum conf_state { CONF_NEW, CONF_EXPANDING, CONF_DONE, CONF_FAILED };

/* One parameter in one set. */
struct conf_slot {
	char		*raw;		/* as in the file; NULL: not set here */
	unsigned	 line;
	char		*value;		/* expanded */
	enum conf_state	 state;
};

/* All parameters, as they are globally or in one scope. */
struct conf_set {
	struct conf	 conf;		/* first: a struct conf * is its set */
	char		*name;		/* scope, NULL: global */
	struct conf_slot slots[CONF_ROWS];
	TAILQ_ENTRY(conf_set) link;
};

struct conf_private {
	char		*path;
	struct conf_set	*global;
	TAILQ_HEAD(, conf_set) scopes;	/* those with overrides */
	struct map	*ignored;	/* Postfix names without counterpart: raw text */
	char		*host_default;	/* default text of myhostname */
};

/* One run of conf_load(). */
struct conf_loader {
	struct conf_private *priv;
	conf_note_fn	 note;
	void		*arg;
	unsigned	 nerrors;
};

void	conf_complain(struct conf_loader *ld, char level, unsigned line, const char *fmt, ...)
	    __attribute__((format(printf, 4, 5)));

/* read.c: calls fn for each "name = value" of the text. */
typedef void (*conf_line_fn)(struct conf_loader *ld, struct view name, struct view value,
	    unsigned line, void *arg);
void	conf_read(struct conf_loader *ld, struct view text, conf_line_fn fn, void *arg);

/* expand.c: fills slot->value of a row; false after a complaint. */
bool	conf_expand(struct conf_loader *ld, struct conf_set *set, size_t row);

/* class.c: gives a listener's set what its class says, where the file does not. */
void	conf_class_defaults(struct conf_loader *ld, struct conf_set *set);

/* rows.c */
ptrdiff_t conf_row_find(struct view name);		/* also by Postfix's other name; -1 */
/* The text of the row in force, not expanded. */
const char *conf_raw(const struct conf_private *p, const struct conf_set *set, size_t row);
/* Parses an expanded value into the member; 0 or PK_E* with the reason in why. */
int	conf_value_parse(const struct conf_row *row, struct view value, struct conf *c,
	    struct buf *why);
/* restrictions.c: PK_ESYNTAX with the reason in why. */
int	conf_restrictions_check(struct view value, struct buf *why);
/*
 * Splits SCOPE_name by the scopes that listeners and transports declare.
 * Kinds is a bit set: 1 listener, 2 transport. False: no such scope.
 */
bool	conf_scope_split(const struct conf_set *global, struct view name, struct view *scope_r,
	    unsigned *kinds_r, ptrdiff_t *row_r);
struct conf_set *conf_set_find(const struct conf_private *p, struct view scope);

/* postfix.c: what to use instead of a Postfix parameter, NULL if it is none. */
const char *conf_postfix_hint(struct view name);

#endif
