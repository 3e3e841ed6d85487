# SPDX-License-Identifier: ISC
noinst_LIBRARIES += lib/queue/libqueue.a
lib_queue_libqueue_a_SOURCES =			\
	lib/queue/bounce.c			\
	lib/queue/bounce.h			\
	lib/queue/record.c			\
	lib/queue/record.h			\
	lib/queue/segment_lane.c		\
	lib/queue/segment_lane.h		\
	lib/queue/segment_link.c		\
	lib/queue/segment_link.h		\
	lib/queue/segment_private.h		\
	lib/queue/segment_reader.c		\
	lib/queue/segment_reader.h		\
	lib/queue/segment_stream.c		\
	lib/queue/segment_writer.c		\
	lib/queue/segment_writer.h
