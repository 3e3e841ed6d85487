/* SPDX-License-Identifier: ISC */
/*
 * address.c: fuzzes addresses, domains and xtext. The first byte chooses what
 * is allowed. What was accepted must be accepted again in canonical form, as
 * the same mailbox.
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/log.h"
#include "mail/address.h"
#include "mail/domain.h"
#include "mail/xtext.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_again(const struct mail_address *a, unsigned allow)
{
	struct mail_address again;
	struct view user, ext;
	struct buf b;

	buf_init(&b, 2 * ADDRESS_MAX);
	ASSERT(address_put(&b, a) == 0);
	ASSERT(memchr(buf_view(&b).p, '\n', b.len) == NULL);
	ASSERT(address_parse(buf_view(&b), allow, &again) == 0);
	ASSERT(address_eq(a, &again));
	(void)address_split_extension(a->local, VIEW("+-"), &user, &ext);
	buf_reset(&b);
	(void)address_put_ascii(&b, a);
	buf_reset(&b);
	(void)address_put_local_raw(&b, a);
	buf_fini(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mail_address a;
	struct view v, type, value;
	struct buf b;
	unsigned allow;
	size_t used;

	if (size < 1)
		return 0;
	allow = data[0] & 31u;
	v = view_of((const char *)data + 1, size - 1);
	if (address_parse_path(v, allow, &a, &used) == 0) {
		ASSERT(used <= v.len);
		check_again(&a, allow);
	}
	if (address_parse(v, allow, &a) == 0)
		check_again(&a, allow);
	buf_init(&b, 1 << 20);
	(void)domain_is_helo(v);
	(void)domain_put_ascii(&b, v);
	(void)xtext_decode(&b, v);
	(void)xtext_utf8_decode(&b, v);
	(void)xtext_orcpt_parse(v, true, &type, &value);
	buf_fini(&b);
	return 0;
}
