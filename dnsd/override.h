/* SPDX-License-Identifier: ISC */
/*
 * override.h: answers that are fixed here and never asked for.
 */
#ifndef DNSD_OVERRIDE_H
#define DNSD_OVERRIDE_H

#include "dnsd/answer.h"

/* What an administrator may set; each is a line of configuration or a command. */
#define OVERRIDES_MAX	10000
#define OVERRIDE_TTL	60

struct overrides;

struct overrides *overrides_new(void);
void	overrides_free(struct overrides **o);
/*
 * dns_overrides: NAME/TYPE=DATA, {NAME/TYPE=DATA with blanks}. Replaces those
 * of the configuration before; a wrong one is left out, the first to why.
 */
int	overrides_configure(struct overrides *o, const char *list, struct buf *why);
/*
 * One more record for (name, type), until the process ends. data: as in a
 * zone file, or NXDOMAIN, NODATA, SERVFAIL. PK_ESYNTAX, PK_EUNSUPPORTED,
 * PK_ELIMIT with words in why.
 */
int	overrides_set(struct overrides *o, struct view name, struct view type,
	    struct view data, struct buf *why);
/* Those set at run time and configured ones alike; type 0: every type. How many went. */
size_t	overrides_remove(struct overrides *o, struct view name, uint16_t type);
/* 0 with the answer, PK_ENOENT. */
int	overrides_get(const struct overrides *o, const char *name, uint16_t type,
	    struct answer *a);
void	overrides_each(const struct overrides *o, void (*fn)(const char *name, uint16_t type,
	    const char *data, bool configured, void *arg), void *arg);

/* Text as a name in the form that everything here is keyed by. PK_ESYNTAX. */
int	dnsd_put_name(struct buf *b, struct view text);

#endif
