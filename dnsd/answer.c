/* SPDX-License-Identifier: ISC */
/*
 * answer.c: a DNS packet (RFC 1035 4) to records.
 *
 * Runs in dnsd. libunbound has looked at the packet's frame and at signatures;
 * what the owner of the zone wrote into it is his. So every offset is checked,
 * compression pointers only lead backwards and not often, CNAMEs are followed
 * a fixed number of times, records are taken up to a fixed number (F7).
 */
#include "dnsd/answer.h"

#include "base/error.h"
#include "base/mem.h"

#define HEADER_SIZE	12
#define HOPS_MAX	16	/* CNAMEs; unbound itself follows 11 */
#define JUMPS_MAX	64	/* compression pointers in one name */
#define NAME_WIRE_MAX	255
#define CLASS_IN	1

struct packet {
	const uint8_t	*p;
	size_t		 len;
	unsigned	 answers, authorities;
	size_t		 start;		/* of the answer section */
};

struct wire_name {
	uint8_t		 bytes[NAME_WIRE_MAX];
	size_t		 len;
};

struct record {
	struct wire_name owner;
	uint16_t	 type, class;
	uint32_t	 ttl;
	size_t		 rdata, rdlen;
};

void
answer_init(struct answer *a)
{
	memset(a, 0, sizeof(*a));
	buf_init(&a->data, ANSWER_DATA_MAX);
}

void
answer_fini(struct answer *a)
{
	buf_fini(&a->data);
	xfree(a->canonical);
	a->canonical = NULL;
	a->count = 0;
}

int
answer_add(struct answer *a, struct view rdata)
{
	uint16_t len = (uint16_t)rdata.len;

	if (a->count >= IPC_DNS_RECORDS_MAX || rdata.len > UINT16_MAX ||
	    a->data.len + sizeof(len) + rdata.len > ANSWER_DATA_MAX)
		return PK_ELIMIT;
	buf_put(&a->data, &len, sizeof(len));
	buf_put_view(&a->data, rdata);
	a->count++;
	return 0;
}

bool
answer_next(struct view *rest, struct view *rdata_r)
{
	uint16_t len;

	if (rest->len < sizeof(len))
		return false;
	memcpy(&len, rest->p, sizeof(len));
	*rdata_r = view_head(view_from(*rest, sizeof(len)), len);
	*rest = view_from(*rest, sizeof(len) + len);
	return true;
}

void
answer_copy(struct answer *to, const struct answer *from)
{
	answer_fini(to);
	*to = *from;
	to->canonical = xstrdup(from->canonical);
	buf_init(&to->data, ANSWER_DATA_MAX);
	buf_put_view(&to->data, buf_view(&from->data));
}

void
answer_fail(struct answer *a, const char *name, unsigned rcode, enum dns_security security)
{
	char *copy = xstrdup(name);

	answer_fini(a);
	a->code = PK_ETEMP;
	a->rcode = rcode;
	a->security = security;
	a->ttl = 0;
	a->canonical = copy;
}

/* ---- the packet ---- */

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

/*
 * Expands the name at *off, which is moved behind it. Pointers must lead in
 * front of the place they stand at, so a name always ends.
 */
static int
expand_name(const struct packet *k, size_t *off, struct wire_name *n)
{
	size_t at = *off, limit = k->len;
	unsigned jumps = 0;
	uint8_t c;

	n->len = 0;
	for (;;) {
		if (at >= limit)
			return PK_EFORMAT;
		c = k->p[at];
		if (c >= 0xc0) {
			if (at + 1 >= k->len || ++jumps > JUMPS_MAX)
				return PK_EFORMAT;
			if (jumps == 1)
				*off = at + 2;
			limit = at;
			at = (size_t)(c & 0x3f) << 8 | k->p[at + 1];
			if (at >= limit)
				return PK_EFORMAT;
			limit = k->len;
			continue;
		}
		if (c > 63 || n->len + 1 + c > NAME_WIRE_MAX ||
		    at + 1 + (size_t)c > k->len)
			return PK_EFORMAT;
		memcpy(n->bytes + n->len, k->p + at, 1 + (size_t)c);
		n->len += 1 + (size_t)c;
		at += 1 + (size_t)c;
		if (c == 0)
			break;
	}
	if (jumps == 0)
		*off = at;
	return 0;
}

static bool
same_name(const struct wire_name *a, const struct wire_name *b)
{
	return view_caseeq(view_of((const char *)a->bytes, a->len),
	    view_of((const char *)b->bytes, b->len));
}

static int
read_record(const struct packet *k, size_t *off, struct record *r)
{
	int error = expand_name(k, off, &r->owner);

	if (error != 0)
		return error;
	if (k->len - *off < 10)
		return PK_EFORMAT;
	r->type = (uint16_t)u16(k->p + *off);
	r->class = (uint16_t)u16(k->p + *off + 2);
	r->ttl = u32(k->p + *off + 4);
	/* RFC 2181 8: the top bit set is 0. */
	if (r->ttl > INT32_MAX)
		r->ttl = 0;
	r->rdlen = u16(k->p + *off + 8);
	r->rdata = *off + 10;
	if (k->len - r->rdata < r->rdlen)
		return PK_EFORMAT;
	*off = r->rdata + r->rdlen;
	return 0;
}

static int
read_header(struct packet *k, struct view packet, unsigned *rcode_r)
{
	struct wire_name name;
	unsigned questions;
	size_t off = HEADER_SIZE;

	k->p = (const uint8_t *)packet.p;
	k->len = packet.len;
	if (k->len < HEADER_SIZE)
		return PK_EFORMAT;
	*rcode_r = k->p[3] & 15;
	questions = u16(k->p + 4);
	k->answers = u16(k->p + 6);
	k->authorities = u16(k->p + 8);
	if (questions > 1)
		return PK_EFORMAT;
	if (questions == 1) {
		if (expand_name(k, &off, &name) != 0 || k->len - off < 4)
			return PK_EFORMAT;
		off += 4;
	}
	k->start = off;
	return 0;
}

/* ---- data without compression ---- */

static int
put_name(const struct packet *k, size_t *off, size_t end, struct buf *b)
{
	struct wire_name n;

	if (expand_name(k, off, &n) != 0 || *off > end)
		return PK_EFORMAT;
	return buf_put(b, n.bytes, n.len);
}

static int
put_rdata(const struct packet *k, const struct record *r, struct buf *b)
{
	size_t off = r->rdata, end = r->rdata + r->rdlen;
	int error = 0;

	switch (r->type) {
	case DNS_TYPE_MX:
		if (r->rdlen < 3)
			return PK_EFORMAT;
		buf_put(b, k->p + off, 2);
		off += 2;
		error = put_name(k, &off, end, b);
		break;
	case DNS_TYPE_NS:
	case DNS_TYPE_CNAME:
	case DNS_TYPE_PTR:
		error = put_name(k, &off, end, b);
		break;
	case DNS_TYPE_SOA:
		error = put_name(k, &off, end, b);
		if (error == 0)
			error = put_name(k, &off, end, b);
		if (error == 0)
			error = buf_put(b, k->p + off, end - off);
		off = end;
		break;
	default:
		error = buf_put(b, k->p + off, end - off);
		off = end;
	}
	if (error == 0 && off != end)
		error = PK_EFORMAT;
	if (error == 0 && !dns_rdata_valid(r->type, buf_view(b)))
		error = PK_EFORMAT;
	return error;
}

/* ---- the answer section ---- */

struct scan {
	const struct packet *k;
	struct answer	*a;
	uint16_t	 type;
	struct wire_name name;		/* looked for now */
	struct wire_name alias;		/* its CNAME's target */
	bool		 has_alias;
	bool		 has_any;	/* a record of the type, well formed or not */
	uint32_t	 ttl;
};

static int
take_record(struct scan *s, const struct record *r)
{
	struct buf data;
	int error;

	if (r->class != CLASS_IN || !same_name(&r->owner, &s->name))
		return 0;
	if (r->type != s->type && r->type != DNS_TYPE_CNAME)
		return 0;
	buf_init(&data, UINT16_MAX + NAME_WIRE_MAX);
	error = put_rdata(s->k, r, &data);
	if (r->type == s->type) {
		s->has_any = true;
		if (error == 0)
			(void)answer_add(s->a, buf_view(&data));
	} else if (error == 0 && !s->has_alias) {
		s->has_alias = true;
		s->alias.len = data.len;
		memcpy(s->alias.bytes, buf_data(&data), data.len);
	}
	if (error == 0 && r->ttl < s->ttl)
		s->ttl = r->ttl;
	buf_fini(&data);
	return 0;
}

/* One walk over the section: records of s->name, and its alias. */
static int
walk(struct scan *s)
{
	size_t off = s->k->start;
	struct record r;
	unsigned i;
	int error = 0;

	s->has_alias = false;
	for (i = 0; error == 0 && i < s->k->answers; i++) {
		error = read_record(s->k, &off, &r);
		if (error == 0)
			error = take_record(s, &r);
	}
	return error;
}

/* RFC 2308 5: how long "there is none" may be kept. */
static uint32_t
negative_ttl(const struct packet *k)
{
	size_t off = k->start;
	struct record r;
	uint32_t minimum;
	unsigned i;

	for (i = 0; i < k->answers + k->authorities; i++) {
		if (read_record(k, &off, &r) != 0)
			return 0;
		if (i < k->answers || r.type != DNS_TYPE_SOA || r.rdlen < 22)
			continue;
		minimum = u32(k->p + r.rdata + r.rdlen - 4);
		return minimum < r.ttl ? minimum : r.ttl;
	}
	return 0;
}

static void
set_canonical(struct scan *s)
{
	struct buf text;
	size_t used;

	buf_init(&text, 4 * NAME_WIRE_MAX + 1);
	if (dns_name_put_text(&text, view_of((const char *)s->name.bytes, s->name.len),
	    &used) == 0) {
		xfree(s->a->canonical);
		s->a->canonical = xstrdup(buf_cstr(&text));
	}
	buf_fini(&text);
}

static int
follow(struct scan *s)
{
	unsigned hops;
	int error;

	for (hops = 0; hops <= HOPS_MAX; hops++) {
		error = walk(s);
		if (error != 0 || s->has_any || !s->has_alias)
			return error;
		s->name = s->alias;
	}
	return PK_EFORMAT;	/* in a circle, or as good as */
}

static int
start_name(struct scan *s, const char *name)
{
	struct buf wire;
	int error;

	buf_init(&wire, NAME_WIRE_MAX + 1);
	error = dns_name_put_wire(&wire, view_str(name));
	if (error == 0 && wire.len > NAME_WIRE_MAX)
		error = PK_ELIMIT;
	if (error == 0) {
		s->name.len = wire.len;
		memcpy(s->name.bytes, buf_data(&wire), wire.len);
	}
	buf_fini(&wire);
	return error;
}

int
answer_parse(struct answer *a, struct view packet, const char *name, uint16_t type)
{
	struct scan s = { .a = a, .type = type, .ttl = INT32_MAX };
	enum dns_security security = a->security;
	struct packet k = { 0 };
	unsigned rcode = 0;
	int error;

	answer_fini(a);
	a->security = security;
	a->canonical = xstrdup(name);
	s.k = &k;
	error = read_header(&k, packet, &rcode);
	if (error == 0)
		error = start_name(&s, name);
	if (error != 0)
		return PK_EFORMAT;
	a->rcode = rcode;
	if (rcode != DNS_RCODE_NOERROR && rcode != DNS_RCODE_NXDOMAIN) {
		a->code = PK_ETEMP;
		a->ttl = 0;
		return 0;
	}
	if (follow(&s) != 0)
		return PK_EFORMAT;
	set_canonical(&s);
	/* Records there were, but none that can be read: no proof of absence. */
	if (s.has_any && a->count == 0)
		return PK_EFORMAT;
	a->code = a->count > 0 ? 0 : PK_ENOENT;
	a->ttl = a->count > 0 ? s.ttl : negative_ttl(&k);
	if (a->count == 0 && s.ttl < a->ttl)
		a->ttl = s.ttl;
	return 0;
}
