# SPDX-License-Identifier: ISC
noinst_LIBRARIES += lib/base/libbase.a
lib_base_libbase_a_SOURCES =			\
	lib/base/buf.h				\
	lib/base/clock.h			\
	lib/base/codec.h			\
	lib/base/error.h			\
	lib/base/heap.h				\
	lib/base/log.h				\
	lib/base/map.h				\
	lib/base/mem.h				\
	lib/base/num.h				\
	lib/base/view.h
