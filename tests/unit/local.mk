# SPDX-License-Identifier: ISC
# A test of lib/ is one line: its source is the name with .c behind it, it
# links LIBS_CORE and cmocka. A test of a process folder adds its library:
#	UNIT_TESTS += tests/unit/smtpd/foo_test
#	tests_unit_smtpd_foo_test_LDADD = smtpd/libsmtpd.a $(LDADD)
UNIT_TESTS =

if HAVE_CMOCKA
check_PROGRAMS += $(UNIT_TESTS)
TESTS += $(UNIT_TESTS)
endif
