# SPDX-License-Identifier: ISC
# Everything but main.c is in a library, so that unit tests can link it.
noinst_LIBRARIES += deliver/libdeliver.a
deliver_libdeliver_a_SOURCES =
# pkglibexec_PROGRAMS += deliver/deliver
# deliver_deliver_SOURCES = deliver/main.c
# deliver_deliver_LDADD = deliver/libdeliver.a $(LIBS_CORE)
