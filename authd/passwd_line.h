/* SPDX-License-Identifier: ISC */
/*
 * passwd_line.h: a line of a passwd-file.
 */
#ifndef PK_AUTHD_PASSWD_LINE_H
#define PK_AUTHD_PASSWD_LINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/view.h"

struct passwd_line {
	struct view	 name, hash;	/* into the line */
	bool		 disabled;
	unsigned	 services;	/* enum source_service */
	uint64_t	 quota_bytes;
};

/* Without its line end: 0, PK_ESYNTAX, PK_ELIMIT. */
int	passwd_line_parse(struct view line, struct passwd_line *l_r);

#endif
