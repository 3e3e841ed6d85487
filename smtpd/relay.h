/* SPDX-License-Identifier: ISC */
/*
 * relay.h: may anybody at all send to this recipient?
 */
#ifndef PK_SMTPD_RELAY_H
#define PK_SMTPD_RELAY_H

#include <stdbool.h>

#include "ipc/route.h"
#include "mail/address.h"

/*
 * The local part tells some host where to send the message on: "@", "%" or
 * "!" in it (after unquoting). We would not, the next host might, and then
 * blames us.
 */
bool	relay_is_routed(const struct mail_address *rcpt);
/* A destination that needs no permission: ours or relayed, and not routed. */
bool	relay_is_authorised(const struct mail_address *rcpt, enum route_class class);

#endif
