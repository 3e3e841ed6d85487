# SPDX-License-Identifier: ISC
noinst_LIBRARIES += lib/sys/libsys.a
lib_sys_libsys_a_SOURCES =
