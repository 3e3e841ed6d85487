/* SPDX-License-Identifier: ISC */
/*
 * state.c: the process table as text, for the master that takes over.
 *
 * Written by one binary and read by another, possibly newer one: a header
 * with a version, one line a thing, fields in a fixed order, the running
 * configuration at the end. The reader believes nothing it cannot check: a
 * state that it does not understand means that no upgrade happens.
 */
#include <sys/mman.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "master/master.h"
#include "sys/fd.h"

#define STATE_MAX	(16 << 20)
#define HEADER		"postkeep-master-state 1"

/* ---- writing ---- */

static void
put_listeners(struct buf *b, const struct listener_list *list, const char *kind)
{
	const struct listener *l;

	TAILQ_FOREACH(l, list, link)
		buf_printf(b, "%s %u %d %s %s %s\n", kind, (unsigned)l->class, l->fd, l->name,
		    l->family, l->address);
}

static void
put_slots(struct buf *b, const struct master *m)
{
	const struct slot *s;
	unsigned role, i;

	for (role = 1; role < IPC_ROLES; role++) {
		for (i = 0; i < MASTER_WORKERS_MAX; i++) {
			s = &m->slots[role][i];
			if (s->wanted)
				buf_printf(b, "slot %s %u %u %u %llu\n",
				    ipc_role_name((enum ipc_role)role), i, s->deaths,
				    s->restarts, (unsigned long long)s->start_ms);
		}
	}
}

static void
put_procs(struct buf *b, const struct master *m)
{
	const struct proc *p;

	TAILQ_FOREACH(p, &m->procs, link)
		buf_printf(b, "proc %s %u %u %llu %ld %u %d %u %llu %llu %llu\n",
		    ipc_role_name(p->slot->role), p->slot->index, p == p->slot->proc,
		    (unsigned long long)p->instance, (long)p->pid, (unsigned)p->state, p->fd,
		    p->page, (unsigned long long)p->started_ms,
		    (unsigned long long)p->deadline_ms, (unsigned long long)p->report);
}

int
state_write(const struct master *m)
{
	struct buf b;
	int fd;

	buf_init(&b, STATE_MAX);
	buf_put_str(&b, HEADER "\n");
	buf_printf(&b, "master %u %llu %llu %llu %d %d %u\n", m->foreground,
	    (unsigned long long)m->started_ms, (unsigned long long)m->next_instance,
	    (unsigned long long)m->instance_limit, m->stats_fd, m->pid_fd,
	    (unsigned)log_get_level());
	buf_printf(&b, "path %s\n", m->conf_path);
	put_listeners(&b, &m->listeners, "listener");
	put_listeners(&b, &m->admin, "admin");
	put_slots(&b, m);
	put_procs(&b, m);
	buf_put_str(&b, "config\n");
	if (conf_serialise(m->conf, &b) != 0 || buf_error(&b) != 0) {
		buf_fini(&b);
		return -1;
	}
	fd = fd_sealed_memfd("master-state", buf_view(&b));
	buf_fini(&b);
	return fd;
}

/* ---- reading ---- */

/* Takes the next word of the line as a number; the first error sticks. */
static uint64_t
number(struct view *line, uint64_t greatest, int *error)
{
	struct view word;
	uint64_t n = 0;

	if (!view_next(line, " ", &word) || num_parse_u64(word, 0, greatest, &n) != 0)
		*error = PK_EFORMAT;
	return n;
}

/* A descriptor that really is open. */
static int
handle(struct view *line, int *error)
{
	int fd = (int)number(line, INT32_MAX, error);

	if (*error == 0 && fcntl(fd, F_GETFD) == -1)
		*error = PK_EFORMAT;
	return *error == 0 ? fd : -1;
}

static struct slot *
slot_of(struct master *m, struct view *line, int *error)
{
	struct view name = VIEW_NONE;
	enum ipc_role role;
	uint64_t index;

	if (!view_next(line, " ", &name))
		*error = PK_EFORMAT;
	role = ipc_role_parse(name);
	index = number(line, MASTER_WORKERS_MAX - 1, error);
	if (*error != 0 || role == IPC_ROLE_none) {
		*error = PK_EFORMAT;
		return NULL;
	}
	m->slots[role][index].role = role;
	m->slots[role][index].index = (unsigned)index;
	return &m->slots[role][index];
}

static int
read_master(struct master *m, struct view line)
{
	int error = 0;

	m->foreground = number(&line, 1, &error) == 1;
	m->started_ms = number(&line, UINT64_MAX, &error);
	m->next_instance = number(&line, UINT64_MAX, &error);
	m->instance_limit = number(&line, UINT64_MAX, &error);
	m->stats_fd = handle(&line, &error);
	m->pid_fd = handle(&line, &error);
	log_set_level((enum log_level)number(&line, LOG_LVL_ERROR, &error));
	if (m->next_instance > m->instance_limit)
		error = PK_EFORMAT;
	return error;
}

static int
read_listener(struct listener_list *list, struct view line)
{
	struct view name, family;
	int error = 0, fd;
	uint64_t class;

	class = number(&line, CHILD_LISTENER_CLASSES - 1, &error);
	fd = handle(&line, &error);
	if (error != 0 || !view_next(&line, " ", &name) || !view_next(&line, " ", &family) ||
	    line.len == 0)
		return PK_EFORMAT;
	listener_add(list, name, family, line, (enum child_listener_class)class, fd);
	return 0;
}

static int
read_slot(struct master *m, struct view line)
{
	int error = 0;
	struct slot *s = slot_of(m, &line, &error);

	if (error != 0)
		return error;
	s->wanted = true;
	s->deaths = (unsigned)number(&line, UINT32_MAX, &error);
	s->restarts = (unsigned)number(&line, UINT32_MAX, &error);
	s->start_ms = number(&line, UINT64_MAX, &error);
	return error;
}

static int
read_proc(struct master *m, struct view line)
{
	struct proc *p = XNEW(struct proc);
	bool current;
	int error = 0;

	p->master = m;
	p->slot = slot_of(m, &line, &error);
	current = number(&line, 1, &error) == 1;
	p->instance = number(&line, UINT64_MAX, &error);
	p->pid = (pid_t)number(&line, INT32_MAX, &error);
	p->state = (enum proc_state)number(&line, PROC_DRAINING, &error);
	p->fd = handle(&line, &error);
	p->page = (unsigned)number(&line, STATS_PAGES_MAX - 1, &error);
	p->started_ms = number(&line, UINT64_MAX, &error);
	p->deadline_ms = number(&line, UINT64_MAX, &error);
	p->report = number(&line, UINT64_MAX, &error);
	if (error != 0 || (current && p->slot->proc != NULL)) {
		xfree(p);
		return PK_EFORMAT;
	}
	if (current)
		p->slot->proc = p;
	m->pages[p->page] = p->page != 0;
	TAILQ_INSERT_TAIL(&m->procs, p, link);
	return 0;
}

static int
read_line(struct master *m, struct view line)
{
	struct view word = VIEW_NONE;

	if (!view_next(&line, " ", &word))
		return PK_EFORMAT;
	if (view_eq(word, VIEW("master")))
		return read_master(m, line);
	if (view_eq(word, VIEW("listener")))
		return read_listener(&m->listeners, line);
	if (view_eq(word, VIEW("admin")))
		return read_listener(&m->admin, line);
	if (view_eq(word, VIEW("slot")))
		return read_slot(m, line);
	if (view_eq(word, VIEW("proc")))
		return read_proc(m, line);
	if (view_eq(word, VIEW("path")) && m->conf_path == NULL && line.len > 0) {
		m->conf_path = view_dup(line);
		return 0;
	}
	return PK_EFORMAT;
}

static void
note(const struct conf_note *n, void *arg)
{
	(void)arg;
	if (n->level == 'e')
		log_error("running configuration: %s", n->text);
}

/* All lines up to "config"; what follows is main.cf. */
static int
read_lines(struct master *m, struct view text)
{
	struct view line;
	ptrdiff_t nl;
	bool first = true;
	int error;

	while ((nl = view_find(text, '\n')) >= 0) {
		line = view_head(text, (size_t)nl);
		text = view_from(text, (size_t)nl + 1);
		if (first && !view_eq(line, VIEW(HEADER)))
			return PK_EUNSUPPORTED;
		if (view_eq(line, VIEW("config")))
			break;
		error = first ? 0 : read_line(m, line);
		if (error != 0) {
			log_error("state: cannot read \"%.*s\"", VIEW_ARG(line));
			return error;
		}
		first = false;
	}
	if (m->conf_path == NULL || m->pid_fd == -1 || text.len == 0)
		return PK_EFORMAT;
	m->conf = conf_load(m->conf_path, text, note, NULL);
	return m->conf != NULL ? 0 : PK_EFORMAT;
}

int
state_read(struct master *m, int fd)
{
	struct stat st;
	struct buf b;
	char *p;
	int error;

	if (fstat(fd, &st) == -1 || st.st_size <= 0 || st.st_size > STATE_MAX)
		return PK_EFORMAT;
	buf_init(&b, STATE_MAX);
	p = buf_room(&b, (size_t)st.st_size);
	error = p == NULL ? PK_ELIMIT : fd_pread_all(fd, p, (size_t)st.st_size, 0);
	if (error == 0) {
		buf_added(&b, (size_t)st.st_size);
		error = read_lines(m, buf_view(&b));
	}
	buf_fini(&b);
	return error;
}

void
state_keep_handles(const struct master *m, bool keep)
{
	const struct listener *l;
	const struct proc *p;

	TAILQ_FOREACH(l, &m->listeners, link)
		(void)fd_set_cloexec(l->fd, !keep);
	TAILQ_FOREACH(l, &m->admin, link)
		(void)fd_set_cloexec(l->fd, !keep);
	TAILQ_FOREACH(p, &m->procs, link)
		(void)fd_set_cloexec(p->fd, !keep);
	(void)fd_set_cloexec(m->stats_fd, !keep);
	(void)fd_set_cloexec(m->pid_fd, !keep);
}
