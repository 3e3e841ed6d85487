/* SPDX-License-Identifier: ISC */
/*
 * privileges.h: limits raised before, capabilities given up after start.
 */
#ifndef PK_MASTER_PRIVILEGES_H
#define PK_MASTER_PRIVILEGES_H

/* Open files and locked memory, for all children; needs root to pass hard limits. */
void	privileges_limits(void);
/* Keeps the table's capabilities, sets no_new_privs. Not root: says what is missing. */
void	privileges_reduce(void);

#endif
