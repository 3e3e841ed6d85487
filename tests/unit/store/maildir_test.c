/* SPDX-License-Identifier: ISC */
/*
 * maildir_test.c: delivery into Maildirs: names, content, repeats, quota, and
 * what must be refused (A19: links, foreign paths).
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/stat.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"
#include "store/maildir.h"
#include "sys/fd.h"

static char dir[64];
static int base_fd;
static struct maildir_store *store;

static int
setup(void **state)
{
	(void)state;
	memcpy(dir, "/tmp/pk-maildir-XXXXXX", 23);
	if (mkdtemp(dir) == NULL)
		return -1;
	base_fd = open(dir, O_RDONLY | O_DIRECTORY);
	store = maildir_store_new(base_fd, "host:a/b.test");
	return 0;
}

static void
remove_tree(int at, const char *name)
{
	struct dirent *e;
	DIR *d;
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);

	if (fd == -1) {
		unlinkat(at, name, 0);
		return;
	}
	d = fdopendir(fd);
	while ((e = readdir(d)) != NULL)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			remove_tree(fd, e->d_name);
	closedir(d);
	unlinkat(at, name, AT_REMOVEDIR);
}

static int
teardown(void **state)
{
	(void)state;
	maildir_store_free(&store);
	close(base_fd);
	remove_tree(AT_FDCWD, dir);
	return 0;
}

static int
source(void *arg, uint64_t offset, struct view *v_r)
{
	struct view all = view_str(arg);

	if (offset >= all.len)
		return PK_EEND;
	*v_r = view_head(view_from(all, offset), 7);
	return 0;
}

static char message[] = "Subject: x\r\n\r\n.dot\r\nlast\r\n";

static void
delivery_init(struct maildir_delivery *d, const char *path, const char *id)
{
	struct maildir_failure f;

	memset(d, 0, sizeof(*d));
	d->box = maildir_box_open(store, view_str(path), &f);
	assert_non_null(d->box);
	d->queue_id = id;
	d->arrival_ms = 1700000000123;
	d->size_hint = sizeof(message) - 1;
	d->prefix = VIEW("Return-Path: <>\r\n");
	d->source = source;
	d->source_arg = message;
}

static unsigned
count(const char *path)
{
	char *p = xasprintf("%s/%s", dir, path);
	unsigned n = 0;
	struct dirent *e;
	DIR *d = opendir(p);

	assert_non_null(d);
	while ((e = readdir(d)) != NULL)
		n += e->d_name[0] != '.';
	closedir(d);
	xfree(p);
	return n;
}

static void
deliver_one(const char *path, const char *id)
{
	struct maildir_delivery d;
	struct maildir_failure f;

	delivery_init(&d, path, id);
	assert_int_equal(maildir_write(&d, &f), 0);
	assert_int_equal(maildir_publish(&d), 0);
	maildir_box_release(&d.box);
}

static void
test_deliver(void **state)
{
	struct maildir_delivery d;
	struct maildir_failure f;
	struct buf b;
	char *p;

	(void)state;
	delivery_init(&d, "example.test/alice/", "A1");
	assert_int_equal(maildir_write(&d, &f), 0);
	assert_int_equal(count("example.test/alice/tmp"), 1);
	assert_int_equal(maildir_publish(&d), 0);
	assert_int_equal(count("example.test/alice/tmp"), 0);
	assert_string_equal(
	    d.new_name, "1700000000.PA1R0.host_a_b.test,S=38,W=43");
	buf_init(&b, 1000);
	p = xasprintf("example.test/alice/new/%s", d.new_name);
	assert_int_equal(fd_read_file(base_fd, p, &b), 0);
	assert_string_equal(
	    buf_cstr(&b), "Return-Path: <>\nSubject: x\n\n.dot\nlast\n");
	xfree(p);
	buf_fini(&b);
	maildir_box_release(&d.box);
}

/* A repeat finds itself in new/ and, renamed by a reader, in cur/. */
static void
test_repeat(void **state)
{
	struct maildir_delivery d;
	struct maildir_failure f;
	char *from, *to;

	(void)state;
	deliver_one("box", "B2");
	delivery_init(&d, "box", "B2");
	d.look_twice = true;
	assert_int_equal(maildir_write(&d, &f), 0);
	assert_true(d.found);
	d.look_twice = false;
	assert_int_equal(maildir_write(&d, &f), 0);
	assert_false(d.found);
	assert_int_equal(maildir_publish(&d), 0);
	assert_int_equal(count("box/new"), 1);

	from = xasprintf("%s/box/new/%s", dir, d.new_name);
	to = xasprintf("%s/box/cur/%s:2,S", dir, d.new_name);
	assert_int_equal(rename(from, to), 0);
	d.look_twice = true;
	assert_int_equal(maildir_write(&d, &f), 0);
	assert_true(d.found);
	/* A torn one is not believed. */
	assert_int_equal(truncate(to, 3), 0);
	assert_int_equal(maildir_write(&d, &f), 0);
	assert_false(d.found);
	assert_int_equal(count("box/cur"), 0);
	maildir_discard(&d);
	assert_int_equal(count("box/tmp"), 0);
	xfree(from);
	xfree(to);
	maildir_box_release(&d.box);
}

static void
test_quota(void **state)
{
	struct maildir_delivery d;
	struct maildir_failure f;
	char *p;

	(void)state;
	delivery_init(&d, "small", "C1");
	d.quota = 60;
	d.size_hint = 39;
	assert_int_equal(maildir_write(&d, &f), 0);
	assert_int_equal(maildir_publish(&d), 0);
	d.queue_id = "C2";
	assert_int_equal(maildir_write(&d, &f), PK_EIO);
	assert_int_equal(f.fault, MAILDIR_FAULT_FULL);
	assert_int_equal(count("small/tmp"), 0);
	d.size_hint = 61;
	assert_int_equal(maildir_write(&d, &f), PK_EIO);
	assert_int_equal(f.fault, MAILDIR_FAULT_TOO_BIG);
	/* The user deletes the message by hand: noticed by counting anew. */
	p = xasprintf(
	    "%s/small/new/1700000000.PC1R0.host_a_b.test,S=38,W=43", dir);
	assert_int_equal(unlink(p), 0);
	xfree(p);
	p = xasprintf("%s/small/maildirsize", dir);
	assert_int_equal(truncate(p, 0), 0);
	xfree(p);
	d.size_hint = 39;
	assert_int_equal(maildir_write(&d, &f), 0);
	assert_int_equal(maildir_publish(&d), 0);
	maildir_box_release(&d.box);
}

static void
check_mode(const char *path, mode_t mode)
{
	struct stat st;

	assert_int_equal(fstatat(base_fd, path, &st, AT_SYMLINK_NOFOLLOW), 0);
	if ((st.st_mode & 07777) != mode)
		fail_msg("%s has mode %04o", path, (unsigned)st.st_mode & 07777);
}

/* The group comes as far as maildirsize, if it knows the way. */
static void
test_modes(void **state)
{
	static const char *const messages[] = { "new", "cur", "tmp" };
	struct maildir_delivery d;
	struct maildir_failure f;
	char *p;
	size_t i;

	(void)state;
	delivery_init(&d, "modes.test/joe", "D1");
	d.quota = 1000;
	assert_int_equal(maildir_write(&d, &f), 0);
	assert_int_equal(maildir_publish(&d), 0);
	check_mode("modes.test", 0710);
	check_mode("modes.test/joe", 0710);
	check_mode("modes.test/joe/maildirsize", 0640);
	for (i = 0; i < NELEMS(messages); i++) {
		p = xasprintf("modes.test/joe/%s", messages[i]);
		check_mode(p, 0700);
		xfree(p);
	}
	p = xasprintf("modes.test/joe/new/%s", d.new_name);
	check_mode(p, 0600);
	xfree(p);
	maildir_box_release(&d.box);
}

static void
test_refused(void **state)
{
	struct maildir_failure f;
	char *p, *q;

	(void)state;
	assert_null(maildir_box_open(store, VIEW("../x"), &f));
	assert_int_equal(f.fault, MAILDIR_FAULT_PATH);
	assert_null(maildir_box_open(store, VIEW("a/../../x"), &f));
	assert_null(maildir_box_open(store, VIEW(""), &f));
	assert_null(maildir_box_open(store, VIEW("//"), &f));
	assert_null(maildir_box_open(store, view_of("a\0b", 3), &f));

	p = xasprintf("%s/link", dir);
	assert_int_equal(symlink("/tmp", p), 0);
	assert_null(maildir_box_open(store, VIEW("link"), &f));
	assert_int_equal(f.fault, MAILDIR_FAULT_PATH);
	assert_null(maildir_box_open(store, VIEW("link/box"), &f));
	xfree(p);

	/* new/ is a link to somewhere else. */
	p = xasprintf("%s/trap", dir);
	q = xasprintf("%s/trap/new", dir);
	assert_int_equal(mkdir(p, 0700), 0);
	assert_int_equal(symlink("/tmp", q), 0);
	assert_null(maildir_box_open(store, VIEW("trap"), &f));
	assert_int_equal(f.fault, MAILDIR_FAULT_PATH);
	xfree(p);
	xfree(q);
}

/* More mailboxes than are kept open, twice over; one removed meanwhile. */
static void
test_many(void **state)
{
	char *name, *p;
	int i;

	(void)state;
	for (i = 0; i < 2 * (MAILDIR_BOXES_MAX + 20); i++) {
		name = xasprintf("many/u%d", i % (MAILDIR_BOXES_MAX + 20));
		p = xasprintf("D%d", i);
		deliver_one(name, p);
		xfree(name);
		xfree(p);
	}
	assert_int_equal(count("many/u3/new"), 2);
	deliver_one("gone", "E1");
	remove_tree(base_fd, "gone");
	deliver_one("gone", "E2");
	assert_int_equal(count("gone/new"), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_deliver),
		cmocka_unit_test(test_repeat),
		cmocka_unit_test(test_quota),
		cmocka_unit_test(test_modes),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests_name("maildir", tests, setup, teardown);
}
