/* SPDX-License-Identifier: ISC */
/*
 * listener.h: the sockets on which clients come.
 */
#ifndef PK_SMTPD_LISTENER_H
#define PK_SMTPD_LISTENER_H

#include "ipc/child.h"
#include "smtpd/worker.h"

struct listeners;

struct listeners *listeners_new(struct worker *w);
void	listeners_free(struct listeners **l);
/* fd becomes the listener's. Accepting begins with the first configuration. */
void	listeners_add(struct listeners *l, const char *name, enum child_listener_class class,
	    int fd);
void	listeners_remove(struct listeners *l, const char *name);
/* New sessions get this configuration from now on. */
void	listeners_configure(struct listeners *l, const struct conf *conf);
/* Nobody is accepted any more (drain). */
void	listeners_stop(struct listeners *l);
/* A session ended: accept again where the limit had stopped it. */
void	listeners_room(struct listeners *l);

#endif
