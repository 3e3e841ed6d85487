/* SPDX-License-Identifier: ISC */
/*
 * enhanced.h: enhanced mail system status codes (RFC 3463, RFC 2034), "5.1.1".
 */
#ifndef PK_MAIL_ENHANCED_H
#define PK_MAIL_ENHANCED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/view.h"

/* All zero: no code. klass is 2, 4 or 5, the others 0 to 999. */
struct enhanced {
	uint8_t		klass;
	uint16_t	subject;
	uint16_t	detail;
};

#define ENHANCED(c, s, d)	((struct enhanced){ (c), (s), (d) })

static inline bool
enhanced_is_set(struct enhanced e)
{
	return e.klass != 0;
}

static inline bool
enhanced_eq(struct enhanced a, struct enhanced b)
{
	return a.klass == b.klass && a.subject == b.subject && a.detail == b.detail;
}

/*
 * A code at the start of v, followed by a blank or the end; *used_r is its
 * length without the blank. PK_ESYNTAX when there is none.
 */
int	enhanced_parse_prefix(struct view v, struct enhanced *e_r, size_t *used_r);
/* The whole view is a code. */
int	enhanced_parse(struct view v, struct enhanced *e_r);
/* "5.1.1"; nothing for a code that is not set. Returns buf_put's result. */
int	enhanced_put(struct buf *b, struct enhanced e);
/*
 * The code that an SMTP reply without one stands for: "2.0.0", "4.0.0" or
 * "5.0.0" by the first digit of the reply; not set for other replies.
 */
struct enhanced enhanced_from_reply(int reply_code);
/* The same subject and detail in another class (a soft_bounce, a bounce after too long). */
struct enhanced enhanced_with_class(struct enhanced e, unsigned klass);

#endif
