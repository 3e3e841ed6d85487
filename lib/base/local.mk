# SPDX-License-Identifier: ISC
noinst_LIBRARIES += lib/base/libbase.a
lib_base_libbase_a_SOURCES =			\
	lib/base/buf.c \
	lib/base/buf.h \
	lib/base/clock.c \
	lib/base/clock.h \
	lib/base/codec.c \
	lib/base/codec.h \
	lib/base/error.c \
	lib/base/error.h \
	lib/base/heap.c \
	lib/base/heap.h \
	lib/base/log.c \
	lib/base/log.h \
	lib/base/map.c \
	lib/base/map.h \
	lib/base/mem.c \
	lib/base/mem.h \
	lib/base/num.c \
	lib/base/num.h \
	lib/base/view.c \
	lib/base/view.h
