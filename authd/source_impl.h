/* SPDX-License-Identifier: ISC */
/*
 * source_impl.h: the kinds of sources, for source.c's list. Those of databases
 * are there as configure found their libraries (HAVE_SOURCE_*).
 */
#ifndef PK_AUTHD_SOURCE_IMPL_H
#define PK_AUTHD_SOURCE_IMPL_H

#include "authd/source.h"

extern const struct source_type source_type_accounts;
extern const struct source_type source_type_passwd_file;
extern const struct source_type source_type_system;
extern const struct source_type source_type_sqlite;
extern const struct source_type source_type_pgsql;
extern const struct source_type source_type_mysql;
extern const struct source_type source_type_ldap;

#endif
