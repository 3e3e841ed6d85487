# SPDX-License-Identifier: ISC
# Everything but main.c is in a library, so that unit tests can link it.
noinst_LIBRARIES += dnsd/libdnsd.a
dnsd_libdnsd_a_SOURCES = \
	dnsd/admin.c \
	dnsd/answer.c \
	dnsd/answer.h \
	dnsd/cache.c \
	dnsd/cache.h \
	dnsd/dnsd.h \
	dnsd/dnsd_ipc.c \
	dnsd/override.c \
	dnsd/override.h \
	dnsd/query.c \
	dnsd/upstream.c \
	dnsd/upstream.h
pkglibexec_PROGRAMS += dnsd/dnsd
dnsd_dnsd_SOURCES = dnsd/main.c
dnsd_dnsd_LDADD = dnsd/libdnsd.a $(LIBS_CORE)
