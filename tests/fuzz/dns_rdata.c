/* SPDX-License-Identifier: ISC */
/*
 * dns_rdata.c: what name servers send: whole packets as dnsd takes them apart,
 * and single records as its askers do. First byte: the type.
 */
#include <stdlib.h>

#include "base/error.h"
#include "dnsd/answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint16_t types[] = { DNS_TYPE_A, DNS_TYPE_NS, DNS_TYPE_CNAME, DNS_TYPE_SOA,
    DNS_TYPE_PTR, DNS_TYPE_MX, DNS_TYPE_TXT, DNS_TYPE_AAAA, DNS_TYPE_TLSA, 99 };

/* What is believed to be of its type can be shown, and its names can be read back. */
static void
one_record(uint16_t type, struct view rdata)
{
	struct domain_literal addr;
	struct buf text;
	uint16_t preference;

	if (!dns_rdata_valid(type, rdata))
		return;
	buf_init(&text, 400000);
	if (dns_rdata_put_text(&text, type, rdata) != 0)
		abort();
	if (!view_is_printable(buf_view(&text)))
		abort();
	buf_reset(&text);
	if (type == DNS_TYPE_MX && dns_rdata_mx(rdata, &preference, &text) == 0 &&
	    !dns_name_valid(buf_view(&text)))
		abort();
	(void)dns_rdata_address(type, rdata, &addr);
	if (type == DNS_TYPE_TXT)
		(void)dns_rdata_txt(rdata, &text);
	buf_fini(&text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view input = view_of((const char *)data, size), rest, rdata;
	struct answer a;
	uint16_t type;

	if (size == 0)
		return 0;
	type = types[data[0] % (sizeof(types) / sizeof(types[0]))];
	input = view_from(input, 1);
	one_record(type, input);
	answer_init(&a);
	if (answer_parse(&a, input, "a.test", type) == 0) {
		if (a.count > IPC_DNS_RECORDS_MAX || (a.code == 0) != (a.count > 0))
			abort();
		for (rest = buf_view(&a.data); answer_next(&rest, &rdata);)
			one_record(type, rdata);
	}
	answer_fini(&a);
	return 0;
}
