/* SPDX-License-Identifier: ISC */
/*
 * deliver_job.c: a qmgr that was taken over against a deliverer: JOB packets
 * (the first byte: how many, and whether parts follow) and the account of a
 * bounce. What is taken must hold together: views within the packet, content
 * of the length that was said.
 */
#include <stdint.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "deliver/deliver.h"
#include "deliver/smtp.h"
#include "queue/bounce.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
read_account(struct view data)
{
	struct bounce_reader r;
	struct bounce_row row;
	unsigned rows = 0;
	int rc;

	if (bounce_decode_begin(&r, data) != 0)
		return;
	while ((rc = bounce_decode_row(&r, &row)) == 0)
		rows++;
	ASSERT(rows <= r.rows && (rc != PK_EEND || rows == r.rows));
}

static void
read_job(struct job *j)
{
	char room[64];
	uint64_t offset = 0;
	struct view v;
	size_t i;

	for (i = 0; i < j->nrcpts; i++) {
		(void)smtp_client_address_ok(j->rcpts[i].address);
		ASSERT(view_find(j->rcpts[i].address, '\n') < 0);
	}
	while (job_read(j, offset, room, sizeof(room), &v) == 0) {
		ASSERT(v.len > 0);
		(void)smtp_content_is_plain(v, 998);
		offset += v.len;
	}
	ASSERT(offset == job_size(j));
	read_account(j->data);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view in = view_of((const char *)data, size);
	struct job *j = NULL, *got;
	struct ipc_msg m;
	size_t cut;

	read_account(in);
	if (size < 3)
		return 0;
	cut = (size_t)data[1] << 8 | data[2];
	in = view_from(in, 3);
	memset(&m, 0, sizeof(m));
	m.type = IPC_JOB;
	m.flags = data[0] & 1 ? IPC_FLAG_MORE : 0;
	m.body = view_head(in, cut);
	if (job_decode(&m, NULL, &j) != 0)
		return 0;
	if (!j->complete) {
		m.flags = 0;
		m.body = view_from(in, cut);
		if (job_decode(&m, j, &got) != 0)
			j->complete = false;
	}
	if (j->complete)
		read_job(j);
	job_free(&j);
	return 0;
}
