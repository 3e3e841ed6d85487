# SPDX-License-Identifier: ISC
noinst_LIBRARIES += lib/queue/libqueue.a
lib_queue_libqueue_a_SOURCES =			\
	lib/queue/bounce.c			\
	lib/queue/bounce.h
