/* SPDX-License-Identifier: ISC */
/*
 * error.h: the one list of error codes.
 *
 * A function that can fail returns int: 0 or one of these, all negative.
 * pk_strerror() gives the text. errno of a failed system call stays in errno
 * beside PK_ESYS and friends until the next call.
 */
#ifndef PK_BASE_ERROR_H
#define PK_BASE_ERROR_H

/* PK_ERR(name, number, text) */
#define PK_ERRORS(PK_ERR)						\
	PK_ERR(PK_ESYS,		-1,  "system call failed")		\
	PK_ERR(PK_ELIMIT,	-2,  "longer than its limit")		\
	PK_ERR(PK_ESYNTAX,	-3,  "syntax error")			\
	PK_ERR(PK_ERANGE,	-4,  "value out of range")		\
	PK_ERR(PK_ENOENT,	-5,  "not found")			\
	PK_ERR(PK_EEXIST,	-6,  "exists already")			\
	PK_ERR(PK_EAGAIN,	-7,  "not now, try again")		\
	PK_ERR(PK_ETIMEOUT,	-8,  "timed out")			\
	PK_ERR(PK_EPEER,	-9,  "peer is gone")			\
	PK_ERR(PK_EPROTO,	-10, "protocol violation")		\
	PK_ERR(PK_EPERM,	-11, "not permitted")			\
	PK_ERR(PK_EIO,		-12, "input/output error")		\
	PK_ERR(PK_ENOSPC,	-13, "no space left")			\
	PK_ERR(PK_EFORMAT,	-14, "damaged or unknown format")	\
	PK_ERR(PK_ETEMP,	-15, "temporary failure")		\
	PK_ERR(PK_EBUSY,	-16, "busy")				\
	PK_ERR(PK_EEND,		-17, "end of data")			\
	PK_ERR(PK_ECANCEL,	-18, "cancelled")			\
	PK_ERR(PK_EUNSUPPORTED,	-19, "not supported here")

enum pk_error {
	PK_OK = 0,
#define PK_ERR(name, number, text) name = number,
	PK_ERRORS(PK_ERR)
#undef PK_ERR
};

/* The text of a code; "unknown error" for what is not one. Never NULL. */
const char *pk_strerror(int code);

#endif
