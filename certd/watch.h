/* SPDX-License-Identifier: ISC */
/*
 * watch.h: have the files changed?
 */
#ifndef CERTD_WATCH_H
#define CERTD_WATCH_H

#include <stdbool.h>

#include "base/map.h"

struct watch;

/* files: keys are paths. Looks now, before they are read. */
struct watch *watch_new(const struct map *files);
void	watch_free(struct watch **w);
/*
 * True when something differs from what watch_new() saw and has not changed
 * since the look before this one: a renewal that is half done is let finish.
 * After true the watch is over: make a new one.
 */
bool	watch_settled(struct watch *w);

#endif
