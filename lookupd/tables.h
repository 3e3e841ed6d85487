/* SPDX-License-Identifier: ISC */
/*
 * tables.h: the tables that the configuration names, opened once each.
 */
#ifndef LOOKUPD_TABLES_H
#define LOOKUPD_TABLES_H

#include "base/buf.h"
#include "base/view.h"
#include "conf/conf.h"
#include "table/match_list.h"

struct tables;

/*
 * Opens what the configuration names. A table that cannot be opened is said
 * (error) and tried again, at most once a second, when it is asked: until
 * then look-ups in it are PK_ETEMP, so that mail waits and is not refused.
 */
struct tables *tables_new(const struct conf *conf);
/*
 * Who answers tables of other processes (accounts:users); without it they are
 * PK_ETEMP. As outside_get(): before an answer is there a key is not found.
 */
typedef int (*tables_outside_fn)(void *arg, struct view spec, struct view key,
	    struct buf *value_r);
void	tables_set_outside(struct tables *t, tables_outside_fn get,
	    bool (*pending)(const void *arg), void *arg);
/* What was said to be missing is perhaps only not known yet. */
bool	tables_pending(const struct tables *t);
/* accounts:domains and the like, whether the configuration names it or not. */
bool	tables_is_outside(struct view spec);
int	tables_get_outside(struct tables *t, struct view spec, struct view key,
	    struct buf *value_r);
void	tables_free(struct tables **t);
/* Does the configuration name this table? Nobody may ask for others. */
bool	tables_named(const struct tables *t, struct view spec);
/* One table; opened if need be. 0 with the value, PK_ENOENT, PK_ETEMP. */
int	tables_get(struct tables *t, struct view spec, struct view key, struct buf *value_r);
/* Only whole keys make sense (pcre, cidr, static). */
bool	tables_is_pattern(struct tables *t, struct view spec);
/* A match_source over these tables and the file system. */
struct match_source tables_match_source(struct tables *t);
/* For "lookup status": every table with its state. */
void	tables_each(struct tables *t, void (*fn)(const char *spec, size_t entries,
	    const char *error, uint64_t lookups, void *arg), void *arg);

/* Calls fn for every "type:name" in the values of conf, all scopes. */
void	tables_scan(const struct conf *conf, void (*fn)(struct view spec, void *arg), void *arg);
/* Calls fn for every file named by tables and lists of conf: confinement needs them. */
void	tables_scan_files(const struct conf *conf, void (*fn)(const char *path, void *arg),
	    void *arg);

#endif
