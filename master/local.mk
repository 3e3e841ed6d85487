# SPDX-License-Identifier: ISC
# Everything but main.c is in a library, so that unit tests can link it.
noinst_LIBRARIES += master/libmaster.a
master_libmaster_a_SOURCES =
# pkglibexec_PROGRAMS += master/master
# master_master_SOURCES = master/main.c
# master_master_LDADD = master/libmaster.a $(LIBS_CORE)
