/* SPDX-License-Identifier: ISC */
/*
 * cmd_stats.c: adminctl stats and queue stats, once or every second.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "adminctl/command.h"
#include "base/buf.h"
#include "sys/stats.h"

/* The bucket's upper end in which the given share of all observations is reached. */
static uint64_t
quantile(const json_t *buckets, double share)
{
	double total = 0, sum = 0;
	size_t i;
	const json_t *n;

	json_array_foreach(buckets, i, n)
		total += (double)json_integer_value(n);
	json_array_foreach(buckets, i, n) {
		sum += (double)json_integer_value(n);
		if (total > 0 && sum >= share * total)
			return i == 0 ? 1 : 1ULL << i;
	}
	return 0;
}

static void
print_histogram(const char *name, const json_t *h)
{
	const json_t *buckets = json_object_get(h, "buckets");
	json_t *value;
	struct buf b;
	static const double shares[] = { 0.5, 0.95, 0.99 };
	bool bytes = view_caseends(view_str(name), VIEW("_bytes"));
	size_t i;

	buf_init(&b, 256);
	printf("%-28s", name);
	for (i = 0; i < 3; i++) {
		buf_reset(&b);
		value = json_integer((json_int_t)quantile(buckets, shares[i]));
		render_value(&b, value, bytes ? COL_SIZE : COL_MICRO);
		json_decref(value);
		printf("  p%.0f <= %s", shares[i] * 100, buf_cstr(&b));
	}
	putchar('\n');
	buf_fini(&b);
}

static void
print_stats(const json_t *doc)
{
	const char *name;
	json_t *v;

	json_object_foreach(json_object_get(doc, "counters"), name, v)
		printf("%-28s %12lld\n", name, (long long)json_integer_value(v));
	json_object_foreach(json_object_get(doc, "histograms"), name, v)
		print_histogram(name, v);
}

static int
show(const struct context *x, const json_t *args, enum ipc_role role, const char *verb,
    void (*print)(const json_t *doc))
{
	bool watch = json_is_true(json_object_get(args, "watch"));
	json_t *none = json_object(), *doc;
	int status;

	for (;;) {
		doc = client_ask_whole(x, role, verb, none, &status);
		if (doc == NULL)
			break;
		if (watch && !x->json && isatty(STDOUT_FILENO))
			printf("\033[H\033[2J");
		if (x->json) {
			json_dumpf(doc, stdout, watch ? JSON_COMPACT : JSON_INDENT(2));
			putchar('\n');
		} else
			print(doc);
		json_decref(doc);
		if (!watch || fflush(stdout) != 0)
			break;
		sleep(1);
	}
	json_decref(none);
	return status;
}

int
run_stats(const struct context *x, const json_t *args)
{
	return show(x, args, IPC_ROLE_master, "stats", print_stats);
}

int
run_queue_stats(const struct context *x, const json_t *args)
{
	return show(x, args, IPC_ROLE_qmgr, "queue stats", render_object);
}
