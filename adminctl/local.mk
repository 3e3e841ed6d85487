# SPDX-License-Identifier: ISC
# Everything but main.c is in a library, so that unit tests can link it.
noinst_LIBRARIES += adminctl/libadminctl.a
adminctl_libadminctl_a_SOURCES =
# bin_PROGRAMS += adminctl/adminctl
# adminctl_adminctl_SOURCES = adminctl/main.c
# adminctl_adminctl_LDADD = adminctl/libadminctl.a $(LIBS_CORE)
