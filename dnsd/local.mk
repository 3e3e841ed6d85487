# SPDX-License-Identifier: ISC
# Everything but main.c is in a library, so that unit tests can link it.
noinst_LIBRARIES += dnsd/libdnsd.a
dnsd_libdnsd_a_SOURCES =
# pkglibexec_PROGRAMS += dnsd/dnsd
# dnsd_dnsd_SOURCES = dnsd/main.c
# dnsd_dnsd_LDADD = dnsd/libdnsd.a $(LIBS_CORE)
