# SPDX-License-Identifier: ISC
# Everything but main.c is in a library, so that unit tests can link it.
noinst_LIBRARIES += qmgr/libqmgr.a
qmgr_libqmgr_a_SOURCES =
# pkglibexec_PROGRAMS += qmgr/qmgr
# qmgr_qmgr_SOURCES = qmgr/main.c
# qmgr_qmgr_LDADD = qmgr/libqmgr.a $(LIBS_CORE)
