/* SPDX-License-Identifier: ISC */
/*
 * reload.c: puts a changed main.cf in force.
 *
 * Everything that can fail is done first (the file is read and checked, new
 * listeners are opened); then nothing can, and the change is in force as a
 * whole. Until then the old configuration runs on untouched.
 */
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "master/master.h"

struct first_error {
	struct buf	*why;
	bool		 found;
};

static void
note(const struct conf_note *n, void *arg)
{
	struct first_error *f = arg;

	if (n->level == 'e')
		log_error("%s:%u: %s", n->file, n->line, n->text);
	else
		log_warn("%s:%u: %s", n->file, n->line, n->text);
	if (n->level == 'e' && !f->found) {
		f->found = true;
		buf_printf(f->why, "%s:%u: %s", n->file, n->line, n->text);
	}
}

struct change {
	unsigned	 mask;
	unsigned	 count;
	struct buf	 fixed;		/* names that only stop and start may change */
};

static void
changed(const char *name, const char *old, const char *new, enum conf_apply apply, void *arg)
{
	struct change *ch = arg;
	unsigned mask = apply == CONF_RESTART ? role_mask_of_param(name) : 0;

	(void)old;
	(void)new;
	ch->count++;
	if ((mask & ROLES_FIXED) != 0)
		buf_printf(&ch->fixed, "%s%s", ch->fixed.len > 0 ? ", " : "", name);
	else
		ch->mask |= mask;
}

static int
find_changes(struct master *m, struct conf *fresh, struct change *ch, struct buf *why)
{
	conf_diff(m->conf, fresh, changed, ch);
	if (ch->fixed.len == 0)
		return 0;
	buf_printf(why, "%s cannot change while the suite runs: postkeep stop, then start",
	    buf_cstr(&ch->fixed));
	log_error("reload refused: %s", buf_cstr(why));
	return PK_EBUSY;
}

static void
put_in_force(struct master *m, struct conf *fresh, const struct change *ch)
{
	struct conf *old = m->conf;
	enum log_level level;
	struct proc *p;

	m->conf = fresh;
	if (log_level_parse(fresh->log_level, &level))
		log_set_level(level);
	TAILQ_FOREACH(p, &m->procs, link) {
		proc_send_config(m, p);
		proc_send_u64(p, IPC_LOG_LEVEL, IPC_F_LEVEL, (uint64_t)log_get_level());
	}
	if (strcmp(old->admin_group, fresh->admin_group) != 0)
		admin_group_changed();
	conf_free(&old);
	supervise_counts(m);
	supervise_replace(m, ch->mask);
}

static void
environment_note(char level, const char *text, void *arg)
{
	struct buf *why = arg;

	if (level != 'e') {
		log_warn("%s", text);
		return;
	}
	log_error("%s", text);
	if (why->len == 0)
		buf_put_str(why, text);
}

/* Directories that the new configuration names must be there too. */
static int
check_environment(struct master *m, const struct conf *fresh, struct buf *why)
{
	struct environment e = { .conf = fresh, .development = m->development, .create = true,
	    .say = environment_note, .arg = why };

	return environment_check(&e) ? 0 : PK_ESYS;
}

int
reload_config(struct master *m, struct buf *why)
{
	struct first_error first = { .why = why };
	struct change ch = { 0 };
	struct listener_list fresh_listeners;
	struct conf *fresh;
	int error;

	fresh = conf_load(m->conf_path, VIEW_NONE, note, &first);
	if (fresh == NULL) {
		log_error("reload refused: the old configuration stays");
		return PK_ESYNTAX;
	}
	buf_init(&ch.fixed, 4096);
	error = find_changes(m, fresh, &ch, why);
	if (error == 0)
		error = check_environment(m, fresh, why);
	if (error == 0 && !listeners_prepare(m, fresh, &fresh_listeners)) {
		buf_put_str(why, "a listener could not be opened (the log says which and why);"
		    " the old configuration stays");
		error = PK_ESYS;
	}
	buf_fini(&ch.fixed);
	if (error != 0) {
		conf_free(&fresh);
		return error;
	}
	put_in_force(m, fresh, &ch);
	listeners_commit(m, &fresh_listeners);
	log_info("reload: %s, %u values changed", m->conf_path, ch.count);
	supervise_turn(m);
	if (m->configs_open == 0)
		admin_reload_done(m);
	return 0;
}
