/* SPDX-License-Identifier: ISC */
/*
 * smtp_command.c: fuzzes the command parser. The first four bytes are the
 * enabled extensions. What was accepted lies inside the line.
 */
#include <stdint.h>

#include "base/log.h"
#include "mail/smtp_command.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_inside(struct view part, struct view line)
{
	ASSERT(part.len == 0 ||
	    (part.p >= line.p && part.p + part.len <= line.p + line.len));
	for (size_t i = 0; i < part.len; i++)
		ASSERT(part.p[i] != '\r' && part.p[i] != '\n' &&
		    part.p[i] != '\0');
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smtp_command c;
	enum smtp_command_error error;
	struct view line;
	uint32_t enabled;

	if (size < sizeof(enabled))
		return 0;
	memcpy(&enabled, data, sizeof(enabled));
	line = view_of((const char *)data + 4, size - 4);
	error = smtp_command_parse(line, enabled, &c);
	if (error != SMTP_COMMAND_OK) {
		ASSERT(smtp_command_error_text(error) != NULL);
		return 0;
	}
	check_inside(c.arg, line);
	if (c.verb == SMTP_VERB_MAIL || c.verb == SMTP_VERB_RCPT) {
		check_inside(c.address.local, line);
		check_inside(c.address.domain, line);
	}
	if (c.params & SMTP_PARAM_ENVID)
		check_inside(c.envid, line);
	if (c.params & SMTP_PARAM_ORCPT)
		check_inside(c.orcpt, line);
	return 0;
}
