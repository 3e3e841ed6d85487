# SPDX-License-Identifier: ISC
# Everything but main.c is in a library, so that unit tests can link it.
noinst_LIBRARIES += lookupd/liblookupd.a
lookupd_liblookupd_a_SOURCES = \
	lookupd/access.c \
	lookupd/accounts.c \
	lookupd/admin.c \
	lookupd/check.c \
	lookupd/expand.c \
	lookupd/lookupd.h \
	lookupd/lookupd_ipc.c \
	lookupd/outside.c \
	lookupd/outside.h \
	lookupd/own.c \
	lookupd/quota.c \
	lookupd/resolver.c \
	lookupd/resolver.h \
	lookupd/resolver_impl.h \
	lookupd/route.c \
	lookupd/tables.c \
	lookupd/tables.h
pkglibexec_PROGRAMS += lookupd/lookupd
lookupd_lookupd_SOURCES = lookupd/main.c
lookupd_lookupd_LDADD = lookupd/liblookupd.a $(LIBS_CORE)
