/* SPDX-License-Identifier: ISC */
/*
 * tickets.c: session ticket secrets, shared by every acceptor.
 *
 * Runs in certd. They are kept in a file that root opened for us, so that the
 * end of this process does not end everybody's sessions; it has a fixed size
 * and a digest: half a write is a file that is not taken. Ages are monotonic
 * in memory; in the file they are dates, believed only as far as they make
 * sense (F6).
 */
#include "certd/tickets.h"

#include <bsd/stdlib.h>
#include <string.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"
#include "sys/fd.h"

#define MAGIC	0x315354454b434954ULL	/* "TICKETS1" */

/* One machine's memory: no byte order. */
struct kept {
	uint64_t	magic;
	uint64_t	count;
	struct {
		uint8_t		bytes[TICKET_SECRET_SIZE];
		uint64_t	made_ms, retired_ms;	/* wall; the first is not retired: 0 */
	}		secrets[TICKET_SECRETS_MAX];
	uint8_t		digest[SHA256_DIGEST_LENGTH];
};

static void
put_digest(const struct kept *k, uint8_t digest_r[SHA256_DIGEST_LENGTH])
{
	(void)SHA256((const unsigned char *)k, offsetof(struct kept, digest), digest_r);
}

/* A date as a time of the monotonic clock; one in the future is now. */
static int64_t
from_date(uint64_t date_ms, uint64_t now_ms, uint64_t wall_ms)
{
	return (int64_t)now_ms - (wall_ms > date_ms ? (int64_t)(wall_ms - date_ms) : 0);
}

static uint64_t
to_date(int64_t then_ms, uint64_t now_ms, uint64_t wall_ms)
{
	return wall_ms - (uint64_t)((int64_t)now_ms - then_ms);
}

static bool
is_over(int64_t since_ms, uint64_t now_ms, uint64_t span_ms)
{
	return (int64_t)now_ms - since_ms >= (int64_t)span_ms;
}

static void
load(struct tickets *t, uint64_t now_ms, uint64_t wall_ms)
{
	uint8_t digest[SHA256_DIGEST_LENGTH];
	struct ticket_secret *s;
	struct kept k;
	unsigned i;

	if (t->fd == -1 || fd_pread_all(t->fd, &k, sizeof(k), 0) != 0)
		return;
	put_digest(&k, digest);
	if (k.magic == MAGIC && k.count > 0 && k.count <= TICKET_SECRETS_MAX &&
	    CRYPTO_memcmp(digest, k.digest, sizeof(digest)) == 0) {
		for (i = 0; i < k.count; i++) {
			s = &t->secrets[t->count++];
			memcpy(s->bytes, k.secrets[i].bytes, sizeof(s->bytes));
			s->made_ms = from_date(k.secrets[i].made_ms, now_ms, wall_ms);
			s->retired_ms = i == 0 ? 0 :
			    from_date(k.secrets[i].retired_ms, now_ms, wall_ms);
		}
	}
	explicit_bzero(&k, sizeof(k));
}

void
tickets_init(struct tickets *t, int fd, uint64_t now_ms, uint64_t wall_ms, uint64_t period_ms,
    uint64_t life_ms)
{
	memset(t, 0, sizeof(*t));
	t->fd = fd;
	load(t, now_ms, wall_ms);
	if (t->count == 0)
		tickets_rotate(t, now_ms);
	(void)tickets_turn(t, now_ms, period_ms, life_ms);
}

void
tickets_fini(struct tickets *t)
{
	fd_close(&t->fd);
	explicit_bzero(t, sizeof(*t));
	t->fd = -1;
}

void
tickets_rotate(struct tickets *t, uint64_t now_ms)
{
	struct ticket_secret *s = t->secrets;

	if (t->count > 0)
		s->retired_ms = (int64_t)now_ms;
	if (t->count < TICKET_SECRETS_MAX)
		t->count++;
	memmove(s + 1, s, (TICKET_SECRETS_MAX - 1) * sizeof(*s));
	arc4random_buf(s->bytes, sizeof(s->bytes));
	s->made_ms = (int64_t)now_ms;
	s->retired_ms = 0;
}

bool
tickets_turn(struct tickets *t, uint64_t now_ms, uint64_t period_ms, uint64_t life_ms)
{
	bool changed = false;
	unsigned i;

	if (is_over(t->secrets[0].made_ms, now_ms, period_ms)) {
		tickets_rotate(t, now_ms);
		changed = true;
	}
	for (i = 1; i < t->count; i++) {
		if (!is_over(t->secrets[i].retired_ms, now_ms, life_ms))
			continue;
		/* Those behind it retired earlier still. */
		explicit_bzero(&t->secrets[i], (t->count - i) * sizeof(t->secrets[i]));
		t->count = i;
		changed = true;
	}
	return changed;
}

uint64_t
tickets_due_ms(const struct tickets *t, uint64_t now_ms, uint64_t period_ms, uint64_t life_ms)
{
	int64_t due = t->secrets[0].made_ms + (int64_t)period_ms, oldest;

	if (t->count > 1) {
		oldest = t->secrets[t->count - 1].retired_ms + (int64_t)life_ms;
		due = oldest < due ? oldest : due;
	}
	return due > (int64_t)now_ms ? (uint64_t)(due - (int64_t)now_ms) : 0;
}

int
tickets_save(const struct tickets *t, uint64_t now_ms, uint64_t wall_ms)
{
	const struct ticket_secret *s;
	int error = 0;
	struct kept k;
	unsigned i;

	if (t->fd == -1)
		return 0;
	memset(&k, 0, sizeof(k));
	k.magic = MAGIC;
	k.count = t->count;
	for (i = 0; i < t->count; i++) {
		s = &t->secrets[i];
		memcpy(k.secrets[i].bytes, s->bytes, sizeof(s->bytes));
		k.secrets[i].made_ms = to_date(s->made_ms, now_ms, wall_ms);
		k.secrets[i].retired_ms = i == 0 ? 0 : to_date(s->retired_ms, now_ms, wall_ms);
	}
	put_digest(&k, k.digest);
	if (lseek(t->fd, 0, SEEK_SET) == -1 || fd_write_all(t->fd, &k, sizeof(k)) != 0)
		error = PK_ESYS;
	explicit_bzero(&k, sizeof(k));
	return error;
}
