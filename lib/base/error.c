/* SPDX-License-Identifier: ISC */
/*
 * error.c: the texts of the error codes.
 *
 * Linked into every process. A switch made from the one table, so that a code
 * cannot be without a text and a number cannot be given twice.
 */
#include "base/error.h"

const char *
pk_strerror(int code)
{
	switch (code) {
	case PK_OK:
		return "no error";
#define PK_ERR(name, number, text) case name: return text;
	PK_ERRORS(PK_ERR)
#undef PK_ERR
	}
	return "unknown error";
}
