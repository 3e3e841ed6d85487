# SPDX-License-Identifier: ISC
# Everything but main.c is in a library, so that unit tests can link it.
noinst_LIBRARIES += qmgr/libqmgr.a
qmgr_libqmgr_a_SOURCES =	\
	qmgr/admin.c		\
	qmgr/admin_change.c	\
	qmgr/admin_check.c	\
	qmgr/admin_json.c	\
	qmgr/admin_list.c	\
	qmgr/admin_request.h	\
	qmgr/admin_select.c	\
	qmgr/admin_why.c	\
	qmgr/checkpoint.c	\
	qmgr/checkpoint.h	\
	qmgr/compact.c		\
	qmgr/destination.c	\
	qmgr/destination.h	\
	qmgr/done.c		\
	qmgr/done.h		\
	qmgr/expand.c		\
	qmgr/feed.c		\
	qmgr/future.c		\
	qmgr/index.c		\
	qmgr/index.h		\
	qmgr/jobs.c		\
	qmgr/journal.c		\
	qmgr/journal.h		\
	qmgr/message.c		\
	qmgr/message.h		\
	qmgr/pressure.c		\
	qmgr/qmgr.c		\
	qmgr/qmgr.h		\
	qmgr/recover.c		\
	qmgr/recover.h		\
	qmgr/replay.c		\
	qmgr/report.c		\
	qmgr/retry.c		\
	qmgr/scan.c		\
	qmgr/sched.c		\
	qmgr/sched.h		\
	qmgr/segments.c		\
	qmgr/segments.h		\
	qmgr/store.c		\
	qmgr/store.h		\
	qmgr/ticket.c		\
	qmgr/worker.c		\
	qmgr/worker.h		\
	qmgr/writers.c
EXTRA_DIST += qmgr/ADMIN.md
pkglibexec_PROGRAMS += qmgr/qmgr
qmgr_qmgr_SOURCES = qmgr/main.c
qmgr_qmgr_LDADD = qmgr/libqmgr.a $(LIBS_CORE)
