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
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

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
			fail_msg("generation %u: status %x: %s", model->generation, (unsigned)status,
			    model->error);
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

UNIT_MAIN(cmocka_unit_test(test_F1_F2_crashes), cmocka_unit_test(test_F12_rebuild))
