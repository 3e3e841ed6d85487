/* SPDX-License-Identifier: ISC */
/*
 * mailbox_test.c: the mailbox role: many jobs into many mailboxes, repeats,
 * quota, and folders it must not touch; each result behind its sync.
 */
#include "tests/unit/deliver/rig.h"

#include <sys/stat.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "deliver/mailbox.h"

static char dir[64];

static void
start(struct rig *r)
{
	char *conf;

	memcpy(dir, "/tmp/pk-mailbox-XXXXXX", 23);
	assert_non_null(mkdtemp(dir));
	conf =
	    xasprintf("myhostname = me.test\nvirtual_mailbox_base = %s\n", dir);
	rig_init(r, &deliver_role_mailbox, conf);
	xfree(conf);
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

static void
stop(struct rig *r)
{
	mailbox_threads_stop(r->d.ctx);
	rig_fini(r);
	remove_tree(AT_FDCWD, dir);
}

static unsigned
count(const char *path)
{
	char *p = xasprintf("%s/%s", dir, path);
	unsigned n = 0;
	struct dirent *e;
	DIR *d = opendir(p);

	xfree(p);
	if (d == NULL)
		return 0;
	while ((e = readdir(d)) != NULL)
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

static struct rig_job
job(const char *path)
{
	struct rig_job j = {
		.nexthop = "x.test", .sender = "s@me.test",
		.rcpts = { "a@x.test" }, .header = "Received: x\r\n",
		.content = VIEW("Subject: t\r\n\r\nhello\r\n"), .path = path,
	};

	return j;
}

static void
test_many(void **state)
{
	struct rig_job j;
	struct rig r;
	char *path;
	unsigned i, n = 0;

	(void)state;
	start(&r);
	for (i = 0; i < 1000; i++) {
		path = xasprintf("x.test/u%u/", i % 50);
		j = job(path);
		rig_send(&r, &j);
		xfree(path);
	}
	rig_wait(&r, 1000);
	assert_null(strstr(buf_cstr(&r.log), "deferred"));
	assert_memory_equal(buf_cstr(&r.log),
	    "1/0 sent+final 2.0.0 delivered to "
	    "maildir [mailbox]\n",
	    51);
	for (i = 0; i < 50; i++) {
		path = xasprintf("x.test/u%u/new", i);
		n += count(path);
		xfree(path);
		path = xasprintf("x.test/u%u/tmp", i);
		assert_int_equal(count(path), 0);
		xfree(path);
	}
	assert_int_equal(n, 1000);
	stop(&r);
}

/* A job that is done again after a crash leaves one message. */
static void
test_repeat(void **state)
{
	struct rig_job j;
	struct rig r;

	(void)state;
	start(&r);
	j = job("x.test/a");
	j.message = 4711;
	j.arrival_ms = 1600000000000;
	rig_send(&r, &j);
	rig_wait(&r, 1);
	rig_send(&r, &j);
	rig_wait(&r, 2);
	assert_int_equal(count("x.test/a/new"), 1);
	assert_non_null(strstr(buf_cstr(&r.log), "2/0 sent+final"));
	stop(&r);
}

static void
test_refused(void **state)
{
	struct rig_job j;
	struct rig r;
	char *p;

	(void)state;
	start(&r);
	p = xasprintf("%s/trap", dir);
	assert_int_equal(symlink("/tmp", p), 0);
	xfree(p);
	j = job("trap/x");
	rig_send(&r, &j);
	j = job("../x");
	rig_send(&r, &j);
	j = job("full");
	j.quota = 20;
	rig_send(&r, &j);
	j.quota = 150;
	rig_send(&r, &j);
	rig_send(&r, &j);
	rig_send(&r, &j);
	rig_wait(&r, 6);
	assert_non_null(strstr(buf_cstr(&r.log),
	    "1/0 deferred 4.2.0 maildir "
	    "delivery failed: trap in mailbox path trap/x is a link"));
	assert_non_null(strstr(buf_cstr(&r.log),
	    "2/0 deferred 4.2.0 maildir "
	    "delivery failed: bad mailbox path ../x"));
	assert_non_null(strstr(buf_cstr(&r.log), "3/0 bounced 5.2.3"));
	assert_non_null(strstr(buf_cstr(&r.log), "4/0 sent"));
	assert_non_null(strstr(buf_cstr(&r.log),
	    "6/0 bounced 5.2.2 maildir "
	    "delivery failed: mailbox is full"));
	stop(&r);
}

static void
test_headers(void **state)
{
	struct rig_job j;
	struct dirent *e;
	struct rig r;
	char *text, got[1000];
	ssize_t n;
	DIR *folder;
	int fd;

	(void)state;
	start(&r);
	j = job("a");
	j.message = 99;
	j.orcpt = "rfc822;First.Name+40x.test";
	rig_send(&r, &j);
	rig_wait(&r, 1);
	text = xasprintf("%s/a/new", dir);
	folder = opendir(text);
	assert_non_null(folder);
	while ((e = readdir(folder)) != NULL && e->d_name[0] == '.')
		;
	assert_non_null(e);
	fd = openat(dirfd(folder), e->d_name, O_RDONLY);
	n = read(fd, got, sizeof(got) - 1);
	assert_true(n > 0);
	got[n] = '\0';
	assert_string_equal(got,
	    "Return-Path: <s@me.test>\n"
	    "X-Original-To: First.Name@x.test\n"
	    "Delivered-To: a@x.test\nReceived: x\nSubject: t\n\nhello\n");
	close(fd);
	closedir(folder);
	xfree(text);
	stop(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_repeat),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_headers),
	};

	return cmocka_run_group_tests_name("deliver mailbox", tests, NULL, NULL);
}
