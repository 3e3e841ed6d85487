/* SPDX-License-Identifier: ISC */
/*
 * ticket.c: proofs that a user logged in at a worker.
 *
 * Runs in authd's loop. Whoever shows a ticket (qmgr, from a record that a
 * worker wrote) is believed nothing: the MAC covers worker, login and expiry.
 *
 * Clocks jump (F6). Keys are numbered, not dated: how many are kept follows
 * from how long mail may be queued, so that a jump forward throws none away
 * but by making a new one, and at most one an hour of the monotonic clock is
 * made. A ticket lives two days, more than any session and more than a clock
 * that is an hour off.
 */
#include "authd/ticket.h"

#include <bsd/stdlib.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"

#define META_KEY	"ticket-keys"
#define TICKET_VERSION	1
#define SECRET_SIZE	32
#define MAC_SIZE	16
#define DAY_MS		(86400 * 1000ULL)
#define HOUR_MS		(3600 * 1000ULL)
#define LIFE_MS		(2 * DAY_MS)
/* Keys are made one a day; jumps of the clock use up some more. */
#define SPARE_KEYS	8
#define KEYS_MAX	200	/* of 256 numbers: none means two of them */

struct key {
	uint64_t	number;		/* its low byte stands in tickets */
	uint64_t	made_ms;	/* wall time */
	uint8_t		secret[SECRET_SIZE];
};

struct tickets {
	struct accounts	*accounts;
	struct key	 keys[KEYS_MAX];	/* the newest last */
	size_t		 n;
	uint64_t	 renewed_mono_ms;	/* by this process; 0: not yet */
};

static void
load(struct tickets *t, const struct buf *b)
{
	size_t n = b->len / sizeof(struct key);
	const char *p = buf_data(b);

	if (p == NULL || n == 0 || n > KEYS_MAX || b->len % sizeof(struct key) != 0)
		return;
	memcpy(t->keys, p, n * sizeof(struct key));
	t->n = n;
}

static int
reload(struct tickets *t)
{
	struct buf b;
	int error;

	if (t->accounts == NULL)
		return 0;
	buf_init(&b, sizeof(t->keys));
	error = accounts_meta_get(t->accounts, META_KEY, &b);
	if (error == 0)
		load(t, &b);
	if (b.data != NULL)
		explicit_bzero(b.data, b.cap);
	buf_fini(&b);
	return error;
}

static bool
is_due(const struct tickets *t, uint64_t now_ms)
{
	const struct key *newest;

	if (t->n == 0)
		return true;
	newest = &t->keys[t->n - 1];
	/* Also when the clock was set back behind its making by more than its time. */
	return now_ms >= newest->made_ms ? now_ms - newest->made_ms >= DAY_MS :
	    newest->made_ms - now_ms > DAY_MS;
}

static void
add_key(struct tickets *t, uint64_t keep_ms, uint64_t now_ms)
{
	size_t keep = (size_t)(keep_ms / DAY_MS) + 1 + SPARE_KEYS, drop;
	struct key *k;

	if (keep > KEYS_MAX)
		keep = KEYS_MAX;
	drop = t->n >= keep ? t->n - keep + 1 : 0;
	explicit_bzero(t->keys, drop * sizeof(*t->keys));
	memmove(t->keys, t->keys + drop, (t->n - drop) * sizeof(*t->keys));
	t->n -= drop;
	k = &t->keys[t->n];
	k->number = t->n > 0 ? t->keys[t->n - 1].number + 1 : 1;
	k->made_ms = now_ms;
	arc4random_buf(k->secret, sizeof(k->secret));
	t->n++;
}

/* Under the database's lock: one of the workers makes the key, the others find it. */
static int
renew(struct tickets *t, uint64_t keep_ms, uint64_t now_ms)
{
	struct accounts_txn *txn;
	struct buf b;
	int error;

	if (t->accounts == NULL) {
		add_key(t, keep_ms, now_ms);
		return 0;
	}
	error = accounts_begin(t->accounts, &txn);
	if (error != 0)
		return error;
	buf_init(&b, sizeof(t->keys));
	if (accounts_txn_meta_get(txn, META_KEY, &b) == 0)
		load(t, &b);
	if (is_due(t, now_ms)) {
		add_key(t, keep_ms, now_ms);
		error = accounts_txn_meta_put(txn, META_KEY,
		    view_of((char *)t->keys, t->n * sizeof(*t->keys)));
	}
	if (b.data != NULL)
		explicit_bzero(b.data, b.cap);
	buf_fini(&b);
	if (error == 0)
		error = accounts_commit(&txn);
	else
		accounts_abort(&txn);
	return error;
}

/*
 * A key that is not on disk would be one process's: nobody else could check
 * its tickets, and neither could this process after its end.
 */
static int
renew_or_keep(struct tickets *t, uint64_t keep_ms, uint64_t now_ms)
{
	struct tickets before = *t;
	int error = renew(t, keep_ms, now_ms);

	if (error != 0)
		*t = before;
	explicit_bzero(&before, sizeof(before));
	return error;
}

void
tickets_turn(struct tickets *t, uint64_t keep_ms, uint64_t now_ms)
{
	uint64_t mono = clock_mono_ms();

	(void)reload(t);
	if (!is_due(t, now_ms) ||
	    (t->renewed_mono_ms != 0 && mono - t->renewed_mono_ms < HOUR_MS))
		return;
	if (renew_or_keep(t, keep_ms, now_ms) == 0)
		t->renewed_mono_ms = mono;
	else
		log_error("the key of login tickets was not renewed: the old one stays");
}

struct tickets *
tickets_new(struct accounts *a, uint64_t keep_ms, uint64_t now_ms, struct buf *why)
{
	struct tickets *t = XNEW(struct tickets);
	int error = 0;

	t->accounts = a;
	error = reload(t);
	if (error == 0 || error == PK_ENOENT)
		error = is_due(t, now_ms) ? renew_or_keep(t, keep_ms, now_ms) : 0;
	/* An old key is as good as a new one for a while. */
	if (t->n == 0) {
		buf_printf(why, "no key for login tickets: %s", pk_strerror(error));
		tickets_free(&t);
	}
	return t;
}

void
tickets_free(struct tickets **t)
{
	if (*t != NULL)
		explicit_bzero((*t)->keys, sizeof((*t)->keys));
	xfree(*t);
	*t = NULL;
}

static void
put_u64(uint8_t *p, uint64_t n)
{
	int i;

	for (i = 0; i < 8; i++)
		p[i] = (uint8_t)(n >> (8 * i));
}

static uint64_t
get_u64(const uint8_t *p)
{
	uint64_t n = 0;
	int i;

	for (i = 0; i < 8; i++)
		n |= (uint64_t)p[i] << (8 * i);
	return n;
}

/* Over everything before it, and the login. */
static void
put_mac(const struct key *k, uint8_t ticket[AUTH_TICKET_SIZE], struct view login)
{
	uint8_t text[AUTH_TICKET_SIZE - MAC_SIZE + AUTH_LOGIN_MAX], out[EVP_MAX_MD_SIZE];
	size_t head = AUTH_TICKET_SIZE - MAC_SIZE;

	login = view_head(login, AUTH_LOGIN_MAX);
	memcpy(text, ticket, head);
	if (login.len > 0)
		memcpy(text + head, login.p, login.len);
	(void)HMAC(EVP_sha256(), k->secret, sizeof(k->secret), text, head + login.len, out, NULL);
	memcpy(ticket + head, out, MAC_SIZE);
	explicit_bzero(out, sizeof(out));
}

void
ticket_make(struct tickets *t, uint64_t instance, struct view login, uint64_t now_ms,
    uint8_t ticket_r[AUTH_TICKET_SIZE])
{
	const struct key *k = &t->keys[t->n - 1];

	ticket_r[0] = TICKET_VERSION;
	ticket_r[1] = (uint8_t)k->number;
	put_u64(ticket_r + 2, (now_ms + LIFE_MS) / 1000);
	put_u64(ticket_r + 10, instance);
	put_mac(k, ticket_r, login);
}

static const struct key *
key_find(const struct tickets *t, uint8_t number)
{
	size_t i;

	for (i = t->n; i-- > 0;)
		if ((uint8_t)t->keys[i].number == number)
			return &t->keys[i];
	return NULL;
}

int
ticket_check(struct tickets *t, uint64_t instance, struct view login, struct view ticket,
    uint64_t arrival_ms)
{
	const uint8_t *p = (const uint8_t *)ticket.p;
	uint8_t want[AUTH_TICKET_SIZE];
	const struct key *k;
	int error;

	if (ticket.len != AUTH_TICKET_SIZE || p[0] != TICKET_VERSION || login.len == 0 ||
	    login.len > AUTH_LOGIN_MAX || get_u64(p + 10) != instance)
		return PK_EPERM;
	k = key_find(t, p[1]);
	if (k == NULL) {
		/* Perhaps another worker's new one. */
		error = reload(t);
		if (error != 0 && error != PK_ENOENT)
			return PK_ETEMP;
		k = key_find(t, p[1]);
	}
	if (k == NULL)
		return PK_EPERM;
	memcpy(want, p, AUTH_TICKET_SIZE);
	put_mac(k, want, login);
	error = CRYPTO_memcmp(want, p, AUTH_TICKET_SIZE) == 0 &&
	    arrival_ms / 1000 <= get_u64(p + 2) ? 0 : PK_EPERM;
	explicit_bzero(want, sizeof(want));
	return error;
}
