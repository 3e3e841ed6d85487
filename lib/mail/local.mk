# SPDX-License-Identifier: ISC
noinst_LIBRARIES += lib/mail/libmail.a
lib_mail_libmail_a_SOURCES =
