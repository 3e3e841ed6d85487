/* SPDX-License-Identifier: ISC */
/*
 * The store against a model, over crashes (F1, F2): a child process takes
 * messages in, delivers, defers, holds, checkpoints and relocates at random
 * and is killed at a random moment; the next one recovers what is on disk
 * and holds it against what the model, in shared memory, knows to be
 * acknowledged. Nothing may be missing, nothing that was synced as finished
 * may come back.
 */
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "qmgr/store.h"
#include "sys/fd.h"
#include "tests/unit/unit.h"

#define MESSAGES	4000
#define GENERATIONS	40
#define OPS		400

struct model_message {
	uint64_t	id;
	unsigned	nrcpts;
	unsigned	done, done_synced;	/* bits */
	bool		finished, finished_synced;
	bool		ended;		/* was finished once, even if a crash undid that */
	bool		held, held_synced;
};

struct model {
	struct model_message m[MESSAGES];
	size_t		n;
	unsigned	generation;
	char		error[500];
};

static struct model *model;
static char dir[] = "/tmp/pk-store-XXXXXX";

/* ---- the store's surroundings ---- */

static void
on_due(void *arg, struct message *m)
{
	(void)arg, (void)m;
}

static bool
on_keep(void *arg, struct message *m)
{
	(void)arg, (void)m;
	return false;
}

static void
on_scope(void *arg, bool on, unsigned kind, struct view name)
{
	(void)arg, (void)on, (void)kind, (void)name;
}

static void
on_scopes(void *arg, struct buf *b)
{
	(void)arg, (void)b;
}

static const struct store_ops ops = { on_due, on_keep, on_due, on_scope, on_scopes };

static bool
nobody_alive(void *arg, uint64_t instance)
{
	(void)arg, (void)instance;
	return false;
}

static void
die(const char *what, uint64_t id, unsigned a, unsigned b)
{
	snprintf(model->error, sizeof(model->error), "%llX: %s (%u, %u)", (unsigned long long)id,
	    what, a, b);
	_exit(3);
}

/* ---- a writer ---- */

static struct segment *seg;
static int seg_fd = -1;

static void
made(void *arg, struct segment *s, int fd, int error)
{
	(void)arg;
	if (error != 0)
		die("no segment", 0, 0, (unsigned)-error);
	seg = s;
	seg_fd = fd;
}

static void
new_segment(struct store *s)
{
	if (seg != NULL) {
		close(seg_fd);
		segments_seal(&s->segments, seg, seg->durable);
	}
	segments_create(&s->segments, SEGMENT_SHARED, 1000 + model->generation, IPC_ROLE_smtpd,
	    1 << 20, 1 << 16, made, NULL);
	worker_drain(s->disk_worker);
}

static void
write_message(struct store *s)
{
	static const char zeros[8];
	struct record_header h;
	struct segment_record r;
	struct message *m;
	struct view content = VIEW("Subject: x\r\n\r\nhello\r\n"), head = VIEW("Received: y\r\n");
	struct model_message *mm = &model->m[model->n];
	struct buf env;
	size_t pad;
	unsigned i;
	char rcpt[64];

	if (model->n == MESSAGES)
		return;
	memset(mm, 0, sizeof(*mm));
	mm->nrcpts = 1 + (unsigned)(random() % 4);
	buf_init(&env, 65536);
	envelope_put_text(&env, ENVELOPE_SENDER, VIEW("a@src.test"));
	envelope_put_u64(&env, ENVELOPE_ARRIVAL_MS, store_now_ms(s));
	for (i = 0; i < mm->nrcpts; i++) {
		snprintf(rcpt, sizeof(rcpt), "r%u@dst.test", i);
		envelope_put_text(&env, ENVELOPE_RECIPIENT, view_str(rcpt));
	}
	record_header_shared(&h, seg->header.key, seg->header.number, seg->durable,
	    buf_view(&env), head, content);
	pad = h.total_bytes - sizeof(h) - env.len - head.len - content.len;
	fd_write_all(seg_fd, &h, sizeof(h));
	fd_write_all(seg_fd, buf_data(&env), env.len);
	fd_write_all(seg_fd, head.p, head.len);
	fd_write_all(seg_fd, content.p, content.len);
	fd_write_all(seg_fd, zeros, pad);
	buf_fini(&env);
	mm->id = h.message;
	__sync_synchronize();
	model->n++;		/* acknowledged: from here on it may not be lost */
	seg->durable += h.total_bytes;
	if (random() % 8 == 0)
		return;		/* qmgr dies before it reads it */
	while (store_scan(s, seg, seg->durable, false, &r) == 0)
		if (store_take_in(s, seg, &r, false, &m) != 0)
			die("not taken in", r.h.message, 0, 0);
		else
			store_settle(s, m);
}

/* ---- random work ---- */

static struct model_message *
any(struct store *s, struct message **m_r)
{
	struct model_message *mm;
	int tries;

	for (tries = 0; tries < 20 && model->n > 0; tries++) {
		mm = &model->m[(size_t)random() % model->n];
		if (mm->finished)
			continue;
		*m_r = store_message(s, mm->id);
		if (*m_r != NULL)
			return mm;
	}
	return NULL;
}

static void
expand(struct store *s, struct message *m)
{
	uint32_t i;

	if (store_recipients(s, m) != 0)
		die("its record cannot be read", m->id, 0, 0);
	if ((m->flags & MESSAGE_EXPANDED) != 0)
		return;
	for (i = 0; i < m->nrcpts; i++) {
		m->rcpts[i]->route = route_intern(s->routes, VIEW("smtp"), VIEW("dst.test"));
		m->rcpts[i]->flags |= RCPT_ROUTED | RCPT_DIRTY;
	}
	m->flags |= MESSAGE_EXPANDED;
}

static void
outcome(struct store *s)
{
	struct message *m;
	struct model_message *mm = any(s, &m);
	struct recipient *r;
	uint32_t i;

	if (mm == NULL)
		return;
	expand(s, m);
	i = (uint32_t)random() % m->nrcpts;
	r = m->rcpts[i];
	if (r == NULL || r->state != RCPT_WAIT) {
		store_settle(s, m);
		return;
	}
	r->attempts++;
	if (random() % 3 == 0) {
		recipient_set_status(r, VIEW("4.4.1"), VIEW("none"), VIEW("later"));
		r->due_ms = store_now_ms(s) + 100000;
	} else {
		recipient_set_status(r, VIEW("2.0.0"), VIEW("x"), VIEW("ok"));
		r->state = RCPT_SENT;
		mm->done |= 1U << i;
	}
	if (mm->done == (1U << mm->nrcpts) - 1)
		mm->finished = mm->ended = true;
	store_log_rows(s, m, &r, 1);
	store_settle(s, m);
}

static void
hold(struct store *s)
{
	struct message *m;
	struct model_message *mm = any(s, &m);

	if (mm == NULL)
		return;
	mm->held = !mm->held;
	m->flags = (uint16_t)(mm->held ? m->flags | MESSAGE_HELD :
	    m->flags & ~(unsigned)MESSAGE_HELD);
	store_log_message(s, m);
	store_settle(s, m);
}

static void
sync_all(struct store *s)
{
	size_t i;

	journal_flush(s->journal);
	for (i = 0; i < model->n; i++) {
		model->m[i].done_synced = model->m[i].done;
		model->m[i].finished_synced = model->m[i].finished;
		model->m[i].held_synced = model->m[i].held;
	}
}

static void
work(struct store *s, unsigned ops_before_death)
{
	unsigned i;
	long what;

	new_segment(s);
	for (i = 0; i < ops_before_death; i++) {
		what = random() % 100;
		if (what < 35)
			write_message(s);
		else if (what < 75)
			outcome(s);
		else if (what < 82)
			hold(s);
		else if (what < 90)
			sync_all(s);
		else if (what < 94)
			store_checkpoint(s, true);
		else if (what < 97)
			store_checkpoint_wait(s);
		else if (what < 98)
			new_segment(s);
		else
			worker_drain(s->index_worker);
	}
}

/* ---- after a crash ---- */

static void
check_one(struct store *s, struct model_message *mm, bool rebuild)
{
	struct message *m = store_message(s, mm->id);
	struct recipient *r;
	unsigned i, open = 0;

	if (m == NULL) {
		/* A rebuild may know of an end that the journal had not yet. */
		if (!mm->finished && !mm->ended)
			die("is lost", mm->id, 0, 0);
		mm->finished = mm->finished_synced = true;
		return;
	}
	if (mm->finished_synced)
		die("was finished and is back", mm->id, 0, 0);
	mm->finished = false;
	if (!rebuild && mm->held == mm->held_synced && mm->held != ((m->flags & MESSAGE_HELD) != 0))
		die("held is, should be", mm->id, !mm->held, mm->held);
	mm->held = mm->held_synced = (m->flags & MESSAGE_HELD) != 0;
	mm->done = 0;
	if ((m->flags & MESSAGE_PARTIAL) != 0) {
		expand(s, m);
		store_apply_done(s, m);
	}
	if ((m->flags & MESSAGE_EXPANDED) == 0) {
		if (mm->done_synced != 0)
			die("expansion is lost", mm->id, 0, 0);
		return;
	}
	if (m->nrcpts != mm->nrcpts)
		die("recipients are, should be", mm->id, m->nrcpts, mm->nrcpts);
	for (i = 0; i < mm->nrcpts; i++) {
		r = m->rcpts[i];
		if (r == NULL || recipient_done(r))
			mm->done |= 1U << i;
		else
			open++;
	}
	if ((mm->done_synced & ~mm->done) != 0)
		die("done is, was", mm->id, mm->done, mm->done_synced);
	if (open != m->nopen)
		die("open are, counted", mm->id, open, m->nopen);
	mm->done_synced = mm->done;
}

static void
check_totals(struct store *s)
{
	uint64_t live = 0, counted = 0;
	size_t i;

	for (i = 0; i < model->n; i++)
		live += !model->m[i].finished;
	for (i = 0; i < MESSAGE_CLASSES; i++)
		counted += s->counts[i];
	if (live != counted)
		die("messages counted, there are", 0, (unsigned)counted, (unsigned)live);
}

static void
generation(bool rebuild)
{
	struct store s;
	size_t i;

	log_set_level(LOG_LVL_ERROR);
	srandom(4711 + model->generation);
	if (rebuild) {
		char mark[64];
		int fd;

		snprintf(mark, sizeof(mark), "%s/" STORE_REBUILD_MARK, dir);
		fd = open(mark, O_WRONLY | O_CREAT, 0600);
		close(fd);
	}
	store_init(&s, NULL, dir, &ops, NULL);
	store_recover(&s, nobody_alive, NULL);
	for (i = 0; i < model->n; i++)
		check_one(&s, &model->m[i], rebuild);
	check_totals(&s);
	work(&s, (unsigned)random() % OPS);
	if (random() % 4 == 0) {
		sync_all(&s);
		store_fini(&s);
		_exit(0);
	}
	kill(getpid(), SIGKILL);
}

static void
run_generations(unsigned n, unsigned rebuild_every)
{
	int status;
	pid_t pid;

	for (; n > 0; n--) {
		model->generation++;
		pid = fork();
		if (pid == 0)
			generation(rebuild_every > 0 && n % rebuild_every == 0);
		waitpid(pid, &status, 0);
		if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
			continue;
		if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
			fail_msg("generation %u: status %x: %s", model->generation,
			    (unsigned)status, model->error);
	}
}

static int
remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st, (void)flag, (void)ftw;
	return remove(path);
}

static void
begin(void)
{
	memcpy(dir, "/tmp/pk-store-XXXXXX", sizeof(dir));
	assert_non_null(mkdtemp(dir));
	model = mmap(NULL, sizeof(*model), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
	    -1, 0);
	assert_true(model != MAP_FAILED);
}

static void
end(void)
{
	munmap(model, sizeof(*model));
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void
test_F1_F2_crashes(void **state)
{
	(void)state;
	begin();
	run_generations(GENERATIONS, 0);
	assert_true(model->n > 100);
	end();
}

/* Without the index: what the files beside the segments say keeps the same promises. */
static void
test_F12_rebuild(void **state)
{
	(void)state;
	begin();
	run_generations(GENERATIONS, 4);
	assert_true(model->n > 100);
	end();
}

/* ---- single cases ---- */

static void
open_store(struct store *s)
{
	store_init(s, NULL, dir, &ops, NULL);
	store_recover(s, nobody_alive, NULL);
}

static void
put_envelope(struct buf *env, struct store *s)
{
	buf_init(env, 65536);
	envelope_put_text(env, ENVELOPE_SENDER, VIEW("a@src.test"));
	envelope_put_u64(env, ENVELOPE_ARRIVAL_MS, store_now_ms(s));
	envelope_put_text(env, ENVELOPE_RECIPIENT, VIEW("list@dst.test"));
	envelope_put_text(env, ENVELOPE_RECIPIENT, VIEW("b@dst.test"));
}

/* A record without header block and content; its id may be another's. */
static void
append_record(struct store *s, uint64_t offset, uint64_t id)
{
	static const char zeros[8];
	struct record_header h;
	struct buf env;

	put_envelope(&env, s);
	record_header_shared(&h, seg->header.key, seg->header.number, offset, buf_view(&env),
	    VIEW_NONE, VIEW_NONE);
	if (id != 0) {
		h.message = id;
		h.check = record_check(seg->header.key, view_of((char *)&h,
		    offsetof(struct record_header, check)));
	}
	fd_write_all(seg_fd, &h, sizeof(h));
	fd_write_all(seg_fd, buf_data(&env), env.len);
	fd_write_all(seg_fd, zeros, h.total_bytes - sizeof(h) - env.len);
	seg->durable = offset + h.total_bytes;
	buf_fini(&env);
}

/* After a reconnect a writer states a large message that is still arriving. */
static void
test_dedicated_stated_early(void **state)
{
	static const char zeros[8];
	struct record_trailer t;
	struct segment_record r;
	struct record_header h;
	struct store s;
	struct buf env;

	(void)state;
	begin();
	open_store(&s);
	segments_create(&s.segments, SEGMENT_DEDICATED, 1000, IPC_ROLE_smtpd, 1 << 20, 0, made,
	    NULL);
	worker_drain(s.disk_worker);
	seg->durable = sizeof(struct segment_header);
	assert_int_equal(store_scan(&s, seg, seg->durable, false, &r), PK_EEND);
	put_envelope(&env, &s);
	record_header_dedicated(&h, &t, seg->header.key, seg->header.number,
	    sizeof(struct segment_header), buf_view(&env), VIEW_NONE, 0,
	    record_check(seg->header.key, VIEW_NONE));
	fd_write_all(seg_fd, &h, sizeof(h));
	fd_write_all(seg_fd, buf_data(&env), env.len);
	fd_write_all(seg_fd, zeros, -(sizeof(h) + env.len) & 7);
	fd_write_all(seg_fd, &t, sizeof(t));
	seg->durable = sizeof(struct segment_header) + ((sizeof(h) + env.len + 7) & ~7UL) +
	    sizeof(t);
	assert_int_equal(store_scan(&s, seg, seg->durable, false, &r), 0);
	assert_int_equal(r.h.message, record_id(seg->header.number, 0));
	buf_fini(&env);
	close(seg_fd);
	seg = NULL;
	store_fini(&s);
	end();
}

/* A writer that was taken over knows its segment's key, and spoils a record of its own. */
static void
test_foreign_id_behind_damage(void **state)
{
	static const char garbage[64];
	struct segment_record r;
	struct store s;

	(void)state;
	begin();
	log_set_level(LOG_LVL_FATAL);
	open_store(&s);
	new_segment(&s);
	fd_write_all(seg_fd, garbage, sizeof(garbage));
	append_record(&s, seg->durable + sizeof(garbage), record_id(77, 4096));
	assert_int_equal(store_scan(&s, seg, seg->durable, false, &r), PK_EEND);
	append_record(&s, seg->durable, 0);
	assert_int_equal(store_scan(&s, seg, seg->durable, false, &r), 0);
	close(seg_fd);
	seg = NULL;
	store_fini(&s);
	end();
}

static struct message *
take_one(struct store *s)
{
	struct segment_record r;
	struct message *m;

	new_segment(s);
	append_record(s, seg->durable, 0);
	assert_int_equal(store_scan(s, seg, seg->durable, false, &r), 0);
	assert_int_equal(store_take_in(s, seg, &r, false, &m), 0);
	close(seg_fd);
	seg = NULL;
	return m;
}

static void
add_member(struct store *s, struct message *m)
{
	struct recipient *r = recipient_new(0, VIEW("member@dst.test"), VIEW(""), VIEW(""),
	    VIEW(""), 0);

	r->route = route_intern(s->routes, VIEW("smtp"), VIEW("dst.test"));
	r->flags |= RCPT_ROUTED;
	store_recipient_add(s, m, r);
}

/* The process ends while one of two addresses is still being asked for. */
static void
test_expansion_cut_short(void **state)
{
	struct message *m;
	struct store s;
	uint64_t id;

	(void)state;
	begin();
	open_store(&s);
	m = take_one(&s);
	id = m->id;
	assert_int_equal(store_recipients(&s, m), 0);
	add_member(&s, m);
	store_fini(&s);
	open_store(&s);
	m = store_message(&s, id);
	assert_non_null(m);
	assert_int_equal(store_recipients(&s, m), 0);
	assert_int_equal(m->nrcpts, 2);
	assert_int_equal(m->nopen, 2);
	assert_int_equal(s.open_recipients, 2);
	store_fini(&s);
	end();
}

/* Members that a later expansion adds outlive the journal file that names them. */
static void
test_expansion_again(void **state)
{
	struct message *m;
	struct store s;
	uint64_t id;

	(void)state;
	begin();
	open_store(&s);
	m = take_one(&s);
	id = m->id;
	expand(&s, m);
	m->rcpts[0]->due_ms = UINT64_MAX / 2;
	store_log_rows(&s, m, m->rcpts, 1);
	store_checkpoint(&s, true);
	store_checkpoint_wait(&s);
	m = store_message(&s, id);
	add_member(&s, m);
	m->flags &= (uint16_t)~MESSAGE_LOGGED;
	store_log_rows(&s, m, NULL, 0);
	store_fini(&s);
	open_store(&s);
	m = store_message(&s, id);
	assert_non_null(m);
	assert_int_equal(m->nrcpts, 3);
	assert_non_null(m->rcpts[2]);
	store_fini(&s);
	end();
}

UNIT_MAIN(cmocka_unit_test(test_dedicated_stated_early),
    cmocka_unit_test(test_foreign_id_behind_damage),
    cmocka_unit_test(test_expansion_cut_short), cmocka_unit_test(test_expansion_again),
    cmocka_unit_test(test_F1_F2_crashes), cmocka_unit_test(test_F12_rebuild))
