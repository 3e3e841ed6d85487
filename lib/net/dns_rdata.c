/* SPDX-License-Identifier: ISC */
/*
 * dns_rdata.c: record data to something that can be used, and to text.
 *
 * Runs in dnsd and in everyone who asks it (smtpd, deliver). The bytes were
 * written by the owner of some zone: an attacker. So each reader takes a view,
 * checks its length before it looks, and needs the data to end where its type
 * says (THREATS F7: RDATA one byte short, A18).
 */
#include "net/dns_rdata.h"

#include "base/codec.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/num.h"

#define WIRE_NAME_MAX	255	/* RFC 1035 2.3.4 */
#define WIRE_LABEL_MAX	63

static const struct {
	uint16_t	 type;
	const char	*name;
} types[] = {
	{ DNS_TYPE_A,		"A" },
	{ DNS_TYPE_NS,		"NS" },
	{ DNS_TYPE_CNAME,	"CNAME" },
	{ DNS_TYPE_SOA,		"SOA" },
	{ DNS_TYPE_PTR,		"PTR" },
	{ DNS_TYPE_MX,		"MX" },
	{ DNS_TYPE_TXT,		"TXT" },
	{ DNS_TYPE_AAAA,	"AAAA" },
	{ DNS_TYPE_TLSA,	"TLSA" },
};

const char *
dns_type_name(uint16_t type)
{
	size_t i;

	for (i = 0; i < NELEMS(types); i++)
		if (types[i].type == type)
			return types[i].name;
	return NULL;
}

int
dns_type_parse(struct view v, uint16_t *type_r)
{
	uint64_t n;
	size_t i;

	for (i = 0; i < NELEMS(types); i++) {
		if (view_caseeq(v, view_str(types[i].name))) {
			*type_r = types[i].type;
			return 0;
		}
	}
	if (!view_casestarts(v, VIEW("TYPE")) ||
	    num_parse_u64(view_from(v, 4), 1, UINT16_MAX, &n) != 0)
		return PK_ESYNTAX;
	*type_r = (uint16_t)n;
	return 0;
}

const char *
dns_rcode_name(unsigned rcode)
{
	static const char *const names[] = {
		"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP",
		"REFUSED",
	};

	return rcode < NELEMS(names) ? names[rcode] : "RCODE";
}

static unsigned
u16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static uint32_t
u32(const uint8_t *p)
{
	return (uint32_t)u16(p) << 16 | u16(p + 2);
}

static const uint8_t *
bytes(struct view v)
{
	return (const uint8_t *)v.p;
}

/* ---- names ---- */

static bool
is_plain(unsigned char c)
{
	return ascii_isalnum((char)c) ||
	    (c != '\0' && strchr("-_*/+=", c) != NULL);
}

static void
put_label(struct buf *b, const uint8_t *p, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (is_plain(p[i]))
			buf_put_char(b, ascii_lower((char)p[i]));
		else
			buf_printf(b, "\\%03u", p[i]);
	}
}

int
dns_name_put_text(struct buf *b, struct view v, size_t *used_r)
{
	size_t mark = b->len, off = 0;
	const uint8_t *p = bytes(v);
	int error = PK_EFORMAT;

	while (off < v.len && p[off] != 0) {
		/* Also catches pointers: their two top bits are set. */
		if (p[off] > WIRE_LABEL_MAX || p[off] >= v.len - off)
			goto fail;
		if (off + 1 + p[off] >= WIRE_NAME_MAX) {
			error = PK_ELIMIT;
			goto fail;
		}
		if (off > 0)
			buf_put_char(b, '.');
		put_label(b, p + off + 1, p[off]);
		off += 1 + (size_t)p[off];
	}
	if (off >= v.len)
		goto fail;
	if (off == 0)
		buf_put_char(b, '.');
	error = buf_error(b);
	if (error != 0)
		goto fail;
	*used_r = off + 1;
	return 0;
fail:
	buf_truncate(b, mark);
	return error;
}

/* One byte of a label, \DDD and \X taken; -1 when it is malformed. */
static int
take_char(struct view *v)
{
	uint64_t n;
	int c;

	c = (unsigned char)v->p[0];
	*v = view_from(*v, 1);
	if (c != '\\')
		return c;
	if (v->len == 0)
		return -1;
	if (!ascii_isdigit(v->p[0])) {
		c = (unsigned char)v->p[0];
		*v = view_from(*v, 1);
		return c;
	}
	if (v->len < 3 || num_parse_u64(view_head(*v, 3), 0, 255, &n) != 0)
		return -1;
	*v = view_from(*v, 3);
	return (int)n;
}

static int
text_to_wire(struct view text, uint8_t *wire, size_t *len_r)
{
	size_t n = 0, label;
	int c;

	while (text.len > 0) {
		label = n++;
		if (label + 1 >= WIRE_NAME_MAX)
			return PK_ELIMIT;
		while (text.len > 0 && text.p[0] != '.') {
			c = take_char(&text);
			if (c < 0)
				return PK_ESYNTAX;
			if (n + 1 >= WIRE_NAME_MAX)
				return PK_ELIMIT;
			wire[n++] = (uint8_t)c;
		}
		if (n - label - 1 == 0 || n - label - 1 > WIRE_LABEL_MAX)
			return PK_ESYNTAX;
		wire[label] = (uint8_t)(n - label - 1);
		text = view_from(text, 1);
	}
	wire[n++] = 0;
	*len_r = n;
	return 0;
}

int
dns_name_put_wire(struct buf *b, struct view text)
{
	uint8_t wire[WIRE_NAME_MAX + 1];
	size_t len;
	int error;

	if (text.len == 0)
		return PK_ESYNTAX;
	if (view_eq(text, VIEW(".")))
		return buf_put(b, "", 1);
	error = text_to_wire(text, wire, &len);
	if (error != 0)
		return error;
	return buf_put(b, wire, len);
}

bool
dns_name_valid(struct view text)
{
	uint8_t wire[WIRE_NAME_MAX + 1];
	size_t len;

	return text.len > 0 && (view_eq(text, VIEW(".")) ||
	    text_to_wire(text, wire, &len) == 0);
}

/* Length of the wire name at the start of v; 0 when it is none. */
static size_t
name_length(struct view v)
{
	const uint8_t *p = bytes(v);
	size_t off = 0;

	while (off < v.len && p[off] != 0) {
		if (p[off] > WIRE_LABEL_MAX)
			return 0;
		off += 1 + (size_t)p[off];
	}
	return off < v.len && off < WIRE_NAME_MAX ? off + 1 : 0;
}

static bool
is_one_name(struct view v)
{
	return v.len > 0 && name_length(v) == v.len;
}

/* ---- shapes ---- */

static bool
txt_valid(struct view v)
{
	size_t n;

	if (v.len == 0)
		return false;
	while (v.len > 0) {
		n = 1 + (size_t)bytes(v)[0];
		if (n > v.len)
			return false;
		v = view_from(v, n);
	}
	return true;
}

static bool
soa_valid(struct view v)
{
	size_t n = name_length(v);

	if (n == 0)
		return false;
	v = view_from(v, n);
	n = name_length(v);
	return n != 0 && v.len - n == 20;
}

bool
dns_rdata_valid(uint16_t type, struct view rdata)
{
	if (rdata.len > DNS_RDATA_MAX)
		return false;
	switch (type) {
	case DNS_TYPE_A:
		return rdata.len == 4;
	case DNS_TYPE_AAAA:
		return rdata.len == 16;
	case DNS_TYPE_NS:
	case DNS_TYPE_CNAME:
	case DNS_TYPE_PTR:
		return is_one_name(rdata);
	case DNS_TYPE_MX:
		return rdata.len > 2 && is_one_name(view_from(rdata, 2));
	case DNS_TYPE_TXT:
		return txt_valid(rdata);
	case DNS_TYPE_SOA:
		return soa_valid(rdata);
	case DNS_TYPE_TLSA:
		return rdata.len > 3;	/* RFC 6698 2.1 */
	default:
		return true;
	}
}

/* ---- readers ---- */

int
dns_rdata_address(uint16_t type, struct view rdata, struct domain_literal *addr_r)
{
	if ((type != DNS_TYPE_A && type != DNS_TYPE_AAAA) ||
	    !dns_rdata_valid(type, rdata))
		return PK_EFORMAT;
	memset(addr_r, 0, sizeof(*addr_r));
	addr_r->family = type == DNS_TYPE_A ? DOMAIN_INET4 : DOMAIN_INET6;
	memcpy(addr_r->bytes, rdata.p, rdata.len);
	return 0;
}

int
dns_rdata_name(struct view rdata, struct buf *name)
{
	size_t used;

	if (!is_one_name(rdata))
		return PK_EFORMAT;
	return dns_name_put_text(name, rdata, &used);
}

int
dns_rdata_mx(struct view rdata, uint16_t *preference_r, struct buf *exchange)
{
	int error;

	if (!dns_rdata_valid(DNS_TYPE_MX, rdata))
		return PK_EFORMAT;
	error = dns_rdata_name(view_from(rdata, 2), exchange);
	if (error == 0)
		*preference_r = (uint16_t)u16(bytes(rdata));
	return error;
}

int
dns_rdata_txt(struct view rdata, struct buf *text)
{
	size_t n;

	if (!txt_valid(rdata))
		return PK_EFORMAT;
	while (rdata.len > 0) {
		n = bytes(rdata)[0];
		buf_put(text, rdata.p + 1, n);
		rdata = view_from(rdata, 1 + n);
	}
	return buf_error(text);
}

/* ---- text ---- */

static void
put_txt(struct buf *b, struct view v)
{
	size_t n, i;

	while (v.len > 0) {
		n = bytes(v)[0];
		buf_put_char(b, '"');
		for (i = 1; i <= n; i++) {
			if (v.p[i] == '"' || v.p[i] == '\\')
				buf_printf(b, "\\%c", v.p[i]);
			else if (v.p[i] >= ' ' && v.p[i] <= '~')
				buf_put_char(b, v.p[i]);
			else
				buf_printf(b, "\\%03u", (unsigned char)v.p[i]);
		}
		buf_put_char(b, '"');
		v = view_from(v, n + 1);
		if (v.len > 0)
			buf_put_char(b, ' ');
	}
}

static void
put_soa(struct buf *b, struct view v)
{
	const uint8_t *p;
	size_t used;
	int i;

	if (dns_name_put_text(b, v, &used) != 0)
		return;
	v = view_from(v, used);
	buf_put_char(b, ' ');
	if (dns_name_put_text(b, v, &used) != 0)
		return;
	p = bytes(v) + used;
	for (i = 0; i < 5; i++)
		buf_printf(b, " %u", u32(p + 4 * i));
}

static void
put_tlsa(struct buf *b, struct view v)
{
	const uint8_t *p = bytes(v);

	buf_printf(b, "%u %u %u ", p[0], p[1], p[2]);
	hex_put(b, view_from(v, 3));
}

int
dns_rdata_put_text(struct buf *b, uint16_t type, struct view rdata)
{
	struct domain_literal addr;
	uint16_t preference;

	if (!dns_rdata_valid(type, rdata))
		return PK_EFORMAT;
	switch (type) {
	case DNS_TYPE_A:
	case DNS_TYPE_AAAA:
		dns_rdata_address(type, rdata, &addr);
		domain_put_ip(b, &addr);
		break;
	case DNS_TYPE_NS:
	case DNS_TYPE_CNAME:
	case DNS_TYPE_PTR:
		dns_rdata_name(rdata, b);
		break;
	case DNS_TYPE_MX:
		buf_printf(b, "%u ", u16(bytes(rdata)));
		dns_rdata_mx(rdata, &preference, b);
		break;
	case DNS_TYPE_TXT:
		put_txt(b, rdata);
		break;
	case DNS_TYPE_SOA:
		put_soa(b, rdata);
		break;
	case DNS_TYPE_TLSA:
		put_tlsa(b, rdata);
		break;
	default:
		buf_printf(b, "\\# %zu ", rdata.len);
		hex_put(b, rdata);
	}
	return buf_error(b);
}

/* ---- text to wire ---- */

static int
address_to_wire(struct buf *b, uint16_t type, struct view text)
{
	struct domain_literal addr;

	if (domain_parse_ip(text, &addr) != 0 ||
	    (addr.family == DOMAIN_INET4) != (type == DNS_TYPE_A))
		return PK_ESYNTAX;
	return buf_put(b, addr.bytes, addr.family == DOMAIN_INET4 ? 4 : 16);
}

static int
mx_to_wire(struct buf *b, struct view text)
{
	struct view word;
	uint64_t preference;
	uint8_t two[2];

	if (!view_next(&text, " \t", &word) ||
	    num_parse_u64(word, 0, UINT16_MAX, &preference) != 0)
		return PK_ESYNTAX;
	text = view_trim(text);
	if (!dns_name_valid(text))
		return PK_ESYNTAX;
	two[0] = (uint8_t)(preference >> 8);
	two[1] = (uint8_t)preference;
	buf_put(b, two, 2);
	return dns_name_put_wire(b, text);
}

static int
txt_to_wire(struct buf *b, struct view text)
{
	size_t n;

	if (text.len >= 2 && text.p[0] == '"' && text.p[text.len - 1] == '"')
		text = view_of(text.p + 1, text.len - 2);
	do {
		n = text.len < 255 ? text.len : 255;
		buf_put_char(b, (char)n);
		buf_put(b, text.p, n);
		text = view_from(text, n);
	} while (text.len > 0);
	return buf_error(b);
}

static int
tlsa_to_wire(struct buf *b, struct view text)
{
	struct view word;
	uint64_t n;
	int i;

	for (i = 0; i < 3; i++) {
		if (!view_next(&text, " \t", &word) ||
		    num_parse_u64(word, 0, 255, &n) != 0)
			return PK_ESYNTAX;
		buf_put_char(b, (char)n);
	}
	text = view_trim(text);
	return text.len == 0 ? PK_ESYNTAX : hex_decode(b, text);
}

int
dns_rdata_put_wire(struct buf *b, uint16_t type, struct view text)
{
	size_t mark = b->len;
	int error;

	text = view_trim(text);
	switch (type) {
	case DNS_TYPE_A:
	case DNS_TYPE_AAAA:
		error = address_to_wire(b, type, text);
		break;
	case DNS_TYPE_NS:
	case DNS_TYPE_CNAME:
	case DNS_TYPE_PTR:
		error = dns_name_put_wire(b, text);
		break;
	case DNS_TYPE_MX:
		error = mx_to_wire(b, text);
		break;
	case DNS_TYPE_TXT:
		error = txt_to_wire(b, text);
		break;
	case DNS_TYPE_TLSA:
		error = tlsa_to_wire(b, text);
		break;
	default:
		error = PK_EUNSUPPORTED;
	}
	if (error != 0)
		buf_truncate(b, mark);
	return error;
}

int
dns_put_reverse_name(struct buf *b, const struct domain_literal *addr)
{
	static const char digits[] = "0123456789abcdef";
	int i;

	if (addr->family == DOMAIN_INET4) {
		for (i = 3; i >= 0; i--)
			buf_printf(b, "%u.", addr->bytes[i]);
		return buf_put_str(b, "in-addr.arpa");
	}
	for (i = 15; i >= 0; i--)
		buf_printf(b, "%c.%c.", digits[addr->bytes[i] & 15],
		    digits[addr->bytes[i] >> 4]);
	return buf_put_str(b, "ip6.arpa");
}
