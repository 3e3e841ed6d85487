# SPDX-License-Identifier: ISC
# Programs that tests/fault/run makes when it needs them.
EXTRA_PROGRAMS = tests/fault/recover tests/fault/workload tests/fault/clock
tests_fault_recover_SOURCES = tests/fault/recover.c
tests_fault_recover_LDADD = qmgr/libqmgr.a $(LIBS_CORE)
tests_fault_workload_SOURCES = tests/fault/workload.c
tests_fault_workload_LDADD = qmgr/libqmgr.a $(LIBS_CORE)
tests_fault_clock_SOURCES = tests/fault/clock.c
tests_fault_clock_LDADD = qmgr/libqmgr.a $(LIBS_CORE)
tests_fault_clock_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=clock_wall_ms
CLEANFILES += $(EXTRA_PROGRAMS)
